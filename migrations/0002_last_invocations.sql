-- Why the last invocation of a campaign sent no more, for `campaign status`: written by the invocation when it ends with
-- something other than "continue". (No foreign key: the note must not wait for a lock on the campaign's row.)
CREATE TABLE campaign_last_invocations (
    campaign_id uuid PRIMARY KEY,
    at          timestamptz NOT NULL,
    status      text NOT NULL,      -- of the batch result; or `failed`, where the invocation failed
    code        text NOT NULL,      -- of the cause, as src/domain/cause.rs lists them
    reason      text NOT NULL,      -- in words, without addresses
    wait_until  timestamptz NOT NULL -- when the next invocation is to come, at the earliest
) WITH (fillfactor = 50);

-- Roles that note attempts note this, too.
DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN
        SELECT DISTINCT grantee FROM information_schema.role_table_grants
         WHERE table_schema = current_schema() AND table_name = 'campaign_attempts' AND privilege_type = 'INSERT'
           AND grantee NOT IN ('PUBLIC', current_user)
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON campaign_last_invocations TO %I', v_role);
    END LOOP;
END
$$;
