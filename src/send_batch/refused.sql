-- The recipients of campaign $1 whose emails SES accepted and whose activities the table refused, at most 5,000, in
-- their order. Each is recorded with its message id; `uncertain_since` is the time when it was recorded.
SELECT r.id, r.message_id, coalesce(r.sent_at, r.uncertain_since) AS at
  FROM campaign_recipients AS r
 WHERE r.campaign_id = $1 AND r.status = 'uncertain' AND r.error_code = 'activity_refused'
   AND r.message_id IS NOT NULL
 ORDER BY r.position
 LIMIT 5000
