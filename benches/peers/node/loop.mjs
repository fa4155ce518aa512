// The usual way: ten recipients at a time, one after the other, their activities with one insert.
import { SendEmailCommand } from '@aws-sdk/client-sesv2';
import { and, asc, eq, sql } from 'drizzle-orm';
import { compile, render, request } from './message.mjs';
import { run } from './peer.mjs';
import { activities, campaigns, recipients } from './schema.mjs';

const BATCH = 10;

await run(async ({ campaign, database, ses }) => {
  const templates = compile(campaign);
  let total = 0;
  for (;;) {
    const batch = await database
      .select()
      .from(recipients)
      .where(and(eq(recipients.campaignId, campaign.id), eq(recipients.status, 'pending')))
      .orderBy(asc(recipients.position))
      .limit(BATCH);
    if (batch.length === 0) break;
    const sent = [];
    for (const recipient of batch) {
      try {
        const content = render(templates, campaign, recipient);
        const answer = await ses.send(new SendEmailCommand(request(campaign, recipient, content)));
        await database
          .update(recipients)
          .set({ status: 'sent', messageId: answer.MessageId, sentAt: new Date() })
          .where(eq(recipients.id, recipient.id));
        sent.push(activity(campaign, recipient, content.subject, answer.MessageId));
      } catch (error) {
        await database
          .update(recipients)
          .set({ status: 'failed', error: String(error) })
          .where(eq(recipients.id, recipient.id));
      }
    }
    if (sent.length > 0) await database.insert(activities).values(sent);
    await database
      .update(campaigns)
      .set({ sentCount: sql`${campaigns.sentCount} + ${sent.length}` })
      .where(eq(campaigns.id, campaign.id));
    total += sent.length;
  }
  await database.update(campaigns).set({ status: 'sent' }).where(eq(campaigns.id, campaign.id));
  return total;
});

function activity(campaign, recipient, subject, messageId) {
  return {
    organizationId: recipient.organizationId,
    userId: campaign.createdBy,
    entityType: recipient.customerId ? 'customer' : 'email',
    entityId: recipient.customerId ?? recipient.id,
    action: 'email_sent',
    description: `Email sent to ${recipient.name || recipient.email}: ${subject}`,
    metadata: {
      emailId: recipient.id,
      recipientEmail: recipient.email,
      ...(recipient.name ? { recipientName: recipient.name } : {}),
      subject,
      campaignId: campaign.id,
      campaignName: campaign.name,
      messageId,
    },
    source: 'email',
    sourceRef: recipient.id,
  };
}
