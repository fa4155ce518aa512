// The design of send-batch in Node with SendBulkEmail: calls of 50 recipients, ten of them under way at a time.
import { setTimeout as pause } from 'node:timers/promises';
import { SendBulkEmailCommand } from '@aws-sdk/client-sesv2';
import { inBatches, together } from './batches.mjs';
import { bulkRequest, compile, render } from './message.mjs';
import { run } from './peer.mjs';

const ENTRIES = 50;
const CALLS = 10;
// SES did not take these entries for now, whatever becomes of the others.
const PASSING = new Set(['ACCOUNT_THROTTLED', 'TRANSIENT_FAILURE']);
const ATTEMPTS = 5;

await run(({ campaign, pool, ses }) => {
  const templates = compile(campaign);
  return inBatches(campaign, pool, async (rows) => {
    const calls = Array.from({ length: Math.ceil(rows.length / ENTRIES) }, (_, call) =>
      rows.slice(call * ENTRIES, (call + 1) * ENTRIES),
    );
    const outcomes = await together(CALLS, calls, async (recipients) => {
      const messages = recipients.map((recipient) => rendered(templates, campaign, recipient));
      await sendCall(ses, campaign, messages.filter((message) => !message.error));
      return messages.map(({ content, messageId, error }) => ({ subject: content?.subject, messageId, error }));
    });
    return outcomes.flat();
  });
});

// A failure is an outcome.
function rendered(templates, campaign, recipient) {
  try {
    return { recipient, content: render(templates, campaign, recipient) };
  } catch (error) {
    return { recipient, error: String(error) };
  }
}

// Notes in each message what became of it.
async function sendCall(ses, campaign, messages, attempt = 1) {
  if (messages.length === 0) return;
  let results;
  try {
    const answer = await ses.send(new SendBulkEmailCommand(bulkRequest(campaign, messages)));
    results = answer.BulkEmailEntryResults;
  } catch (error) {
    // One malformed entry is enough for the whole call to be refused.
    if (error.name === 'BadRequestException' && messages.length > 1) {
      for (const message of messages) await sendCall(ses, campaign, [message], attempt);
      return;
    }
    for (const message of messages) message.error = String(error);
    return;
  }
  const again = [];
  messages.forEach((message, index) => {
    const { Status, Error, MessageId } = results[index] ?? {};
    if (Status === 'SUCCESS') message.messageId = MessageId;
    else if (PASSING.has(Status) && attempt < ATTEMPTS) again.push(message);
    else message.error = `${Status}: ${Error}`;
  });
  if (again.length > 0) {
    await pause(100 * 2 ** attempt);
    await sendCall(ses, campaign, again, attempt + 1);
  }
}
