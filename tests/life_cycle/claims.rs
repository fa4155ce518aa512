//! Claims and completions keep their rules by themselves, whatever session calls them.

use postgres::error::SqlState;
use postgres::{Client, Transaction};
use uuid::Uuid;

use crate::support::World;

const CLAIM: &str = "SELECT verdict FROM claim_next_batch($1, gen_random_uuid(), 10, 60, false, 1000, 1000, 'r', NULL, 60, 0, '')";
const PAUSE: &str = "UPDATE campaigns SET status = 'paused' WHERE id = $1";
const COMPLETE: &str = "SELECT complete_campaign($1)";

fn verdict(transaction: &mut Transaction, campaign: Uuid) -> String {
    transaction.query_one(CLAIM, &[&campaign]).unwrap().get(0)
}

fn setting(client: &mut Client, name: &str) -> String {
    client.query_one("SELECT current_setting($1)", &[&name]).unwrap().get(0)
}

#[test]
fn a_transaction_with_one_snapshot_neither_claims_nor_completes() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        for statement in [CLAIM, COMPLETE] {
            let client = world.database.client();
            client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}")).unwrap();
            let error = client.query(statement, &[&campaign]).unwrap_err();
            client.batch_execute("ROLLBACK").unwrap();
            let error = error.as_db_error().unwrap();
            assert_eq!(error.code(), &SqlState::ACTIVE_SQL_TRANSACTION, "{error}");
            assert!(error.message().contains(&level.to_lowercase()), "{error}");
        }
    }
    // PostgreSQL treats READ UNCOMMITTED as READ COMMITTED.
    let client = world.database.client();
    client.batch_execute("BEGIN ISOLATION LEVEL READ UNCOMMITTED").unwrap();
    client.query(CLAIM, &[&campaign]).unwrap();
    client.batch_execute("ROLLBACK").unwrap();
}

#[test]
fn a_claim_or_completion_that_is_acknowledged_is_durable() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    let client = world.database.client();
    client.query(CLAIM, &[&campaign]).unwrap();
    for (own, within) in [("off", "on"), ("local", "on"), ("remote_write", "remote_write"), ("on", "on")] {
        for statement in [CLAIM, COMPLETE] {
            client.execute(&format!("SET synchronous_commit = {own}"), &[]).unwrap();
            client.batch_execute("BEGIN").unwrap();
            client.query(statement, &[&campaign]).unwrap();
            assert_eq!(setting(client, "synchronous_commit"), within, "{own}: {statement}");
            client.batch_execute("ROLLBACK").unwrap();
            assert_eq!(setting(client, "synchronous_commit"), own);
        }
    }
}

#[test]
fn no_claim_is_committed_after_a_persons_pause() {
    let mut world = World::new();
    let campaign = world.campaign_of(30);
    let mut invocation = world.database.connect();
    // The first claim changes the campaign's row. The second one, of a campaign under way, only reads it.
    for _ in 0..2 {
        let mut claim = invocation.transaction().unwrap();
        assert_eq!(verdict(&mut claim, campaign), "batch");
        let mut person = world.database.connect();
        person.batch_execute("SET lock_timeout = '100ms'").unwrap();
        let error = person.execute(PAUSE, &[&campaign]).unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
        claim.commit().unwrap();
    }
    world.database.execute(PAUSE, &[&campaign]);
    assert_eq!(verdict(&mut invocation.transaction().unwrap(), campaign), "paused");
}

#[test]
fn a_completion_leaves_a_campaign_that_a_person_stopped_as_it_is() {
    for status in ["paused", "cancelled", "draft", "failed"] {
        let mut world = World::new();
        let campaign = world.campaign_of(1);
        let sql = "UPDATE campaign_recipients SET status = 'suppressed', previous_status = 'pending'";
        world.database.query(CLAIM, &[&campaign]);
        world.database.execute(sql, &[]);
        world.database.execute("UPDATE campaign_batches SET closed_at = now()", &[]);
        world.set_status(campaign, status);
        world.database.query(COMPLETE, &[&campaign]);
        assert_eq!(world.campaign_status(campaign).0, status);
        world.set_status(campaign, "sending");
        world.database.query(COMPLETE, &[&campaign]);
        assert_eq!(world.campaign_status(campaign).0, "sent");
    }
}

#[test]
fn what_does_not_fit_into_a_claim_is_the_next_claims() {
    let mut world = World::new();
    let campaign = world.campaign_of(5);
    // Two recipients' data fit into a claim.
    let claim = "SELECT positions FROM claim_next_batch($1, gen_random_uuid(), 4, 60, false, 45, 1000, 'r', NULL, 60, 0, '')";
    let mut claimed = Vec::new();
    while let Some(mut positions) = world.database.query(claim, &[&campaign])[0].get::<_, Option<Vec<i64>>>(0)
    {
        assert!(positions.len() <= 2, "{positions:?}");
        claimed.append(&mut positions);
    }
    assert_eq!(claimed.len(), 5);
    assert!(claimed.is_sorted(), "{claimed:?}");
}

#[test]
fn an_invocation_takes_over_only_batches_of_others() {
    let claim =
        "SELECT verdict FROM claim_next_batch($1, $2, 10, 60, false, 1000, 1000, 'r', NULL, 60, 0, '')";
    for status in ["sending", "paused", "cancelled"] {
        let mut world = World::new();
        let campaign = world.campaign_of(10);
        let verdict = |world: &mut World, token: Uuid| -> String {
            world.database.query(claim, &[&campaign, &token])[0].get(0)
        };
        let (own, another) = (Uuid::new_v4(), Uuid::new_v4());
        verdict(&mut world, own);
        world.set_status(campaign, status);
        world.expire_leases();
        assert_eq!(verdict(&mut world, own), if status == "sending" { "batch" } else { status });
        world.expire_leases();
        assert_eq!(verdict(&mut world, another), "takeover", "{status}");
        // A repeated call has the same answer.
        assert_eq!(verdict(&mut world, another), "takeover", "{status}");
    }
}
