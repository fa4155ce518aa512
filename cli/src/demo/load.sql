-- The demo's campaign $1 of the organization $2, its recipients column by column, and the suppressed addresses.
WITH campaign AS (
    INSERT INTO campaigns (id, organization_id, name, status, from_address, reply_to, subject, html, variables,
                           created_by)
    VALUES ($1, $2, $3, 'sending', 'Kaffa Coffee Co. <news@kaffa.example>', ARRAY['hello@kaffa.example'], $4, $5, $6,
            gen_random_uuid())
), recipient AS (
    SELECT * FROM unnest($7, $8, $9, $10) WITH ORDINALITY AS r (email, name, variables, suppressed, nth)
), suppression AS (
    INSERT INTO suppressions (organization_id, email, reason)
    SELECT $2, canonical_address(email), (ARRAY['bounce', 'complaint', 'unsubscribe'])[nth % 3 + 1]
      FROM recipient WHERE suppressed
)
INSERT INTO campaign_recipients (campaign_id, organization_id, customer_id, email, name, variables)
-- Two of three are customers that the CRM knows.
SELECT $1, $2, CASE WHEN nth % 3 > 0 THEN gen_random_uuid() END, email, name, variables FROM recipient ORDER BY nth
