-- Sends again to uncertain recipients that SES has not reported on: of campaign $1, or of all campaigns if $1 is null.
-- They have been `uncertain` for more than $2 seconds, by the clock and by SES's events, and SES has reported on their
-- neighbours.
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
-- Events of the same campaign have come that happened long after these recipients became uncertain. If SES had accepted
-- their messages, their events would have come too, however late the queue is. `activity_refused` means that SES is known
-- to have accepted the message; such a recipient is never sent to again.
overdue AS MATERIALIZED (
    SELECT r.id, r.campaign_id, date_bin('10 minutes', r.uncertain_since, '2000-01-01') AS stretch
      FROM examined AS e JOIN campaign_recipients AS r ON r.campaign_id = e.campaign_id
     WHERE r.status = 'uncertain' AND r.message_id IS NULL AND r.error_code IS DISTINCT FROM 'activity_refused'
       AND r.uncertain_since < least(now(), e.last_event_at) - make_interval(secs => $2)
),
-- Single events may be lost. A missing event therefore counts only if SES has reported on the neighbours, which are the
-- recipients that the same campaign was sent to at about the time when these became uncertain. (If an invocation was lost,
-- that is up to 15 minutes after the send.) At most 200 neighbours are read, and SES has reported on 19 of 20 of them.
reported_around AS MATERIALIZED (
    SELECT d.campaign_id, d.stretch
      FROM (SELECT DISTINCT campaign_id, stretch FROM overdue) AS d
     CROSS JOIN LATERAL (
            SELECT count(*) AS sent,
                   count(*) FILTER (WHERE EXISTS (SELECT FROM recipient_events AS v WHERE v.recipient_id = n.id)) AS reported
              FROM (SELECT r.id FROM campaign_recipients AS r
                     WHERE r.campaign_id = d.campaign_id AND r.status = 'sent'
                       AND r.sent_at >= d.stretch - interval '20 minutes' AND r.sent_at < d.stretch + interval '15 minutes'
                     LIMIT 200) AS n) AS neighbours
     WHERE neighbours.reported > 0 AND (neighbours.sent - neighbours.reported) * 20 <= neighbours.sent
),
unreported AS MATERIALIZED (
    SELECT r.id, r.position
      FROM overdue AS d
      JOIN reported_around AS w ON w.campaign_id = d.campaign_id AND w.stretch = d.stretch
      JOIN campaign_recipients AS r ON r.id = d.id
     WHERE r.status = 'uncertain' AND r.message_id IS NULL AND r.error_code IS DISTINCT FROM 'activity_refused'
     ORDER BY r.campaign_id, r.position FOR NO KEY UPDATE OF r
),
-- They get new positions, so that no current or earlier batch has them in its range.
placed AS MATERIALIZED (
    SELECT id, nextval(pg_get_serial_sequence('campaign_recipients', 'position')) AS position
      FROM (SELECT id FROM unreported ORDER BY position) AS in_order
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
