-- A draft with the id $1, and the files that go with its emails: $17 to $20, column by column. No row: the id is taken.
WITH campaign AS (
    INSERT INTO campaigns (id, organization_id, name, from_address, reply_to, subject, html, text, variables,
                           configuration_set, transactional, created_by, send_before, track_opens, track_clicks,
                           link_parameters)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $12, $13::timestamptz, $14, $15, $16::jsonb)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
),
files AS (
    INSERT INTO campaign_attachments (campaign_id, file_name, content, content_id, disposition)
    SELECT campaign.id, f.* FROM campaign, unnest($17::text[], $18::bytea[], $19::text[], $20::text[]) AS f
)
SELECT id FROM campaign
