-- A database that went back in time: how it is noticed, and when nothing is claimed.

-- The identity of this database, as far as the role may read it and the server reports it (Aurora refuses the
-- functions of the write-ahead log). `flushed` is the end of the durable log, so it never goes back on one timeline,
-- not even in a crash.
CREATE OR REPLACE FUNCTION database_identity(
    OUT system_identifier bigint, OUT database_oid oid, OUT timeline text, OUT flushed pg_lsn
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    SELECT oid INTO database_oid FROM pg_database WHERE datname = current_database();
    BEGIN
        flushed := pg_current_wal_flush_lsn();
        timeline := left(pg_walfile_name(flushed), 8);
    EXCEPTION WHEN OTHERS THEN
        flushed := NULL;
    END;
    BEGIN
        SELECT c.system_identifier INTO system_identifier FROM pg_control_system() AS c;
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
END
$$;

-- Compares the database with what the last claim saw. If it is another database, or is behind what the caller has
-- seen (p_witness, the result of an earlier call), nothing is claimed for p_hold_seconds, so that SES's events can
-- show what the database has lost. `reason` and `hold_seconds` are null if claims are allowed.
--   A standby was promoted, or the log went back: claims are held, and then campaigns continue.
--   The rows were restored into another server, another database or this one: nobody knows how old they are, and a copy
--   may be sending beside its original. So the campaigns that are due are paused, until a person resumes them.
CREATE OR REPLACE FUNCTION watch_history(
    p_witness text, p_hold_seconds double precision,
    OUT reason text, OUT hold_seconds double precision, OUT witness text
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    i record;
    h record;
    v_seen_changes int := nullif(split_part(p_witness, ' ', 1), '')::int;
    v_seen pg_lsn := nullif(split_part(p_witness, ' ', 2), '')::pg_lsn;
    v_copied text;
    v_back text;
    v_paused boolean := false;
BEGIN
    SELECT * INTO i FROM database_identity();
    -- It is read without a lock, and read again with a lock if something has to be written.
    FOR v_locked IN 0..1 LOOP
        IF v_locked = 1 THEN
            INSERT INTO database_history (one) VALUES (true) ON CONFLICT DO NOTHING;
            -- (It does not wait for the lock, because the lock's holder may be waiting for this campaign.)
            PERFORM FROM database_history FOR UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                reason := 'another invocation is comparing the database with what the last claim saw';
                hold_seconds := 1;
                RETURN;
            END IF;
        END IF;
        SELECT d.*, d.xmin AS row_written_by INTO h FROM database_history AS d;
        CONTINUE WHEN NOT FOUND;
        v_copied := CASE
            WHEN h.system_identifier <> i.system_identifier
            THEN format('its server has the system identifier %s, and had %s', i.system_identifier, h.system_identifier)
            WHEN h.database_oid <> i.database_oid THEN 'its tables come from another database of this server'
            WHEN h.written_by <> h.row_written_by THEN 'its rows were written again, as a restore does' END;
        v_back := CASE
            WHEN h.timeline <> i.timeline
            THEN format('the timeline of its server is %s, and was %s: a standby was promoted, or a backup restored',
                        ltrim(i.timeline, '0'), ltrim(h.timeline, '0'))
            WHEN v_seen_changes > h.changes OR v_seen_changes = h.changes AND v_seen > i.flushed
            THEN 'its write-ahead log is behind what this function has seen: a backup or snapshot was restored' END;
        EXIT WHEN coalesce(v_copied, v_back) IS NULL AND h.written_by IS NOT NULL
              AND (h.system_identifier IS NOT NULL OR i.system_identifier IS NULL)
              AND (h.timeline IS NOT NULL OR i.timeline IS NULL);
        CONTINUE WHEN v_locked = 0;
        IF v_copied IS NOT NULL THEN
            h.reason := 'the database may lack what it had committed: ' || v_copied;
            UPDATE campaigns SET status = 'paused',
                   status_reason = h.reason || '. If it is a restored one, follow docs/restore.md before you resume'
             WHERE status IN ('scheduled', 'sending');
            v_paused := true;
        ELSIF v_back IS NOT NULL THEN
            h.reason := 'the database may lack what it had committed: ' || v_back;
        END IF;
        IF coalesce(v_copied, v_back) IS NOT NULL THEN
            h.changes := greatest(h.changes, v_seen_changes) + 1;
            h.changed_at := clock_timestamp();
            h.hold_until := clock_timestamp() + make_interval(secs => p_hold_seconds);
            RAISE WARNING '%', h.reason;
        END IF;
        UPDATE database_history
           SET system_identifier = coalesce(i.system_identifier, system_identifier), database_oid = i.database_oid,
               timeline = coalesce(i.timeline, timeline), changes = h.changes, changed_at = h.changed_at,
               hold_until = h.hold_until, reason = h.reason;
        -- The transaction that wrote the row a moment ago.
        UPDATE database_history SET written_by = xmin;
    END LOOP;
    witness := concat_ws(' ', h.changes, i.flushed);
    -- (If a hold ends later than possible, it was set before the clock was set back.)
    IF h.hold_until > clock_timestamp()
       AND h.hold_until <= clock_timestamp() + make_interval(secs => p_hold_seconds) THEN
        reason := h.reason;
        hold_seconds := extract(epoch FROM h.hold_until - clock_timestamp());
    ELSIF v_paused THEN
        reason := h.reason;
        hold_seconds := 0;
    END IF;
END
$$;
