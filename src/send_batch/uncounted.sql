-- The counters of a campaign from which nothing was claimed yet, so that its total may not have been counted.
SELECT coalesce(nullif(c.total_count, 0),
                (SELECT count(*) FROM campaign_recipients AS r WHERE r.campaign_id = c.id))::int AS total_count,
       c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count
  FROM campaigns AS c WHERE c.id = $1
