-- The failed recipients of campaign $1 with the codes $2 are pending again, at new positions behind all others, so
-- that no current or earlier batch has them in its range.
WITH chosen AS MATERIALIZED (
    SELECT r.id, r.position FROM campaign_recipients AS r
     WHERE r.campaign_id = $1 AND r.status = 'failed' AND r.error_code = ANY ($2)
     ORDER BY r.position FOR NO KEY UPDATE
),
placed AS MATERIALIZED (
    SELECT id, nextval(pg_get_serial_sequence('campaign_recipients', 'position')) AS position
      FROM (SELECT id FROM chosen ORDER BY position) AS in_order
),
-- Only failed recipients change: an event of SES that proves an email sent may have arrived a moment ago.
again AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = 'pending', position = p.position,
           error_code = NULL, error = NULL
      FROM placed AS p
     WHERE r.id = p.id AND r.status = 'failed' AND r.message_id IS NULL
    RETURNING 1
)
SELECT count(*) FROM again
