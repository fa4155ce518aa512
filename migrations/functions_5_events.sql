-- Calculations with SES's events.

-- The number of new events among `count` events, of which the first happened at `first` and the newest at `newest`.
-- Events older than all remembered times count as seen, so the result is never too high.
CREATE OR REPLACE FUNCTION further_events(
    seen timestamptz[], first timestamptz, newest timestamptz[], count int
) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
           WHEN first > seen[1] THEN count
           WHEN cardinality(seen) < 16 THEN count - (
                SELECT count(*)::int FROM unnest(seen) AS at
                 WHERE at = ANY (newest) OR at >= first AND at < newest[cardinality(newest)])
           ELSE (SELECT count(*)::int FROM unnest(newest) AS at
                  WHERE at <> ALL (seen) AND at > seen[16]) END
$$;

-- The newest 16 of these times, latest first, each once.
CREATE OR REPLACE FUNCTION newest_times(times timestamptz[]) RETURNS timestamptz[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY(SELECT DISTINCT at FROM unnest(times) AS at ORDER BY at DESC LIMIT 16)
$$;
