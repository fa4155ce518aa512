-- Brings tables that were made by release 0.1, or before it, to the newest version of the schema, while functions run.
--
-- A line `-- step KIND: what it does` begins a step. `campaign migrate` runs the steps in their order; each may be run
-- again, so a migration that was interrupted goes on. Kinds:
--   transaction    one transaction, which waits for a lock for a moment only, and is tried again when it does not get it
--   portions       the same, again and again: it goes on after the setting `campaign.after`, and sets `campaign.next` to
--                  what is to be `campaign.after` the next time; empty: it is done
--   concurrently   a statement that cannot be in a transaction and holds no lock that a function waits for
--   index          the same for the unique index of that name; where rows were not unique, the step before it is run
--                  again first
--   statements     a query; its rows are statements that are run as `concurrently` is
-- What a step sets `campaign.notice` to is shown.

-- step transaction: the canonical form of addresses
{addresses}

-- (What release 0.1 compares by, normalized_address, keeps its form until the switch.)
CREATE OR REPLACE FUNCTION time_ordered_uuid() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
        substring(int8send((date_part('epoch', clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        52, 1), 53, 1), 'hex')::uuid;

-- step transaction: columns of campaigns
ALTER TABLE campaigns ADD COLUMN IF NOT EXISTS unsubscribed_count int NOT NULL DEFAULT 0;
ALTER TABLE campaigns SET (fillfactor = 50, toast_tuple_target = 128);
CREATE INDEX IF NOT EXISTS campaigns_live ON campaigns (scheduled_at) WHERE status IN ('scheduled', 'sending');
CREATE INDEX IF NOT EXISTS campaigns_completed ON campaigns (completed_at) WHERE status = 'sent';

-- step transaction: columns of campaign_recipients
ALTER TABLE campaign_recipients
    ADD COLUMN IF NOT EXISTS customer_ref text,
    ADD COLUMN IF NOT EXISTS unsubscribed_at timestamptz,
    ADD COLUMN IF NOT EXISTS duplicate_of uuid,
    ALTER COLUMN id SET DEFAULT time_ordered_uuid(),
    ALTER COLUMN position SET START WITH 1000000000001,
    SET (fillfactor = 35);
-- Default positions continue far beyond those that a CRM assigns itself.
SELECT setval(pg_get_serial_sequence('campaign_recipients', 'position'), 1000000000001, false)
 WHERE (SELECT coalesce(last_value, 0) < 1000000000000 FROM pg_sequences
         WHERE schemaname = current_schema()
           AND sequencename = split_part(pg_get_serial_sequence('campaign_recipients', 'position'), '.', 2));

-- step transaction: the default of activities, where they are this package's own
DO $$
BEGIN
    IF obj_description(to_regclass('activities'), 'pg_class') = 'made by campaign-sender' THEN
        ALTER TABLE activities ALTER COLUMN id SET DEFAULT time_ordered_uuid();
    END IF;
    IF to_regclass('opted_out') IS NULL THEN
        CREATE VIEW opted_out AS SELECT NULL::uuid AS organization_id, NULL::text AS email WHERE false;
    END IF;
END
$$;

-- step transaction: columns of campaign_cursors
ALTER TABLE campaign_cursors
    ADD COLUMN IF NOT EXISTS doubt_examined_at timestamptz,
    ADD COLUMN IF NOT EXISTS counted_at timestamptz,
    ADD COLUMN IF NOT EXISTS templates_hash text,
    ADD COLUMN IF NOT EXISTS lost_count int NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS lost_at timestamptz,
    ADD COLUMN IF NOT EXISTS search_count int NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS searched_at timestamptz;

-- step transaction: columns of campaign_batches
ALTER TABLE campaign_batches
    ADD COLUMN IF NOT EXISTS number bigint,
    ADD COLUMN IF NOT EXISTS claimed_count int,
    ADD COLUMN IF NOT EXISTS claimed_through bigint,
    ADD COLUMN IF NOT EXISTS closed_through bigint;

-- step transaction: columns of recipient_events
ALTER TABLE recipient_events
    ADD COLUMN IF NOT EXISTS made_by text,
    ADD COLUMN IF NOT EXISTS count int NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS newest timestamptz[];

-- step transaction: tables that are new
CREATE TABLE IF NOT EXISTS campaign_attempts (
    campaign_id uuid PRIMARY KEY,
    attempts    int NOT NULL,
    retry_at    timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS database_history (
    one               boolean PRIMARY KEY DEFAULT true CHECK (one),
    system_identifier bigint,
    database_oid      oid,
    timeline          text,
    written_by        xid,
    changes           int NOT NULL DEFAULT 0,
    changed_at        timestamptz,
    hold_until        timestamptz,
    reason            text
);
CREATE TABLE IF NOT EXISTS send_shares (
    region           text NOT NULL,
    campaign_id      uuid NOT NULL,
    organization_id  uuid NOT NULL,
    region_free_from timestamptz NOT NULL,
    free_from        timestamptz NOT NULL,
    wants_until      timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS soft_bounces (
    organization_id uuid NOT NULL,
    email           text NOT NULL,
    bounces         jsonb NOT NULL,
    delivered_at    timestamptz,
    PRIMARY KEY (organization_id, email)
) WITH (fillfactor = 50);
ALTER TABLE soft_bounces ADD COLUMN IF NOT EXISTS suppressed_at timestamptz;
CREATE TABLE IF NOT EXISTS campaign_feedback (
    campaign_id       uuid PRIMARY KEY REFERENCES campaigns (id) ON DELETE CASCADE,
    organization_id   uuid NOT NULL,
    first_at          timestamptz NOT NULL DEFAULT now(),
    delivered         int NOT NULL DEFAULT 0,
    bounced           int NOT NULL DEFAULT 0,
    complained        int NOT NULL DEFAULT 0,
    judged_delivered  int NOT NULL DEFAULT 0,
    judged_bounced    int NOT NULL DEFAULT 0,
    judged_complained int NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS campaign_feedback_recent ON campaign_feedback (organization_id, first_at);
ALTER TABLE campaign_feedback
    ADD COLUMN IF NOT EXISTS rejected int NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS judged_rejected int NOT NULL DEFAULT 0;

-- step transaction: the rights that roles have on these tables, for what is new in them
DO $$
DECLARE
    v record;
BEGIN
    -- The rights that a role needs now, by the rights that it has. (A role with rights on columns gets rights on columns.)
    FOR v IN
        SELECT DISTINCT grantee, needs FROM (
            SELECT grantee, table_name, privilege_type, NULL AS column_name FROM information_schema.role_table_grants
             WHERE table_schema = current_schema()
            UNION ALL
            SELECT grantee, table_name, privilege_type, column_name FROM information_schema.role_column_grants
             WHERE table_schema = current_schema()) AS has
          JOIN (VALUES
            ('campaign_cursors', 'INSERT', NULL, 'SELECT, INSERT, UPDATE, DELETE ON campaign_attempts'),
            ('campaign_cursors', 'INSERT', NULL, 'SELECT, INSERT, UPDATE, DELETE ON send_shares'),
            ('campaign_cursors', 'INSERT', NULL, 'SELECT, INSERT, UPDATE ON database_history'),
            ('campaign_cursors', 'INSERT', NULL, 'SELECT ON opted_out'),
            ('campaign_batches', 'INSERT', NULL, 'UPDATE (position) ON campaign_recipients'),
            ('campaign_batches', 'INSERT', NULL, format('USAGE ON SEQUENCE %s', pg_get_serial_sequence('campaign_recipients', 'position'))),
            ('campaign_recipients', 'SELECT', 'customer_id', 'SELECT (customer_ref) ON campaign_recipients'),
            ('campaign_recipients', 'SELECT', 'customer_id', 'SELECT (unsubscribed_at) ON campaign_recipients'),
            ('campaign_recipients', 'SELECT', 'customer_id', 'SELECT (duplicate_of) ON campaign_recipients'),
            ('recipient_events', 'INSERT', NULL, 'UPDATE (count, newest) ON recipient_events'),
            ('recipient_events', 'INSERT', NULL, 'SELECT, INSERT, UPDATE ON soft_bounces'),
            ('recipient_events', 'INSERT', NULL, 'SELECT, INSERT, UPDATE ON campaign_feedback'),
            ('recipient_events', 'INSERT', NULL, 'SELECT ON campaign_batches')
          ) AS now_needed (table_name, privilege_type, column_name, needs)
            ON now_needed.table_name = has.table_name AND now_needed.privilege_type = has.privilege_type
           AND now_needed.column_name IS NOT DISTINCT FROM has.column_name
         WHERE grantee NOT IN ('PUBLIC', current_user)
    LOOP
        EXECUTE format('GRANT %s TO %I', v.needs, v.grantee);
    END LOOP;
END
$$;

-- step transaction: suppressions are also in the canonical form
-- (A copy: what release 0.1 looks for stays as well, until the switch.)
ALTER TABLE suppressions DROP CONSTRAINT IF EXISTS suppressions_email_check;
{suppressions}

-- step portions: what each batch knows of its campaign's cursor
-- Of these, only what the newest batch of a campaign knows is used: the switch sets it.
WITH portion AS (
    SELECT id FROM campaign_batches
     WHERE id > coalesce(nullif(current_setting('campaign.after', true), ''), '-9223372036854775808')::bigint
     ORDER BY id LIMIT 5000
),
filled AS (
    UPDATE campaign_batches AS b
       SET number = coalesce(b.number, b.id), claimed_through = coalesce(b.claimed_through, b.last_position),
           closed_through = coalesce(b.closed_through, -1)
      FROM portion AS p
     WHERE b.id = p.id AND (b.number IS NULL OR b.claimed_through IS NULL OR b.closed_through IS NULL)
)
SELECT set_config('campaign.next', coalesce(max(id)::text, ''), true) FROM portion;

-- step index: campaign_batches_number
CREATE UNIQUE INDEX CONCURRENTLY campaign_batches_number ON campaign_batches (campaign_id, number);

-- step concurrently: the index of open batches
CREATE INDEX CONCURRENTLY IF NOT EXISTS campaign_batches_open ON campaign_batches (campaign_id, first_position)
    WHERE closed_at IS NULL;

-- step portions: the events of one kind become one row
DO $$
DECLARE
    v_after   uuid := coalesce(nullif(current_setting('campaign.after', true), ''), '00000000-0000-0000-0000-000000000000');
    v_through uuid;
    v_next    text;
BEGIN
    v_through := (SELECT recipient_id FROM recipient_events WHERE recipient_id > v_after
                   ORDER BY recipient_id OFFSET 20000 LIMIT 1);
    v_next := coalesce(v_through::text, '');
    -- The last portion.
    v_through := coalesce(v_through, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    WITH kind AS MATERIALIZED (
        SELECT recipient_id, action, key, min(occurred_at) AS first
          FROM recipient_events
         WHERE recipient_id > v_after AND recipient_id <= v_through
         GROUP BY recipient_id, action, key HAVING count(*) > 1
    ),
    gone AS (
        DELETE FROM recipient_events AS e USING kind AS k
         WHERE e.recipient_id > v_after AND e.recipient_id <= v_through
           AND e.recipient_id = k.recipient_id AND e.action = k.action AND e.key = k.key AND e.occurred_at > k.first
        RETURNING e.recipient_id, e.action, e.key, e.count
    )
    UPDATE recipient_events AS e SET count = e.count + g.count
      FROM (SELECT recipient_id, action, key, sum(count)::int AS count FROM gone GROUP BY 1, 2, 3) AS g
      JOIN kind AS k USING (recipient_id, action, key)
     WHERE e.recipient_id > v_after AND e.recipient_id <= v_through
       AND e.recipient_id = g.recipient_id AND e.action = g.action AND e.key = g.key AND e.occurred_at = k.first;
    PERFORM set_config('campaign.next', v_next, true);
END
$$;

-- step index: recipient_events_kind
CREATE UNIQUE INDEX CONCURRENTLY recipient_events_kind ON recipient_events (recipient_id, action, key);

-- step transaction: one row for each kind of event
DO $$
BEGIN
    IF (SELECT cardinality(conkey) FROM pg_constraint
         WHERE conrelid = 'recipient_events'::regclass AND contype = 'p') = 4 THEN
        ALTER TABLE recipient_events DROP CONSTRAINT recipient_events_pkey,
            ADD CONSTRAINT recipient_events_pkey PRIMARY KEY USING INDEX recipient_events_kind;
    ELSE
        DROP INDEX IF EXISTS recipient_events_kind;
    END IF;
END
$$;

-- step portions: recipients that have the same mailbox as another one of their campaign
-- One campaign at a time. Its claims wait only while what was found is marked.
DO $$
DECLARE
    v_campaign_id uuid;
    v_count       bigint;
    v_failed      bigint;
BEGIN
    SELECT id INTO v_campaign_id FROM campaigns
     WHERE id > coalesce(nullif(current_setting('campaign.after', true), ''), '00000000-0000-0000-0000-000000000000')::uuid
       -- If the index exists, there are none.
       AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('campaign_recipients_address') AND indisvalid)
     ORDER BY id LIMIT 1;
    PERFORM set_config('campaign.next', coalesce(v_campaign_id::text, ''), true), set_config('work_mem', '64MB', true);
    CREATE TEMPORARY TABLE same_mailbox ON COMMIT DROP AS
    SELECT r.id, canonical_address(r.email) AS address FROM campaign_recipients AS r
     WHERE r.campaign_id = v_campaign_id AND r.duplicate_of IS NULL
       AND canonical_address(r.email) COLLATE "C" IN (
               SELECT canonical_address(s.email) COLLATE "C" FROM campaign_recipients AS s
                WHERE s.campaign_id = v_campaign_id AND s.duplicate_of IS NULL
                GROUP BY 1 HAVING count(*) > 1);
    IF NOT EXISTS (SELECT FROM same_mailbox) THEN
        RETURN;
    END IF;
    -- Nothing is claimed until this is committed, and earlier claims are visible to the next statement.
    PERFORM FROM campaign_cursors WHERE campaign_id = v_campaign_id FOR UPDATE;
    -- The recipient that was sent stands for all, else the uncertain one, else one that an invocation may have handed
    -- to SES just now, else the next to be sent.
    CREATE TEMPORARY TABLE merged ON COMMIT DROP AS
    WITH known AS (
        SELECT r.id, m.address, r.position, r.status, EXISTS (
                   SELECT FROM campaign_batches AS b
                    WHERE b.campaign_id = r.campaign_id AND b.closed_at IS NULL
                      AND r.position BETWEEN b.first_position AND b.last_position
                      AND (b.claim_token IS NOT NULL AND b.lease_ends_at >= clock_timestamp()
                           OR b.handed_by IS NOT NULL AND r.position <= b.handed_through)) AS under_way
          FROM same_mailbox AS m JOIN campaign_recipients AS r ON r.id = m.id
         WHERE canonical_address(r.email) = m.address
    ),
    ranked AS (
        SELECT k.*, first_value(k.id) OVER (
                   PARTITION BY k.address
                   ORDER BY array_position(ARRAY['sent', 'uncertain', 'pending', 'failed', 'suppressed'], k.status),
                            k.under_way DESC, k.position) AS stands
          FROM known AS k
    )
    SELECT id, stands, status = 'pending' AND NOT under_way AS fails FROM ranked WHERE id <> stands;
    UPDATE campaign_recipients AS r
       SET duplicate_of = m.stands,
           previous_status = CASE WHEN m.fails THEN r.status ELSE r.previous_status END,
           status = CASE WHEN m.fails THEN 'failed' ELSE r.status END,
           error_code = CASE WHEN m.fails THEN 'duplicate_address' ELSE r.error_code END,
           error = CASE WHEN m.fails THEN 'another recipient of the campaign has this mailbox' ELSE r.error END
      FROM merged AS m
     WHERE r.id = m.id AND r.campaign_id = v_campaign_id;
    SELECT count(*), count(*) FILTER (WHERE fails) INTO v_count, v_failed FROM merged;
    UPDATE campaigns SET failed_count = failed_count + v_failed::int WHERE id = v_campaign_id AND v_failed > 0;
    PERFORM set_config('campaign.notice', format(
        'campaign %s: %s recipients have a mailbox that another recipient of the campaign has; %s of them, which were '
        'not sent yet, are failed as duplicate_address', v_campaign_id, v_count, v_failed), true);
END
$$;

-- step index: campaign_recipients_address
CREATE UNIQUE INDEX CONCURRENTLY campaign_recipients_address
    ON campaign_recipients (campaign_id, canonical_address(email) COLLATE "C") WHERE duplicate_of IS NULL;

-- step transaction: the switch
-- Claims of release 0.1 and of this one never meet: nothing is claimed while this is under way, and what comes after it
-- is claimed by the functions of this release, whichever release asks.
LOCK TABLE campaign_cursors IN EXCLUSIVE MODE;
LOCK TABLE campaign_batches, send_rates, send_shares, suppressions, campaign_recipients, campaigns
    IN SHARE ROW EXCLUSIVE MODE;

-- Claims of functions older than release 0.1 use the same functions from now on.
DO $$
BEGIN
    IF to_regprocedure('claim_batch(uuid, uuid, int, float8, boolean, bigint, int, text, float8, float8)') IS NOT NULL THEN
        PERFORM set_config('campaign.before_0_1', 'true', true);
    END IF;
END
$$;
DROP FUNCTION IF EXISTS claim_batch(uuid, uuid, int, float8, boolean, bigint, int, text, float8, float8),
    claim_next_batch(uuid, uuid, int, float8, boolean, bigint, int, text, float8, float8, float8, text),
    send_room(text, float8, uuid, uuid, float8), want_to_send(text, uuid, uuid),
    reserve_sends(text, uuid, int, float8, float8), reserve_sends(text, uuid, uuid, int, float8, float8);

UPDATE campaign_batches
   SET number = coalesce(number, id), claimed_through = coalesce(claimed_through, last_position),
       closed_through = coalesce(closed_through, -1)
 WHERE number IS NULL OR claimed_through IS NULL OR closed_through IS NULL;

-- The cursor, which was in campaign_cursors, goes into the newest batch.
DO $$
DECLARE
    v_columns text[] := ARRAY(SELECT attname::text FROM pg_attribute
                               WHERE attrelid = 'campaign_cursors'::regclass AND NOT attisdropped
                                 AND attname IN ('claimed_through', 'closed_through'));
BEGIN
    IF 'claimed_through' = ANY (v_columns) THEN
        EXECUTE format('
            UPDATE campaign_batches AS b SET claimed_through = k.claimed_through, closed_through = %s
              FROM campaign_cursors AS k, (SELECT campaign_id, max(number) AS number FROM campaign_batches
                                            GROUP BY campaign_id) AS newest
             WHERE b.campaign_id = newest.campaign_id AND b.number = newest.number AND k.campaign_id = b.campaign_id',
            CASE WHEN 'closed_through' = ANY (v_columns) THEN 'k.closed_through' ELSE '-1' END);
    END IF;
END
$$;
INSERT INTO campaign_cursors (campaign_id)
SELECT DISTINCT campaign_id FROM campaign_batches ON CONFLICT DO NOTHING;
ALTER TABLE campaign_batches
    ALTER COLUMN number SET NOT NULL,
    ALTER COLUMN claimed_through SET NOT NULL,
    ALTER COLUMN closed_through SET NOT NULL,
    DROP CONSTRAINT IF EXISTS campaign_batches_campaign_id_fkey,
    ADD CONSTRAINT campaign_batches_campaign_id_fkey
        FOREIGN KEY (campaign_id) REFERENCES campaign_cursors (campaign_id) ON DELETE CASCADE NOT VALID;

-- Reservations of the rate, which were one row for each campaign.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'send_shares'::regclass AND attname = 'asked_at'
                  AND NOT attisdropped) THEN
        ALTER TABLE send_shares DROP CONSTRAINT send_shares_pkey,
            ADD COLUMN region_free_from timestamptz, ADD COLUMN wants_until timestamptz,
            ALTER COLUMN free_from DROP DEFAULT;
        UPDATE send_shares AS s
           SET region_free_from = coalesce((SELECT r.free_from FROM send_rates AS r WHERE r.region = s.region), now()),
               wants_until = greatest(s.free_from, s.asked_at + interval '30 seconds');
        ALTER TABLE send_shares DROP COLUMN asked_at,
            ALTER COLUMN region_free_from SET NOT NULL, ALTER COLUMN wants_until SET NOT NULL;
    END IF;
END
$$;
CREATE INDEX IF NOT EXISTS send_shares_wanted ON send_shares (region, wants_until);

{suppressions}

CREATE TABLE IF NOT EXISTS campaign_schema (
    version         int PRIMARY KEY,
    compatible_from int NOT NULL,
    functions_hash  text,
    recorded_at     timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON campaign_schema TO PUBLIC;

{later_versions}

{functions}

DO $body$
BEGIN
    IF current_setting('campaign.before_0_1', true) = 'true' THEN
        CREATE FUNCTION claim_batch(
            p_campaign_id uuid, p_token uuid, p_size int, p_lease_seconds double precision, p_alone boolean,
            p_bytes bigint, p_variables_limit int, p_region text, p_per_second double precision,
            p_seconds double precision,
            OUT verdict text, OUT retry_seconds double precision,
            OUT batch_id bigint, OUT step int, OUT starts_in double precision, OUT per_second double precision,
            OUT outcomes jsonb, OUT refusal text, OUT refusal_count int,
            OUT positions bigint[], OUT ids uuid[], OUT emails text[], OUT names text[], OUT variables text[],
            OUT variables_bytes int[], OUT suppressed boolean[]
        )
        LANGUAGE sql AS $$
            SELECT * FROM claim_batch(p_campaign_id, p_token, p_size, p_lease_seconds, p_alone, p_bytes,
                                      p_variables_limit, p_region, p_per_second, p_seconds, 0.25)
        $$;
    END IF;
END
$body$;

-- step transaction: addresses are in the canonical form only
WITH other AS (
    DELETE FROM suppressions WHERE email <> canonical_address(email) RETURNING 1
)
SELECT set_config('campaign.notice', count(*) || ' suppressions are in the canonical form of addresses now', true)
  FROM other HAVING count(*) > 0;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'suppressions'::regclass
                      AND conname = 'suppressions_email_check') THEN
        ALTER TABLE suppressions ADD CONSTRAINT suppressions_email_check
            CHECK (email = canonical_address(email)) NOT VALID;
    END IF;
END
$$;

-- step transaction: the soft bounces of all spellings of an address count together
WITH other AS (
    DELETE FROM soft_bounces WHERE email <> canonical_address(email)
    RETURNING organization_id, canonical_address(email) AS email, bounces, delivered_at
),
merged AS (
    INSERT INTO soft_bounces AS b (organization_id, email, bounces, delivered_at)
    SELECT o.organization_id, o.email,
           newest_soft_bounces(coalesce(jsonb_object_agg(e.key, e.value) FILTER (WHERE e.key IS NOT NULL), '{}')),
           max(o.delivered_at)
      FROM other AS o LEFT JOIN LATERAL jsonb_each(o.bounces) AS e ON true
     GROUP BY o.organization_id, o.email
    ON CONFLICT (organization_id, email) DO UPDATE
       SET bounces = newest_soft_bounces(b.bounces || excluded.bounces),
           delivered_at = greatest(b.delivered_at, excluded.delivered_at)
)
SELECT set_config('campaign.notice', count(*) || ' addresses with soft bounces are in the canonical form now', true)
  FROM other HAVING count(*) > 0;

-- step transaction: the checks hold for old rows
ALTER TABLE suppressions VALIDATE CONSTRAINT suppressions_email_check;
ALTER TABLE campaign_batches VALIDATE CONSTRAINT campaign_batches_campaign_id_fkey;

-- step statements: indexes by normalized_address, whose form has changed
SELECT format('REINDEX INDEX CONCURRENTLY %s', i.indexrelid::regclass) FROM pg_index AS i
 WHERE EXISTS (SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_proc'::regclass
                  AND d.refobjid = to_regprocedure('normalized_address(text)'));

-- step concurrently: an index that nothing uses any more
DROP INDEX CONCURRENTLY IF EXISTS campaign_batches_newest;
