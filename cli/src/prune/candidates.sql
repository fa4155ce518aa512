-- The campaigns that ended at least $1 days ago, without those that have uncertain recipients or an open batch to
-- settle.
SELECT c.id FROM campaigns AS c
 WHERE c.status IN ('sent', 'cancelled', 'failed') AND c.uncertain_count = 0
   AND coalesce(c.completed_at,
                (SELECT b.closed_at FROM campaign_batches AS b WHERE b.campaign_id = c.id ORDER BY b.number DESC LIMIT 1),
                c.started_at, c.scheduled_at) < now() - make_interval(days => $1)
   AND NOT EXISTS (SELECT FROM campaign_batches AS b WHERE b.campaign_id = c.id AND b.closed_at IS NULL)
 ORDER BY c.id
