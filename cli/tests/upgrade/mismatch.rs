//! Functions say which version of the schema they need before they claim anything.

use campaign_sender::message::token::{Keys, RecipientIds};
use campaign_sender::store::schema::VERSION;
use local_ses::lambda::Function;
use local_ses::ses::in_sqs_batch;
use serde_json::{Value, json};
use uuid::Uuid;

use super::migrated;
use crate::support::database::TestDatabase;
use crate::support::{
    ORGANIZATION, TIMEOUT, UNSUBSCRIBE_SECRET, World, event, executable, failure, invoke, root,
};

fn record(world: &mut World, version: i32, compatible_from: i32) {
    world.database.execute(
        "WITH gone AS (DELETE FROM campaign_schema WHERE version <> $1 RETURNING 1)
         INSERT INTO campaign_schema (version, compatible_from) SELECT $1, $2 WHERE (SELECT count(*) FROM gone) >= 0
         ON CONFLICT (version) DO UPDATE SET compatible_from = excluded.compatible_from",
        &[&version, &compatible_from],
    );
}

#[test]
fn a_function_whose_schema_is_too_old_or_too_new_names_both_versions_and_claims_nothing() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    record(&mut world, 0, 0);
    let mut function = world.function();
    let too_old = format!(
        "SchemaMismatch: this release needs version {VERSION} of the schema, and the database has version 0; run `campaign migrate` of this release on it"
    );
    assert_eq!(failure(&mut function, &event(campaign, 10)), too_old);
    assert_eq!(failure(&mut function, &json!({})), too_old);
    record(&mut world, VERSION + 2, VERSION + 1);
    let too_new = failure(&mut function, &event(campaign, 10));
    assert!(
        too_new.starts_with("SchemaMismatch: ") && too_new.contains(&format!("version {}", VERSION + 2)),
        "{too_new}"
    );
    assert_eq!(world.database.query("SELECT FROM campaign_cursors", &[]).len(), 0);
    // The same process goes on when the schema is there. Functions of one release before a newer schema work on it.
    record(&mut world, VERSION + 1, VERSION);
    assert_eq!(invoke(&mut function, &event(campaign, 10))["batch"]["sent"], 3);
}

#[test]
fn a_schema_that_stops_to_fit_a_warm_function_is_noticed() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    let mut function = world.function();
    assert_eq!(invoke(&mut function, &event(campaign, 1))["batch"]["sent"], 1);
    record(&mut world, VERSION + 2, VERSION + 1);
    world.database.execute("DROP FUNCTION claim_next_batch", &[]);
    let said = failure(&mut function, &event(campaign, 1));
    assert!(said.starts_with("SchemaMismatch: "), "{said}");
}

/// Each function that is told of an address, with what it is invoked with.
fn other_functions(world: &World, recipient: Uuid) -> [(&'static str, Function, Value); 2] {
    let start = |name| {
        let environment = world.environment();
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Function::start(&executable(name), &environment).expect("it starts")
    };
    let of = |campaign: Uuid| {
        let file = root().join("events/ses/eventbridge/bounce-permanent.json");
        let mut event: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mail = &mut event["detail"]["mail"];
        mail["tags"]["campaign_id"] = json!([campaign]);
        mail["tags"]["recipient_id"] = json!([recipient]);
        mail["tags"]["organization_id"] = json!([ORGANIZATION]);
        mail["messageId"] = json!("message");
        mail["destination"] = Value::Null;
        in_sqs_batch(&[event["detail"].clone()])
    };
    let campaign = "SELECT campaign_id FROM campaign_recipients WHERE id = $1";
    let campaign = world.database.connect().query_one(campaign, &[&recipient]).unwrap().get(0);
    let ids = RecipientIds { recipient_id: recipient, organization_id: ORGANIZATION };
    let token = Keys::parse(UNSUBSCRIBE_SECRET).unwrap().sign(ids);
    let click = std::fs::read_to_string(root().join("events/unsubscribe/one-click.json")).unwrap();
    let click = serde_json::from_str(&click.replace("/TOKEN\"", &format!("/{token}\""))).unwrap();
    [("ses-events", start("ses-events"), of(campaign)), ("unsubscribe", start("unsubscribe"), click)]
}

#[test]
fn events_and_unsubscriptions_are_not_lost_while_the_schema_does_not_fit() {
    let mut world = World::new();
    let campaign = world.campaign();
    let recipient = world.add_recipient(campaign, "a@example.com");
    world.database.execute("UPDATE campaign_recipients SET status = 'sent', message_id = 'message'", &[]);
    for (name, mut function, event) in other_functions(&world, recipient) {
        for (version, compatible_from) in [(0, 0), (VERSION + 2, VERSION + 1)] {
            record(&mut world, version, compatible_from);
            // The whole invocation fails, so SQS delivers the events again, and a mail program asks again.
            let said = failure(&mut function, &event);
            assert!(
                said.starts_with("SchemaMismatch: ") && said.contains(&format!("has version {version}")),
                "{name}: {said}"
            );
            assert!(said.contains(&format!("version {VERSION} of the schema")), "{name}: {said}");
        }
        assert_eq!(world.database.query("SELECT FROM suppressions", &[]).len(), 0, "{name}");
        // The same process goes on when the schema is there, or one that is newer and still fits.
        record(&mut world, VERSION + 1, VERSION);
        function.invoke(&event, TIMEOUT).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(world.database.execute("DELETE FROM suppressions", &[]), 1, "{name}");
    }
}

#[test]
fn a_database_without_tables_says_to_migrate() {
    let mut world = World::new();
    world.database = TestDatabase::create_empty();
    let none = failure(&mut world.function(), &json!({}));
    assert!(
        none.starts_with("SchemaMismatch: ")
            && none.contains("has none")
            && none.contains("campaign migrate"),
        "{none}"
    );
    world.database.client().batch_execute(include_str!("schemas/release_0_1.sql")).unwrap();
    let unrecorded = failure(&mut world.function(), &json!({}));
    assert!(
        unrecorded.starts_with("SchemaMismatch: ") && unrecorded.contains("campaign migrate"),
        "{unrecorded}"
    );
    let status = migrated(&world.database.url, &["--status"]);
    assert!(status.contains("release 0.1") && status.contains(&format!("version {VERSION}")), "{status}");
    migrated(&world.database.url, &[]);
    assert_eq!(invoke(&mut world.function(), &json!({}))["status"], "idle");
    let status = migrated(&world.database.url, &["--status"]);
    assert!(status.contains("up to date"), "{status}");
    let plan = migrated(&world.database.url, &["--dry-run"]);
    assert!(!plan.contains("CREATE TABLE"), "{plan}");
}

#[test]
fn a_database_that_psql_made_at_version_1_gets_what_the_later_versions_add() {
    let mut database = TestDatabase::create_empty();
    let mut files: Vec<_> = std::fs::read_dir(crate::support::root().join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let has_functions = name.starts_with("functions") && !name.starts_with("functions_8");
            has_functions || name.starts_with("0000") || name.starts_with("0001")
        })
        .collect();
    files.sort();
    // These functions stand for those of version 1, which do not name what is missing. (Version 1 had no functions_8.)
    database.client().batch_execute("SET check_function_bodies = off").unwrap();
    for file in files {
        database.client().batch_execute(&std::fs::read_to_string(&file).unwrap()).unwrap();
    }
    database.client().batch_execute("UPDATE campaign_schema SET version = 1").unwrap();
    migrated(&database.url, &[]);
    let status = migrated(&database.url, &["--status"]);
    assert!(status.contains(&format!("version {VERSION}")) && status.contains("up to date"), "{status}");
    database.client().batch_execute("SELECT send_before FROM campaigns").unwrap();
    let recorded = database.query("SELECT version FROM campaign_schema_history ORDER BY version", &[]);
    let recorded: Vec<i32> = recorded.iter().map(|row| row.get(0)).collect();
    assert_eq!((recorded[0], recorded[1], *recorded.last().unwrap()), (0, 1, VERSION));
}
