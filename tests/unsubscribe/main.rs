//! The built `unsubscribe`, over the Lambda Runtime API, against a real PostgreSQL.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod emails;
mod links;
mod records;
mod tables;

use std::time::Duration;

use campaign_sender::message::token::{Keys, RecipientIds};
use local_ses::lambda::Function;
use serde_json::{Value, json};
use support::{ORGANIZATION, UNSUBSCRIBE_SECRET, World};
use uuid::Uuid;

fn function_with(world: &World, more: &[(&str, &str)]) -> Function {
    let mut environment =
        vec![("DATABASE_URL", world.database.url.as_str()), ("UNSUBSCRIBE_SECRET", UNSUBSCRIBE_SECRET)];
    environment.extend_from_slice(more);
    Function::start(&support::executable("unsubscribe"), &environment).expect("unsubscribe starts")
}

fn function(world: &World) -> Function {
    function_with(world, &[])
}

/// A recipient that was sent an email of a new campaign.
fn recipient(world: &mut World, email: &str) -> Uuid {
    let campaign = world.campaign();
    let id = world.add_recipient(campaign, email);
    world.database.execute(
        "UPDATE campaign_recipients SET status = 'sent', message_id = 'message' WHERE id = $1",
        &[&id],
    );
    id
}

fn token(recipient_id: Uuid) -> String {
    let ids = RecipientIds { recipient_id, organization_id: ORGANIZATION };
    Keys::parse(UNSUBSCRIBE_SECRET).unwrap().sign(ids)
}

/// A request as a file of `events/unsubscribe/` has it, with this token.
fn request(kind: &str, token: &str) -> Value {
    let file = format!("{}/events/unsubscribe/{kind}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert!(text.contains("/TOKEN\""), "{file}");
    serde_json::from_str(&text.replace("/TOKEN\"", &format!("/{token}\""))).unwrap()
}

/// A request with this method and form.
fn post(token: &str, body: &str) -> Value {
    let mut event = request("one-click", token);
    event["body"] = json!(body);
    event["isBase64Encoded"] = json!(false);
    event
}

fn ask(function: &mut Function, event: &Value) -> Value {
    function.invoke(event, Duration::from_secs(20)).unwrap_or_else(|error| {
        panic!("{error:?}\n{}", function.logs().join("\n"));
    })
}

/// The status and title of the answer.
fn answer(function: &mut Function, event: &Value) -> (u64, String) {
    let response = ask(function, event);
    let body = response["body"].as_str().unwrap();
    let title = body.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    (response["statusCode"].as_u64().unwrap(), title.map(|(title, _)| title.to_owned()).unwrap_or_default())
}

/// The reasons for which addresses are suppressed.
fn suppressions(world: &mut World) -> Vec<(String, String)> {
    let sql = "SELECT email, reason FROM suppressions WHERE organization_id = $1 ORDER BY email";
    world.database.query(sql, &[&ORGANIZATION]).iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn suppress(world: &mut World, email: &str, reason: &str) {
    let sql = "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, $2, $3)";
    world.database.execute(sql, &[&ORGANIZATION, &email, &reason]);
}

/// The actions of a recipient's activities, in their order.
fn actions(world: &mut World, recipient: Uuid) -> Vec<String> {
    let sql = "SELECT action FROM activities WHERE source_ref = $1 ORDER BY created_at";
    world.database.query(sql, &[&recipient.to_string()]).iter().map(|row| row.get(0)).collect()
}

/// Returns true if the recipient is marked, and the campaign's count.
fn mark(world: &mut World, recipient: Uuid) -> (bool, i32) {
    let sql = "SELECT r.unsubscribed_at IS NOT NULL, c.unsubscribed_count
                 FROM campaign_recipients AS r JOIN campaigns AS c ON c.id = r.campaign_id WHERE r.id = $1";
    let row = &world.database.query(sql, &[&recipient])[0];
    (row.get(0), row.get(1))
}

/// Lets the time pass after which a link may be used again.
fn rest(world: &mut World) {
    let sql = "UPDATE campaign_recipients SET link_used_at = link_used_at - interval '61 seconds'";
    world.database.execute(sql, &[]);
}
