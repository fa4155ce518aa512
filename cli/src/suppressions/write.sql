-- Adds addresses to the suppressions of their organizations, with their reasons and times; {rows} are the given
-- columns: organization_id, email, reason, at.
WITH given AS (
    SELECT DISTINCT ON (g.organization_id, canonical_address(g.email))
           g.organization_id, canonical_address(g.email) AS email, g.reason, coalesce(g.at, now()) AS at
      FROM {rows} AS g (organization_id, email, reason, at)
     ORDER BY g.organization_id, canonical_address(g.email), suppression_strength(g.reason) DESC
),
-- A reason is only replaced by a stronger one. An entry that an unsubscribe link made, and that is given here too, no
-- longer belongs to that link.
written AS (
    INSERT INTO suppressions AS s (organization_id, email, reason, created_at)
    SELECT organization_id, email, reason, at FROM given
    ON CONFLICT (organization_id, email) DO UPDATE SET reason = excluded.reason
     WHERE suppression_strength(excluded.reason) > suppression_strength(s.reason)
    -- A row that existed before has the lock of this statement's update.
    RETURNING xmax = 0 AS added
),
confirmed AS (
    UPDATE suppressions AS s SET link_recipient_id = NULL
      FROM given AS g
     WHERE s.organization_id = g.organization_id AND s.email = g.email AND s.link_recipient_id IS NOT NULL
       AND s.reason = g.reason
)
SELECT count(*) FILTER (WHERE added) AS added, count(*) FILTER (WHERE NOT added) AS strengthened FROM written
