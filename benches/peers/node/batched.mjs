// The design of send-batch in Node with SendEmail: 50 requests are under way at a time.
import { SendEmailCommand } from '@aws-sdk/client-sesv2';
import { inBatches, together } from './batches.mjs';
import { compile, render, request } from './message.mjs';
import { run } from './peer.mjs';

const CONCURRENCY = 50;

await run(({ campaign, pool, ses }) => {
  const templates = compile(campaign);
  // A failure is an outcome.
  const send = async (recipient) => {
    try {
      const content = render(templates, campaign, recipient);
      const answer = await ses.send(new SendEmailCommand(request(campaign, recipient, content)));
      return { subject: content.subject, messageId: answer.MessageId };
    } catch (error) {
      return { error: String(error) };
    }
  };
  return inBatches(campaign, pool, (rows) => together(CONCURRENCY, rows, send));
});
