-- The `email_sent` activities of the recipients that the statement's CTE `updated` made `sent`, of its `campaign`.
INSERT INTO {activities}
SELECT s.organization_id::{type of organization_id}, c.created_by::{type of user_id},
       CASE WHEN s.customer_id IS NULL THEN 'email' ELSE 'customer' END::{type of entity_type},
       coalesce(s.customer_id, s.id)::{type of entity_id},
       'email_sent'::{type of action},
       {description: email_sent_description(s.email, s.name, s.subject)}::{type of description},
       (email_sent_metadata(s.id, s.email, s.name, s.subject, $1, c.name, s.message_id)
        || CASE WHEN s.customer_ref IS NULL THEN '{}' ELSE jsonb_build_object('customerRef', s.customer_ref) END
       )::{type of metadata},
       'email'::{type of source}, s.id::{type of source_ref}{activity_time: s.sent_at}{entity_ref: s.customer_ref}
  FROM updated AS s CROSS JOIN campaign AS c
 WHERE s.status = 'sent'
