-- Campaign $1 becomes $3, if it is one of $2 now; at $4, for the reason $5. Answers what it is now.
WITH campaign AS MATERIALIZED (
    SELECT id, status, scheduled_at FROM campaigns WHERE id = $1 FOR NO KEY UPDATE
),
changed AS (
    UPDATE campaigns AS c
       SET status = $3, status_reason = $5, scheduled_at = coalesce($4::timestamptz, c.scheduled_at),
           completed_at = CASE WHEN $3 = 'sending' THEN NULL ELSE c.completed_at END
      FROM campaign WHERE c.id = campaign.id AND campaign.status = ANY ($2)
    RETURNING c.id
)
SELECT campaign.status, EXISTS (SELECT FROM changed) AS changed FROM campaign
