// The tables as drizzle-orm knows them.
import { bigint, integer, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core';

export const campaigns = pgTable('campaigns', {
  id: uuid('id').primaryKey(),
  organizationId: uuid('organization_id').notNull(),
  name: text('name').notNull(),
  status: text('status').notNull(),
  fromAddress: text('from_address').notNull(),
  replyTo: text('reply_to').array(),
  subject: text('subject').notNull(),
  html: text('html'),
  text: text('text'),
  variables: jsonb('variables'),
  createdBy: uuid('created_by'),
  sentCount: integer('sent_count').notNull(),
});

export const recipients = pgTable('campaign_recipients', {
  id: uuid('id').primaryKey(),
  campaignId: uuid('campaign_id').notNull(),
  organizationId: uuid('organization_id').notNull(),
  position: bigint('position', { mode: 'number' }).notNull(),
  customerId: uuid('customer_id'),
  email: text('email').notNull(),
  name: text('name'),
  variables: jsonb('variables'),
  status: text('status').notNull(),
  messageId: text('message_id'),
  error: text('error'),
  sentAt: timestamp('sent_at', { withTimezone: true }),
});

export const activities = pgTable('activities', {
  organizationId: uuid('organization_id').notNull(),
  userId: uuid('user_id'),
  entityType: text('entity_type').notNull(),
  entityId: uuid('entity_id').notNull(),
  action: text('action').notNull(),
  description: text('description'),
  metadata: jsonb('metadata'),
  source: text('source'),
  sourceRef: text('source_ref'),
});
