-- Campaigns with their counters: $1, or $2 of those with one of the statuses $3 (none given: with any) and of the
-- organization $4 (null: of any); those that are live first, then those that were sent last. A campaign that was never sent has its
-- recipients counted, for its counter becomes true when sending starts. The schedule takes what is due each minute, so
-- one that has been due for two is overdue.
SELECT c.id, c.name, c.status, c.status_reason,
       CASE WHEN k.campaign_id IS NULL
            THEN (SELECT count(*)::int FROM campaign_recipients AS r WHERE r.campaign_id = c.id)
            ELSE c.total_count END AS total_count,
       c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count,
       coalesce(f.rejected, 0)::int8 AS rejected,
       to_char(c.scheduled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS scheduled_at,
       to_char(c.send_before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS send_before,
       CASE WHEN c.status = 'scheduled' AND isfinite(c.scheduled_at) AND c.scheduled_at < now() - interval '2 minutes'
            THEN extract(epoch FROM now() - c.scheduled_at)::float8 END AS overdue_seconds,
       to_char(c.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started_at,
       to_char(c.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS completed_at,
       extract(epoch FROM now() - c.started_at)::float8 AS started_seconds,
       extract(epoch FROM now() - k.last_event_at)::float8 AS last_event_seconds,
       extract(epoch FROM h.hold_until - now())::float8 AS hold_seconds, h.reason AS hold_reason
  FROM campaigns AS c LEFT JOIN campaign_cursors AS k ON k.campaign_id = c.id
  LEFT JOIN campaign_feedback AS f ON f.campaign_id = c.id
  LEFT JOIN database_history AS h ON h.hold_until > now()
 WHERE ($1 IS NULL OR c.id = $1)
   AND (cardinality($3) = 0 OR c.status = ANY ($3))
   AND ($4 IS NULL OR c.organization_id = $4)
 ORDER BY c.status IN ('sending', 'paused') DESC, c.status = 'scheduled' DESC,
          coalesce(c.completed_at, c.started_at, c.scheduled_at) DESC NULLS LAST, c.name, c.id
 LIMIT $2
