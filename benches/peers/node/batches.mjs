// The design of send-batch in Node: a range is claimed with one statement, its requests are under way together, and
// one statement records the batch.
import { readFile } from 'node:fs/promises';

const BATCH = Number(process.env.BATCH_SIZE ?? 500);
const statement = (name) => readFile(new URL(`../${name}.sql`, import.meta.url), 'utf8');
const [CLAIM, RECORD] = await Promise.all([statement('claim'), statement('record')]);

// Sends the campaign by `send`, which answers with an outcome for each recipient of a batch; returns how many were sent.
export async function inBatches(campaign, pool, send) {
  let total = 0;
  await pool.query('INSERT INTO peer_cursors (campaign_id) VALUES ($1) ON CONFLICT DO NOTHING', [campaign.id]);
  for (;;) {
    const { rows } = await pool.query(CLAIM, [campaign.id, BATCH]);
    if (rows.length === 0) break;
    const outcomes = await send(rows);
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
}

// The results of `work` for all items, of which so many are under way at a time.
export async function together(count, items, work) {
  const results = new Array(items.length);
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]);
    }
  };
  await Promise.all(Array.from({ length: count }, lane));
  return results;
}
