-- Takes back that recipient $1 of organization $2 unsubscribed, all with one statement. Where the address is suppressed
-- for another reason, and where it is not suppressed, nothing changes.
WITH known AS MATERIALIZED (
    SELECT r.id, r.organization_id, r.campaign_id, r.customer_id, r.email, r.name, r.message_id,
           normalized_address(r.email) AS address, c.name AS campaign_name, c.created_by, c.from_address
      FROM campaign_recipients AS r JOIN campaigns AS c ON c.id = r.campaign_id
     WHERE r.id = $1 AND c.organization_id = $2
),
-- Rows are locked in one order everywhere: recipient, suppression, campaign.
own AS MATERIALIZED (
    SELECT r.id FROM campaign_recipients AS r JOIN known AS k ON k.id = r.id AND k.campaign_id = r.campaign_id
       FOR NO KEY UPDATE OF r
),
-- The fence: of two statements that meet here, the second waits for the first, and has nothing to remove then.
removed AS (
    DELETE FROM suppressions AS s USING known AS k
     WHERE s.organization_id = k.organization_id AND s.email = k.address AND s.reason = 'unsubscribe'
       AND (SELECT count(*) FROM own) >= 0
    RETURNING 1
),
unmarked AS (
    UPDATE campaign_recipients AS r SET unsubscribed_at = NULL
      FROM known AS k
     WHERE r.id = k.id AND r.campaign_id = k.campaign_id AND r.unsubscribed_at IS NOT NULL
       AND EXISTS (SELECT FROM removed)
    RETURNING r.id
),
counted AS (
    UPDATE campaigns AS c SET unsubscribed_count = c.unsubscribed_count - 1
      FROM known AS k
     WHERE c.id = k.campaign_id AND EXISTS (SELECT FROM unmarked)
),
entry AS MATERIALIZED (
    SELECT k.*, 'email_resubscribed' AS action,
           'Subscribed to emails again: ' || coalesce(nullif(btrim(k.name), ''), k.email) AS description
      FROM known AS k WHERE EXISTS (SELECT FROM removed)
),
activity AS (
    INSERT INTO activities (organization_id, user_id, entity_type, entity_id, action, description, metadata, source, source_ref, created_at)
SELECT e.organization_id::uuid, e.created_by::uuid,
       CASE WHEN e.customer_id IS NULL THEN 'email' ELSE 'customer' END::text,
       coalesce(e.customer_id, e.id)::uuid, e.action::text,
       e.description::text,
       (jsonb_build_object('emailId', e.id, 'recipientEmail', e.email, 'campaignId', e.campaign_id,
                           'campaignName', e.campaign_name, 'messageId', e.message_id)
        || CASE WHEN btrim(e.name) <> '' THEN jsonb_build_object('recipientName', e.name) ELSE '{}' END
       )::jsonb,
       'email'::text, e.id::text, now()
  FROM entry AS e
)
-- An address that is off the list for all organizations stays so.
SELECT k.email, k.from_address, EXISTS (SELECT FROM entry) AS changed,
       CASE WHEN s.reason <> 'unsubscribe' THEN s.reason WHEN a.reason IS NOT NULL THEN 'manual' END AS reason
  FROM known AS k
  LEFT JOIN suppressions AS s ON s.organization_id = k.organization_id AND s.email = k.address
  LEFT JOIN suppressions AS a ON a.organization_id = '00000000-0000-0000-0000-000000000000' AND a.email = k.address
