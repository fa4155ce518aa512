-- The campaigns that were paused with all others, or because the database has lost, or may have lost, data.
SELECT id FROM campaigns
 WHERE status = 'paused'
   AND (status_reason LIKE 'paused with all others%'
        OR status_reason LIKE 'the database may lack what it had committed%'
        OR status_reason LIKE 'the database has lost what it had committed%')
 ORDER BY coalesce(scheduled_at, started_at), id
