-- Recipients of campaign $1 who opened, and who clicked, for the first time, people alone: in buckets of $3 seconds from $2
-- (seconds since 1970) on.
SELECT action, floor((extract(epoch FROM first)::float8 - $2) / $3)::int AS bucket, count(*) AS count
  FROM (SELECT e.action, min(e.occurred_at) AS first
          FROM recipient_events AS e JOIN campaign_recipients AS r ON r.id = e.recipient_id
         WHERE r.campaign_id = $1 AND e.action IN ('email_opened', 'email_clicked') AND e.made_by IS NULL
         GROUP BY 1, e.recipient_id) AS reaction
 GROUP BY 1, 2 ORDER BY 1, 2
