-- Sends again what is in doubt and of which SES has said nothing: of campaign $1, or of all where it is null,
-- recipients that have been `uncertain` for more than $2 seconds, by the clock and by SES's events.
WITH examined AS MATERIALIZED (
    UPDATE campaign_cursors AS k SET doubt_examined_at = now()
      FROM campaigns AS c
     WHERE c.id = k.campaign_id AND ($1 IS NULL OR c.id = $1)
       AND c.status IN ('sending', 'sent') AND c.uncertain_count > 0
       -- Looking costs a scan of the campaign's recipients: once per sixtieth of the time is soon enough.
       AND (k.doubt_examined_at IS NULL OR k.doubt_examined_at <= now() - make_interval(secs => $2 / 60))
    RETURNING k.campaign_id, k.last_event_at
),
-- The fence. Events of the same campaign have come that happened long after the doubt arose: had SES accepted
-- the message, its event would have come with them, however late the queue is. No event, no answer: a stream
-- that does not work says nothing about any message. The next claims find the recipients behind the cursor.
resent AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = 'pending', uncertain_since = NULL, error_code = NULL, error = NULL
      FROM examined AS e
     WHERE r.campaign_id = e.campaign_id AND r.status = 'uncertain'
       AND r.uncertain_since < least(now(), e.last_event_at) - make_interval(secs => $2)
    RETURNING r.campaign_id
)
UPDATE campaigns AS c
   SET uncertain_count = c.uncertain_count - n.count,
       status = CASE c.status WHEN 'sent' THEN 'sending' ELSE c.status END,
       completed_at = CASE WHEN c.status <> 'sent' THEN c.completed_at END
  FROM (SELECT campaign_id, count(*)::int AS count FROM resent GROUP BY campaign_id) AS n
 WHERE c.id = n.campaign_id
RETURNING c.id, n.count
