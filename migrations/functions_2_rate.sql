-- The sending rate: what a campaign may reserve of it, and reserving it.

-- Additive increase: 5 % of the rate come back each second. (The throttled batch decreases it.)
CREATE OR REPLACE FUNCTION send_share(share double precision, throttled_at timestamptz) RETURNS double precision
LANGUAGE sql STABLE
RETURN least(1, share + 0.05 * coalesce(extract(epoch FROM now() - throttled_at), 0)::double precision);

-- A reservation lies at most half a minute ahead. One that lies a minute ahead or more was made by a clock that has been
-- set back since, and is void.
CREATE OR REPLACE FUNCTION reservation_holds(region_free_from timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN region_free_from < clock_timestamp() + interval '60 seconds';

-- How many recipients a call to SES has at this rate: a tenth of a second's, from 1 to the 50 of a bulk call.
CREATE OR REPLACE FUNCTION call_size(per_second double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN least(greatest(per_second * 0.1, 1), 50);

-- What a campaign may reserve now: `room` sends, at `per_second`, from `starts_in` seconds on, which end within
-- `p_seconds`. If there is no room, `retry_seconds` says when to ask again. If the rate is unknown, nothing is
-- limited, and all values are null. `share` is the part of the rate that the campaign may count on. Half a percent of
-- the rate is left unused, for clocks that differ. A claim within a second of the end of the last reservation may
-- catch up `p_catch_up` seconds of the time between. A claim after a longer pause may not, and waits as long as its
-- first call takes of the rate, because it is unknown how much SES takes at one instant.
--   Alone, it may reserve what is sent in 15 seconds, which is the longest wait of another campaign.
--   Beside others, it may reserve what its share sends in 10 seconds; or what the whole rate sends in 5, if
--   nobody else has reserved the next half second, so that unused shares are not lost.
CREATE OR REPLACE FUNCTION send_room(
    p_region text, p_per_second double precision, p_campaign_id uuid, p_organization_id uuid,
    p_seconds double precision, p_catch_up double precision,
    OUT per_second double precision, OUT share double precision, OUT free_from timestamptz,
    OUT starts_in double precision, OUT room int, OUT retry_seconds double precision
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r         send_rates;
    v_owed    double precision; -- seconds that the campaign is ahead of its share
    v_seconds double precision; -- of the whole rate
    c_used    CONSTANT double precision := 0.995; -- the part of the rate that is used
    c_follows CONSTANT interval := '1 second';    -- so long after a reservation's end, the next one follows it
    c_alone   CONSTANT double precision := 15;    -- seconds of the rate that a campaign may reserve alone
    c_share   CONSTANT double precision := 10;    -- seconds of its share that it may reserve beside others
    c_unused  CONSTANT double precision := 5;     -- seconds of the rate, where nobody has reserved
    c_soon    CONSTANT double precision := 0.5;   -- the next so many seconds
BEGIN
    -- The row stays locked until the sends are reserved, so that the room is still there.
    SELECT * INTO r FROM send_rates WHERE region = p_region FOR NO KEY UPDATE;
    IF p_per_second IS NOT NULL AND p_per_second IS DISTINCT FROM r.per_second THEN
        INSERT INTO send_rates AS s (region, per_second) VALUES (p_region, p_per_second)
        ON CONFLICT (region) DO UPDATE SET per_second = excluded.per_second
        RETURNING * INTO r;
    END IF;
    IF r.region IS NULL THEN
        RETURN;
    END IF;
    per_second := c_used * r.per_second * send_share(r.share, r.throttled_at);
    -- This campaign wants to send, whatever its row says.
    SELECT CASE WHEN max(s.region_free_from) > clock_timestamp() - c_follows
                THEN greatest(max(s.region_free_from), clock_timestamp() - make_interval(secs => p_catch_up))
                ELSE clock_timestamp() + make_interval(secs => call_size(per_second) / per_second) END,
           greatest(extract(epoch FROM max(s.free_from) FILTER (WHERE s.campaign_id = p_campaign_id)
                                       - clock_timestamp()), 0),
           1.0 / (1 + count(DISTINCT s.organization_id) FILTER (WHERE s.organization_id <> p_organization_id))
               / (1 + count(*) FILTER (WHERE s.organization_id = p_organization_id
                                         AND s.campaign_id <> p_campaign_id))
      INTO free_from, v_owed, share
      FROM send_shares AS s
     WHERE s.region = p_region AND s.wants_until > now()
       AND reservation_holds(s.region_free_from);
    starts_in := extract(epoch FROM free_from - clock_timestamp());

    v_seconds := CASE WHEN share = 1 THEN c_alone - greatest(starts_in, 0)
                      WHEN starts_in < c_soon THEN greatest(c_unused, (c_share - v_owed) * share)
                      ELSE (c_share - v_owed) * share END;
    room := least(floor(least(v_seconds, p_seconds - starts_in) * per_second), 2147483647);
    retry_seconds := starts_in - least(p_seconds / 2, CASE WHEN share = 1 THEN c_alone / 2 ELSE c_soon END);
END
$$;

-- Reserves `p_count` sends of a campaign after the reservations that `send_room` found; returns in how many seconds
-- they may start. If `p_count` is 0, it only notes that the campaign wants to send, so that it gets its share beside
-- others.
CREATE OR REPLACE FUNCTION reserve_sends(
    p_region text, p_campaign_id uuid, p_organization_id uuid, p_free_from timestamptz, p_count int,
    p_per_second double precision, p_share double precision, p_catch_up double precision
) RETURNS double precision
LANGUAGE plpgsql AS $$
DECLARE
    v_start  timestamptz := greatest(p_free_from, clock_timestamp() - make_interval(secs => p_catch_up));
    v_end    timestamptz := v_start + make_interval(secs => p_count / p_per_second);
    v_share  interval := make_interval(secs => p_count / p_per_second / p_share);
    v_wanted timestamptz := greatest(v_end, now() + interval '30 seconds');
BEGIN
    -- The region's row is locked since `send_room`, so a campaign has one row that is not void.
    UPDATE send_shares AS s
       SET region_free_from = v_end, free_from = greatest(s.free_from, now()) + v_share,
           wants_until = greatest(v_wanted, s.free_from + v_share)
     WHERE region = p_region AND wants_until > now() AND campaign_id = p_campaign_id
       AND reservation_holds(region_free_from);
    IF NOT FOUND THEN
        INSERT INTO send_shares
        VALUES (p_region, p_campaign_id, p_organization_id, v_end, now() + v_share, greatest(v_wanted, now() + v_share));
    END IF;
    RETURN extract(epoch FROM v_start - clock_timestamp());
END
$$;
