-- The uncertain recipients of campaign $1, or those of them that $2 names, and the time in which SES can have accepted
-- their emails: from the opening of the batch (or, if it is not known, the start of the campaign) until the recipient
-- became uncertain. Five minutes more at both ends allow for clocks that differ.
SELECT r.id, r.email, r.message_id,
       coalesce((SELECT min(b.opened_at) FROM campaign_batches AS b
                  WHERE b.campaign_id = r.campaign_id AND r.position BETWEEN b.first_position AND b.last_position),
                c.started_at, r.uncertain_since - interval '1 day', now() - interval '1 day') - interval '5 minutes' AS since,
       least(coalesce(r.uncertain_since, now()) + interval '5 minutes', now()) AS until
  FROM campaign_recipients AS r JOIN campaigns AS c ON c.id = r.campaign_id
 WHERE r.campaign_id = $1 AND r.status = 'uncertain' AND ($2::uuid[] IS NULL OR r.id = ANY ($2::uuid[]))
 ORDER BY r.position
