-- Adds addresses to the suppressions of their organizations, with their reasons and times; {rows} are the given
-- columns: organization_id, email, reason, at.
WITH given AS (
    SELECT DISTINCT ON (g.organization_id, canonical_address(g.email))
           g.organization_id, canonical_address(g.email) AS email, g.reason, coalesce(g.at, now()) AS at
      FROM {rows} AS g (organization_id, email, reason, at)
     ORDER BY g.organization_id, canonical_address(g.email), suppression_strength(g.reason) DESC
),
-- A reason is only replaced by a stronger one.
written AS (
    INSERT INTO suppressions AS s (organization_id, email, reason, created_at)
    SELECT organization_id, email, reason, at FROM given
    ON CONFLICT (organization_id, email) DO UPDATE SET reason = excluded.reason
     WHERE suppression_strength(excluded.reason) > suppression_strength(s.reason)
    -- A row that existed before has the lock of this statement's update.
    RETURNING xmax = 0 AS added
)
SELECT count(*) FILTER (WHERE added) AS added, count(*) FILTER (WHERE NOT added) AS strengthened FROM written
