-- What the function `unsubscribe` does, which is open to the internet. These functions have their owner's rights, so that
-- its role needs none on the tables: whoever calls them reaches the one recipient whose id and organization a token names.

-- Whoever changes an entry without saying which link made it has made it its own: no link takes it back any more.
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

-- Whether a link may change something again: at most once a minute, so that nobody fills the timeline with one token.
-- (What lies in the future was written before PostgreSQL's clock was set back.)
CREATE OR REPLACE FUNCTION link_has_rested(link_used_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN link_used_at IS NULL OR link_used_at <= now() - interval '1 minute' OR link_used_at > now();

-- What the page shows of a recipient: why its organization writes to the address no more, and whether this link may
-- take that back. What holds for all organizations is nothing that one of them takes back.
CREATE OR REPLACE FUNCTION look_by_link(p_recipient_id uuid, p_organization_id uuid)
RETURNS TABLE (email text, from_address text, reason text, changed boolean, revocable boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT r.email, c.from_address, CASE WHEN a.reason <> 'bounce' THEN 'manual' ELSE s.reason END, false,
           coalesce(s.link_recipient_id = r.id, false)
      FROM campaign_recipients AS r
      JOIN campaigns AS c ON c.id = r.campaign_id
      LEFT JOIN suppressions AS s
             ON s.organization_id = r.organization_id AND s.email = canonical_address(r.email)
      LEFT JOIN suppressions AS a
             ON a.organization_id = '00000000-0000-0000-0000-000000000000' AND a.email = canonical_address(r.email)
     WHERE r.id = p_recipient_id AND c.organization_id = p_organization_id
$$;

-- Unsubscribes a recipient: the suppression, the recipient's mark and the campaign's counter. Running it again changes
-- nothing. The row that it returns is what the activity is made of.
CREATE OR REPLACE FUNCTION unsubscribe_by_link(p_recipient_id uuid, p_organization_id uuid)
RETURNS TABLE (id uuid, organization_id uuid, campaign_id uuid, customer_id uuid, customer_ref text, email text,
               name text, message_id text, campaign_name text, created_by uuid, from_address text,
               reason text, changed boolean, revocable boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH known AS MATERIALIZED (
        SELECT r.id, r.organization_id, r.campaign_id, r.customer_id, r.customer_ref, r.email, r.name, r.message_id,
               canonical_address(r.email) AS address, c.name AS campaign_name, c.created_by, c.from_address
          FROM campaign_recipients AS r JOIN campaigns AS c ON c.id = r.campaign_id
         WHERE r.id = p_recipient_id AND c.organization_id = p_organization_id
    ),
    -- The fence: of two statements that meet here, the second waits for the first, and has nothing to mark then.
    marked AS (
        UPDATE campaign_recipients AS r SET unsubscribed_at = now(), link_used_at = now()
          FROM known AS k
         WHERE r.id = k.id AND r.campaign_id = k.campaign_id AND r.unsubscribed_at IS NULL
        RETURNING r.id
    ),
    -- A reason only gets stronger: a person's word is more than a bounce, and less than a complaint or `manual`. An entry
    -- that another link made is from now on the word of two, and neither of them takes it back.
    -- Rows are locked in one order everywhere: recipient, suppression, campaign.
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
           -- Also where the mark is old and somebody had taken the suppression away since.
           EXISTS (SELECT FROM marked) OR EXISTS (SELECT FROM suppressed WHERE is_new),
           s.email IS NULL OR s.reason = 'bounce' OR coalesce(s.link_recipient_id = k.id, false)
      FROM known AS k
      LEFT JOIN suppressions AS s ON s.organization_id = k.organization_id AND s.email = k.address
$$;

-- Takes back that a recipient unsubscribed, where its own link made the entry and nobody has confirmed it since. For
-- another reason, and within a minute of the link's last change, nothing changes.
CREATE OR REPLACE FUNCTION subscribe_again_by_link(p_recipient_id uuid, p_organization_id uuid)
RETURNS TABLE (id uuid, organization_id uuid, campaign_id uuid, customer_id uuid, customer_ref text, email text,
               name text, message_id text, campaign_name text, created_by uuid, from_address text,
               reason text, changed boolean, revocable boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH known AS MATERIALIZED (
        SELECT r.id, r.organization_id, r.campaign_id, r.customer_id, r.customer_ref, r.email, r.name, r.message_id,
               canonical_address(r.email) AS address, c.name AS campaign_name, c.created_by, c.from_address
          FROM campaign_recipients AS r JOIN campaigns AS c ON c.id = r.campaign_id
         WHERE r.id = p_recipient_id AND c.organization_id = p_organization_id
    ),
    -- Rows are locked in one order everywhere: recipient, suppression, campaign.
    own AS MATERIALIZED (
        SELECT r.id, r.link_used_at, r.unsubscribed_at IS NOT NULL AS is_marked
          FROM campaign_recipients AS r JOIN known AS k ON k.id = r.id AND k.campaign_id = r.campaign_id
           FOR NO KEY UPDATE OF r
    ),
    -- The fence: of two statements that meet here, the second waits for the first, and has nothing to take back then.
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
    -- The address bounced before, or since: that holds again.
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
    -- An address that is off the list for all organizations stays so.
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

-- Functions with their owner's rights find the tables of this schema and nothing else, whatever was set when they were made,
-- and whatever the caller sets or creates.
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
