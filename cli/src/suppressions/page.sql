-- The next page of suppressions of the organization $1 (null: all organizations), after the address $3 of the
-- organization $2.
SELECT organization_id, email, reason,
       to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
  FROM suppressions
 WHERE ($1::uuid IS NULL OR organization_id = $1)
   AND ($2::uuid IS NULL OR (organization_id, email) > ($2, $3))
 ORDER BY organization_id, email
 LIMIT 10000
