-- What Amazon SES offers per campaign and per organization: a time after which nothing is sent, tracking, parameters of
-- links, attachments, and tenants. All of it is optional: functions of the release before go on without it.

ALTER TABLE campaigns
    -- Nobody is handed to SES after this time: the campaign is paused, and whoever is left stays `pending`.
    ADD COLUMN send_before     timestamptz,
    -- Whether SES tracks opens and clicks of this campaign. Null: as its configuration set has it; for a transactional
    -- campaign: neither.
    ADD COLUMN track_opens     boolean,
    ADD COLUMN track_clicks    boolean,
    -- An object of texts and numbers: parameters that the query of every http and https link gets.
    ADD COLUMN link_parameters jsonb;

-- Files that go with every email of a campaign.
CREATE TABLE campaign_attachments (
    campaign_id  uuid NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    -- The name that the recipient sees.
    file_name    text NOT NULL CHECK (file_name <> ''),
    -- Such as application/pdf; null: by the file name's extension.
    content_type text,
    content      bytea NOT NULL,
    -- What `cid:` links of the HTML part name an inline file by.
    content_id   text,
    disposition  text NOT NULL DEFAULT 'attachment' CHECK (disposition IN ('attachment', 'inline')),
    PRIMARY KEY (campaign_id, file_name),
    CHECK (disposition <> 'inline' OR content_id IS NOT NULL)
);
-- Compressing what is compressed already takes time and saves nothing.
ALTER TABLE campaign_attachments ALTER COLUMN content SET STORAGE EXTERNAL;

-- What an organization has set for all its campaigns.
CREATE TABLE organization_settings (
    organization_id uuid PRIMARY KEY,
    -- The SES tenant through which it sends; null: none.
    ses_tenant      text
);

-- Roles that read recipients' campaigns, or make campaigns, may do so with what is new in them.
DO $$
DECLARE
    v record;
BEGIN
    FOR v IN
        SELECT DISTINCT grantee, needs
          FROM information_schema.role_table_grants AS has
          JOIN (VALUES
            ('campaign_cursors', 'INSERT', 'SELECT ON campaign_attachments, organization_settings'),
            ('campaigns', 'INSERT', 'SELECT, INSERT, UPDATE, DELETE ON campaign_attachments'),
            ('campaigns', 'INSERT', 'SELECT, INSERT, UPDATE ON organization_settings'),
            ('campaigns', 'INSERT', 'UPDATE (send_before) ON campaigns')
          ) AS now_needed (table_name, privilege_type, needs)
            ON now_needed.table_name = has.table_name AND now_needed.privilege_type = has.privilege_type
         WHERE has.table_schema = current_schema() AND grantee NOT IN ('PUBLIC', current_user)
    LOOP
        EXECUTE format('GRANT %s TO %I', v.needs, v.grantee);
    END LOOP;
END
$$;
