//! The built `ses-events`, over the Lambda Runtime API, against a real PostgreSQL.

#[path = "../support/mod.rs"]
mod support;

mod activities;
mod batches;
mod counted;
mod fitting;
mod guard;
mod lost;
mod poison;
mod recipients;
mod results;
mod suppressions;
mod uncertain;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use local_ses::lambda::Function;
use local_ses::ses::{in_sns, in_sqs_batch};
use serde_json::{Value, json};
use support::World;
use uuid::Uuid;

/// When SES accepted the emails of [`event`].
const ACCEPTED_AT: &str = "2026-11-02T09:00:00.645Z";

/// An event of the type that a file of `events/ses/eventbridge/` has, of this recipient.
fn event(kind: &str, campaign: Uuid, recipient: Uuid) -> Value {
    let file = format!("{}/events/ses/eventbridge/{kind}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut event: Value = serde_json::from_str(&text.replace("2026-03-02", "2026-11-02")).unwrap();
    let mail = &mut event["detail"]["mail"];
    mail["timestamp"] = json!(ACCEPTED_AT);
    mail["messageId"] = json!(message_id(recipient));
    mail["tags"]["campaign_id"] = json!([campaign]);
    mail["tags"]["recipient_id"] = json!([recipient]);
    // The database has the recipient's address; tests about the address set it themselves.
    mail["tags"]["organization_id"] = Value::Null;
    mail["destination"] = Value::Null;
    event
}

fn message_id(recipient: Uuid) -> String {
    format!("message-of-{recipient}")
}

/// The event alone, as with SNS's raw delivery.
fn raw(event: &Value) -> Value {
    event["detail"].clone()
}

fn ses_events(world: &World, more: &[(&str, &str)]) -> Function {
    let mut environment = vec![("DATABASE_URL", world.database.url.as_str())];
    environment.extend_from_slice(more);
    Function::start(&support::executable("ses-events"), &environment).expect("ses-events starts")
}

/// Invokes the function with these bodies as one batch of SQS, and returns the failed message ids.
fn deliver(function: &mut Function, bodies: &[Value]) -> Vec<String> {
    deliver_batch(function, &in_sqs_batch(bodies))
}

fn deliver_batch(function: &mut Function, batch: &Value) -> Vec<String> {
    let response = function.invoke(batch, Duration::from_secs(60)).unwrap_or_else(|error| {
        panic!("{error:?}\n{}", function.logs().join("\n"));
    });
    let failures = response["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

/// The line that the function logs with this message; it may arrive a moment after the answer.
fn logged(function: &Function, message: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let logs = function.logs();
        if let Some(line) = logs.iter().find(|line| line.contains(message)) {
            return serde_json::from_str(line).unwrap();
        }
        assert!(Instant::now() < end, "never logged: {message}\n{}", logs.join("\n"));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes recipients uncertain, as after a lost invocation; the campaign counts them.
fn uncertain(world: &mut World, campaign: Uuid, count: usize) -> Vec<Uuid> {
    let ids: Vec<Uuid> =
        (0..count).map(|n| world.add_recipient(campaign, &format!("{n}-{campaign}@example.com"))).collect();
    set_uncertain(world, campaign);
    ids
}

fn set_uncertain(world: &mut World, campaign: Uuid) {
    world.database.execute(
        "UPDATE campaign_recipients SET status = 'uncertain', error_code = 'lost_invocation', error = 'lost',
                uncertain_since = now() WHERE campaign_id = $1",
        &[&campaign],
    );
    world.database.execute(
        "UPDATE campaigns SET (total_count, uncertain_count) = (SELECT count(*), count(*) FROM campaign_recipients
                WHERE campaign_id = $1), status = 'sent', completed_at = now() WHERE id = $1",
        &[&campaign],
    );
    world.database.execute(
        "INSERT INTO campaign_cursors (campaign_id) VALUES ($1) ON CONFLICT DO NOTHING",
        &[&campaign],
    );
}

/// Changes uncertain recipients, which a CRM may not do.
fn unguarded(world: &mut World, sql: &str, parameters: &[&(dyn postgres::types::ToSql + Sync)]) {
    world.database.client().batch_execute("SET session_replication_role = replica").unwrap();
    world.database.execute(sql, parameters);
    world.database.client().batch_execute("RESET session_replication_role").unwrap();
}

/// The activities of a recipient, by action and number.
fn actions(world: &mut World, recipient: Uuid) -> BTreeMap<String, i64> {
    let sql = "SELECT action, count(*) FROM activities WHERE source_ref = $1::text GROUP BY action";
    world.database.query(sql, &[&recipient.to_string()]).iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn status(world: &mut World, recipient: Uuid) -> String {
    world.database.query("SELECT status FROM campaign_recipients WHERE id = $1", &[&recipient])[0].get(0)
}

/// The counters of every campaign equal its recipients; every sent recipient has one `email_sent`, and no
/// other has one.
fn assert_exact(world: &mut World) {
    let wrong = world.database.query(
        "SELECT c.id::text FROM campaigns AS c LEFT JOIN campaign_recipients AS r ON r.campaign_id = c.id GROUP BY c.id
         HAVING (c.sent_count, c.failed_count, c.uncertain_count) <>
                (count(*) FILTER (WHERE r.status = 'sent'), count(*) FILTER (WHERE r.status = 'failed'),
                 count(*) FILTER (WHERE r.status = 'uncertain'))
         UNION ALL
         SELECT r.id::text FROM campaign_recipients AS r
          WHERE (SELECT count(*) FROM activities AS a WHERE a.source_ref = r.id::text AND a.action = 'email_sent')
                <> (r.status = 'sent')::int",
        &[],
    );
    let wrong: Vec<String> = wrong.iter().map(|row| row.get(0)).collect();
    assert!(wrong.is_empty(), "campaigns or recipients that do not add up: {wrong:?}");
}
