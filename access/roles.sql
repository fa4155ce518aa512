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
GRANT SELECT, INSERT, UPDATE ON campaign_cursors, campaign_batches, send_rates, database_history TO campaign_send_batch;
GRANT SELECT, INSERT, UPDATE, DELETE ON send_shares TO campaign_send_batch;
GRANT SELECT, INSERT, DELETE ON campaign_batch_outcomes TO campaign_send_batch;
GRANT SELECT ON recipient_events TO campaign_send_batch;

-- ses-events settles recipients that are known, suppresses addresses, and pauses a campaign that harms the sender's
-- reputation. It claims nothing.
GRANT SELECT ON campaigns, campaign_recipients, campaign_batches, suppressions TO campaign_ses_events;
GRANT UPDATE (status, status_reason, sent_count, failed_count, uncertain_count) ON campaigns TO campaign_ses_events;
GRANT UPDATE (status, previous_status, message_id, error_code, error, sent_at, uncertain_since)
    ON campaign_recipients TO campaign_ses_events;
GRANT SELECT, UPDATE (last_event_at) ON campaign_cursors TO campaign_ses_events;
GRANT SELECT, INSERT, UPDATE (count, newest) ON recipient_events TO campaign_ses_events;
GRANT INSERT, UPDATE (reason) ON suppressions TO campaign_ses_events;
GRANT SELECT, INSERT, UPDATE ON soft_bounces, campaign_feedback TO campaign_ses_events;

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
GRANT SELECT ON recipient_events, campaign_feedback TO campaign_operator;

-- The timeline is added to, and not read. `created_at` is written only in the table that the migrations make.
-- A table in another schema needs USAGE on that schema, and its enums and domains too.
SELECT format('GRANT USAGE ON SCHEMA %s TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe',
              c.relnamespace::regnamespace)
  FROM pg_class AS c WHERE c.oid = to_regclass(:'activities')
UNION
SELECT format('GRANT USAGE ON SCHEMA %s TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe',
              t.typnamespace::regnamespace)
  FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
 WHERE a.attrelid = to_regclass(:'activities') AND a.attnum > 0 AND NOT a.attisdropped
   AND t.typnamespace <> 'pg_catalog'::regnamespace
\gexec
GRANT INSERT ON :activities TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe;
