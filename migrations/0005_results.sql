-- What came of campaigns, counted as SES's events come, so that nobody has to go through millions of recipients to know it.

-- Beside what the guard counts: each email once in each of these.
ALTER TABLE campaign_feedback
    ADD COLUMN bounced_softly      int NOT NULL DEFAULT 0, -- in any other way than for good: also automatic replies
    ADD COLUMN withheld            int NOT NULL DEFAULT 0, -- SES accepted it and did not send it, because of a list of its own
    ADD COLUMN opened_by_people    int NOT NULL DEFAULT 0,
    ADD COLUMN opened_by_machines  int NOT NULL DEFAULT 0, -- by what SES takes for machines
    ADD COLUMN opened_by_apple     int NOT NULL DEFAULT 0, -- Mail Privacy Protection loaded the images
    ADD COLUMN clicked_by_people   int NOT NULL DEFAULT 0,
    ADD COLUMN clicked_by_machines int NOT NULL DEFAULT 0;

-- What a recipient has done at least once, where there are several kinds of events of it: each link has its own.
CREATE TABLE recipient_firsts (
    recipient_id uuid NOT NULL REFERENCES campaign_recipients (id) ON DELETE CASCADE,
    what         text NOT NULL, -- the column of campaign_feedback that counts it
    PRIMARY KEY (recipient_id, what)
);

-- The links of a campaign that were clicked, and by how many recipients. A campaign has 1,000 at most: further ones (links
-- that are different for each recipient) are counted together, with an empty link.
CREATE TABLE campaign_links (
    campaign_id         uuid NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    key                 uuid NOT NULL, -- the MD5 of the link
    link                text NOT NULL, -- as it stood in the email, up to 1,000 characters
    clicked_by_people   int NOT NULL DEFAULT 0,
    clicked_by_machines int NOT NULL DEFAULT 0,
    PRIMARY KEY (campaign_id, key)
) WITH (fillfactor = 50);

-- Roles that note events count them, too.
DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN
        SELECT DISTINCT grantee FROM information_schema.role_table_grants
         WHERE table_schema = current_schema() AND table_name = 'recipient_events' AND privilege_type = 'INSERT'
           AND grantee NOT IN ('PUBLIC', current_user)
    LOOP
        EXECUTE format('GRANT SELECT, INSERT ON recipient_firsts TO %I', v_role);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON campaign_links TO %I', v_role);
    END LOOP;
END
$$;
