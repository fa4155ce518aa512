-- Counts by position restart, under the lock of campaign $1's cursor. A refusal that all recipients have met so far
-- is forgotten, because its cause may be corrected.
WITH cursor AS MATERIALIZED (
    SELECT FROM campaign_cursors WHERE campaign_id = $1 FOR UPDATE
),
forgotten AS (
    UPDATE campaign_cursors SET refusal = NULL, refusal_count = 0
     WHERE campaign_id = $1 AND (SELECT count(*) FROM cursor) >= 0
    RETURNING 1
)
SELECT count(*) FROM forgotten
