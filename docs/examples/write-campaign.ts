// Writes a campaign with its recipients, starts it, and prints its id.
//
//   npm install pg tsx && npm pkg set type=module
//   DATABASE_URL=postgres://… npx tsx write-campaign.ts

import { randomUUID } from "node:crypto";
import pg from "pg";

interface Person {
  email: string;
  name?: string;
  variables: Record<string, unknown>;
}

const people: Person[] = [
  { email: "ana@example.com", name: "Ana Silva", variables: { coupon: "SPRING-1" } },
  { email: "ben@example.com", variables: { coupon: "SPRING-2" } },
];

/** One transaction: either the campaign and all of its recipients are there, or nothing is. */
async function writeCampaign(client: pg.Client, organizationId: string, people: Person[]): Promise<string> {
  await client.query("BEGIN");
  try {
    const { rows } = await client.query<{ id: string }>(
      `INSERT INTO campaigns (organization_id, name, from_address, subject, html)
       VALUES ($1, 'Spring', 'News <news@example.com>', 'Hello {{ name or "you" }}',
               '<p>Your coupon is {{ coupon }}.</p>')
       RETURNING id`,
      [organizationId],
    );
    const campaignId = rows[0].id;
    // A thousand at a time: one statement each, whatever its size.
    for (let first = 0; first < people.length; first += 1000) {
      await client.query(
        `INSERT INTO campaign_recipients (campaign_id, organization_id, email, name, variables)
         SELECT $1, $2, p.email, p.name, p.variables
           FROM jsonb_to_recordset($3::jsonb) AS p (email text, name text, variables jsonb)`,
        [campaignId, organizationId, JSON.stringify(people.slice(first, first + 1000))],
      );
    }
    await client.query("UPDATE campaigns SET status = 'sending' WHERE id = $1", [campaignId]);
    await client.query("COMMIT");
    return campaignId;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
console.log(await writeCampaign(client, randomUUID(), people));
await client.end();
