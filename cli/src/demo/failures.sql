-- The failed recipients of campaign $1 by cause, with an example of each.
SELECT coalesce(error_code, '') AS error_code, count(*) AS count,
       (array_agg(email ORDER BY position))[1] AS email,
       (array_agg(coalesce(error, '') ORDER BY position))[1] AS error
  FROM campaign_recipients
 WHERE campaign_id = $1 AND status = 'failed'
 GROUP BY error_code
 ORDER BY count(*) DESC, error_code
