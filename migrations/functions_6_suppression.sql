-- Why and when an address becomes suppressed.

-- The former name of `canonical_address`, for the views and indexes of a CRM.
CREATE OR REPLACE FUNCTION normalized_address(email text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN canonical_address(email);

-- An address is stored in its canonical form, whoever writes it.
CREATE OR REPLACE FUNCTION normalize_suppression() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.email := canonical_address(NEW.email);
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER suppressions_normalized BEFORE INSERT OR UPDATE OF email ON suppressions
    FOR EACH ROW EXECUTE FUNCTION normalize_suppression();

-- A reason is only replaced by a stronger one. A complaint and a person's decision are the strongest and do not
-- replace each other.
CREATE OR REPLACE FUNCTION suppression_strength(reason text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE reason WHEN 'bounce' THEN 1 WHEN 'unsubscribe' THEN 2 ELSE 3 END;

-- The ten newest bounces; more are not needed to decide whether an address keeps bouncing.
CREATE OR REPLACE FUNCTION newest_soft_bounces(bounces jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(key, value), '{}')
      FROM (SELECT key, value FROM jsonb_each(bounces) ORDER BY value DESC LIMIT 10) AS newest
$$;

-- Returns true if three messages bounced within seven days and none was delivered after the first of them.
CREATE OR REPLACE FUNCTION keeps_bouncing(bounces jsonb, delivered_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(bool_or(at - two_before <= 7 * 86400), false)
      FROM (SELECT value::double precision AS at,
                   lag(value::double precision, 2) OVER (ORDER BY value::double precision) AS two_before
              FROM jsonb_each_text(bounces)
             WHERE value::double precision > coalesce(extract(epoch FROM delivered_at), 0)) AS bounce
$$;

-- Removes an address from the suppressions that only transient bounces had put there, if a delivery that was reported
-- later shows that it does not keep bouncing. The function has its owner's rights, so that `ses-events` needs no
-- right to delete suppressions; a caller can do nothing else with it.
CREATE OR REPLACE FUNCTION take_back_soft_suppression(p_organization_id uuid, p_email text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM suppressions AS s USING soft_bounces AS b
     WHERE b.organization_id = p_organization_id AND b.email = p_email
       AND s.organization_id = b.organization_id AND s.email = b.email
       AND s.reason = 'bounce' AND s.created_at = b.suppressed_at
       AND NOT keeps_bouncing(b.bounces, b.delivered_at);
    RETURN FOUND;
END
$$;
