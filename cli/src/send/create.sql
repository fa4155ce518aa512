INSERT INTO campaigns (id, organization_id, name, from_address, reply_to, subject, html, text, variables,
                       configuration_set, transactional, created_by, send_before)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $12, $13::timestamptz)
ON CONFLICT (id) DO NOTHING
RETURNING id
