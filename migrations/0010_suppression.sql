-- Why and when an address becomes suppressed.

-- A reason is only replaced by a stronger one. A complaint and a person's decision outweigh everything, and each
-- other not at all.
CREATE OR REPLACE FUNCTION suppression_strength(reason text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE reason WHEN 'bounce' THEN 1 WHEN 'unsubscribe' THEN 2 ELSE 3 END;

-- The transient bounces of an address: when each message bounced, in seconds since 1970 by its SES message id, and
-- when a message was last delivered. There is a row only for an address that has bounced so.
CREATE TABLE IF NOT EXISTS soft_bounces (
    organization_id uuid NOT NULL,
    email           text NOT NULL,
    bounces         jsonb NOT NULL,
    delivered_at    timestamptz,
    PRIMARY KEY (organization_id, email)
) WITH (fillfactor = 50);

-- The ten newest: more are not needed to tell whether an address keeps bouncing.
CREATE OR REPLACE FUNCTION newest_soft_bounces(bounces jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(key, value), '{}')
      FROM (SELECT key, value FROM jsonb_each(bounces) ORDER BY value DESC LIMIT 10) AS newest
$$;

-- Whether three messages bounced within seven days, and none was delivered after the first of them.
CREATE OR REPLACE FUNCTION keeps_bouncing(bounces jsonb, delivered_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(bool_or(at - two_before <= 7 * 86400), false)
      FROM (SELECT value::double precision AS at,
                   lag(value::double precision, 2) OVER (ORDER BY value::double precision) AS two_before
              FROM jsonb_each_text(bounces)
             WHERE value::double precision > coalesce(extract(epoch FROM delivered_at), 0)) AS bounce
$$;
