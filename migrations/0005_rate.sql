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
LANGUAGE sql STABLE
RETURN least(1, share + 0.02 * coalesce(extract(epoch FROM now() - throttled_at), 0)::double precision);

-- Whose turn it is: what each campaign that sends has reserved of the rate, as if it had its fair share of it alone.
-- Shares are equal between organizations, and between the campaigns of one.
CREATE TABLE IF NOT EXISTS send_shares (
    region          text NOT NULL,
    campaign_id     uuid NOT NULL,
    organization_id uuid NOT NULL,
    free_from       timestamptz NOT NULL DEFAULT now(), -- all that its share allows before is reserved
    asked_at        timestamptz NOT NULL DEFAULT now(), -- its last claim: it wants to send
    PRIMARY KEY (region, campaign_id)
);

-- What a campaign may reserve now: `room` sends, at `per_second`, from `starts_in` seconds on (a little in the
-- past: catch up), which end within `p_seconds`. Where there is no room, `retry_seconds` says when to ask again;
-- a rate that is not known limits nothing, and all is null. The part of the rate that it may count on is `share`.
--   Alone, it may reserve what is sent in 15 seconds: so long waits who comes next, at most.
--   Beside others, it may reserve what its share sends in 10 seconds; or what the whole rate sends in 5, where
--   nobody else has reserved the next half second, so that a share that is not used is not lost.
CREATE OR REPLACE FUNCTION send_room(
    p_region text, p_per_second double precision, p_campaign_id uuid, p_organization_id uuid,
    p_seconds double precision,
    OUT per_second double precision, OUT share double precision, OUT starts_in double precision,
    OUT room int, OUT retry_seconds double precision
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r         send_rates;
    v_owed    double precision; -- seconds that the campaign is ahead of its share
    v_seconds double precision; -- of the whole rate
BEGIN
    -- Locked until the sends are reserved, so that there is room for them then.
    SELECT * INTO r FROM send_rates WHERE region = p_region FOR NO KEY UPDATE;
    IF p_per_second IS NOT NULL AND p_per_second IS DISTINCT FROM r.per_second THEN
        INSERT INTO send_rates AS s (region, per_second) VALUES (p_region, p_per_second)
        ON CONFLICT (region) DO UPDATE SET per_second = excluded.per_second
        RETURNING * INTO r;
    END IF;
    IF r.region IS NULL THEN
        RETURN;
    END IF;
    per_second := r.per_second * send_share(r.share, r.throttled_at);
    starts_in := greatest(extract(epoch FROM r.free_from - clock_timestamp()), -0.25);
    -- This campaign wants to send, whatever its row says.
    SELECT greatest(extract(epoch FROM max(s.free_from) FILTER (WHERE s.campaign_id = p_campaign_id)
                                       - clock_timestamp()), 0),
           1.0 / (1 + count(DISTINCT s.organization_id) FILTER (
                          WHERE s.wants AND s.organization_id <> p_organization_id))
               / (1 + count(*) FILTER (WHERE s.wants AND s.organization_id = p_organization_id
                                         AND s.campaign_id <> p_campaign_id))
      INTO v_owed, share
      FROM (SELECT *, asked_at > now() - interval '30 seconds' OR free_from > now() AS wants
              FROM send_shares WHERE region = p_region) AS s;

    v_seconds := CASE WHEN share = 1 THEN 15 - greatest(starts_in, 0)
                      WHEN starts_in < 0.5 THEN greatest(5, (10 - v_owed) * share)
                      ELSE (10 - v_owed) * share END;
    room := least(floor(least(v_seconds, p_seconds - starts_in) * per_second), 2147483647);
    retry_seconds := starts_in - least(p_seconds / 2, CASE WHEN share = 1 THEN 7.5 ELSE 0.5 END);
END
$$;

-- Notes that a campaign wants to send and is given no room: it has its share beside others all the same.
CREATE OR REPLACE FUNCTION want_to_send(p_region text, p_campaign_id uuid, p_organization_id uuid) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO send_shares (region, campaign_id, organization_id)
    VALUES (p_region, p_campaign_id, p_organization_id)
    ON CONFLICT (region, campaign_id) DO UPDATE SET asked_at = now();
END;

-- Reserves `p_count` sends of a campaign; answers in how many seconds they may start.
CREATE OR REPLACE FUNCTION reserve_sends(
    p_region text, p_campaign_id uuid, p_organization_id uuid, p_count int,
    p_per_second double precision, p_share double precision
) RETURNS double precision
LANGUAGE plpgsql AS $$
DECLARE
    v_seconds   double precision := p_count / p_per_second;
    v_starts_in double precision;
BEGIN
    INSERT INTO send_shares AS s (region, campaign_id, organization_id, free_from)
    VALUES (p_region, p_campaign_id, p_organization_id, now() + make_interval(secs => v_seconds / p_share))
    ON CONFLICT (region, campaign_id) DO UPDATE
       SET asked_at = now(),
           free_from = greatest(s.free_from, now()) + make_interval(secs => v_seconds / p_share);
    UPDATE send_rates
       SET free_from = greatest(free_from, clock_timestamp() - interval '0.25 seconds')
                       + make_interval(secs => v_seconds)
     WHERE region = p_region
    RETURNING extract(epoch FROM free_from - clock_timestamp()) - v_seconds INTO v_starts_in;
    RETURN v_starts_in;
END
$$;
