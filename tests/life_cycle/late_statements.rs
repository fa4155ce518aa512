//! Statements that PostgreSQL runs late: the connection was lost or the wait timed out, and the invocation
//! has run another statement since.

use campaign_sender::domain::outcome::Outcome;
use campaign_sender::send_batch::claim::Claim;
use campaign_sender::send_batch::record::{self, Closing, Record};
use postgres::error::SqlState;
use uuid::Uuid;

use crate::support::World;
use crate::{Statements, line, soon};

/// Range, mark and claim of the open batches of a campaign.
fn open_batches(world: &mut World, campaign: Uuid) -> Vec<(i64, i64, Option<i64>, Option<Uuid>)> {
    let sql = "SELECT first_position, last_position, handed_through, claim_token FROM campaign_batches
                WHERE campaign_id = $1 AND closed_at IS NULL ORDER BY first_position";
    let rows = world.database.query(sql, &[&campaign]);
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

#[test]
fn a_claim_that_comes_late_takes_nothing_back_from_the_one_that_was_answered() {
    let mut world = World::new();
    let campaign = world.campaign_of(100);
    let statements = Statements::of(&mut world);
    let token = Uuid::new_v4();
    let Claim::Batch(batch) = statements.claim(campaign, token, 100, 1e6) else { panic!("no batch") };
    statements.checkpoint(&batch, 1, 99, Vec::new());
    let before = open_batches(&mut world, campaign);

    // The rate has fallen since, so a new claim would get fewer recipients.
    let Claim::Batch(late) = statements.claim(campaign, token, 100, 1.0) else { panic!("no batch") };
    assert_eq!(late.recipients.len(), 100);
    assert_eq!(open_batches(&mut world, campaign), before);
    assert_eq!(before.len(), 1);
}

#[test]
fn a_checkpoint_that_comes_late_does_not_move_the_mark_back() {
    let mut world = World::new();
    let campaign = world.campaign_of(100);
    let statements = Statements::of(&mut world);
    let Claim::Batch(batch) = statements.claim(campaign, Uuid::new_v4(), 100, 1e6) else {
        panic!("no batch")
    };
    // The first is repeated over a new connection, and PostgreSQL runs what came over the broken one at last.
    for (number, index) in [(1, 70), (2, 90), (1, 70)] {
        statements.checkpoint(&batch, number, index, Vec::new());
    }
    assert_eq!(open_batches(&mut world, campaign)[0].2, Some(batch.recipients[90].position));
}

#[test]
fn a_claim_that_comes_when_its_invocation_may_not_send_any_more_claims_nothing() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    let claim =
        "SELECT verdict FROM claim_batch($1, gen_random_uuid(), 10, 60, false, 1000, 1000, 'r', NULL, $2, 0)";
    let error = world.database.client().query(claim, &[&campaign, &0.0_f64]).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    assert_eq!(open_batches(&mut world, campaign), []);
    let verdict: String = world.database.query(claim, &[&campaign, &60.0_f64])[0].get(0);
    assert_eq!(verdict, "batch");
}

#[test]
fn a_record_of_a_takeover_that_comes_late_leaves_the_new_owner_alone() {
    let mut world = World::new();
    let campaign = world.campaign_of(100);
    let statements = Statements::of(&mut world);
    let (lost, token) = (Uuid::new_v4(), Uuid::new_v4());
    statements.claim(campaign, lost, 100, 1e6);
    world.expire_leases();
    let Claim::Takeover { batch_id, .. } = statements.claim(campaign, token, 100, 1e6) else {
        panic!("no takeover")
    };
    let closing = Closing { batch_id, token, whole: true, reopen: true, owner_lost: true };
    statements.record(campaign, Some(closing), &[]);
    let uncertain = world.statuses(campaign);
    assert!(uncertain["uncertain"] < 100);
    let Claim::Batch(batch) = statements.claim(campaign, token, 100, 1e6) else { panic!("no batch") };
    // Each claim is a batch of its own.
    assert_ne!(batch.id, batch_id);
    let before = open_batches(&mut world, campaign);

    statements.record(campaign, Some(closing), &[]);
    assert_eq!(open_batches(&mut world, campaign), before);
    assert_eq!(world.statuses(campaign), uncertain);
}

#[test]
fn a_checkpoint_that_is_committed_while_its_batch_is_recorded_leaves_no_notes_to_the_next_owner() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    let statements = Statements::of(&mut world);
    let token = Uuid::new_v4();
    let Claim::Batch(batch) = statements.claim(campaign, token, 10, 1e6) else { panic!("no batch") };
    let mut late = world.database.connect();
    let mut checkpoint = late.transaction().unwrap();
    checkpoint
        .query(
            include_str!("../../src/send_batch/checkpoint.sql"),
            &[&batch.id, &token, &0_i64, &1_i32, &Some(serde_json::json!([]))],
        )
        .unwrap();
    let closing = Closing { batch_id: batch.id, token, whole: true, reopen: true, owner_lost: false };
    std::thread::scope(|scope| {
        let lines: Vec<_> =
            batch.recipients.iter().map(|recipient| line(recipient.id, Outcome::Deferred)).collect();
        let statements = &statements;
        scope.spawn(move || statements.record(campaign, Some(closing), &lines));
        let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock')";
        world.wait_until("recording waits for the checkpoint", waiting);
        checkpoint.commit().unwrap();
    });
    let notes = "SELECT count(*) FROM campaign_batch_outcomes";
    assert_eq!(world.database.query(notes, &[])[0].get::<_, i64>(0), 1);
    statements.claim(campaign, Uuid::new_v4(), 10, 1e6);
    assert_eq!(world.database.query(notes, &[])[0].get::<_, i64>(0), 0);
}

#[test]
fn evidence_of_an_earlier_attempt_says_nothing_of_the_next() {
    let mut world = World::new();
    let campaign = world.campaign_of(1);
    let statements = Statements::of(&mut world);
    let recipient: Uuid = world.database.query("SELECT id FROM campaign_recipients", &[])[0].get(0);
    let first = Uuid::new_v4();
    let Claim::Batch(batch) = statements.claim(campaign, first, 1, 1e6) else { panic!("no batch") };
    let refused = || {
        let outcome = Outcome::Failed { code: "MessageRejected".to_owned(), error: "no".to_owned() };
        [line(recipient, outcome)]
    };
    let unrecorded =
        Closing { batch_id: batch.id, token: first, whole: true, reopen: false, owner_lost: false };
    statements.record(campaign, Some(unrecorded), &refused());
    assert_eq!(world.statuses(campaign), [("failed".to_owned(), 1)].into());

    // A person decides that the recipient is sent to again, at its old position; the invocation that sends is
    // lost.
    world.database.execute("UPDATE campaign_recipients SET status = 'pending', error_code = NULL", &[]);
    let second = Uuid::new_v4();
    let Claim::Batch(_) = statements.claim(campaign, second, 1, 1e6) else { panic!("no batch") };
    statements.record(campaign, Some(unrecorded), &refused());
    assert_eq!(world.statuses(campaign), [("pending".to_owned(), 1)].into());
    world.expire_leases();
    let third = Uuid::new_v4();
    let Claim::Takeover { batch_id, .. } = statements.claim(campaign, third, 1, 1e6) else {
        panic!("no takeover")
    };
    let closing = Closing { batch_id, token: third, whole: true, reopen: true, owner_lost: true };
    statements.record(campaign, Some(closing), &[]);
    assert_eq!(world.statuses(campaign), [("uncertain".to_owned(), 1)].into());
    // The unrecorded outcomes arrive again. They know nothing about the second attempt.
    statements.record(campaign, Some(unrecorded), &refused());
    assert_eq!(world.statuses(campaign), [("uncertain".to_owned(), 1)].into());
    // Evidence that SES accepted a message counts, whatever its source.
    let accepted = Outcome::Sent { message_id: "message-1".to_owned(), at: std::time::SystemTime::now() };
    statements.record(campaign, Some(unrecorded), &[line(recipient, accepted)]);
    assert_eq!(world.statuses(campaign), [("sent".to_owned(), 1)].into());
}

#[test]
fn a_person_who_cancels_while_a_batch_halts_is_not_overruled() {
    let mut world = World::new();
    let campaign = world.campaign_of(1);
    let statements = Statements::of(&mut world);
    let mut person = world.database.connect();
    let mut cancel = person.transaction().unwrap();
    let sql = "UPDATE campaigns SET status = 'cancelled', status_reason = 'wrong list' WHERE id = $1";
    cancel.execute(sql, &[&campaign]).unwrap();
    std::thread::scope(|scope| {
        let statements = &statements;
        scope.spawn(move || {
            statements.runtime.block_on(async {
                let record = Record { halt: Some("the account may not send"), ..Record::nothing(campaign) };
                record::record(&statements.database, &statements.record, &record, soon()).await.unwrap();
            });
        });
        let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock')";
        world.wait_until("the halt waits for the person", waiting);
        cancel.commit().unwrap();
    });
    assert_eq!(world.campaign_status(campaign), ("cancelled".to_owned(), Some("wrong list".to_owned())));
}
