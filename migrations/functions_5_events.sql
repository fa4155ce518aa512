-- What is computed of SES's events.

-- How many of `count` events, the first of which happened at `first` and the newest at `newest`, are not among those
-- seen before. What is older than all that is remembered counts as seen: the answer is never too high.
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
