-- The campaigns that a tick may work on, except $2; `rests`: not now, because the last attempts were lost. A campaign
-- is due if it is scheduled and its time has come; if it is sending and no invocation holds a lease; if it is sent
-- and recipients were added since, or it is time to search for them; or if it is stopped and a lost invocation has
-- left a batch.
SELECT c.id, coalesce(c.scheduled_at, c.started_at, '-infinity') AS since, c.status NOT IN ('scheduled', 'sending') AS later,
       coalesce(a.retry_at > now(), false) OR coalesce(k.lost_at + rest_after(k.lost_count) > now(), false) AS rests
  FROM campaigns AS c
  LEFT JOIN campaign_cursors AS k ON k.campaign_id = c.id
  LEFT JOIN campaign_attempts AS a ON a.campaign_id = c.id
 WHERE NOT c.id = ANY ($2)
   AND (c.status = 'scheduled' AND c.scheduled_at <= now()
     OR c.status = 'sending' AND NOT EXISTS (
            SELECT FROM campaign_batches AS b
             WHERE b.campaign_id = c.id AND b.closed_at IS NULL
               AND b.first_position >= position_after((campaign_cursor(c.id)).closed_through)
               AND lease_holds(b.lease_ends_at))
     OR c.status = 'sent' AND c.completed_at > now() - interval '2 days'
        AND (search_is_due(k.search_count, k.searched_at)
             OR c.completed_at > now() - interval '1 day'
                AND (SELECT r.position FROM campaign_recipients AS r WHERE r.campaign_id = c.id
                      ORDER BY r.position DESC LIMIT 1) > k.completed_through))
 UNION ALL
SELECT c.id, b.lease_ends_at, true, coalesce(k.lost_at + rest_after(k.lost_count) > now(), false)
  FROM campaign_batches AS b JOIN campaigns AS c ON c.id = b.campaign_id
  JOIN campaign_cursors AS k ON k.campaign_id = c.id
 WHERE NOT c.id = ANY ($2)
   AND b.closed_at IS NULL AND b.handed_by IS NOT NULL AND NOT lease_holds(b.lease_ends_at)
   AND c.status IN ('paused', 'cancelled', 'failed', 'draft')
