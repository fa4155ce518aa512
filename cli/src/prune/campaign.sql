-- Deletes what the ended campaign $1 leaves behind; $2: its recipients, too.
WITH chosen AS MATERIALIZED (
    SELECT id FROM campaigns WHERE id = $1 AND status IN ('sent', 'cancelled', 'failed') FOR SHARE
),
events AS (
    DELETE FROM recipient_events AS e USING campaign_recipients AS r, chosen AS c
     WHERE e.recipient_id = r.id AND r.campaign_id = c.id
    RETURNING 1
),
firsts AS (
    DELETE FROM recipient_firsts AS f USING campaign_recipients AS r, chosen AS c
     WHERE f.recipient_id = r.id AND r.campaign_id = c.id
    RETURNING 1
),
recipients AS (
    DELETE FROM campaign_recipients AS r USING chosen AS c
     WHERE $2 AND r.campaign_id = c.id AND (SELECT count(*) FROM events) + (SELECT count(*) FROM firsts) >= 0
    RETURNING 1
),
-- The newest batch stays, because it has the campaign's cursor. (Noted outcomes are deleted with their batches.)
batches AS (
    DELETE FROM campaign_batches AS b USING chosen AS c
     WHERE b.campaign_id = c.id AND b.closed_at IS NOT NULL
       AND b.number < (SELECT max(n.number) FROM campaign_batches AS n WHERE n.campaign_id = c.id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM batches) AS batches, (SELECT count(*) FROM events) AS events,
       (SELECT count(*) FROM recipients) AS recipients
