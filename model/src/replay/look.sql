-- The contents of the tables for campaign $1, as far as the model has them.
SELECT jsonb_build_object(
    'campaign', (SELECT jsonb_build_array(c.status, c.sent_count, c.failed_count, c.uncertain_count,
                        (SELECT k.completed_through FROM campaign_cursors AS k WHERE k.campaign_id = c.id))
                   FROM campaigns AS c WHERE c.id = $1),
    'recipients', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'id', r.id, 'position', r.position, 'status', r.status, 'message', r.message_id,
                       'code', r.error_code,
                       'activities', (SELECT count(*) FROM activities AS a
                                       WHERE a.organization_id = r.organization_id AND a.entity_id = r.id
                                         AND a.action = 'email_sent'))), '[]')
                     FROM campaign_recipients AS r WHERE r.campaign_id = $1),
    'batches', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'first', b.first_position, 'last', b.last_position, 'claimed_through', b.claimed_through,
                    'closed_through', b.closed_through, 'token', b.claim_token,
                    'holds', coalesce(lease_holds(b.lease_ends_at), false), 'mark', b.handed_through,
                    'by', b.handed_by, 'closed', b.closed_at IS NOT NULL, 'count', b.claimed_count,
                    'notes', (SELECT coalesce(jsonb_agg(e -> 0 ORDER BY e -> 0), '[]')
                                FROM campaign_batch_outcomes AS o, jsonb_array_elements(o.outcomes) AS e
                               WHERE o.batch_id = b.id)) ORDER BY b.number), '[]')
                  FROM campaign_batches AS b WHERE b.campaign_id = $1),
    -- All rows of the neighbour (neighbour.sql).
    'neighbour', (SELECT md5(string_agg(row, E'\n' ORDER BY row))
                    FROM (SELECT c::text AS row FROM campaigns AS c WHERE c.id = n.id
                          UNION ALL SELECT r::text FROM campaign_recipients AS r WHERE r.campaign_id = n.id
                          UNION ALL SELECT k::text FROM campaign_cursors AS k WHERE k.campaign_id = n.id
                          UNION ALL SELECT b::text FROM campaign_batches AS b WHERE b.campaign_id = n.id
                          UNION ALL SELECT o::text FROM campaign_batch_outcomes AS o
                                      JOIN campaign_batches AS b ON b.id = o.batch_id WHERE b.campaign_id = n.id
                          UNION ALL SELECT t::text FROM campaign_attempts AS t WHERE t.campaign_id = n.id
                          UNION ALL SELECT a::text FROM activities AS a
                                      JOIN campaign_recipients AS r ON r.id = a.entity_id WHERE r.campaign_id = n.id
                         ) AS rows))
  FROM (SELECT '00000000-0000-0000-0000-0000000000ff'::uuid AS id) AS n
