-- Removes the policy `everybody` of roles.sql, so that the CRM's own roles see only the rows that the CRM's policies
-- allow (docs/tenants.md has such policies), and lets the functions add to a timeline with row level security. Run it
-- after roles.sql; it may be run again. The owner of the tables sees all rows.
--
--   psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -f access/row_level_security.sql
--   psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -v activities=crm.activities -f access/row_level_security.sql
\if :{?activities}
\else
    \set activities activities
\endif

DROP POLICY IF EXISTS everybody ON campaigns;
DROP POLICY IF EXISTS everybody ON campaign_recipients;
DROP POLICY IF EXISTS everybody ON campaign_attachments;
DROP POLICY IF EXISTS everybody ON organization_settings;
DROP POLICY IF EXISTS everybody ON suppressions;

-- A timeline that is a view has no policies; its tables have.
SELECT format('DROP POLICY IF EXISTS campaign_sender ON %s', c.oid::regclass),
       format('CREATE POLICY campaign_sender ON %s FOR INSERT '
              'TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe WITH CHECK (true)', c.oid::regclass)
  FROM pg_class AS c WHERE c.oid = to_regclass(:'activities') AND c.relkind IN ('r', 'p')
\gexec
