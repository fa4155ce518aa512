//! The batch of a lost invocation: the record of the invocation that takes it over, and its own late record.

use std::time::SystemTime;

use campaign_sender::domain::outcome::{Entry, Line, Outcome};
use campaign_sender::send_batch::claim::Claim;
use campaign_sender::send_batch::record::{self, ACTIVITY_REFUSED, Closing, Record, Statement};
use campaign_sender::store::activities::plan;
use uuid::Uuid;

use crate::support::World;
use crate::{Statements, line, soon};

/// Records outcomes of which the table refuses an activity.
fn record_what_is_refused(statements: &Statements, campaign: Uuid, closing: Closing, lines: &[Line]) {
    statements.runtime.block_on(async {
        let database = &statements.database;
        let table = plan::learn(database, "activities", &["email_sent"], &[], soon()).await.unwrap();
        let statement = Statement::new(&table);
        let whole = Record { closing: Some(closing), lines, ..Record::nothing(campaign) };
        let refusal = record::record_whole(database, &statement, &whole, soon()).await.unwrap_err();
        record::record_apart(database, &statement, &whole, refusal, soon()).await.unwrap().unwrap();
    });
}

/// The noted outcomes are recorded in parts then, and no part may take the recipients of another one for lost.
#[test]
fn noted_outcomes_are_kept_if_the_table_refuses_one_of_their_activities() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    let statements = Statements::of(&mut world);
    let (lost, token) = (Uuid::new_v4(), Uuid::new_v4());
    let Claim::Batch(batch) = statements.claim(campaign, lost, 10, 1e6) else { panic!("no batch") };
    let sent = |message: &str| Outcome::Sent { message_id: message.to_owned(), at: SystemTime::now() };
    let failed = Outcome::Failed { code: "MessageRejected".to_owned(), error: "no".to_owned() };
    let noted: Vec<(Uuid, Outcome)> = batch
        .recipients
        .iter()
        .map(|recipient| recipient.id)
        .zip([sent("one"), sent("two"), Outcome::Suppressed, failed, sent("three")])
        .collect();
    let entries = noted.iter().cloned().map(|(recipient_id, outcome)| Entry { recipient_id, outcome });
    statements.checkpoint(&batch, 1, 6, entries.collect());
    world.expire_leases();
    let refuse = format!("ALTER TABLE activities ADD CHECK (entity_id <> '{}')", noted[1].0);
    world.database.client().batch_execute(&refuse).unwrap();

    let Claim::Takeover { batch_id, .. } = statements.claim(campaign, token, 10, 1e6) else {
        panic!("no takeover")
    };
    let closing = Closing { batch_id, token, whole: true, reopen: true, owner_lost: true };
    let lines: Vec<_> = noted.iter().map(|(id, outcome)| line(*id, outcome.clone())).collect();
    record_what_is_refused(&statements, campaign, closing, &lines);

    let rows = world.database.query(
        "SELECT status, message_id, error_code FROM campaign_recipients WHERE campaign_id = $1 ORDER BY position",
        &[&campaign],
    );
    let found: Vec<(&str, Option<&str>, Option<&str>)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let uncertain = ("uncertain", None, Some("lost_invocation"));
    let expected = [
        ("sent", Some("one"), None),
        ("uncertain", Some("two"), Some(ACTIVITY_REFUSED)),
        ("suppressed", None, None),
        ("failed", None, Some("MessageRejected")),
        ("sent", Some("three"), None),
        uncertain,
        uncertain,
        ("pending", None, None),
        ("pending", None, None),
        ("pending", None, None),
    ];
    assert_eq!(found, expected);
}

/// The invocation was only slow. Its record comes after the takeover, and after another decision about the recipient.
#[test]
fn an_accepted_email_keeps_its_message_id_whatever_has_become_of_its_recipient() {
    for (status, expected) in [
        ("pending", ("uncertain", Some("one"), Some(ACTIVITY_REFUSED))),
        ("uncertain", ("uncertain", Some("one"), Some(ACTIVITY_REFUSED))),
        ("failed", ("uncertain", Some("one"), Some(ACTIVITY_REFUSED))),
        // There is no activity to refuse.
        ("sent", ("sent", Some("another"), None)),
        ("suppressed", ("suppressed", None, None)),
    ] {
        let mut world = World::new();
        let campaign = world.campaign_of(3);
        let statements = Statements::of(&mut world);
        let (slow, token) = (Uuid::new_v4(), Uuid::new_v4());
        let Claim::Batch(batch) = statements.claim(campaign, slow, 2, 1e6) else { panic!("no batch") };
        let id = batch.recipients[0].id;
        world.expire_leases();
        let Claim::Takeover { batch_id, .. } = statements.claim(campaign, token, 2, 1e6) else {
            panic!("no takeover")
        };
        let taken_over = Closing { batch_id, token, whole: true, reopen: true, owner_lost: true };
        statements.record(campaign, Some(taken_over), &[]);
        let decide = "UPDATE campaign_recipients SET previous_status = status, status = $2, error_code = NULL,
                             message_id = CASE WHEN $2 = 'sent' THEN 'another' END WHERE id = $1 AND status <> $2";
        world.database.execute(decide, &[&id, &status]);
        // Another invocation has the rest, and this recipient if it is pending again.
        assert!(matches!(statements.claim(campaign, Uuid::new_v4(), 2, 1e6), Claim::Batch(_)));
        world.database.client().batch_execute("ALTER TABLE activities ADD CHECK (false) NOT VALID").unwrap();

        let late = Closing { batch_id: batch.id, token: slow, whole: true, reopen: false, owner_lost: false };
        let sent = Outcome::Sent { message_id: "one".to_owned(), at: SystemTime::now() };
        let lines = [line(id, sent)];
        if expected.0 == status && status != "uncertain" {
            statements.record(campaign, Some(late), &lines);
        } else {
            record_what_is_refused(&statements, campaign, late, &lines);
        }
        let sql = "SELECT status, message_id, error_code FROM campaign_recipients WHERE id = $1";
        let row = &world.database.query(sql, &[&id])[0];
        assert_eq!((row.get(0), row.get(1), row.get(2)), expected, "{status}");
    }
}
