INSERT INTO {activities}
SELECT e.organization_id::{type of organization_id}, e.created_by::{type of user_id},
       CASE WHEN e.customer_id IS NULL THEN 'email' ELSE 'customer' END::{type of entity_type},
       coalesce(e.customer_id, e.id)::{type of entity_id}, e.action::{type of action},
       {description: e.description}::{type of description},
       (jsonb_build_object('emailId', e.id, 'recipientEmail', e.email, 'campaignId', e.campaign_id,
                           'campaignName', e.campaign_name, 'messageId', e.message_id)
        || CASE WHEN btrim(e.name) <> '' THEN jsonb_build_object('recipientName', e.name) ELSE '{}' END
        || CASE WHEN e.customer_ref IS NULL THEN '{}' ELSE jsonb_build_object('customerRef', e.customer_ref) END
       )::{type of metadata},
       'email'::{type of source}, e.id::{type of source_ref}{activity_time: now()}{entity_ref: e.customer_ref}
  FROM entry AS e WHERE e.changed
