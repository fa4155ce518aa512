-- A role for each function, and one for the command line `campaign`, with the rights that each needs and no others. Run it after the migrations, as the
-- owner of the tables with CREATEROLE (or a superuser); it may be run again, and has to be after new migrations.
--
--   psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -f access/roles.sql
--   psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -v activities=crm.activities -f access/roles.sql
--
-- The roles cannot log in until they are given a way: ALTER ROLE campaign_send_batch LOGIN PASSWORD '…', or LOGIN
-- and GRANT rds_iam TO campaign_send_batch.
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

-- send-batch reads campaigns and recipients, and writes what becomes of them. Whom to write to and what to say it
-- cannot change; the claims, notes and rates are its own.
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

-- ses-events settles recipients that are known, suppresses addresses, and pauses a campaign that harms the sender's
-- reputation. It claims nothing.
GRANT SELECT ON campaigns, campaign_recipients, campaign_batches, suppressions TO campaign_ses_events;
GRANT UPDATE (status, status_reason, sent_count, failed_count, uncertain_count) ON campaigns TO campaign_ses_events;
GRANT UPDATE (status, previous_status, message_id, error_code, error, sent_at, uncertain_since)
    ON campaign_recipients TO campaign_ses_events;
GRANT SELECT, UPDATE (last_event_at) ON campaign_cursors TO campaign_ses_events;
GRANT SELECT, INSERT, UPDATE (count, newest) ON recipient_events TO campaign_ses_events;
GRANT INSERT, UPDATE (reason) ON suppressions TO campaign_ses_events;
GRANT SELECT, INSERT, UPDATE ON soft_bounces, campaign_feedback, campaign_links TO campaign_ses_events;
GRANT SELECT, INSERT ON recipient_firsts TO campaign_ses_events;

-- unsubscribe is open to the internet: it finds the recipient whom a link is for, and knows neither what the
-- campaign says nor the recipient's variables.
GRANT SELECT (id, organization_id, name, from_address, created_by, unsubscribed_count),
      UPDATE (unsubscribed_count) ON campaigns TO campaign_unsubscribe;
GRANT SELECT (id, campaign_id, organization_id, customer_id, customer_ref, email, name, message_id, unsubscribed_at),
      UPDATE (unsubscribed_at) ON campaign_recipients TO campaign_unsubscribe;
-- DELETE is for 'subscribe again'. Rights are the table's and know no reasons; where the table has row level security,
-- row_level_security.sql holds this role to rows whose reason is `unsubscribe`.
GRANT SELECT, INSERT, UPDATE (reason), DELETE ON suppressions TO campaign_unsubscribe;

-- campaign is a person's tool: it does what send-batch does, makes campaigns, adds recipients, settles what is left
-- over, and reads what it shows. It deletes nothing, changes no address, and does not migrate. (Its temporary tables
-- need TEMPORARY on the database, which everybody has unless it was revoked.)
GRANT campaign_send_batch TO campaign_operator;
GRANT INSERT, UPDATE (status, status_reason, scheduled_at, send_before, html) ON campaigns TO campaign_operator;
GRANT INSERT, UPDATE, DELETE ON campaign_attachments TO campaign_operator;
GRANT INSERT, UPDATE ON organization_settings TO campaign_operator;
GRANT INSERT, UPDATE (position) ON campaign_recipients TO campaign_operator;
GRANT USAGE ON SEQUENCE campaign_recipients_position_seq TO campaign_operator;
GRANT INSERT, UPDATE (reason) ON suppressions TO campaign_operator;
GRANT SELECT ON recipient_events, campaign_feedback, campaign_results, campaign_link_results TO campaign_operator;

-- The timeline is added to, and not read.
GRANT INSERT ON :activities TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe;

-- What an INSERT needs beyond that: USAGE on the schemas of the table, its enums and domains; the sequences and functions
-- of columns' defaults; and of a view that has the rights of whoever uses it (security_invoker), the table behind it.
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

-- What a trigger does is not known here: it has the rights of whoever inserts, unless its function says otherwise.
SELECT format('DO $say$ BEGIN RAISE NOTICE %L; END $say$',
              format('the trigger %s of %s has the rights of the functions'' roles: grant them what it needs, or make its '
                     'function SECURITY DEFINER with a search_path of its own', t.tgname, t.tgrelid::regclass))
  FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE t.tgrelid = to_regclass(:'activities') AND NOT t.tgisinternal AND t.tgtype & 4 = 4 AND NOT p.prosecdef
\gexec
