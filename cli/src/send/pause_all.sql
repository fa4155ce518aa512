-- Pauses every campaign that is sending or scheduled; $1 is added to the reason, by which `resume --all` finds them.
WITH live AS MATERIALIZED (
    SELECT id FROM campaigns WHERE status IN ('scheduled', 'sending') ORDER BY id FOR NO KEY UPDATE
)
UPDATE campaigns AS c SET status = 'paused', status_reason = 'paused with all others' || $1
  FROM live WHERE c.id = live.id
RETURNING c.id
