-- Claims: which invocation owns which range of a campaign's recipients, and for how long.

-- While a transaction elsewhere holds an old snapshot (a dump, a report), PostgreSQL keeps all versions of a row, and
-- every lookup walks over them. Therefore, what changes with each claim is in new rows at the end of an index: the
-- cursor in the newest batch, the reservations of the rate in the newest shares.

-- Two names that are older than the words of today. The previous release still uses them, so they are described here.
COMMENT ON TABLE campaign_cursors IS
    'One row per campaign: the lock that its claims take in turn, how far its recipients are counted, and what is counted '
    'in a row (equal refusals, lost invocations). The cursor itself is claimed_through of the newest row of campaign_batches.';
COMMENT ON COLUMN campaign_cursors.doubt_examined_at IS
    'When the policy resend last looked for uncertain recipients that Amazon SES has not reported on.';

-- Raises an error unless each statement of a function sees what was committed before it began, and makes sure that a
-- commit is durable when it is acknowledged. The functions of this package set both for each transaction; this check
-- holds for any caller.
CREATE OR REPLACE FUNCTION require_read_committed() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'claims need READ COMMITTED, and this transaction is %', current_setting('transaction_isolation')
            USING ERRCODE = 'active_sql_transaction',
                  HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED, whatever default_transaction_isolation is.';
    END IF;
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$$;

-- The first position after `through`; null: there is none. (The lowest position means 'none yet'.)
CREATE OR REPLACE FUNCTION position_after(through bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE through WHEN -9223372036854775808 THEN through WHEN 9223372036854775807 THEN NULL ELSE through + 1 END;

-- Returns true if a lease holds. If a lease ends later than an invocation can live (15 minutes and the margin), it
-- was set before the clock was set back, and is void.
CREATE OR REPLACE FUNCTION lease_holds(lease_ends_at timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN lease_ends_at >= clock_timestamp() AND lease_ends_at < clock_timestamp() + interval '920 seconds';

-- A hash of a campaign's templates, in 32 characters.
CREATE OR REPLACE FUNCTION templates_hash(subject text, html text, text text, variables jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN md5(coalesce(subject, '') || chr(1) || coalesce(html, '') || chr(1) || coalesce(text, '') || chr(1)
           || coalesce(variables::text, ''));

-- How long ticks skip a campaign whose last `count` invocations were lost. One lost invocation proves nothing; from
-- the second on it is 1, 2, 4, … minutes, an hour at most.
CREATE OR REPLACE FUNCTION rest_after(count int) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN count < 2 THEN interval '0' ELSE least(power(2, least(count, 20) - 2), 60) * interval '1 minute' END;

-- The cursor of a campaign.
CREATE OR REPLACE FUNCTION campaign_cursor(
    p_campaign_id uuid, OUT claimed_through bigint, OUT closed_through bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    SELECT claimed_through, closed_through INTO claimed_through, closed_through FROM campaign_batches
     WHERE campaign_id = p_campaign_id ORDER BY number DESC LIMIT 1;
    IF NOT FOUND THEN
        claimed_through := -9223372036854775808;
        closed_through := -9223372036854775808;
    END IF;
END
$$;

-- Adds a batch behind the newest of its campaign; the campaign's cursor is locked. An id that already exists (a
-- failover set the sequence back) is skipped.
CREATE OR REPLACE FUNCTION open_batch(
    p_campaign_id uuid, p_first bigint, p_last bigint, p_claimed_through bigint, p_closed_through bigint,
    p_closed_at timestamptz DEFAULT NULL
) RETURNS campaign_batches
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    b campaign_batches;
    v_number bigint;
BEGIN
    SELECT number + 1 INTO v_number FROM campaign_batches WHERE campaign_id = p_campaign_id ORDER BY number DESC LIMIT 1;
    LOOP
        INSERT INTO campaign_batches (campaign_id, number, first_position, last_position, claimed_through,
                                      closed_through, closed_at)
        VALUES (p_campaign_id, coalesce(v_number, 1), p_first, p_last, p_claimed_through, p_closed_through, p_closed_at)
        ON CONFLICT (id) DO NOTHING RETURNING * INTO b;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN b;
END
$$;

-- Claims look for a recipient in the order of the index, never by EXISTS or max() with a condition: with wrong
-- estimates these would scan the whole table if the positions of many campaigns lie behind the cursor.

-- Brings total_count up to date: it counts the recipients after the last counted one, or, every half minute, all of
-- them (a transaction with lower positions may have been committed later). It takes at most a second, because a claim
-- must not wait for a count that takes longer than an invocation lives; the next claim continues the count.
CREATE OR REPLACE FUNCTION count_recipients(p_campaign_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    k campaign_cursors;
    v_until timestamptz := clock_timestamp() + interval '1 second';
    v_all   boolean;
    v_from  bigint;
    v_total int := 0;
    v_last  bigint;
    v_count int;
    v_next  bigint;
BEGIN
    SELECT * INTO k FROM campaign_cursors WHERE campaign_id = p_campaign_id;
    -- A count of all recipients costs about 0.1 s for a million; larger campaigns are counted only at their end.
    v_all := k.counted_at IS NULL OR k.counted_through = -1
          OR k.counted_at < clock_timestamp() - interval '30 seconds'
             AND (SELECT total_count FROM campaigns WHERE id = p_campaign_id) < 1000000;
    v_from := CASE WHEN v_all THEN -9223372036854775808 ELSE position_after(k.counted_through) END;
    v_last := k.counted_through;
    LOOP
        SELECT count(*), max(position) INTO v_count, v_next
          FROM (SELECT position FROM campaign_recipients WHERE campaign_id = p_campaign_id AND position >= v_from
                 ORDER BY position LIMIT 50000) AS new;
        EXIT WHEN v_count = 0;
        v_total := v_total + v_count;
        v_last := v_next;
        EXIT WHEN v_count < 50000 OR clock_timestamp() > v_until;
        v_from := position_after(v_next);
    END LOOP;
    IF v_all OR v_total > 0 THEN
        UPDATE campaigns AS c SET total_count = v_total + CASE WHEN v_all THEN 0 ELSE c.total_count END
         WHERE c.id = p_campaign_id AND (NOT v_all OR c.total_count <> v_total);
        UPDATE campaign_cursors
           SET counted_through = v_last, counted_at = CASE WHEN v_all THEN clock_timestamp() ELSE counted_at END
         WHERE campaign_id = p_campaign_id;
    END IF;
END
$$;

-- The count of all recipients, under the name of release 0.1.
CREATE OR REPLACE FUNCTION count_new_recipients(p_campaign_id uuid, p_counted_through bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE campaign_cursors SET counted_at = NULL WHERE campaign_id = p_campaign_id AND p_counted_through = -1;
    PERFORM count_recipients(p_campaign_id);
END
$$;

-- The first `pending` recipient of a campaign at any position. It reads all recipients before it.
CREATE OR REPLACE FUNCTION first_pending(p_campaign_id uuid) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT position FROM campaign_recipients
     WHERE campaign_id = p_campaign_id AND status = 'pending' ORDER BY position LIMIT 1
$$;

-- Makes a campaign `sent` if every recipient has an outcome, with exact counts. Returns
--   `complete`   it is `sent`
--   `pending`    there are recipients to send, from the cursor on
--   `busy`       other invocations hold the rest
--   `inserting`  a transaction that has added recipients is still open
CREATE OR REPLACE FUNCTION complete_campaign(p_campaign_id uuid) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_first bigint;
    v_last  bigint;
BEGIN
    PERFORM require_read_committed();
    PERFORM FROM campaign_cursors WHERE campaign_id = p_campaign_id FOR UPDATE;
    -- At READ COMMITTED, each statement from here on sees everything that was committed before the lock was granted.
    IF EXISTS (SELECT FROM campaign_batches WHERE campaign_id = p_campaign_id AND closed_at IS NULL
                  AND claim_token IS NOT NULL AND lease_holds(lease_ends_at)) THEN
        RETURN 'busy';
    END IF;
    IF EXISTS (SELECT FROM campaign_batches WHERE campaign_id = p_campaign_id AND closed_at IS NULL) THEN
        RETURN 'pending';
    END IF;
    -- The foreign key of an added recipient holds a KEY SHARE lock on its campaign until it commits.
    PERFORM FROM campaigns WHERE id = p_campaign_id FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 'inserting';
    END IF;
    -- Recipients that became visible behind the cursor: a closed batch sets the cursor back to the first of them.
    v_first := first_pending(p_campaign_id);
    IF v_first IS NOT NULL THEN
        PERFORM open_batch(p_campaign_id, v_first, v_first,
                           CASE v_first WHEN -9223372036854775808 THEN v_first ELSE v_first - 1 END,
                           CASE v_first WHEN -9223372036854775808 THEN v_first ELSE v_first - 1 END, now());
        UPDATE campaign_cursors SET counted_at = NULL WHERE campaign_id = p_campaign_id;
        PERFORM count_recipients(p_campaign_id);
        RETURN 'pending';
    END IF;
    UPDATE campaigns AS c
       SET status = 'sent', completed_at = now(), started_at = coalesce(c.started_at, now()),
           total_count = n.total, sent_count = n.sent, failed_count = n.failed,
           suppressed_count = n.suppressed, uncertain_count = n.uncertain
      FROM (SELECT count(*) AS total,
                   count(*) FILTER (WHERE status = 'sent') AS sent,
                   count(*) FILTER (WHERE status = 'failed') AS failed,
                   count(*) FILTER (WHERE status = 'suppressed') AS suppressed,
                   count(*) FILTER (WHERE status = 'uncertain') AS uncertain
              FROM campaign_recipients WHERE campaign_id = p_campaign_id) AS n
     WHERE c.id = p_campaign_id AND c.status = 'sending';
    -- Old shares are not needed any more.
    DELETE FROM send_shares WHERE wants_until < now() - interval '1 hour';
    SELECT coalesce(max(position), -1) INTO v_last FROM campaign_recipients WHERE campaign_id = p_campaign_id;
    UPDATE campaign_cursors SET completed_through = v_last, counted_through = v_last, counted_at = now(),
           search_count = 0, searched_at = now()
     WHERE campaign_id = p_campaign_id;
    RETURN 'complete';
END
$$;

-- Returns true if it is time to search a campaign for recipients that became visible late, behind those that were
-- counted when it became `sent` (a transaction with lower positions, rows of a replication without foreign key
-- locks): at once, and 10 seconds, 1 minute, 10 minutes, 1 hour, 6 hours and 17 hours after the search before.
CREATE OR REPLACE FUNCTION search_is_due(search_count int, searched_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN searched_at <= now() - (ARRAY['0', '10 seconds', '1 minute', '10 minutes', '1 hour', '6 hours', '17 hours'])[search_count + 1]::interval;

-- The `pending` recipients of positions p_first to p_last, at most p_size, column by column in the order of their
-- positions. At most p_bytes of their data are returned (but always one recipient), and no variables of a recipient
-- that has more than p_recipient_bytes. Stored data may be compressed, so it is read in portions whose stored size is
-- a small part of p_bytes.
CREATE OR REPLACE FUNCTION read_batch(
    p_campaign_id uuid, p_first bigint, p_last bigint, p_size int, p_bytes bigint, p_recipient_bytes int,
    OUT positions bigint[], OUT ids uuid[], OUT emails text[], OUT names text[], OUT variables text[],
    OUT variables_bytes int[], OUT suppressed boolean[]
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_left    int := p_size;
    v_room    bigint := p_bytes;
    v_from    bigint := p_first;
    v_portion int;
    v_organizations uuid[];
    part      record;
BEGIN
    SELECT least(p_size, greatest(floor(count(*) * (p_bytes / 64.0) / greatest(sum(size), 1)), 1)),
           array_agg(DISTINCT organization_id)
      INTO v_portion, v_organizations
      FROM (SELECT organization_id, coalesce(pg_column_size(variables), 0) + pg_column_size(email) + coalesce(pg_column_size(name), 0) AS size
              FROM campaign_recipients
             WHERE campaign_id = p_campaign_id AND status = 'pending' AND position BETWEEN p_first AND p_last
             ORDER BY position LIMIT p_size) AS stored;
    LOOP
        -- The rows are sorted once, below, because up to PostgreSQL 15 each aggregate with an ORDER BY would sort
        -- again.
        SELECT array_agg(r.position) AS positions, array_agg(r.id) AS ids, array_agg(r.email) AS emails,
               array_agg(r.name) AS names, array_agg(CASE WHEN r.bytes <= p_recipient_bytes THEN r.json END) AS variables,
               array_agg(r.bytes) AS variables_bytes, array_agg(r.suppressed) AS suppressed,
               max(r.bytes_so_far) AS bytes, bool_or(r.cut) AS cut
          INTO part
          FROM (SELECT n.*, n.bytes_so_far > v_room AND (n.nth > 1 OR positions IS NOT NULL) AS over,
                       n.duplicate_of IS NOT NULL
                       OR EXISTS (SELECT FROM suppressions AS s
                                WHERE s.organization_id IN (n.organization_id,
                                                            '00000000-0000-0000-0000-000000000000')
                                  AND s.email = canonical_address(n.email))
                       -- (The view is the CRM's. It is queried for these organizations only, in case it fails for
                       -- another.)
                       OR EXISTS (SELECT FROM opted_out AS o
                                   WHERE o.organization_id = ANY (v_organizations)
                                     AND o.organization_id = n.organization_id
                                     AND o.email = canonical_address(n.email)) AS suppressed,
                       lead(n.bytes_so_far) OVER (ORDER BY n.position) > v_room AS cut
                  FROM (SELECT b.*, row_number() OVER (ORDER BY b.position) AS nth,
                               sum(least(b.bytes, p_recipient_bytes)) OVER (ORDER BY b.position) AS bytes_so_far
                          FROM (SELECT p.*, least(coalesce(octet_length(p.json), 0)::bigint + octet_length(p.email)
                                                  + coalesce(octet_length(p.name), 0), 2147483647)::int AS bytes
                                  FROM (SELECT position, id, left(email, 1000) AS email, left(name, 1000) AS name,
                                               organization_id, duplicate_of, variables::text AS json
                                          FROM campaign_recipients
                                         WHERE campaign_id = p_campaign_id AND status = 'pending'
                                           AND position BETWEEN v_from AND p_last
                                         ORDER BY position LIMIT least(v_portion, v_left)) AS p) AS b) AS n
                 ORDER BY n.position) AS r
         WHERE NOT r.over;
        EXIT WHEN part.positions IS NULL;
        IF positions IS NULL THEN
            positions := part.positions; ids := part.ids; emails := part.emails; names := part.names;
            variables := part.variables; variables_bytes := part.variables_bytes; suppressed := part.suppressed;
        ELSE
            positions := positions || part.positions; ids := ids || part.ids; emails := emails || part.emails;
            names := names || part.names; variables := variables || part.variables;
            variables_bytes := variables_bytes || part.variables_bytes; suppressed := suppressed || part.suppressed;
        END IF;
        v_left := v_left - cardinality(part.positions);
        v_room := v_room - part.bytes;
        v_from := position_after(part.positions[cardinality(part.positions)]);
        EXIT WHEN part.cut OR v_left <= 0 OR v_from IS NULL OR v_from > p_last
               OR cardinality(part.positions) < least(v_portion, v_left + cardinality(part.positions));
    END LOOP;
END
$$;

-- Locks a campaign's cursor, which is created for a campaign that is about to be sent; all null: the campaign has
-- none.
CREATE OR REPLACE FUNCTION lock_cursor(p_campaign_id uuid) RETURNS campaign_cursors
LANGUAGE plpgsql AS $$
DECLARE
    k campaign_cursors;
BEGIN
    SELECT * INTO k FROM campaign_cursors WHERE campaign_id = p_campaign_id FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO campaign_cursors (campaign_id)
        SELECT id FROM campaigns WHERE id = p_campaign_id AND status IN ('scheduled', 'sending')
        ON CONFLICT DO NOTHING;
        SELECT * INTO k FROM campaign_cursors WHERE campaign_id = p_campaign_id FOR UPDATE;
    END IF;
    RETURN k;
END
$$;

-- Makes a campaign `sending` if its time has come, or if it has recipients again after it was `sent`; returns its
-- row, whose status does not change until this transaction ends. With p_scheduled, or if it is large, a `sent`
-- campaign is searched only as often as `search_is_due` says, otherwise each time.
CREATE OR REPLACE FUNCTION begin_sending(k campaign_cursors, p_campaign_id uuid, p_scheduled boolean) RETURNS campaigns
LANGUAGE plpgsql AS $$
DECLARE
    c campaigns;
    v_begins boolean;
BEGIN
    -- The lock keeps the status until the claim is committed, so after a person's `paused` is committed, no claim
    -- that has read `sending` can be committed.
    SELECT * INTO c FROM campaigns WHERE id = p_campaign_id FOR SHARE;
    v_begins := c.status = 'scheduled' AND c.scheduled_at <= now()
             OR c.status = 'sending' AND (c.started_at IS NULL OR c.status_reason IS NOT NULL);
    -- A campaign that a person set to `sent` has no completed_through, and stays `sent`.
    IF c.status = 'sent' AND k.completed_through IS NOT NULL THEN
        v_begins := (SELECT position FROM campaign_recipients WHERE campaign_id = p_campaign_id
                      ORDER BY position DESC LIMIT 1) > k.completed_through;
        IF v_begins IS NOT TRUE AND (search_is_due(k.search_count, k.searched_at)
                                     OR NOT p_scheduled AND c.total_count <= 1000000) THEN
            v_begins := first_pending(p_campaign_id) IS NOT NULL;
            UPDATE campaign_cursors SET search_count = search_count + 1, searched_at = now()
             WHERE campaign_id = p_campaign_id AND search_is_due(search_count, searched_at);
        END IF;
    END IF;
    IF v_begins THEN
        UPDATE campaigns SET status = 'sending', started_at = coalesce(started_at, now()),
               completed_at = NULL, status_reason = NULL
         WHERE id = p_campaign_id AND status = c.status
        RETURNING * INTO c;
        UPDATE campaign_cursors SET completed_through = NULL
         WHERE campaign_id = p_campaign_id AND completed_through IS NOT NULL;
    END IF;
    RETURN c;
END
$$;

-- Why a campaign is paused whose `send_before` is over.
CREATE OR REPLACE FUNCTION too_late(send_before timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN 'send_before is over: nothing is sent after '
       || CASE WHEN isfinite(send_before) THEN to_char(send_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
               ELSE send_before::text END
       || '. The recipients that are left stay pending; move send_before, or cancel the campaign';

-- For how many seconds from now a campaign may be sent, and why not after that; null: it has no `send_before`. What was
-- committed before the call counts, also within a statement that began earlier.
CREATE OR REPLACE FUNCTION send_limit(p_campaign_id uuid, OUT seconds_to_send double precision, OUT too_late text)
LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN isfinite(send_before) THEN extract(epoch FROM send_before - clock_timestamp())
                WHEN send_before < clock_timestamp() THEN 0 END,
           too_late(send_before)
      FROM campaigns WHERE id = p_campaign_id
$$;

-- The first position between p_first and p_last whose recipient is `pending`; null: there is none.
CREATE OR REPLACE FUNCTION pending_between(p_campaign_id uuid, p_first bigint, p_last bigint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT position FROM campaign_recipients
             WHERE campaign_id = p_campaign_id AND status = 'pending' AND position BETWEEN p_first AND p_last
             ORDER BY position LIMIT 1);
END
$$;

-- Closes a batch: nothing of it is under way, and nobody holds it.
CREATE OR REPLACE FUNCTION close_batch(b campaign_batches) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE campaign_batches
       SET closed_at = now(), claim_token = NULL, lease_ends_at = NULL, handed_by = NULL, handed_through = NULL
     WHERE id = b.id;
END
$$;

-- A batch that a lost invocation may have handed to SES, or that `p_token` is taking over already; all null: there is
-- none.
CREATE OR REPLACE FUNCTION lost_batch(p_campaign_id uuid, p_token uuid) RETURNS campaign_batches
LANGUAGE plpgsql AS $$
DECLARE
    b campaign_batches;
BEGIN
    SELECT * INTO b FROM campaign_batches
     WHERE campaign_id = p_campaign_id AND closed_at IS NULL AND handed_by <> p_token
       AND (claim_token = p_token OR NOT lease_holds(lease_ends_at))
     ORDER BY first_position LIMIT 1 FOR UPDATE SKIP LOCKED;
    RETURN b;
END
$$;

-- The batch that goes before all new ones: the one that `p_token` has already, else one that is open or lost its owner;
-- all null: there is none. `p_closed_through`: all batches up to there are closed.
CREATE OR REPLACE FUNCTION batch_to_claim(p_campaign_id uuid, p_token uuid, p_closed_through bigint)
RETURNS campaign_batches
LANGUAGE plpgsql AS $$
DECLARE
    b campaign_batches;
BEGIN
    SELECT * INTO b FROM campaign_batches
     WHERE campaign_id = p_campaign_id AND closed_at IS NULL
       AND first_position >= position_after(p_closed_through)
       AND (claim_token IS NULL OR claim_token = p_token OR NOT lease_holds(lease_ends_at))
     ORDER BY claim_token IS DISTINCT FROM p_token, first_position LIMIT 1 FOR UPDATE SKIP LOCKED;
    RETURN b;
END
$$;

-- The number of recipients of a batch by which the mark moves at a time.
-- A batch has two checkpoints, the last batch one (because the campaign is then completed): five statements in
-- all. The mark moves on when an eighth of a step is left: 1 + 7/8 + 7/8 = 2.75 steps, and 1 + 7/8 = 1.875. If
-- the rate is known, the step is at most what is sent within 1.5 seconds.
CREATE OR REPLACE FUNCTION mark_step(p_count int, p_is_last boolean, p_per_second double precision) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN greatest(1, least(ceil(p_count / CASE WHEN p_is_last THEN 1.875 ELSE 2.75 END), ceil(p_per_second * 1.5)))::int;

-- Claims the next batch of a campaign for the invocation `p_token`. Calling it again with the same token returns the same
-- batch, so a lost answer costs nothing. It takes nothing back either, so a call that PostgreSQL runs only after the
-- invocation made another call and began to send does no harm. `verdict` is one of
--   `batch`      the batch is claimed; its recipients follow, column by column, in the order of `positions`
--   `takeover`   the batch of a lost invocation: `outcomes` are the noted ones, and other recipients that it may have
--                handed to SES become uncertain; record both, then claim again
--   `complete`, `busy`, `inserting`   nothing to claim, as in `complete_campaign`
--   `rate`       others have reserved the sending rate for longer than this invocation lives
--   `history`    the database may have lost data: nothing is claimed for `retry_seconds`, and `reason` says why
--                (`watch_history`, which takes p_witness and p_hold_seconds and returns `witness`)
--   otherwise    the campaign's status, which does not allow sending (`scheduled`: not yet). `under_way_seconds`: for how
--                long other invocations hold batches of it. `paused` with a `reason`: this call has paused it, because its
--                `send_before` is over and recipients are left
-- With `p_alone`, a campaign that another invocation is working on is `busy`. `retry_seconds` says when to ask again.
-- At most `p_bytes` of the recipients' data are returned (but always one recipient), and no variables of a recipient that
-- has more than `p_recipient_bytes`.
-- The sends are reserved (`send_room`): they may start in `starts_in` seconds (negative: this much time is caught up, at
-- most `p_catch_up`), at `per_second`, and end within `p_seconds`, after which the invocation starts none. An unknown rate
-- (null) limits nothing. `step` is how many recipients the mark moves at a time. `p_templates_hash` is the hash of the
-- templates that the invocation has compiled.
CREATE OR REPLACE FUNCTION claim_next_batch(
    p_campaign_id uuid, p_token uuid, p_size int, p_lease_seconds double precision, p_alone boolean,
    p_bytes bigint, p_recipient_bytes int,
    p_region text, p_per_second double precision, p_seconds double precision, p_catch_up double precision,
    p_templates_hash text, p_witness text DEFAULT NULL, p_hold_seconds double precision DEFAULT 120,
    OUT verdict text, OUT retry_seconds double precision, OUT under_way_seconds double precision,
    OUT batch_id bigint, OUT step int, OUT starts_in double precision, OUT per_second double precision,
    OUT outcomes jsonb, OUT refusal text, OUT refusal_count int,
    OUT positions bigint[], OUT ids uuid[], OUT emails text[], OUT names text[], OUT variables text[],
    OUT variables_bytes int[], OUT suppressed boolean[], OUT reason text, OUT witness text
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c campaigns;
    k campaign_cursors;
    b campaign_batches;
    v_first bigint;
    v_last bigint;
    v_claimed_through bigint;
    v_closed_through bigint; -- when the newest batch was made
    v_closed_by_now bigint;
    v_is_last boolean;
    v_swept boolean := false;
    v_again boolean := false;
    v_size int := p_size;
    v_room record;
    v_history record;
BEGIN
    PERFORM require_read_committed();
    k := lock_cursor(p_campaign_id);
    -- At READ COMMITTED, each statement from here on sees everything that was committed before the lock was granted.
    c := begin_sending(k, p_campaign_id, p_alone);
    SELECT * INTO v_claimed_through, v_closed_through FROM campaign_cursor(p_campaign_id);
    SELECT extract(epoch FROM min(lease_ends_at) FILTER (WHERE claim_token <> p_token AND lease_holds(lease_ends_at))
                              - clock_timestamp()),
           extract(epoch FROM max(lease_ends_at) FILTER (WHERE claim_token <> p_token AND lease_holds(lease_ends_at))
                              - clock_timestamp()),
           CASE min(first_position) WHEN -9223372036854775808 THEN -9223372036854775808
                ELSE coalesce(min(first_position) - 1, v_claimed_through) END
      INTO retry_seconds, under_way_seconds, v_closed_by_now
      FROM campaign_batches
     WHERE campaign_id = p_campaign_id AND closed_at IS NULL AND first_position >= position_after(v_closed_through);

    IF c.status IS DISTINCT FROM 'sending' THEN
        -- The batch of a lost invocation is settled in every status.
        b := lost_batch(p_campaign_id, p_token);
        IF b.id IS NOT NULL THEN
            batch_id := b.id;
            outcomes := take_over(b, p_token, p_lease_seconds);
            verdict := 'takeover';
            RETURN;
        END IF;
        verdict := c.status;
        -- Three years are about the longest wait of Step Functions, and `infinity` cannot be used in a subtraction.
        retry_seconds := extract(epoch FROM least(c.scheduled_at, clock_timestamp() + interval '3 years')
                                            - clock_timestamp());
        RETURN;
    END IF;
    SELECT * INTO v_history FROM watch_history(p_witness, p_hold_seconds);
    witness := v_history.witness;
    IF v_history.reason IS NOT NULL THEN
        verdict := 'history';
        reason := v_history.reason;
        retry_seconds := v_history.hold_seconds;
        RETURN;
    END IF;
    PERFORM count_recipients(p_campaign_id);
    refusal := k.refusal;
    refusal_count := k.refusal_count;
    -- An invocation has survived these templates up to here.
    IF k.templates_hash IS DISTINCT FROM p_templates_hash AND p_templates_hash IS NOT NULL THEN
        UPDATE campaign_cursors SET templates_hash = p_templates_hash WHERE campaign_id = p_campaign_id;
    END IF;
    DELETE FROM campaign_attempts WHERE campaign_id = p_campaign_id;
    IF p_alone AND retry_seconds IS NOT NULL THEN
        verdict := 'busy';
        RETURN;
    END IF;

    -- The number of sends for which there is room now; they are reserved below.
    SELECT * INTO v_room FROM send_room(p_region, p_per_second, p_campaign_id, c.organization_id, p_seconds,
                                        p_catch_up);
    v_size := least(p_size, v_room.room);

    LOOP
        -- An open batch, or one that lost its owner, comes first; before all others comes a batch that this
        -- invocation has already.
        b := batch_to_claim(p_campaign_id, p_token, v_closed_through);
        IF b.id IS NOT NULL THEN
            v_again := b.handed_by IS NOT DISTINCT FROM p_token AND b.claim_token = p_token;
            batch_id := b.id;
            IF b.handed_by <> p_token THEN
                outcomes := take_over(b, p_token, p_lease_seconds);
                verdict := 'takeover';
                RETURN;
            END IF;
        ELSE
            SELECT min(position), max(position) INTO v_first, v_last
              FROM (SELECT position FROM campaign_recipients
                     WHERE campaign_id = p_campaign_id AND position >= position_after(v_claimed_through)
                       AND status = 'pending'
                     ORDER BY position LIMIT greatest(v_size, 1)) AS range;
            IF v_last IS NULL THEN
                verdict := complete_campaign(p_campaign_id);
                IF verdict <> 'pending' OR v_swept THEN
                    RETURN;
                END IF;
                v_swept := true;
                SELECT * INTO v_claimed_through, v_closed_through FROM campaign_cursor(p_campaign_id);
                v_closed_by_now := v_closed_through;
                CONTINUE;
            END IF;
            b := NULL;
        END IF;
        -- Somebody is left, and it is too late to send.
        IF c.send_before <= clock_timestamp() AND NOT v_again
           AND (b.id IS NULL
                OR pending_between(p_campaign_id, b.first_position, b.last_position) IS NOT NULL) THEN
            reason := too_late(c.send_before);
            UPDATE campaigns SET status = 'paused', status_reason = reason WHERE id = p_campaign_id;
            verdict := 'paused';
            batch_id := NULL;
            RETURN;
        END IF;
        -- If there is no room, there is no batch.
        IF v_size < 1 AND NOT v_again THEN
            PERFORM reserve_sends(p_region, p_campaign_id, c.organization_id, v_room.free_from, 0,
                                  v_room.per_second, v_room.share, p_catch_up);
            verdict := 'rate';
            retry_seconds := v_room.retry_seconds;
            RETURN;
        END IF;
        IF b.id IS NULL THEN
            v_claimed_through := v_last;
        ELSE
            v_first := b.first_position;
            v_last := b.last_position;
        END IF;
        SELECT * INTO positions, ids, emails, names, variables, variables_bytes, suppressed
          FROM read_batch(p_campaign_id, v_first, v_last,
                          CASE WHEN v_again THEN 2147483647 ELSE v_size END,
                          CASE WHEN v_again THEN 4611686018427387904 ELSE p_bytes END, p_recipient_bytes);
        EXIT WHEN positions IS NOT NULL;
        PERFORM close_batch(b);
        v_again := false;
    END LOOP;

    verdict := 'batch';
    -- Each claim is a batch of its own: a batch that is claimed again is closed, and its rest gets a new number.
    IF NOT v_again THEN
        PERFORM close_batch(b);
        -- A checkpoint that was committed while its batch was being recorded may have left notes behind.
        DELETE FROM campaign_batch_outcomes AS o WHERE o.batch_id = b.id;
        b := open_batch(p_campaign_id, v_first, positions[cardinality(positions)], v_claimed_through, v_closed_by_now);
        batch_id := b.id;
        -- Recipients that do not fit into this invocation stay behind as an open batch.
        IF pending_between(p_campaign_id, position_after(b.last_position), v_last) IS NOT NULL THEN
            PERFORM open_batch(p_campaign_id, b.last_position + 1, v_last, v_claimed_through, v_closed_by_now);
        END IF;
    END IF;
    v_is_last := pending_between(p_campaign_id, position_after(v_claimed_through), 9223372036854775807) IS NULL
             AND NOT EXISTS (SELECT FROM campaign_batches WHERE campaign_id = p_campaign_id
                                AND closed_at IS NULL AND first_position >= position_after(v_closed_through)
                                AND id <> b.id);
    step := mark_step(cardinality(positions), v_is_last, v_room.per_second);
    per_second := v_room.per_second;
    IF v_again THEN
        starts_in := v_room.starts_in - cardinality(array_positions(suppressed, false)) / per_second;
    ELSIF per_second IS NOT NULL THEN
        starts_in := reserve_sends(p_region, p_campaign_id, c.organization_id, v_room.free_from,
                                   cardinality(array_positions(suppressed, false)), per_second, v_room.share,
                                   p_catch_up);
    END IF;
    -- The mark is set with the claim: from its commit on, the first step may have been handed to SES. It never
    -- moves back.
    UPDATE campaign_batches
       SET claim_token = p_token, lease_ends_at = now() + make_interval(secs => p_lease_seconds),
           handed_by = p_token, claimed_count = coalesce(claimed_count, cardinality(positions)),
           handed_through = greatest(b.handed_through, positions[least(step, cardinality(positions))])
     WHERE id = b.id;
    -- This rolls back a claim for which its invocation no longer waits: it would keep recipients from others and make
    -- them uncertain for nothing.
    IF clock_timestamp() > now() + make_interval(secs => p_seconds) THEN
        RAISE EXCEPTION 'the claim came too late for its invocation' USING ERRCODE = 'lock_not_available';
    END IF;
END
$$;

-- Gives the batch of a lost invocation to `p_token`, which records its outcomes; returns the noted ones.
CREATE OR REPLACE FUNCTION take_over(b campaign_batches, p_token uuid, p_lease_seconds double precision) RETURNS jsonb
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE campaign_batches
       SET claim_token = p_token, lease_ends_at = now() + make_interval(secs => p_lease_seconds)
     WHERE id = b.id;
    RETURN (SELECT jsonb_agg(entry)
              FROM campaign_batch_outcomes AS o, jsonb_array_elements(o.outcomes) AS entry
             WHERE o.batch_id = b.id);
END
$$;

-- The claim under the name and with the parameters of release 0.1, for functions that are still of that release.
CREATE OR REPLACE FUNCTION claim_batch(
    p_campaign_id uuid, p_token uuid, p_size int, p_lease_seconds double precision, p_alone boolean,
    p_bytes bigint, p_variables_limit int,
    p_region text, p_per_second double precision, p_seconds double precision, p_catch_up double precision,
    OUT verdict text, OUT retry_seconds double precision,
    OUT batch_id bigint, OUT step int, OUT starts_in double precision, OUT per_second double precision,
    OUT outcomes jsonb, OUT refusal text, OUT refusal_count int,
    OUT positions bigint[], OUT ids uuid[], OUT emails text[], OUT names text[], OUT variables text[],
    OUT variables_bytes int[], OUT suppressed boolean[]
)
LANGUAGE sql AS $$
    SELECT CASE n.verdict WHEN 'history' THEN 'busy' ELSE n.verdict END, n.retry_seconds, n.batch_id, n.step, n.starts_in, n.per_second, n.outcomes, n.refusal,
           n.refusal_count, n.positions, n.ids, n.emails, n.names, n.variables, n.variables_bytes, n.suppressed
      FROM claim_next_batch(p_campaign_id, p_token, p_size, p_lease_seconds, p_alone, p_bytes, p_variables_limit,
                            p_region, p_per_second, p_seconds, p_catch_up, NULL) AS n
$$;

-- If a function is replaced while a claim waits for its lock, the claim continues with the old text, which does not
-- know batches' numbers. It is rolled back as a conflict, and its invocation claims again.
CREATE OR REPLACE FUNCTION refuse_unnumbered_batch() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the claim began before the schema was migrated' USING ERRCODE = 'serialization_failure';
END
$$;

CREATE OR REPLACE TRIGGER campaign_batches_numbered BEFORE INSERT ON campaign_batches
    FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION refuse_unnumbered_batch();
