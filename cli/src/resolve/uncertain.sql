-- The uncertain recipients of campaign $1; or, if $2 names recipients, those, whatever their status.
SELECT r.id, r.email, r.status, r.error_code, r.message_id IS NOT NULL AS accepted,
       extract(epoch FROM now() - r.uncertain_since)::float8 AS age_seconds
  FROM campaign_recipients AS r
 WHERE r.campaign_id = $1 AND CASE WHEN $2 IS NULL THEN r.status = 'uncertain' ELSE r.id = ANY ($2) END
 ORDER BY r.position
