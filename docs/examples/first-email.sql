-- A campaign of one email to SES's mailbox simulator, which is written to from the sandbox too.
--   psql "$DATABASE_URL" -v sender=you@example.com -f docs/examples/first-email.sql
WITH organization AS (
    SELECT gen_random_uuid() AS id
), campaign AS (
    INSERT INTO campaigns (organization_id, name, status, from_address, subject, text)
    SELECT id, 'First', 'sending', :'sender', 'Hello {{ name }}', 'It works.' FROM organization
    RETURNING id, organization_id
)
INSERT INTO campaign_recipients (campaign_id, organization_id, email, name)
SELECT id, organization_id, 'success@simulator.amazonses.com', 'simulator' FROM campaign;
