// The design of send-batch in Node with SendBulkEmail: calls of 50 recipients, ten of them under way at a time.
import { setTimeout as pause } from 'node:timers/promises';
import { SendBulkEmailCommand } from '@aws-sdk/client-sesv2';
import { inBatches, together } from './batches.mjs';
import { bulkRequest, compile, render } from './message.mjs';
import { run } from './peer.mjs';

const ENTRIES = 50;
const CALLS = 10;
const MAX_BYTES = 990_000;
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
      for (const some of fitting(messages.filter((message) => !message.error))) await sendCall(ses, campaign, some);
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

// Messages whose request is within what SES takes of one with an inline template.
function fitting(messages) {
  const calls = [];
  let bytes = Infinity;
  for (const message of messages) {
    const { subject, html, text } = message.content;
    // Data is JSON in a string of JSON; 1,000 bytes for the rest of an entry.
    const size = Buffer.byteLength(JSON.stringify(JSON.stringify({ subject, html, text }))) + 1000;
    if (bytes + size > MAX_BYTES) {
      calls.push([]);
      bytes = 0;
    }
    calls.at(-1).push(message);
    bytes += size;
  }
  return calls;
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
