-- One recipient of the campaign $1: the one with the id $2 or the address $3, or the first.
SELECT r.position, r.id, r.email, r.name, r.variables::text AS variables,
       coalesce(octet_length(r.variables::text), 0) AS variables_bytes,
       r.duplicate_of IS NOT NULL
       OR EXISTS (SELECT FROM suppressions AS s
                WHERE s.organization_id IN (r.organization_id, '00000000-0000-0000-0000-000000000000')
                  AND s.email = canonical_address(r.email))
       OR EXISTS (SELECT FROM opted_out AS o
                   WHERE o.organization_id = r.organization_id AND o.email = canonical_address(r.email))
           AS suppressed
  FROM campaign_recipients AS r
 WHERE r.campaign_id = $1 AND ($2::uuid IS NULL OR r.id = $2)
   AND ($3::text IS NULL OR canonical_address(r.email) = canonical_address($3))
 ORDER BY r.position LIMIT 1
