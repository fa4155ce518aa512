-- The batches of campaign $1 that are not closed: whose they are, what is noted of them, and what was accepted in the
-- last minute by those notes.
SELECT b.id, b.number, b.first_position, b.last_position, b.claim_token IS NOT NULL AS claimed,
       extract(epoch FROM b.lease_ends_at - clock_timestamp())::float8 AS lease_seconds,
       coalesce(noted.count, 0) AS noted, coalesce(noted.recent, 0) AS recent,
       (SELECT count(*) FROM campaign_recipients AS r
         WHERE r.campaign_id = $1 AND r.position BETWEEN b.first_position AND b.last_position
           AND r.status = 'pending') AS pending
  FROM campaign_batches AS b
  LEFT JOIN LATERAL (
       SELECT count(*) AS count,
              count(*) FILTER (WHERE entry->>1 = 'sent'
                                 AND to_timestamp((entry->>3)::float8 / 1000) > now() - interval '1 minute') AS recent
         FROM campaign_batch_outcomes AS o, jsonb_array_elements(o.outcomes) AS entry
        WHERE o.batch_id = b.id AND entry->>1 <> 'pending') AS noted ON true
 WHERE b.campaign_id = $1 AND b.closed_at IS NULL
 ORDER BY b.first_position
