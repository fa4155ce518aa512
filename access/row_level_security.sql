-- Lets the functions see every organization's rows in tables with row level security. Run it after roles.sql; it
-- may be run again. It changes nothing for anybody else: switching row level security on, and saying which rows
-- the CRM's own roles see, is the CRM's (docs/tenants.md).
--
--   psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -f access/row_level_security.sql
--   psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -v activities=crm.activities -f access/row_level_security.sql
\if :{?activities}
\else
    \set activities activities
\endif

DROP POLICY IF EXISTS campaign_sender ON campaigns;
CREATE POLICY campaign_sender ON campaigns
    TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe USING (true);

DROP POLICY IF EXISTS campaign_sender ON campaign_recipients;
CREATE POLICY campaign_sender ON campaign_recipients
    TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe USING (true);

DROP POLICY IF EXISTS campaign_sender ON suppressions;
CREATE POLICY campaign_sender ON suppressions
    TO campaign_send_batch, campaign_ses_events, campaign_unsubscribe USING (true);

-- unsubscribe is open to the internet, and writes what a person's own word is: it takes nothing back but that, and
-- strengthens nothing but a bounce.
DROP POLICY IF EXISTS own_word_given ON suppressions;
CREATE POLICY own_word_given ON suppressions AS RESTRICTIVE
    FOR INSERT TO campaign_unsubscribe WITH CHECK (reason = 'unsubscribe');
DROP POLICY IF EXISTS own_word_outweighs ON suppressions;
CREATE POLICY own_word_outweighs ON suppressions AS RESTRICTIVE
    FOR UPDATE TO campaign_unsubscribe USING (reason = 'bounce') WITH CHECK (reason = 'unsubscribe');
DROP POLICY IF EXISTS own_word_taken_back ON suppressions;
CREATE POLICY own_word_taken_back ON suppressions AS RESTRICTIVE
    FOR DELETE TO campaign_unsubscribe USING (reason = 'unsubscribe');

-- (A view has no policies: it reads and writes with its owner's rights.)
SELECT format(statement, c.oid::regclass)
  FROM pg_class AS c
 CROSS JOIN (VALUES (1, 'DROP POLICY IF EXISTS campaign_sender ON %s'),
                    (2, 'CREATE POLICY campaign_sender ON %s FOR INSERT TO campaign_send_batch, campaign_ses_events, '
                        'campaign_unsubscribe WITH CHECK (true)')) AS s (nth, statement)
 WHERE c.oid = to_regclass(:'activities') AND c.relkind IN ('r', 'p')
 ORDER BY nth
\gexec
