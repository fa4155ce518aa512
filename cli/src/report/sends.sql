-- Emails of campaign $1 that SES accepted, in buckets of $3 seconds from $2 (seconds since 1970) on.
SELECT floor((extract(epoch FROM sent_at)::float8 - $2) / $3)::int AS bucket, count(*) AS count
  FROM campaign_recipients
 WHERE campaign_id = $1 AND status = 'sent' AND sent_at IS NOT NULL
 GROUP BY 1 ORDER BY 1
