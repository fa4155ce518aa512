-- Brings what is in the tables to the canonical form of addresses, and makes the index by which a campaign has each
-- mailbox once. On a new database there is nothing to bring. What had to be merged is told as notices, and once more as
-- the row that the file ends with.

-- The recipient that stands for this one, which has the same mailbox and was there when addresses were compared less
-- strictly. It gets no email of the campaign any more.
ALTER TABLE campaign_recipients ADD COLUMN IF NOT EXISTS duplicate_of uuid;

SELECT set_config('campaign.addresses_merged', 'nothing', false);

DO $$
DECLARE
    v_suppressions int;
    v_soft_bounces int;
    v_duplicates   int;
    v_failed       int;
    v_index        regclass;
BEGIN
    IF to_regclass('campaign_recipients_address') IS NOT NULL THEN
        RETURN;
    END IF;
    -- Nothing is inserted between the look and the index.
    LOCK TABLE campaign_recipients, suppressions, soft_bounces IN SHARE ROW EXCLUSIVE MODE;

    -- Whatever a CRM has indexed by the function whose form has changed. Its owner may be another role.
    FOR v_index IN
        SELECT i.indexrelid::regclass FROM pg_index AS i
         WHERE EXISTS (SELECT FROM pg_depend AS d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                          AND d.refclassid = 'pg_proc'::regclass
                          AND d.refobjid = 'normalized_address(text)'::regprocedure)
    LOOP
        BEGIN
            EXECUTE format('REINDEX INDEX %s', v_index);
            RAISE NOTICE 'index % is rebuilt: normalized_address() has become canonical_address()', v_index;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'index % must be rebuilt by its owner (REINDEX INDEX %): normalized_address() has become canonical_address()',
                v_index, v_index;
        END;
    END LOOP;

    -- Suppressions: of those that become one, the strongest reason and the earliest time stay.
    ALTER TABLE suppressions DROP CONSTRAINT IF EXISTS suppressions_email_check;
    WITH other AS (
        DELETE FROM suppressions WHERE email <> canonical_address(email)
        RETURNING organization_id, canonical_address(email) AS email, reason, created_at
    ),
    merged AS (
        INSERT INTO suppressions AS s (organization_id, email, reason, created_at)
        SELECT o.organization_id, o.email,
               (array_agg(o.reason ORDER BY suppression_strength(o.reason) DESC, o.created_at))[1], min(o.created_at)
          FROM other AS o GROUP BY o.organization_id, o.email
        ON CONFLICT (organization_id, email) DO UPDATE
           SET reason = CASE WHEN suppression_strength(excluded.reason) > suppression_strength(s.reason)
                             THEN excluded.reason ELSE s.reason END,
               created_at = least(s.created_at, excluded.created_at)
    )
    SELECT count(*) INTO v_suppressions FROM other;
    ALTER TABLE suppressions ADD CONSTRAINT suppressions_email_check CHECK (email = canonical_address(email));

    -- Soft bounces: those of all spellings count together, as far as they are kept.
    WITH other AS (
        DELETE FROM soft_bounces WHERE email <> canonical_address(email)
        RETURNING organization_id, canonical_address(email) AS email, bounces, delivered_at
    ),
    merged AS (
        INSERT INTO soft_bounces AS b (organization_id, email, bounces, delivered_at)
        SELECT o.organization_id, o.email, newest_soft_bounces(coalesce(jsonb_object_agg(e.key, e.value)
                                                                        FILTER (WHERE e.key IS NOT NULL), '{}')),
               max(o.delivered_at)
          FROM other AS o LEFT JOIN LATERAL jsonb_each(o.bounces) AS e ON true
         GROUP BY o.organization_id, o.email
        ON CONFLICT (organization_id, email) DO UPDATE
           SET bounces = newest_soft_bounces(b.bounces || excluded.bounces),
               delivered_at = greatest(b.delivered_at, excluded.delivered_at)
    )
    SELECT count(*) INTO v_soft_bounces FROM other;

    -- Recipients of one mailbox: the one that was sent stands for all, else the one in doubt, else one that an invocation
    -- may have handed to SES just now, else the next to be sent.
    CREATE TEMPORARY TABLE merged_recipients ON COMMIT DROP AS
    WITH mailbox AS (
        SELECT campaign_id, canonical_address(email) AS address FROM campaign_recipients
         GROUP BY campaign_id, canonical_address(email) HAVING count(*) > 1
    ),
    known AS (
        SELECT r.id, r.campaign_id, m.address, r.position, r.status, EXISTS (
                   SELECT FROM campaign_batches AS b
                    WHERE b.campaign_id = r.campaign_id AND b.closed_at IS NULL
                      AND r.position BETWEEN b.first_position AND b.last_position) AS claimed
          FROM mailbox AS m
          JOIN campaign_recipients AS r
            ON r.campaign_id = m.campaign_id AND canonical_address(r.email) = m.address
    ),
    ranked AS (
        SELECT k.*, first_value(k.id) OVER first AS stands
          FROM known AS k
        WINDOW first AS (PARTITION BY k.campaign_id, k.address
                             ORDER BY array_position(ARRAY['sent', 'uncertain', 'pending', 'failed', 'suppressed'],
                                                     k.status), k.claimed DESC, k.position)
    )
    SELECT id, campaign_id, stands, status = 'pending' AND NOT claimed AS fails FROM ranked WHERE id <> stands;

    UPDATE campaign_recipients AS r
       SET duplicate_of = m.stands,
           previous_status = CASE WHEN m.fails THEN r.status ELSE r.previous_status END,
           status = CASE WHEN m.fails THEN 'failed' ELSE r.status END,
           error_code = CASE WHEN m.fails THEN 'duplicate_address' ELSE r.error_code END,
           error = CASE WHEN m.fails THEN 'another recipient of the campaign has this mailbox' ELSE r.error END
      FROM merged_recipients AS m
     WHERE r.id = m.id AND r.campaign_id = m.campaign_id;
    UPDATE campaigns AS c SET failed_count = c.failed_count + n.failed
      FROM (SELECT campaign_id, count(*) AS failed FROM merged_recipients WHERE fails GROUP BY campaign_id) AS n
     WHERE c.id = n.campaign_id;
    SELECT count(*), count(*) FILTER (WHERE fails) INTO v_duplicates, v_failed FROM merged_recipients;

    IF v_suppressions + v_soft_bounces + v_duplicates > 0 THEN
        PERFORM set_config('campaign.addresses_merged', format(
            '%s suppressions and %s addresses with soft bounces are in the canonical form now; %s recipients have a '
            'mailbox that another one of their campaign has, and %s of them, which were not sent yet, are failed as '
            'duplicate_address', v_suppressions, v_soft_bounces, v_duplicates, v_failed), false);
        RAISE NOTICE '%', current_setting('campaign.addresses_merged');
    END IF;

    -- Each mailbox once per campaign.
    CREATE UNIQUE INDEX campaign_recipients_address
        ON campaign_recipients (campaign_id, canonical_address(email) COLLATE "C") WHERE duplicate_of IS NULL;
    DROP INDEX IF EXISTS campaign_recipients_email;
END
$$;

SELECT current_setting('campaign.addresses_merged') AS addresses_merged;
