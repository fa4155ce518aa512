//! Addresses that were compared less strictly, brought to their canonical form.

use serde_json::json;
use uuid::Uuid;

use super::migrated;
use crate::support::database::TestDatabase;
use crate::support::{ORGANIZATION, World, event, invoke};

/// A CRM's index by the form that addresses had, and suppressions as a writer has left them that knew no trigger.
const CRM: &str = "
    CREATE TABLE customers (email text);
    INSERT INTO customers VALUES (U&'Gone@example.com\\3000');
    CREATE INDEX customers_email ON customers (normalized_address(email));
    ALTER TABLE suppressions DISABLE TRIGGER suppressions_normalized";

/// Two spellings of one mailbox.
fn add_soft_bounces(world: &mut World) {
    for (email, bounces) in
        [("s@münchen.example", "{\"m1\": 1}"), ("s@xn--mnchen-3ya.example", "{\"m2\": 2}")]
    {
        world.database.execute(
            "INSERT INTO soft_bounces (organization_id, email, bounces) VALUES ($1, $2, $3::text::jsonb)",
            &[&ORGANIZATION, &email, &bounces],
        );
    }
}

#[test]
fn a_database_from_before_is_brought_along_and_loses_no_suppression() {
    let mut world = World::new();
    world.database = TestDatabase::create_empty();
    world.database.client().batch_execute(include_str!("schemas/release_0_1.sql")).unwrap();
    world.database.client().batch_execute(CRM).unwrap();
    let other = Uuid::from_u128(0x0b);
    for (organization, email, reason, since) in [
        (ORGANIZATION, "a@münchen.example", "bounce", "2020-01-01"),
        (ORGANIZATION, "a@xn--mnchen-3ya.example", "unsubscribe", "2021-01-01"),
        (ORGANIZATION, "a@münchen.example\u{200b}", "complaint", "2022-01-01"),
        (other, "a@münchen.example", "bounce", "2023-01-01"),
        (ORGANIZATION, "plain@example.com", "manual", "2024-01-01"),
    ] {
        world.database.execute(
            "INSERT INTO suppressions VALUES ($1, $2, $3, $4::text::timestamptz)",
            &[&organization, &email, &reason, &since],
        );
    }
    add_soft_bounces(&mut world);
    let (sent, waiting) = (world.campaign(), world.campaign());
    for (campaign, email, status) in [
        (sent, "bob@example.com", "pending"),
        (sent, "bob@example.com\u{200b}", "sent"),
        (sent, " bob@example.com", "sent"),
        (sent, "eve@example.com", "pending"),
        (sent, "eve@example.com ", "uncertain"),
        (waiting, "bob@example.com", "pending"),
        (waiting, " bob@example.com", "pending"),
        (waiting, "ada@example.com", "pending"),
    ] {
        world.add_recipient(campaign, email);
        world.database.execute(
            "UPDATE campaign_recipients SET status = $3 WHERE campaign_id = $1 AND email = $2",
            &[&campaign, &email, &status],
        );
    }
    world
        .database
        .client()
        .batch_execute("ALTER TABLE suppressions ENABLE TRIGGER suppressions_normalized")
        .unwrap();
    migrated(&world.database.url, &[]);
    assert!(migrated(&world.database.url, &[]).starts_with("up to date"));

    let rows = |world: &mut World, sql: &str| -> Vec<String> {
        world.database.query(sql, &[]).iter().map(|row| row.get(0)).collect()
    };
    let suppressions = rows(
        &mut world,
        "SELECT concat_ws(' ', right(organization_id::text, 1), email, reason, created_at::date)
           FROM suppressions ORDER BY 1",
    );
    assert_eq!(
        suppressions,
        [
            "a a@xn--mnchen-3ya.example complaint 2020-01-01",
            "a plain@example.com manual 2024-01-01",
            "b a@xn--mnchen-3ya.example bounce 2023-01-01"
        ]
    );
    let soft = rows(&mut world, "SELECT concat_ws(' ', email, bounces) FROM soft_bounces");
    assert_eq!(soft, ["s@xn--mnchen-3ya.example {\"m1\": 1, \"m2\": 2}"]);
    let recipients = rows(
        &mut world,
        "SELECT concat_ws(' ', btrim(d.email, U&' \\200b'), d.status, d.error_code, '<-', k.status)
           FROM campaign_recipients AS d JOIN campaign_recipients AS k ON k.id = d.duplicate_of
          WHERE k.duplicate_of IS NULL ORDER BY d.position",
    );
    assert_eq!(
        recipients,
        [
            "bob@example.com failed duplicate_address <- sent",
            "bob@example.com sent <- sent",
            "eve@example.com failed duplicate_address <- uncertain",
            "bob@example.com failed duplicate_address <- pending",
        ]
    );
    assert_eq!(rows(&mut world, "SELECT failed_count::text FROM campaigns ORDER BY 1"), ["1", "2"]);
    let found = rows(
        &mut world,
        "SELECT count(*)::text FROM customers WHERE normalized_address(email) = 'gone@example.com'",
    );
    assert_eq!(found, ["1"]);
    world.database.client().batch_execute("SET enable_seqscan = off").unwrap();
    let by_index =
        "SELECT count(*)::text FROM customers WHERE normalized_address(email) = 'gone@example.com'";
    assert_eq!(rows(&mut world, by_index), ["1"], "the CRM's index is rebuilt");

    // What may be tried again is not sent to a mailbox that has it.
    world.database.execute(
        "UPDATE campaign_recipients SET status = 'pending', error_code = NULL, error = NULL WHERE campaign_id = $1",
        &[&waiting],
    );
    world.database.execute("UPDATE campaigns SET failed_count = 0 WHERE id = $1", &[&waiting]);
    let result = invoke(&mut world.function(), &event(waiting, 10));
    assert_eq!((&result["batch"]["sent"], &result["batch"]["suppressed"]), (&json!(2), &json!(1)));
}
