-- The most seconds for which a campaign has been due, or sending without a new batch; 0 if there is none. It shows
-- campaigns that ticks cannot send for hours (an open import, an exhausted quota, a campaign that fails).
SELECT coalesce(max(extract(epoch FROM now() - waiting.since)), 0)::float8
  FROM campaigns AS c
 -- The newest batch, by the last column of an index.
 CROSS JOIN LATERAL (SELECT CASE c.status
                                WHEN 'scheduled' THEN c.scheduled_at
                                ELSE coalesce((SELECT greatest(b.opened_at, b.closed_at)
                                                 FROM campaign_batches AS b
                                                WHERE b.campaign_id = c.id
                                                ORDER BY b.id DESC
                                                LIMIT 1), c.started_at)
                            END AS since) AS waiting
 WHERE c.status IN ('scheduled', 'sending') AND waiting.since <= now()
