-- What a CRM may do to recipients that are under way: a view that shows them, and triggers that protect them.

-- Returns true if a position in the range of an open batch is under way: its invocation has the lease, or may have
-- handed it to SES without recording it.
CREATE OR REPLACE FUNCTION batch_holds(b campaign_batches, p_position bigint) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN b.claim_token IS NOT NULL AND lease_holds(b.lease_ends_at)
       OR b.handed_by IS NOT NULL AND p_position <= b.handed_through;

-- A recipient is under way from the claim of its batch until its outcome is recorded: recipients up to the mark may
-- be at SES already, the others are in the memory of an invocation. (No column says so: claiming updates no
-- recipient.)
CREATE OR REPLACE VIEW recipients_under_way AS
SELECT r.campaign_id, r.id AS recipient_id, r.organization_id, r.email, r.position, b.id AS batch_id, b.lease_ends_at,
       r.position <= b.handed_through AND b.handed_by IS NOT NULL AS handed_over
  FROM campaign_batches AS b
  JOIN campaign_recipients AS r ON r.campaign_id = b.campaign_id
       AND r.position BETWEEN b.first_position AND b.last_position AND r.status = 'pending'
 WHERE b.closed_at IS NULL
   AND batch_holds(b, r.position);

-- Serializes a change of a campaign's recipients and the claims of that campaign: claims wait until this transaction
-- ends, and earlier claims are visible to the next statement. At REPEATABLE READ the next statement could not see
-- them, so such a transaction may change recipients only while the campaign cannot be claimed from.
CREATE OR REPLACE FUNCTION hold_claims(p_campaign_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_status text;
BEGIN
    SELECT status INTO v_status FROM campaigns WHERE id = p_campaign_id FOR KEY SHARE;
    IF v_status IN ('scheduled', 'sending') AND current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'campaign % is %: its recipients can be changed at READ COMMITTED only', p_campaign_id, v_status
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED, or pause the campaign first.';
    END IF;
    PERFORM FROM campaign_cursors WHERE campaign_id = p_campaign_id FOR SHARE;
    IF NOT FOUND AND v_status IN ('scheduled', 'sending') THEN
        INSERT INTO campaign_cursors (campaign_id) VALUES (p_campaign_id) ON CONFLICT DO NOTHING;
        PERFORM FROM campaign_cursors WHERE campaign_id = p_campaign_id FOR SHARE;
    ELSIF v_status NOT IN ('scheduled', 'sending') THEN
        -- The campaign cannot become `sending` until this transaction ends.
        PERFORM FROM campaigns WHERE id = p_campaign_id FOR SHARE;
    END IF;
END
$$;

-- Raises the error for a change of `count` recipients that are under way.
CREATE OR REPLACE FUNCTION refuse_under_way(p_campaign_id uuid, p_recipient_id uuid, p_count bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of these recipients of campaign % are with an invocation of send-batch and may be at Amazon SES (for example %)',
                    p_count, p_campaign_id, p_recipient_id
        USING ERRCODE = 'object_in_use',
              HINT = 'Set the campaign''s status to paused, and wait until the view recipients_under_way has none of its '
                     'recipients.';
END
$$;

-- The triggers below run with the rights of the tables' owner, so that a CRM's role needs none on the claims.

-- A recipient that is under way, or uncertain, keeps its id, campaign, organization, position, address and status,
-- because it is sent to, recorded and found again by these.
CREATE OR REPLACE FUNCTION guard_recipient_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v_count bigint;
BEGIN
    IF OLD.status = 'uncertain' THEN
        RAISE EXCEPTION 'recipient % of campaign % is uncertain: Amazon SES may have accepted the email to this address',
                        OLD.id, OLD.campaign_id
            USING ERRCODE = 'object_in_use', HINT = 'Settle it first: campaign resolve.';
    END IF;
    PERFORM hold_claims(OLD.campaign_id);
    SELECT count(*) INTO v_count FROM campaign_batches AS b
     WHERE b.campaign_id = OLD.campaign_id AND b.closed_at IS NULL
       AND OLD.position BETWEEN b.first_position AND b.last_position
       AND batch_holds(b, OLD.position);
    IF v_count > 0 THEN
        PERFORM refuse_under_way(OLD.campaign_id, OLD.id, 1);
    END IF;
    RETURN NULL;
END
$$;

-- (The trigger runs after the update, because a trigger before it would lock each recorded row once more. The
-- statements of this package set `previous_status` with each status and are not checked.)
CREATE OR REPLACE TRIGGER campaign_recipients_identity
    AFTER UPDATE OF id, campaign_id, organization_id, position, email ON campaign_recipients
    FOR EACH ROW WHEN ((OLD.status = 'pending'
                        OR OLD.status = 'uncertain' AND NEW.previous_status IS DISTINCT FROM OLD.status)
                       AND (OLD.id, OLD.campaign_id, OLD.organization_id, OLD.position, OLD.email)
                           IS DISTINCT FROM (NEW.id, NEW.campaign_id, NEW.organization_id, NEW.position, NEW.email))
    EXECUTE FUNCTION guard_recipient_update();

CREATE OR REPLACE TRIGGER campaign_recipients_status AFTER UPDATE OF status ON campaign_recipients
    FOR EACH ROW WHEN (OLD.status = 'pending' AND NEW.status IS DISTINCT FROM 'pending'
                       AND NEW.previous_status IS DISTINCT FROM OLD.status)
    EXECUTE FUNCTION guard_recipient_update();

-- Recipients that are under way cannot be deleted, each by itself or with their campaign.
CREATE OR REPLACE FUNCTION guard_recipient_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v_campaign_id uuid;
    v_id          uuid;
    v_count       bigint;
BEGIN
    FOR v_campaign_id IN SELECT DISTINCT campaign_id FROM deleted WHERE status = 'pending' ORDER BY 1 LOOP
        PERFORM hold_claims(v_campaign_id);
        SELECT count(*), (array_agg(d.id))[1] INTO v_count, v_id
          FROM campaign_batches AS b JOIN deleted AS d ON d.campaign_id = b.campaign_id AND d.status = 'pending'
               AND d.position BETWEEN b.first_position AND b.last_position
         WHERE b.campaign_id = v_campaign_id AND b.closed_at IS NULL
           AND batch_holds(b, d.position);
        IF v_count > 0 THEN
            PERFORM refuse_under_way(v_campaign_id, v_id, v_count);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER campaign_recipients_delete AFTER DELETE ON campaign_recipients
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION guard_recipient_delete();

CREATE OR REPLACE FUNCTION guard_recipient_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v record;
BEGIN
    SELECT campaign_id, count(*) AS count, (array_agg(recipient_id))[1] AS id INTO v
      FROM recipients_under_way GROUP BY campaign_id LIMIT 1;
    IF FOUND THEN
        PERFORM refuse_under_way(v.campaign_id, v.id, v.count);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER campaign_recipients_truncate BEFORE TRUNCATE ON campaign_recipients
    FOR EACH STATEMENT EXECUTE FUNCTION guard_recipient_truncate();

-- This runs before the rows that refer to the campaign are deleted, for example its batches.
CREATE OR REPLACE FUNCTION guard_campaign_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v_id    uuid;
    v_count bigint;
BEGIN
    PERFORM hold_claims(OLD.id);
    SELECT count(*), (array_agg(recipient_id))[1] INTO v_count, v_id
      FROM recipients_under_way WHERE campaign_id = OLD.id;
    IF v_count > 0 THEN
        PERFORM refuse_under_way(OLD.id, v_id, v_count);
    END IF;
    RETURN OLD;
END
$$;

CREATE OR REPLACE TRIGGER campaigns_delete BEFORE DELETE ON campaigns
    FOR EACH ROW EXECUTE FUNCTION guard_campaign_delete();
