// What all Node peers share: they start, wait for the signal, send one campaign, and print how many emails they sent.
import { createInterface } from 'node:readline';
import { SESv2Client } from '@aws-sdk/client-sesv2';
import { eq } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { campaigns } from './schema.mjs';

export async function run(send) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  // The SDK's defaults: connections kept alive, 50 at most.
  const ses = new SESv2Client({});
  console.log('ready');
  await lines.next();
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
  const database = drizzle(pool);
  const [campaign] = await database.select().from(campaigns).where(eq(campaigns.id, process.env.CAMPAIGN_ID));
  const sent = await send({ campaign, database, pool, ses });
  console.log(`done ${sent}`);
  await lines.next();
  await pool.end();
  ses.destroy();
}
