//! Tables of the same names in other schemas are not used.

use crate::support::{World, event, run};

/// A schema with an empty table of the same name and form for each of ours.
pub const DECOYS: &str = "CREATE SCHEMA decoy;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('CREATE TABLE decoy.%I (LIKE public.%I INCLUDING ALL)', name, name);
        END LOOP;
    END $$";

/// The number of rows in the decoys.
pub fn rows_of_decoys(world: &mut World) -> i64 {
    let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'decoy'";
    let tables = world.database.query(tables, &[]);
    assert!(tables.len() > 5);
    let count = |row: &postgres::Row| format!("(SELECT count(*) FROM decoy.{})", row.get::<_, String>(0));
    let sum = tables.iter().map(count).collect::<Vec<_>>().join(" + ");
    world.database.query(&format!("SELECT {sum}"), &[])[0].get(0)
}

#[test]
fn a_search_path_that_leads_elsewhere_changes_nothing() {
    for path in ["decoy, public", "decoy, pg_catalog", "''"] {
        let mut world = World::new();
        let campaign = world.campaign_of(30);
        world.database.client().batch_execute(DECOYS).unwrap();
        let name: String = world.database.query("SELECT current_database()", &[])[0].get(0);
        world.database.execute(&format!("ALTER DATABASE {name} SET search_path = {path}"), &[]);
        let results = run(&mut world.function(), event(campaign, 10));
        assert_eq!(results.last().unwrap()["status"], "done", "{path}");
        assert_eq!(world.ses.message_count(), 30);
        world.assert_consistent(campaign);
        assert_eq!(rows_of_decoys(&mut world), 0, "{path}");
    }
}

#[test]
fn the_tables_may_be_in_another_schema() {
    let mut world = World::new();
    let campaign = world.campaign_of(30);
    let elsewhere =
        "ALTER SCHEMA public RENAME TO \"Mail-1\"; CREATE SCHEMA public; SET search_path = \"Mail-1\"";
    world.database.client().batch_execute(elsewhere).unwrap();
    let results = run(&mut world.function_with(&[("DATABASE_SCHEMA", "Mail-1")]), event(campaign, 10));
    assert_eq!(results.last().unwrap()["status"], "done");
    assert_eq!(world.ses.message_count(), 30);
    world.assert_consistent(campaign);
}
