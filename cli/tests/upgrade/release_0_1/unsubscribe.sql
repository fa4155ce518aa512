-- Unsubscribes recipient $1 of organization $2, all with one statement: the suppression, the recipient's mark, the
-- campaign's counter and the activity. Running it again changes nothing.
WITH known AS MATERIALIZED (
    SELECT r.id, r.organization_id, r.campaign_id, r.customer_id, r.email, r.name, r.message_id,
           normalized_address(r.email) AS address, c.name AS campaign_name, c.created_by, c.from_address
      FROM campaign_recipients AS r JOIN campaigns AS c ON c.id = r.campaign_id
     WHERE r.id = $1 AND c.organization_id = $2
),
-- The fence: of two statements that meet here, the second waits for the first, and has nothing to mark then.
marked AS (
    UPDATE campaign_recipients AS r SET unsubscribed_at = now()
      FROM known AS k
     WHERE r.id = k.id AND r.campaign_id = k.campaign_id AND r.unsubscribed_at IS NULL
    RETURNING r.id
),
-- A reason only gets stronger: a person's word is more than a bounce, and less than a complaint or `manual`.
-- Rows are locked in one order everywhere: recipient, suppression, campaign.
suppressed AS (
    INSERT INTO suppressions (organization_id, email, reason)
    SELECT k.organization_id, k.address, 'unsubscribe' FROM known AS k WHERE (SELECT count(*) FROM marked) >= 0
    ON CONFLICT (organization_id, email) DO UPDATE SET reason = excluded.reason
     WHERE suppressions.reason = 'bounce'
    RETURNING 1
),
counted AS (
    UPDATE campaigns AS c SET unsubscribed_count = c.unsubscribed_count + 1
      FROM known AS k
     WHERE c.id = k.campaign_id AND EXISTS (SELECT FROM marked) AND (SELECT count(*) FROM suppressed) >= 0
),
-- Also where the mark is old and somebody had taken the suppression away since.
entry AS MATERIALIZED (
    SELECT k.*, 'email_unsubscribed' AS action,
           'Unsubscribed from emails: ' || coalesce(nullif(btrim(k.name), ''), k.email) AS description
      FROM known AS k WHERE EXISTS (SELECT FROM marked) OR EXISTS (SELECT FROM suppressed)
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
SELECT k.email, k.from_address, EXISTS (SELECT FROM entry) AS changed,
       CASE WHEN s.reason IN ('complaint', 'manual') THEN s.reason ELSE 'unsubscribe' END AS reason
  FROM known AS k
  LEFT JOIN suppressions AS s ON s.organization_id = k.organization_id AND s.email = k.address
