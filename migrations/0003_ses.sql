-- Settings per campaign and per organization: a time after which nothing is sent, tracking, parameters of links,
-- attachments, and SES tenants. All of them are optional: functions of the release before work without them.

ALTER TABLE campaigns
    -- After this time no email is handed to SES: the campaign is paused, and the remaining recipients stay `pending`.
    ADD COLUMN send_before     timestamptz,
    -- True if SES tracks opens and clicks of this campaign. Null: as set in its configuration set, or, for a
    -- transactional campaign, no.
    ADD COLUMN track_opens     boolean,
    ADD COLUMN track_clicks    boolean,
    -- An object of texts and numbers: parameters that are added to the query of every http and https link.
    ADD COLUMN link_parameters jsonb;

-- The attachments of every email of a campaign.
CREATE TABLE campaign_attachments (
    campaign_id  uuid NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    -- The name that the recipient sees.
    file_name    text NOT NULL CHECK (file_name <> ''),
    -- For example application/pdf. Null: derived from the file name's extension.
    content_type text,
    content      bytea NOT NULL,
    -- The name of an inline file in `cid:` links of the HTML part.
    content_id   text,
    disposition  text NOT NULL DEFAULT 'attachment' CHECK (disposition IN ('attachment', 'inline')),
    PRIMARY KEY (campaign_id, file_name),
    CHECK (disposition <> 'inline' OR content_id IS NOT NULL)
);
-- Compressing content that is already compressed takes time and saves nothing.
ALTER TABLE campaign_attachments ALTER COLUMN content SET STORAGE EXTERNAL;

-- The settings of an organization for all its campaigns.
CREATE TABLE organization_settings (
    organization_id uuid PRIMARY KEY,
    -- The SES tenant through which the organization sends. Null: none.
    ses_tenant      text
);

-- Roles that read recipients' campaigns, or create campaigns, get the rights on the new tables and columns.
DO $$
DECLARE
    v record;
BEGIN
    FOR v IN
        SELECT DISTINCT grantee, needs
          FROM information_schema.role_table_grants AS has
          JOIN (VALUES
            ('campaign_cursors', 'INSERT', 'SELECT ON campaign_attachments, organization_settings, recipient_events'),
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
