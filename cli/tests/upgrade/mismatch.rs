//! Functions say which version of the schema they need before they claim anything.

use campaign_sender::store::schema::VERSION;
use serde_json::json;

use super::migrated;
use crate::support::database::TestDatabase;
use crate::support::{World, event, failure, invoke};

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
