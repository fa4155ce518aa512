-- Claims: which invocation owns which range of a campaign's recipients, and for how long.

-- While a transaction elsewhere holds an old snapshot (a dump, a report), PostgreSQL keeps all versions of a row, and
-- whoever looks it up walks over them. So what changes with each claim is in rows that are new, and are found as the
-- last of an index: the cursor in the newest batch, the reservations of the rate in the newest shares.

-- One row per campaign. Whoever claims holds it locked, for a few milliseconds: claims of one campaign come
-- one after the other, and each sees what the one before it did.
CREATE TABLE IF NOT EXISTS campaign_cursors (
    campaign_id       uuid PRIMARY KEY REFERENCES campaigns (id) ON DELETE CASCADE,
    counted_through   bigint NOT NULL DEFAULT -1,  -- total_count holds every position up to here that was visible
    completed_through bigint,                      -- the last position when the campaign became `sent`
    refusal           text,                        -- the refusal that every recipient so far has met
    refusal_count     int NOT NULL DEFAULT 0,      -- and how many have; void once one was accepted
    last_event_at     timestamptz                  -- when SES was last heard of this campaign
);

-- One row per batch: a range of positions, and who may work on it. The newest of a campaign says where its cursor
-- stands.
CREATE TABLE IF NOT EXISTS campaign_batches (
    id              bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    campaign_id     uuid NOT NULL REFERENCES campaign_cursors (campaign_id) ON DELETE CASCADE,
    first_position  bigint NOT NULL,
    last_position   bigint NOT NULL,
    claimed_through bigint NOT NULL,                -- every pending position up to here is, or was, in a batch
    closed_through  bigint NOT NULL,                -- every batch that begins up to here is closed
    claim_token     uuid,                           -- the invocation that owns it; null: nobody does
    lease_ends_at   timestamptz,
    handed_through  bigint,                         -- the high-water mark: nothing beyond was handed to SES …
    handed_by       uuid,                           -- … by this invocation, and what it did is not yet recorded
    opened_at       timestamptz NOT NULL DEFAULT now(),
    closed_at       timestamptz,                    -- every recipient of the range has an outcome
    sent_count      int NOT NULL DEFAULT 0,
    failed_count    int NOT NULL DEFAULT 0
);

CREATE INDEX IF NOT EXISTS campaign_batches_newest ON campaign_batches (campaign_id, id);

-- Claims look for open ones behind `closed_through` only: a batch that was closed stays in this index as long as the
-- oldest snapshot of the database may want to see it.
CREATE INDEX IF NOT EXISTS campaign_batches_open ON campaign_batches (campaign_id, first_position)
    WHERE closed_at IS NULL;

-- What an invocation knew at its checkpoints, for the case that it does not live to record it.
CREATE TABLE IF NOT EXISTS campaign_batch_outcomes (
    batch_id   bigint NOT NULL REFERENCES campaign_batches (id) ON DELETE CASCADE,
    checkpoint int NOT NULL,
    outcomes   jsonb NOT NULL,
    PRIMARY KEY (batch_id, checkpoint)
);

-- Where the cursor of a campaign stands.
CREATE OR REPLACE FUNCTION campaign_cursor(
    p_campaign_id uuid, OUT claimed_through bigint, OUT closed_through bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    SELECT claimed_through, closed_through INTO claimed_through, closed_through FROM campaign_batches
     WHERE campaign_id = p_campaign_id ORDER BY id DESC LIMIT 1;
    IF NOT FOUND THEN
        claimed_through := -1;
        closed_through := -1;
    END IF;
END
$$;

-- Claims look for a recipient in the order of the index, never by EXISTS or max() over a condition: planned by
-- estimates, those would be a scan of the whole table where the positions of many campaigns lie behind the cursor.

-- Brings total_count up to date with the recipients that were added since the last count. It takes a second at most: a
-- claim must not wait for a count that takes longer than an invocation lives, and the next one counts on.
CREATE OR REPLACE FUNCTION count_new_recipients(p_campaign_id uuid, p_counted_through bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz := clock_timestamp() + interval '1 second';
    v_total int := 0;
    v_last  bigint := p_counted_through;
    v_count int;
    v_next  bigint;
BEGIN
    LOOP
        SELECT count(*), max(position) INTO v_count, v_next
          FROM (SELECT position FROM campaign_recipients WHERE campaign_id = p_campaign_id AND position > v_last
                 ORDER BY position LIMIT 50000) AS new;
        EXIT WHEN v_count = 0;
        v_total := v_total + v_count;
        v_last := v_next;
        EXIT WHEN v_count < 50000 OR clock_timestamp() > v_until;
    END LOOP;
    IF v_total > 0 OR p_counted_through = -1 THEN
        UPDATE campaigns SET total_count = v_total + CASE WHEN p_counted_through = -1 THEN 0 ELSE total_count END
         WHERE id = p_campaign_id;
        UPDATE campaign_cursors SET counted_through = v_last WHERE campaign_id = p_campaign_id;
    END IF;
END
$$;

-- Makes a campaign `sent` if every recipient has an outcome, with exact counts. Answers
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
    PERFORM FROM campaign_cursors WHERE campaign_id = p_campaign_id FOR UPDATE;
    -- Each statement from here on sees all that was committed before the lock was had.
    IF EXISTS (SELECT FROM campaign_batches WHERE campaign_id = p_campaign_id AND closed_at IS NULL
                  AND claim_token IS NOT NULL AND lease_ends_at >= clock_timestamp()) THEN
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
    -- Recipients that became visible behind the cursor: an empty batch brings it back to the first of them.
    SELECT min(position) INTO v_first FROM campaign_recipients
     WHERE campaign_id = p_campaign_id AND status = 'pending';
    IF v_first IS NOT NULL THEN
        INSERT INTO campaign_batches (campaign_id, first_position, last_position, claimed_through, closed_through,
                                      closed_at)
        VALUES (p_campaign_id, v_first, v_first - 1, v_first - 1, v_first - 1, now());
        PERFORM count_new_recipients(p_campaign_id, -1);
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
    -- Whose turn it was long ago is of no use.
    DELETE FROM send_shares WHERE wants_until < now() - interval '1 hour';
    SELECT coalesce(max(position), -1) INTO v_last FROM campaign_recipients WHERE campaign_id = p_campaign_id;
    UPDATE campaign_cursors SET completed_through = v_last, counted_through = v_last
     WHERE campaign_id = p_campaign_id;
    RETURN 'complete';
END
$$;

-- Claims the next batch of a campaign for the invocation `p_token`. Calling it again with the same token
-- answers the same batch, so a lost answer costs nothing; and it takes nothing back, so a call that PostgreSQL
-- comes to only after the invocation made another and began to send does no harm. `verdict` is
--   `batch`      the batch is claimed; its recipients follow, column by column, in the order of `positions`
--   `takeover`   the batch of an invocation that did not come back: `outcomes` is what it had noted, and what
--                it may have handed to SES beyond that is in doubt; record both, then claim again
--   `complete`, `busy`, `inserting`   nothing to claim, as `complete_campaign` says
--   `rate`       the sending rate is reserved by others for longer than this invocation lives
--   otherwise    the campaign's status, which does not allow sending (`scheduled`: not yet)
-- With `p_alone`, a campaign that another invocation is working on is `busy`. `retry_seconds` says when to ask
-- again. Of the variables at most `p_bytes` are returned in all (but always one recipient), and none of a
-- recipient that has more than `p_variables_limit` bytes of them. The sends are reserved (`send_room`): they may start
-- in `starts_in` seconds (in the past: as much is caught up, `p_catch_up` at most), at `per_second`, and they end within
-- `p_seconds`, after which the invocation starts none.
-- A rate that is not known (null) limits nothing. `step` is how many recipients the high-water mark moves at a
-- time.
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
BEGIN
    SELECT * INTO k FROM campaign_cursors WHERE campaign_id = p_campaign_id FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO campaign_cursors (campaign_id)
        SELECT id FROM campaigns WHERE id = p_campaign_id AND status IN ('scheduled', 'sending')
        ON CONFLICT DO NOTHING;
        SELECT * INTO k FROM campaign_cursors WHERE campaign_id = p_campaign_id FOR UPDATE;
    END IF;
    -- Each statement from here on sees all that was committed before the lock was had.
    SELECT * INTO c FROM campaigns WHERE id = p_campaign_id;
    IF c.status = 'scheduled' AND c.scheduled_at <= now()
       OR c.status = 'sent' AND (SELECT position FROM campaign_recipients WHERE campaign_id = p_campaign_id
                                  ORDER BY position DESC LIMIT 1) > k.completed_through
       OR c.status = 'sending' AND (c.started_at IS NULL OR c.status_reason IS NOT NULL) THEN
        UPDATE campaigns SET status = 'sending', started_at = coalesce(started_at, now()),
               completed_at = NULL, status_reason = NULL
         WHERE id = p_campaign_id AND status = c.status;
        SELECT * INTO c FROM campaigns WHERE id = p_campaign_id;
    END IF;
    IF c.status IS DISTINCT FROM 'sending' THEN
        verdict := c.status;
        -- Three years are about what Step Functions can wait, and `infinity` cannot be subtracted from.
        retry_seconds := extract(epoch FROM least(c.scheduled_at, clock_timestamp() + interval '3 years')
                                            - clock_timestamp());
        RETURN;
    END IF;
    PERFORM count_new_recipients(p_campaign_id, k.counted_through);
    refusal := k.refusal;
    refusal_count := k.refusal_count;

    SELECT * INTO v_claimed_through, v_closed_through FROM campaign_cursor(p_campaign_id);
    SELECT extract(epoch FROM min(lease_ends_at) FILTER (WHERE claim_token <> p_token
                                                           AND lease_ends_at >= clock_timestamp())
                              - clock_timestamp()),
           coalesce(min(first_position) - 1, v_claimed_through)
      INTO retry_seconds, v_closed_by_now
      FROM campaign_batches
     WHERE campaign_id = p_campaign_id AND closed_at IS NULL AND first_position > v_closed_through;
    IF p_alone AND retry_seconds IS NOT NULL THEN
        verdict := 'busy';
        RETURN;
    END IF;

    -- How many sends there is room for, as it looks now; they are reserved further down.
    SELECT * INTO v_room FROM send_room(p_region, p_per_second, p_campaign_id, c.organization_id, p_seconds,
                                        p_catch_up);
    v_size := least(p_size, v_room.room);

    LOOP
        -- A batch that is open, or that lost its owner, goes first; before all, one that we have already.
        SELECT * INTO b FROM campaign_batches
         WHERE campaign_id = p_campaign_id AND closed_at IS NULL AND first_position > v_closed_through
           AND (claim_token IS NULL OR claim_token = p_token OR lease_ends_at < clock_timestamp())
         ORDER BY claim_token IS DISTINCT FROM p_token, first_position LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            SELECT min(position), max(position) INTO v_first, v_last
              FROM (SELECT position FROM campaign_recipients
                     WHERE campaign_id = p_campaign_id AND position > v_claimed_through
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
            -- Without room there is no batch, and the answer is `rate` below.
            IF v_size >= 1 THEN
                INSERT INTO campaign_batches (campaign_id, first_position, last_position, claimed_through,
                                              closed_through)
                VALUES (p_campaign_id, v_first, v_last, v_last, v_closed_by_now) RETURNING * INTO b;
                v_claimed_through := v_last;
            END IF;
        END IF;
        batch_id := b.id;

        IF b.handed_by <> p_token THEN
            verdict := 'takeover';
            UPDATE campaign_batches
               SET claim_token = p_token,
                   lease_ends_at = now() + make_interval(secs => p_lease_seconds)
             WHERE id = b.id;
            SELECT jsonb_agg(entry) INTO outcomes
              FROM campaign_batch_outcomes AS o, jsonb_array_elements(o.outcomes) AS entry
             WHERE o.batch_id = b.id;
            RETURN;
        END IF;
        v_again := b.handed_by IS NOT NULL;
        IF v_size < 1 AND NOT v_again THEN
            PERFORM reserve_sends(p_region, p_campaign_id, c.organization_id, v_room.free_from, 0,
                                  v_room.per_second, v_room.share, p_catch_up);
            verdict := 'rate';
            retry_seconds := v_room.retry_seconds;
            RETURN;
        END IF;

        -- Sorted once, below: up to PostgreSQL 15, each aggregate with an order of its own would sort again.
        SELECT array_agg(r.position), array_agg(r.id), array_agg(r.email), array_agg(r.name),
               array_agg(CASE WHEN r.bytes <= p_variables_limit THEN r.json END),
               array_agg(r.bytes), array_agg(r.suppressed)
          INTO positions, ids, emails, names, variables, variables_bytes, suppressed
          FROM (SELECT n.*, coalesce(octet_length(n.json), 0) AS bytes,
                       row_number() OVER (ORDER BY n.position) AS nth,
                       sum(least(coalesce(octet_length(n.json), 0), p_variables_limit)) OVER (ORDER BY n.position)
                           AS bytes_so_far,
                       n.duplicate_of IS NOT NULL
                       OR EXISTS (SELECT FROM suppressions AS s
                                WHERE s.organization_id IN (n.organization_id,
                                                            '00000000-0000-0000-0000-000000000000')
                                  AND s.email = canonical_address(n.email))
                       OR EXISTS (SELECT FROM opted_out AS o
                                   WHERE o.organization_id = n.organization_id
                                     AND o.email = canonical_address(n.email)) AS suppressed
                  FROM (SELECT position, id, email, name, organization_id, duplicate_of, variables::text AS json
                          FROM campaign_recipients
                         WHERE campaign_id = p_campaign_id AND status = 'pending'
                           AND position BETWEEN b.first_position AND b.last_position
                         ORDER BY position LIMIT CASE WHEN NOT v_again THEN v_size END) AS n
                 ORDER BY n.position) AS r
         WHERE r.nth = 1 OR r.bytes_so_far <= p_bytes OR v_again;
        EXIT WHEN positions IS NOT NULL;
        UPDATE campaign_batches SET closed_at = now(), claim_token = NULL, lease_ends_at = NULL,
               handed_by = NULL, handed_through = NULL
         WHERE id = b.id;
    END LOOP;

    verdict := 'batch';
    v_last := positions[cardinality(positions)];
    -- What does not fit into this invocation stays behind as an open batch of its own.
    IF (SELECT position FROM campaign_recipients WHERE campaign_id = p_campaign_id AND status = 'pending'
           AND position > v_last AND position <= b.last_position ORDER BY position LIMIT 1) IS NOT NULL THEN
        INSERT INTO campaign_batches (campaign_id, first_position, last_position, claimed_through, closed_through)
        VALUES (p_campaign_id, v_last + 1, b.last_position, v_claimed_through, v_closed_by_now);
    END IF;
    v_is_last := (SELECT position FROM campaign_recipients WHERE campaign_id = p_campaign_id
                     AND status = 'pending' AND position > v_claimed_through ORDER BY position LIMIT 1) IS NULL
             AND NOT EXISTS (SELECT FROM campaign_batches WHERE campaign_id = p_campaign_id
                                AND closed_at IS NULL AND first_position > v_closed_through AND id <> b.id);
    -- Two checkpoints for a batch, one for the last (whose campaign is then completed): five statements in all.
    -- The mark moves on when an eighth of a step is left: 1 + 7/8 + 7/8 = 2.75 steps, and 1 + 7/8 = 1.875.
    -- Where the rate is known, what is sent within 1.5 seconds is enough.
    step := greatest(1, least(ceil(cardinality(positions) / CASE WHEN v_is_last THEN 1.875 ELSE 2.75 END),
                              ceil(v_room.per_second * 1.5)));
    per_second := v_room.per_second;
    IF v_again THEN
        starts_in := v_room.starts_in - cardinality(array_positions(suppressed, false)) / per_second;
    ELSIF per_second IS NOT NULL THEN
        starts_in := reserve_sends(p_region, p_campaign_id, c.organization_id, v_room.free_from,
                                   cardinality(array_positions(suppressed, false)), per_second, v_room.share,
                                   p_catch_up);
    END IF;
    -- A checkpoint that was committed while its batch was being recorded has left its notes behind.
    IF NOT v_again THEN
        DELETE FROM campaign_batch_outcomes AS o WHERE o.batch_id = b.id;
    END IF;
    -- The mark is set with the claim: from its commit on, the first step may have been handed to SES. It never
    -- moves back.
    UPDATE campaign_batches
       SET claim_token = p_token, lease_ends_at = now() + make_interval(secs => p_lease_seconds),
           last_position = v_last, handed_by = p_token,
           handed_through = greatest(b.handed_through, positions[least(step, cardinality(positions))])
     WHERE id = b.id;
    -- The fence against a claim that nobody waits for any more: held up until its invocation may not start a send,
    -- it would keep recipients from others, and leave them in doubt, for nothing.
    IF clock_timestamp() > now() + make_interval(secs => p_seconds) THEN
        RAISE EXCEPTION 'the claim came too late for its invocation' USING ERRCODE = 'lock_not_available';
    END IF;
END
$$;
