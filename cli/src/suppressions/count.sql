-- How many addresses are suppressed, by reason: of the organization $1, the address $2, the reason $3; null: of any.
SELECT reason, count(*) FROM suppressions
 WHERE ($1::uuid IS NULL OR organization_id = $1) AND ($2::text IS NULL OR email = canonical_address($2))
   AND ($3::text IS NULL OR reason = $3)
 GROUP BY reason ORDER BY count(*) DESC, reason
