-- A role for each function, and one for the command line `campaign`, with the rights that each needs and no others.
-- It enables row level security, because some of the limits are about rows; other roles see and change the same rows
-- as before. Run it after the migrations, as the owner of the tables with CREATEROLE (or as a superuser). It may be
-- run again, and has to be run again after new migrations.
--
--   psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -f access/roles.sql
--   psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -v activities=crm.activities -f access/roles.sql
--
-- The roles cannot log in until you allow it: ALTER ROLE campaign_send_batch LOGIN PASSWORD '…', or LOGIN and GRANT
-- rds_iam TO campaign_send_batch.
\if :{?activities}
\else
    \set activities activities
\endif

DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['campaign_send_batch', 'campaign_ses_events', 'campaign_unsubscribe',
                                 'campaign_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe;

-- send-batch reads campaigns and recipients, and writes their outcomes. It cannot change the recipients or the
-- content of a campaign; the claims, notes and rates are its own.
GRANT SELECT ON campaigns, campaign_recipients, campaign_attachments, organization_settings, suppressions, opted_out
    TO campaign_send_batch;
GRANT UPDATE (status, status_reason, started_at, completed_at,
              total_count, sent_count, failed_count, suppressed_count, uncertain_count)
    ON campaigns TO campaign_send_batch;
GRANT UPDATE (status, previous_status, position, message_id, error_code, error, sent_at, uncertain_since)
    ON campaign_recipients TO campaign_send_batch;
GRANT USAGE ON SEQUENCE campaign_recipients_position_seq TO campaign_send_batch;
GRANT SELECT, INSERT, UPDATE, DELETE ON campaign_attempts TO campaign_send_batch;
GRANT SELECT, INSERT, UPDATE ON campaign_cursors, campaign_batches, send_rates, database_history,
                                campaign_last_invocations TO campaign_send_batch;
GRANT SELECT, INSERT, UPDATE, DELETE ON send_shares TO campaign_send_batch;
GRANT SELECT, INSERT, DELETE ON campaign_batch_outcomes TO campaign_send_batch;
GRANT SELECT ON recipient_events TO campaign_send_batch;

-- ses-events settles known recipients, suppresses addresses, and pauses a campaign that harms the sender's
-- reputation. It claims nothing, and the policies below prevent it from making a campaign `sending`, a recipient
-- `pending`, or an entry of the suppressions weaker.
GRANT SELECT ON campaigns, campaign_recipients, campaign_batches, suppressions TO campaign_ses_events;
GRANT UPDATE (status, status_reason, sent_count, failed_count, uncertain_count) ON campaigns TO campaign_ses_events;
GRANT UPDATE (status, previous_status, message_id, error_code, error, sent_at, uncertain_since)
    ON campaign_recipients TO campaign_ses_events;
GRANT SELECT, UPDATE (last_event_at) ON campaign_cursors TO campaign_ses_events;
GRANT SELECT, INSERT, UPDATE (count, newest) ON recipient_events TO campaign_ses_events;
GRANT INSERT, UPDATE (reason, outweighs_bounce) ON suppressions TO campaign_ses_events;
GRANT SELECT, INSERT, UPDATE ON soft_bounces, campaign_feedback, campaign_links TO campaign_ses_events;
GRANT SELECT, INSERT ON recipient_firsts TO campaign_ses_events;

-- unsubscribe is open to the internet: it has no rights on the tables. Three functions do what a link may do, for the
-- one recipient that the link's token names. (Earlier releases gave it rights on tables.)
REVOKE ALL ON campaigns, campaign_recipients, suppressions FROM campaign_unsubscribe;
REVOKE ALL (id, organization_id, name, from_address, created_by, unsubscribed_count) ON campaigns
    FROM campaign_unsubscribe;
REVOKE ALL (id, campaign_id, organization_id, customer_id, customer_ref, email, name, message_id, unsubscribed_at)
    ON campaign_recipients FROM campaign_unsubscribe;
REVOKE ALL (reason) ON suppressions FROM campaign_unsubscribe;
REVOKE ALL ON FUNCTION look_by_link(uuid, uuid), unsubscribe_by_link(uuid, uuid), subscribe_again_by_link(uuid, uuid)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION look_by_link(uuid, uuid), unsubscribe_by_link(uuid, uuid), subscribe_again_by_link(uuid, uuid)
    TO campaign_unsubscribe;
-- This closes connections that a flood has left behind, when their instances are idle.
ALTER ROLE campaign_unsubscribe SET idle_session_timeout = '30s';

-- This takes back suppressions that only transient bounces have caused.
REVOKE ALL ON FUNCTION take_back_soft_suppression(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_back_soft_suppression(uuid, text) TO campaign_ses_events;

-- campaign is a person's tool: it does what send-batch does, creates campaigns, adds recipients, settles uncertain
-- ones, and reads what it shows. It deletes nothing, changes no address, and does not migrate. (Its temporary tables
-- need TEMPORARY on the database, which everybody has unless it was revoked.)
GRANT campaign_send_batch TO campaign_operator;
GRANT INSERT, UPDATE (status, status_reason, scheduled_at, send_before, html) ON campaigns TO campaign_operator;
GRANT INSERT, UPDATE, DELETE ON campaign_attachments TO campaign_operator;
GRANT INSERT, UPDATE ON organization_settings TO campaign_operator;
GRANT INSERT, UPDATE (position) ON campaign_recipients TO campaign_operator;
GRANT USAGE ON SEQUENCE campaign_recipients_position_seq TO campaign_operator;
GRANT INSERT, UPDATE (reason, link_recipient_id) ON suppressions TO campaign_operator;
GRANT SELECT ON recipient_events, campaign_feedback, campaign_results, campaign_link_results TO campaign_operator;

-- The functions add to the timeline and do not read it.
GRANT INSERT ON :activities TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe;

-- An INSERT also needs USAGE on the schemas of the table, its enums and domains; the sequences and functions of
-- columns' defaults; and, for a view with the rights of its user (security_invoker), the table behind it.
WITH RECURSIVE reached AS (
    SELECT c.oid, c.relnamespace, c.reloptions, true AS written
      FROM pg_class AS c WHERE c.oid = to_regclass(:'activities')
    UNION
    SELECT c.oid, c.relnamespace, c.reloptions,
           r.written AND r.reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1',
                                               'security_invoker=yes']
      FROM reached AS r
      JOIN pg_rewrite AS w ON w.ev_class = r.oid
      JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                         AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.oid
      JOIN pg_class AS c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'v', 'f')
     WHERE EXISTS (SELECT FROM pg_class AS v WHERE v.oid = r.oid AND v.relkind = 'v')
),
used AS (
    SELECT d.refclassid, d.refobjid
      FROM reached AS r
      JOIN pg_attrdef AS a ON a.adrelid = r.oid
      JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
    UNION
    SELECT d.classid, d.objid
      FROM reached AS r
      JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                         AND d.refobjid = r.oid AND d.deptype = 'a'
),
wanted AS (
    SELECT 'USAGE ON SCHEMA ' || relnamespace::regnamespace AS what FROM reached WHERE written
    UNION
    SELECT 'USAGE ON SCHEMA ' || t.typnamespace::regnamespace
      FROM reached AS r
      JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type AS t ON t.oid = a.atttypid
     WHERE t.typnamespace <> 'pg_catalog'::regnamespace
    UNION
    SELECT 'INSERT ON ' || oid::regclass FROM reached WHERE written
    UNION
    SELECT 'USAGE ON SEQUENCE ' || c.oid::regclass
      FROM used AS u JOIN pg_class AS c ON u.refclassid = 'pg_class'::regclass AND c.oid = u.refobjid AND c.relkind = 'S'
    UNION
    SELECT 'EXECUTE ON FUNCTION ' || p.oid::regprocedure
      FROM used AS u JOIN pg_proc AS p ON u.refclassid = 'pg_proc'::regclass AND p.oid = u.refobjid
     WHERE p.pronamespace <> 'pg_catalog'::regnamespace
)
SELECT 'GRANT ' || what || ' TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe' FROM wanted
\gexec

-- What a trigger needs is not known here: it has the rights of the inserting role, unless its function says
-- otherwise.
SELECT format('DO $say$ BEGIN RAISE NOTICE %L; END $say$',
              format('the trigger %s of %s has the rights of the functions'' roles: grant them what it needs, or make its '
                     'function SECURITY DEFINER with a search_path of its own', t.tgname, t.tgrelid::regclass))
  FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE t.tgrelid = to_regclass(:'activities') AND NOT t.tgisinternal AND t.tgtype & 4 = 4 AND NOT p.prosecdef
\gexec
-- Rows ----------------------------------------------------------------------------------------------------------------

-- If row level security was off, the CRM's own roles work as before: the policy `everybody` lets each role do with
-- all rows what its rights on the table allow. row_level_security.sql removes it again. If it was on already, the
-- CRM's policies say what its roles see, and nothing is added for them.
CREATE OR REPLACE FUNCTION pg_temp.switch_row_level_security_on(p_table regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = p_table) THEN
        EXECUTE format('DROP POLICY IF EXISTS everybody ON %s', p_table);
        EXECUTE format('CREATE POLICY everybody ON %s USING (true)', p_table);
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_table);
    END IF;
END
$$;
SELECT pg_temp.switch_row_level_security_on(t)
  FROM unnest(ARRAY['campaigns', 'campaign_recipients', 'campaign_attachments', 'organization_settings',
                    'suppressions']::regclass[]) AS t;

-- The function of a policy below: the status of a campaign before the current statement changes it. (It is volatile,
-- so it sees what other transactions committed before this one got its lock.)
CREATE OR REPLACE FUNCTION campaign_status(p_campaign_id uuid) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER AS 'SELECT status FROM campaigns WHERE id = $1';
SELECT format('ALTER FUNCTION campaign_status(uuid) SET search_path = pg_catalog, %I, pg_temp', current_schema())
\gexec
REVOKE ALL ON FUNCTION campaign_status(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION campaign_status(uuid) TO campaign_ses_events;

-- The functions work for all organizations.
DROP POLICY IF EXISTS campaign_sender ON campaigns;
CREATE POLICY campaign_sender ON campaigns TO campaign_send_batch, campaign_ses_events USING (true);
DROP POLICY IF EXISTS campaign_sender ON campaign_recipients;
CREATE POLICY campaign_sender ON campaign_recipients TO campaign_send_batch, campaign_ses_events USING (true);
-- ses-events reads neither attachments nor settings.
DROP POLICY IF EXISTS campaign_sender ON campaign_attachments;
CREATE POLICY campaign_sender ON campaign_attachments TO campaign_send_batch USING (true);
DROP POLICY IF EXISTS campaign_sender ON organization_settings;
CREATE POLICY campaign_sender ON organization_settings TO campaign_send_batch USING (true);
DROP POLICY IF EXISTS campaign_sender ON suppressions;
CREATE POLICY campaign_sender ON suppressions TO campaign_send_batch, campaign_ses_events USING (true);

-- The limits of ses-events: a campaign keeps its status or is paused; a recipient becomes `sent` or `failed`;
-- suppressions by a person or a complaint stay. (A login that has both roles may do what send-batch may.)
DROP POLICY IF EXISTS events_only_pause ON campaigns;
CREATE POLICY events_only_pause ON campaigns AS RESTRICTIVE FOR UPDATE TO campaign_ses_events USING (true)
    WITH CHECK (status = 'paused' OR pg_has_role('campaign_send_batch', 'USAGE') OR status = campaign_status(id));
DROP POLICY IF EXISTS events_only_settle ON campaign_recipients;
CREATE POLICY events_only_settle ON campaign_recipients AS RESTRICTIVE FOR UPDATE TO campaign_ses_events USING (true)
    WITH CHECK (status IN ('sent', 'failed') OR pg_has_role('campaign_send_batch', 'USAGE'));
DROP POLICY IF EXISTS events_only_add ON suppressions;
CREATE POLICY events_only_add ON suppressions AS RESTRICTIVE FOR INSERT TO campaign_ses_events
    WITH CHECK (reason <> 'manual');
DROP POLICY IF EXISTS events_only_strengthen ON suppressions;
CREATE POLICY events_only_strengthen ON suppressions AS RESTRICTIVE FOR UPDATE TO campaign_ses_events
    USING (reason IN ('bounce', 'unsubscribe')) WITH CHECK (reason IN ('unsubscribe', 'complaint'));

-- Policies of earlier releases, for rights that `unsubscribe` does not have any more.
DROP POLICY IF EXISTS own_word_given ON suppressions;
DROP POLICY IF EXISTS own_word_outweighs ON suppressions;
DROP POLICY IF EXISTS own_word_taken_back ON suppressions;
