-- The counters of a campaign of which nobody has claimed anything yet, so that its total may not have been counted.
SELECT coalesce(nullif(c.total_count, 0),
                (SELECT count(*) FROM campaign_recipients AS r WHERE r.campaign_id = c.id))::int AS total_count,
       c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count
  FROM campaigns AS c WHERE c.id = $1
