-- What the tables say of campaign $1, as far as the model has it.
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
                  FROM campaign_batches AS b WHERE b.campaign_id = $1))
