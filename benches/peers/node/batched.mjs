// The design of send-batch in Node: a range is claimed with one statement, 50 requests are under way at a time,
// and one statement records the batch.
import { readFile } from 'node:fs/promises';
import { SendEmailCommand } from '@aws-sdk/client-sesv2';
import { compile, render, request } from './message.mjs';
import { run } from './peer.mjs';

const BATCH = Number(process.env.BATCH_SIZE ?? 500);
const CONCURRENCY = 50;
const statement = (name) => readFile(new URL(`../${name}.sql`, import.meta.url), 'utf8');
const [CLAIM, RECORD] = await Promise.all([statement('claim'), statement('record')]);

await run(async ({ campaign, pool, ses }) => {
  const templates = compile(campaign);
  let total = 0;
  await pool.query('INSERT INTO peer_cursors (campaign_id) VALUES ($1) ON CONFLICT DO NOTHING', [campaign.id]);
  for (;;) {
    const { rows } = await pool.query(CLAIM, [campaign.id, BATCH]);
    if (rows.length === 0) break;
    const outcomes = await sendAll(rows, async (recipient) => {
      const content = render(templates, campaign, recipient);
      const answer = await ses.send(new SendEmailCommand(request(campaign, recipient, content)));
      return { subject: content.subject, messageId: answer.MessageId };
    });
    await pool.query(RECORD, [
      campaign.id,
      rows.map((row) => row.id),
      outcomes.map((outcome) => outcome.messageId ?? null),
      outcomes.map((outcome) => outcome.error ?? null),
      outcomes.map((outcome) => outcome.subject ?? null),
    ]);
    total += outcomes.filter((outcome) => outcome.messageId).length;
  }
  await pool.query(`UPDATE campaigns SET status = 'sent' WHERE id = $1`, [campaign.id]);
  return total;
});

// Sends to all, CONCURRENCY at a time; a failure is an outcome.
async function sendAll(rows, send) {
  const outcomes = new Array(rows.length);
  let next = 0;
  const lane = async () => {
    while (next < rows.length) {
      const index = next++;
      outcomes[index] = await send(rows[index]).catch((error) => ({ error: String(error) }));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return outcomes;
}
