-- What unsubscribe links have done, so that each link can take back its own unsubscription and nothing else.

-- When the recipient unsubscribed or subscribed again by its link last.
ALTER TABLE campaign_recipients ADD COLUMN link_used_at timestamptz;

ALTER TABLE suppressions
    -- The recipient whose link made this entry, and may take it back. Null: somebody else made or confirmed it, such as
    -- the CRM, Amazon SES or another recipient's link.
    ADD COLUMN link_recipient_id uuid,
    -- The address has bounced too: when the unsubscription is taken back, the reason is `bounce`.
    ADD COLUMN outweighs_bounce boolean NOT NULL DEFAULT false;

-- Roles that may change a reason (access/roles.sql of an earlier release) may change what belongs to it.
DO $$
DECLARE
    v_role regrole;
BEGIN
    FOR v_role IN
        SELECT DISTINCT acl.grantee::regrole FROM pg_attribute AS a, aclexplode(a.attacl) AS acl
         WHERE a.attrelid = 'suppressions'::regclass AND a.attname = 'reason'
           AND acl.privilege_type = 'UPDATE' AND acl.grantee <> 0
    LOOP
        EXECUTE format('GRANT UPDATE (link_recipient_id, outweighs_bounce) ON suppressions TO %s', v_role);
    END LOOP;
END
$$;
