-- The sending rate of an SES account (one row per region), shared by all invocations of all campaigns: each claim
-- reserves its share of the future (the generic cell rate algorithm, with `free_from` as its arrival time).
CREATE TABLE IF NOT EXISTS send_rates (
    region       text PRIMARY KEY,
    per_second   double precision NOT NULL CHECK (per_second > 0),
    free_from    timestamptz NOT NULL DEFAULT now(),  -- all that lies before is reserved
    share        double precision NOT NULL DEFAULT 1, -- of per_second, at throttled_at: lowered when SES throttles …
    throttled_at timestamptz                          -- … and back at 1 some time later
);

-- Additive increase: 2 % of the rate come back each second. (The decrease is in `record.sql`: a fifth.)
CREATE OR REPLACE FUNCTION send_share(share double precision, throttled_at timestamptz) RETURNS double precision
LANGUAGE sql STABLE AS $$
    SELECT least(1, share + 0.02 * coalesce(extract(epoch FROM now() - throttled_at), 0)::double precision)
$$;
