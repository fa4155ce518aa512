-- The newest suppressions of the organization $1, the address $2 and the reason $3; null means any. At most $4.
SELECT organization_id, email, reason,
       to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') AS since,
       to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at
  FROM suppressions
 WHERE ($1::uuid IS NULL OR organization_id = $1) AND ($2::text IS NULL OR email = canonical_address($2))
   AND ($3::text IS NULL OR reason = $3)
 ORDER BY suppressions.created_at DESC, organization_id, email LIMIT $4
