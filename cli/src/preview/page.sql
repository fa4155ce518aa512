-- The next pending recipients of the campaign $1 after the position $2.
SELECT r.position, r.id, r.email, r.name,
       CASE WHEN octet_length(r.variables::text) <= $3 THEN r.variables::text END AS variables,
       coalesce(octet_length(r.variables::text), 0) AS variables_bytes,
       r.duplicate_of IS NOT NULL
       OR EXISTS (SELECT FROM suppressions AS s
                WHERE s.organization_id IN (r.organization_id, '00000000-0000-0000-0000-000000000000')
                  AND s.email = canonical_address(r.email))
       OR EXISTS (SELECT FROM opted_out AS o
                   WHERE o.organization_id = r.organization_id AND o.email = canonical_address(r.email))
           AS suppressed
  FROM campaign_recipients AS r
 WHERE r.campaign_id = $1 AND r.position > $2 AND r.status = 'pending'
 ORDER BY r.position LIMIT 1000
