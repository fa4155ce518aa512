-- Campaign $1 has $2 fewer failed recipients, and is `sending` again if it was complete.
UPDATE campaigns AS c
   SET failed_count = c.failed_count - $2::int,
       status = CASE WHEN $2 > 0 AND c.status = 'sent' THEN 'sending' ELSE c.status END,
       completed_at = CASE WHEN $2 > 0 AND c.status = 'sent' THEN NULL ELSE c.completed_at END
 WHERE c.id = $1
RETURNING c.status
