-- Pauses the campaigns $1 that are still sending, for the reasons $2, and notes that the feedback of $3 is judged.
WITH pausing AS MATERIALIZED (
    SELECT c.id, s.reason
      FROM campaigns AS c JOIN unnest($1, $2) AS s (id, reason) ON s.id = c.id
     WHERE c.status = 'sending'
     ORDER BY c.id FOR NO KEY UPDATE OF c
),
-- The guard: a campaign that a person has paused or ended meanwhile is not changed.
paused AS (
    UPDATE campaigns AS c SET status = 'paused', status_reason = p.reason
      FROM pausing AS p WHERE c.id = p.id
    RETURNING c.id
),
judging AS MATERIALIZED (
    SELECT f.campaign_id FROM campaign_feedback AS f
     WHERE f.campaign_id = ANY ($3) AND (SELECT count(*) FROM paused) > 0
     ORDER BY f.campaign_id FOR NO KEY UPDATE
),
judged AS (
    UPDATE campaign_feedback AS f
       SET judged_delivered = f.delivered, judged_bounced = f.bounced, judged_complained = f.complained,
           judged_rejected = f.rejected, judged_without_feedback = f.without_feedback
      FROM judging AS j WHERE f.campaign_id = j.campaign_id
)
SELECT id FROM paused
