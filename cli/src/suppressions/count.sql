-- The number of suppressed addresses by reason, for the organization $1, the address $2 and the reason $3; null means
-- any.
SELECT reason, count(*) FROM suppressions
 WHERE ($1::uuid IS NULL OR organization_id = $1) AND ($2::text IS NULL OR email = canonical_address($2))
   AND ($3::text IS NULL OR reason = $3)
 GROUP BY reason ORDER BY count(*) DESC, reason
