-- Sends again to recipients of campaign $1 (null: of all campaigns) that have been `uncertain` for more than $2
-- seconds, by the clock and by SES's events, and that SES has not reported on.
WITH examined AS MATERIALIZED (
    UPDATE campaign_cursors AS k SET doubt_examined_at = now()
      FROM campaigns AS c
     WHERE c.id = k.campaign_id AND ($1 IS NULL OR c.id = $1)
       AND c.status IN ('sending', 'sent') AND c.uncertain_count > 0
       -- If no event has ever arrived, missing events prove nothing.
       AND k.last_event_at IS NOT NULL
       -- This scans the campaign's recipients, so it runs once per sixtieth of the time.
       AND (k.doubt_examined_at IS NULL OR k.doubt_examined_at <= now() - make_interval(secs => $2 / 60))
    RETURNING k.campaign_id, k.last_event_at
),
-- Events of the same campaign have arrived that happened long after the recipient became uncertain. If SES had
-- accepted the message, its event would have arrived with them, however late the queue is. A recipient whose message
-- SES is known to have accepted (its activity was refused) is never sent to again.
silent AS MATERIALIZED (
    SELECT r.id, r.position
      FROM examined AS e JOIN campaign_recipients AS r ON r.campaign_id = e.campaign_id
     WHERE r.status = 'uncertain' AND r.message_id IS NULL AND r.error_code IS DISTINCT FROM 'activity_refused'
       AND r.uncertain_since < least(now(), e.last_event_at) - make_interval(secs => $2)
     ORDER BY r.campaign_id, r.position FOR NO KEY UPDATE OF r
),
-- They get new positions, so that no current or earlier batch has them in its range.
placed AS MATERIALIZED (
    SELECT id, nextval(pg_get_serial_sequence('campaign_recipients', 'position')) AS position
      FROM (SELECT id FROM silent ORDER BY position) AS in_order
),
resent AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = 'pending', position = p.position,
           uncertain_since = NULL, error_code = NULL, error = NULL
      FROM placed AS p
     WHERE r.id = p.id AND r.status = 'uncertain' AND r.message_id IS NULL
    RETURNING r.campaign_id
),
number AS MATERIALIZED (
    SELECT campaign_id, count(*)::int AS count FROM resent GROUP BY campaign_id
),
-- Counts by position restart.
recounted AS (
    UPDATE campaign_cursors AS k SET counted_at = NULL FROM number AS n WHERE k.campaign_id = n.campaign_id
    RETURNING 1
)
UPDATE campaigns AS c
   SET uncertain_count = c.uncertain_count - n.count,
       status = CASE c.status WHEN 'sent' THEN 'sending' ELSE c.status END,
       completed_at = CASE WHEN c.status <> 'sent' THEN c.completed_at END
  FROM number AS n
 WHERE c.id = n.campaign_id
RETURNING c.id, n.count
