-- The recipients of campaign $1 by status and error code, with the first of each; how many were accepted in the last
-- minute; for how long the oldest has been uncertain; when the last was accepted.
SELECT g.status, g.code, g.count, g.recent, g.oldest_seconds, g.last_seconds, r.id, r.email, r.error
  FROM (SELECT status, error_code AS code, count(*) AS count, min(position) AS position,
               count(*) FILTER (WHERE sent_at > now() - interval '1 minute') AS recent,
               extract(epoch FROM now() - min(uncertain_since))::float8 AS oldest_seconds,
               extract(epoch FROM now() - max(sent_at))::float8 AS last_seconds
          FROM campaign_recipients
         WHERE campaign_id = $1 AND status <> 'pending'
         GROUP BY status, error_code) AS g
  JOIN campaign_recipients AS r ON r.campaign_id = $1 AND r.position = g.position
 ORDER BY array_position(ARRAY['sent', 'failed', 'suppressed', 'uncertain'], g.status), g.count DESC, g.code
