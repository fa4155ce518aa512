-- Plans the insert of `email_sent` activities of `record.sql` without rows. PostgreSQL checks the same as for a real
-- insert (casts, rights, rules, views, generated columns) and writes nothing. $1: any id.
EXPLAIN (COSTS off)
WITH campaign AS MATERIALIZED (
    SELECT NULL::uuid AS created_by, NULL::text AS name
),
updated AS MATERIALIZED (
    SELECT NULL::uuid AS id, NULL::uuid AS organization_id, NULL::uuid AS customer_id, NULL::text AS customer_ref,
           NULL::text AS email, NULL::text AS name, NULL::text AS message_id, NULL::timestamptz AS sent_at,
           NULL::text AS subject, NULL::text AS status
     WHERE false
),
activity AS (
    {email_sent}
)
SELECT 1
