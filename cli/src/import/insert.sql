-- The good rows become recipients of campaign $1, in their order (a temporary table is read in the order in which it
-- was written).
INSERT INTO campaign_recipients (id, campaign_id, organization_id, email, name, customer_id, contact_id, customer_ref,
                                 variables)
SELECT i.id, $1, $2, i.email, i.name, i.customer_id, i.contact_id, i.customer_ref, i.variables
  FROM pg_temp.imported AS i
 WHERE i.reason IS NULL
