-- Settles by a person's decision those of the recipients $2 of campaign $1 that are uncertain: each becomes $4, which
-- is `sent`, `failed`, or `pending` to be sent again. $3: their subjects, for the activities. $5: the error of a
-- failed one.
WITH campaign AS MATERIALIZED (
    SELECT created_by, name FROM campaigns WHERE id = $1
),
decided AS MATERIALIZED (
    SELECT * FROM unnest($2, $3) AS d (recipient_id, subject)
),
-- Only uncertain recipients change: an event of SES may have arrived since the person looked.
updated AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = $4,
           -- It gets a new position, so that no current or earlier batch has it in its range.
           position = CASE WHEN $4 = 'pending' THEN nextval(pg_get_serial_sequence('campaign_recipients', 'position'))
                           ELSE r.position END,
           error_code = CASE WHEN $4 = 'failed' THEN 'resolved' END,
           error = CASE WHEN $4 = 'failed' THEN $5 END,
           -- If SES accepted it, it did so shortly before the recipient became uncertain.
           sent_at = CASE WHEN $4 = 'sent' THEN coalesce(r.uncertain_since, now()) END,
           uncertain_since = NULL
      FROM decided AS d
     WHERE r.id = d.recipient_id AND r.campaign_id = $1 AND r.status = 'uncertain'
       -- An email that SES is known to have accepted (its activity was refused) is not sent again.
       AND ($4 <> 'pending' OR r.message_id IS NULL)
    RETURNING r.id, r.organization_id, r.customer_id, r.customer_ref, r.email, r.name, r.message_id, r.sent_at,
              r.status, d.subject
),
activity AS (
    {email_sent}
),
change AS (
    SELECT count(*)::int AS number, coalesce(array_agg(id), '{}') AS ids,
           (count(*) FILTER (WHERE status = 'sent'))::int AS sent,
           (count(*) FILTER (WHERE status = 'failed'))::int AS failed,
           (count(*) FILTER (WHERE status = 'pending'))::int AS pending
      FROM updated
),
-- Counts by position restart.
recounted AS (
    UPDATE campaign_cursors AS k SET counted_at = NULL FROM change WHERE k.campaign_id = $1 AND change.pending > 0
    RETURNING 1
)
-- A complete campaign is `sending` again if it has pending recipients; the next claim goes back to the first of them.
UPDATE campaigns AS c
   SET uncertain_count = c.uncertain_count - change.number,
       sent_count = c.sent_count + change.sent, failed_count = c.failed_count + change.failed,
       status = CASE WHEN change.pending > 0 AND c.status = 'sent' THEN 'sending' ELSE c.status END,
       completed_at = CASE WHEN change.pending > 0 AND c.status = 'sent' THEN NULL ELSE c.completed_at END
  FROM change
 WHERE c.id = $1 AND (SELECT count(*) FROM recounted) >= 0
RETURNING c.status, change.ids, c.total_count, c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count
