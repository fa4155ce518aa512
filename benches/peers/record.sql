-- What became of a batch of campaign $1, with one statement: recipients, activities and counters. $2 … $5, column
-- by column: the recipient, SES's message id (null: refused), the error, the subject.
WITH outcome AS (
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[])
        AS o (recipient_id, message_id, error, subject)
), settled AS (
    UPDATE campaign_recipients AS r
       SET status = CASE WHEN o.message_id IS NULL THEN 'failed' ELSE 'sent' END,
           message_id = o.message_id, error = o.error, sent_at = now()
      FROM outcome AS o
     WHERE r.id = o.recipient_id AND r.campaign_id = $1 AND r.status = 'pending'
    RETURNING r.id, r.organization_id, r.customer_id, r.email, r.name, r.message_id, r.status, o.subject
), activity AS (
    INSERT INTO activities (organization_id, user_id, entity_type, entity_id, action, description, metadata,
                            source, source_ref)
    SELECT s.organization_id, c.created_by, CASE WHEN s.customer_id IS NULL THEN 'email' ELSE 'customer' END,
           coalesce(s.customer_id, s.id), 'email_sent',
           'Email sent to ' || coalesce(s.name, s.email) || ': ' || s.subject,
           jsonb_strip_nulls(jsonb_build_object(
               'emailId', s.id, 'recipientEmail', s.email, 'recipientName', s.name, 'subject', s.subject,
               'campaignId', c.id, 'campaignName', c.name, 'messageId', s.message_id)),
           'email', s.id::text
      FROM settled AS s CROSS JOIN campaigns AS c
     WHERE s.status = 'sent' AND c.id = $1
)
UPDATE campaigns
   SET sent_count = sent_count + (SELECT count(*) FROM settled WHERE status = 'sent'),
       failed_count = failed_count + (SELECT count(*) FROM settled WHERE status = 'failed')
 WHERE id = $1
