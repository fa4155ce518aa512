-- Campaign $1 becomes $3, if it is one of $2 now; at $4, for the reason $5; and $6 becomes its
-- send_before, unless it is null. A campaign that was paused before its
-- time is `scheduled` again instead of `sending`. Returns the new status.
WITH campaign AS MATERIALIZED (
    SELECT id, status, scheduled_at,
           CASE WHEN $3 = 'sending' AND status = 'paused' AND scheduled_at > now() AND started_at IS NULL
                THEN 'scheduled' ELSE $3 END AS next
      FROM campaigns WHERE id = $1 FOR NO KEY UPDATE
),
changed AS (
    UPDATE campaigns AS c
       SET status = campaign.next, status_reason = $5, send_before = coalesce($6::timestamptz, c.send_before),
           -- A campaign that is started before its time gets the current time, so that it does not wait again after a
           -- pause.
           scheduled_at = CASE WHEN campaign.status = 'scheduled' AND campaign.next = 'sending'
                               THEN least(c.scheduled_at, now())
                               ELSE coalesce($4::timestamptz, c.scheduled_at) END,
           completed_at = CASE WHEN $3 = 'sending' THEN NULL ELSE c.completed_at END
      FROM campaign WHERE c.id = campaign.id AND campaign.status = ANY ($2)
    RETURNING c.status
)
SELECT coalesce((SELECT status FROM changed), campaign.status) AS status, EXISTS (SELECT FROM changed) AS changed
  FROM campaign
