-- The changes of the function `unsubscribe`, which is open to the internet. These functions have their owner's
-- rights, so that its role needs none on the tables: a caller reaches only the recipient whose id and organization a
-- token names.

-- If an entry is changed without naming a link, no link can take it back any more.
CREATE OR REPLACE FUNCTION own_suppression() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.link_recipient_id := NULL;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER suppressions_owned BEFORE UPDATE ON suppressions
    FOR EACH ROW WHEN (OLD.link_recipient_id = NEW.link_recipient_id
                       AND OLD.outweighs_bounce = NEW.outweighs_bounce)
    EXECUTE FUNCTION own_suppression();

-- Returns true if a link may change something again: at most once a minute, so that nobody fills the timeline with
-- one token. (A time in the future was written before PostgreSQL's clock was set back.)
CREATE OR REPLACE FUNCTION link_has_rested(link_used_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN link_used_at IS NULL OR link_used_at <= now() - interval '1 minute' OR link_used_at > now();

-- The recipient that a token names, if it is of that organization, with the canonical form of its address.
CREATE OR REPLACE FUNCTION recipient_of_link(p_recipient_id uuid, p_organization_id uuid)
RETURNS TABLE (id uuid, organization_id uuid, campaign_id uuid, customer_id uuid, customer_ref text, email text,
               name text, message_id text, address text, campaign_name text, created_by uuid, from_address text)
LANGUAGE sql STABLE AS $$
    SELECT r.id, r.organization_id, r.campaign_id, r.customer_id, r.customer_ref, r.email, r.name, r.message_id,
           canonical_address(r.email), c.name, c.created_by, c.from_address
      FROM campaign_recipients AS r JOIN campaigns AS c ON c.id = r.campaign_id
     WHERE r.id = p_recipient_id AND c.organization_id = p_organization_id
$$;

-- The data of a recipient for the page: the reason for which the address is suppressed, and whether this link may
-- take that back. A suppression for all organizations cannot be taken back by one of them.
CREATE OR REPLACE FUNCTION look_by_link(p_recipient_id uuid, p_organization_id uuid)
RETURNS TABLE (email text, from_address text, reason text, changed boolean, revocable boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT k.email, k.from_address, CASE WHEN a.reason <> 'bounce' THEN 'manual' ELSE s.reason END, false,
           coalesce(s.link_recipient_id = k.id, false)
      FROM recipient_of_link(p_recipient_id, p_organization_id) AS k
      LEFT JOIN suppressions AS s ON s.organization_id = k.organization_id AND s.email = k.address
      LEFT JOIN suppressions AS a
             ON a.organization_id = '00000000-0000-0000-0000-000000000000' AND a.email = k.address
$$;

-- Unsubscribes a recipient: the suppression, the recipient's mark and the campaign's counter. Running it again
-- changes nothing. The activity is made from the row that it returns.
CREATE OR REPLACE FUNCTION unsubscribe_by_link(p_recipient_id uuid, p_organization_id uuid)
RETURNS TABLE (id uuid, organization_id uuid, campaign_id uuid, customer_id uuid, customer_ref text, email text,
               name text, message_id text, campaign_name text, created_by uuid, from_address text,
               reason text, changed boolean, revocable boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH known AS MATERIALIZED (
        SELECT * FROM recipient_of_link(p_recipient_id, p_organization_id)
    ),
    -- If two statements run at once, the second waits for the first and then finds nothing to mark.
    marked AS (
        UPDATE campaign_recipients AS r SET unsubscribed_at = now(), link_used_at = now()
          FROM known AS k
         WHERE r.id = k.id AND r.campaign_id = k.campaign_id AND r.unsubscribed_at IS NULL
        RETURNING r.id
    ),
    -- A reason is only replaced by a stronger one: an unsubscribe is stronger than a bounce, and weaker than a
    -- complaint or `manual`. If another link made the entry, both links have confirmed it now, and neither can take
    -- it back. Rows are locked in one order everywhere: recipient, suppression, campaign.
    suppressed AS (
        INSERT INTO suppressions AS s (organization_id, email, reason, link_recipient_id)
        SELECT k.organization_id, k.address, 'unsubscribe', k.id FROM known AS k
         WHERE (SELECT count(*) FROM marked) >= 0
        ON CONFLICT (organization_id, email) DO UPDATE
           SET reason = excluded.reason,
               link_recipient_id = CASE WHEN s.reason = 'bounce' THEN excluded.link_recipient_id END,
               outweighs_bounce = s.outweighs_bounce OR s.reason = 'bounce'
         WHERE s.reason = 'bounce' OR s.reason = 'unsubscribe' AND s.link_recipient_id <> excluded.link_recipient_id
        RETURNING s.link_recipient_id IS NOT NULL AS is_new
    ),
    counted AS (
        UPDATE campaigns AS c SET unsubscribed_count = c.unsubscribed_count + 1
          FROM known AS k
         WHERE c.id = k.campaign_id AND EXISTS (SELECT FROM marked) AND (SELECT count(*) FROM suppressed) >= 0
    )
    SELECT k.id, k.organization_id, k.campaign_id, k.customer_id, k.customer_ref, k.email, k.name, k.message_id,
           k.campaign_name, k.created_by, k.from_address,
           CASE WHEN s.reason IN ('complaint', 'manual') THEN s.reason ELSE 'unsubscribe' END,
           -- This holds also if the mark is old and the suppression was removed since.
           EXISTS (SELECT FROM marked) OR EXISTS (SELECT FROM suppressed WHERE is_new),
           s.email IS NULL OR s.reason = 'bounce' OR coalesce(s.link_recipient_id = k.id, false)
      FROM known AS k
      LEFT JOIN suppressions AS s ON s.organization_id = k.organization_id AND s.email = k.address
$$;

-- Subscribes a recipient again, if its own link made the entry and nothing has confirmed it since. With another
-- reason, and within a minute of the link's last change, nothing changes.
CREATE OR REPLACE FUNCTION subscribe_again_by_link(p_recipient_id uuid, p_organization_id uuid)
RETURNS TABLE (id uuid, organization_id uuid, campaign_id uuid, customer_id uuid, customer_ref text, email text,
               name text, message_id text, campaign_name text, created_by uuid, from_address text,
               reason text, changed boolean, revocable boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH known AS MATERIALIZED (
        SELECT * FROM recipient_of_link(p_recipient_id, p_organization_id)
    ),
    -- Rows are locked in one order everywhere: recipient, suppression, campaign.
    own AS MATERIALIZED (
        SELECT r.id, r.link_used_at, r.unsubscribed_at IS NOT NULL AS is_marked
          FROM campaign_recipients AS r JOIN known AS k ON k.id = r.id AND k.campaign_id = r.campaign_id
           FOR NO KEY UPDATE OF r
    ),
    -- If two statements run at once, the second waits for the first and then finds nothing to take back.
    revoked AS MATERIALIZED (
        SELECT s.organization_id, s.email, s.outweighs_bounce
          FROM known AS k
          JOIN own AS o ON o.id = k.id AND link_has_rested(o.link_used_at)
          JOIN suppressions AS s ON s.organization_id = k.organization_id AND s.email = k.address
         WHERE s.reason = 'unsubscribe' AND s.link_recipient_id = k.id
           FOR UPDATE OF s
    ),
    removed AS (
        DELETE FROM suppressions AS s USING revoked AS v
         WHERE s.organization_id = v.organization_id AND s.email = v.email AND NOT v.outweighs_bounce
    ),
    -- The address bounced before or since, so the reason becomes `bounce` again.
    restored AS (
        UPDATE suppressions AS s SET reason = 'bounce', link_recipient_id = NULL, outweighs_bounce = false
          FROM revoked AS v
         WHERE s.organization_id = v.organization_id AND s.email = v.email AND v.outweighs_bounce
    ),
    used AS (
        UPDATE campaign_recipients AS r SET unsubscribed_at = NULL, link_used_at = now()
          FROM known AS k
         WHERE r.id = k.id AND r.campaign_id = k.campaign_id AND EXISTS (SELECT FROM revoked)
    ),
    counted AS (
        UPDATE campaigns AS c SET unsubscribed_count = c.unsubscribed_count - 1
          FROM known AS k JOIN own AS o ON o.id = k.id
         WHERE c.id = k.campaign_id AND o.is_marked AND EXISTS (SELECT FROM revoked)
    )
    -- An address that is suppressed for all organizations stays suppressed.
    SELECT k.id, k.organization_id, k.campaign_id, k.customer_id, k.customer_ref, k.email, k.name, k.message_id,
           k.campaign_name, k.created_by, k.from_address,
           CASE WHEN v.email IS NULL AND s.reason IS NOT NULL THEN s.reason
                WHEN v.outweighs_bounce THEN 'bounce'
                WHEN a.reason IS NOT NULL THEN 'manual' END,
           v.email IS NOT NULL,
           coalesce(v.email IS NULL AND s.reason = 'unsubscribe' AND s.link_recipient_id = k.id, false)
      FROM known AS k
      LEFT JOIN revoked AS v ON true
      LEFT JOIN suppressions AS s ON s.organization_id = k.organization_id AND s.email = k.address
      LEFT JOIN suppressions AS a
             ON a.organization_id = '00000000-0000-0000-0000-000000000000' AND a.email = k.address
$$;

-- Functions with their owner's rights find only the tables of this schema, whatever the search path was when they
-- were created, and whatever the caller sets or creates.
DO $$
DECLARE
    v_function record;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure AS name, n.nspname AS schema
          FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
         WHERE n.nspname = current_schema() AND p.prosecdef
           AND p.proname IN ('look_by_link', 'unsubscribe_by_link', 'subscribe_again_by_link', 'take_back_soft_suppression',
                             'guard_recipient_update', 'guard_recipient_delete', 'guard_recipient_truncate',
                             'guard_campaign_delete')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', v_function.name, v_function.schema);
    END LOOP;
END
$$;
