INSERT INTO suppressions AS s (organization_id, email, reason, created_at)
SELECT organization_id, canonical_address(email),
       (array_agg(reason ORDER BY array_position(ARRAY['bounce', 'unsubscribe'], reason) DESC NULLS FIRST, created_at))[1],
       min(created_at)
  FROM suppressions WHERE email <> canonical_address(email)
 GROUP BY organization_id, canonical_address(email)
ON CONFLICT (organization_id, email) DO UPDATE
   -- The strongest reason stays: a bounce is weaker than an unsubscribe, and both are weaker than all others.
   SET reason = CASE WHEN coalesce(array_position(ARRAY['bounce', 'unsubscribe'], excluded.reason), 3)
                          > coalesce(array_position(ARRAY['bounce', 'unsubscribe'], s.reason), 3)
                     THEN excluded.reason ELSE s.reason END,
       created_at = least(s.created_at, excluded.created_at);
