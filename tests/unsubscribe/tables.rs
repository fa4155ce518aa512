//! A CRM's own activities table, also one that will not take the activity.

use super::*;

fn function_for(world: &World) -> Function {
    function_with(world, &[("ACTIVITIES_TABLE", "crm.timeline")])
}

fn timeline(world: &mut World, more: &str) {
    let sql = format!(
        "CREATE SCHEMA crm;
         CREATE TYPE crm.action AS ENUM ('email_sent', 'email_unsubscribed');
         CREATE TABLE crm.timeline (organization_id uuid, user_id uuid, entity_type text, entity_id uuid,
             action crm.action, description varchar(200), metadata json, source text, source_ref uuid {more})"
    );
    world.database.client().batch_execute(&sql).unwrap();
}

fn in_timeline(world: &mut World) -> i64 {
    world.database.query("SELECT count(*) FROM crm.timeline", &[])[0].get(0)
}

#[test]
fn a_crms_own_table_is_written_by_its_types_and_an_action_that_its_enum_lacks_is_left_out() {
    let mut world = World::new();
    timeline(&mut world, "");
    let mut function = function_for(&world);
    let id = recipient(&mut world, "ada@example.com");
    assert_eq!(answer(&mut function, &request("one-click", &token(id))).0, 200);
    assert_eq!(in_timeline(&mut world), 1);
    rest(&mut world);
    assert_eq!(answer(&mut function, &request("subscribe-again", &token(id))).0, 200);
    assert_eq!((in_timeline(&mut world), suppressions(&mut world).len()), (1, 0));
}

#[test]
fn no_activities_table_keeps_anybody_on_the_list() {
    let refuses = ", CHECK (action <> 'email_unsubscribed')";
    let demands = ", channel text NOT NULL";
    for more in [refuses, demands] {
        let mut world = World::new();
        timeline(&mut world, more);
        let mut function = function_for(&world);
        let id = recipient(&mut world, "ada@example.com");
        assert_eq!(answer(&mut function, &request("one-click", &token(id))).0, 200, "{more}");
        assert_eq!((in_timeline(&mut world), suppressions(&mut world).len()), (0, 1));
        assert_eq!(mark(&mut world, id), (true, 1));
    }
    let mut world = World::new();
    let id = recipient(&mut world, "ada@example.com");
    assert_eq!(
        answer(&mut function_for(&world), &request("one-click", &token(id))).0,
        200,
        "no table at all"
    );
    assert_eq!(suppressions(&mut world).len(), 1);
}

#[test]
fn a_table_that_changes_while_instances_are_warm_is_learned_again() {
    let mut world = World::new();
    timeline(&mut world, "");
    let mut function = function_for(&world);
    for (n, change) in [
        "SELECT",
        "ALTER TABLE crm.timeline ALTER COLUMN source_ref TYPE text",
        "ALTER TABLE crm.timeline ALTER COLUMN entity_id TYPE text, ALTER COLUMN action TYPE text",
        "ALTER TABLE crm.timeline RENAME TO base; CREATE VIEW crm.timeline AS SELECT * FROM crm.base",
    ]
    .into_iter()
    .enumerate()
    {
        world.database.client().batch_execute(change).unwrap();
        let id = recipient(&mut world, &format!("r{n}@example.com"));
        world.database.execute("UPDATE campaign_recipients SET customer_ref = 'K-17'", &[]);
        assert_eq!(answer(&mut function, &request("one-click", &token(id))).0, 200, "{change}");
        assert_eq!(in_timeline(&mut world), i64::try_from(n).unwrap() + 1, "{change}");
    }
    let keys = world.database.query("SELECT DISTINCT metadata->>'customerRef' FROM crm.timeline", &[]);
    assert_eq!((keys.len(), keys[0].get::<_, &str>(0)), (1, "K-17"));
    // A table that is gone keeps nobody on the list.
    world.database.client().batch_execute("DROP VIEW crm.timeline").unwrap();
    let id = recipient(&mut world, "last@example.com");
    assert_eq!(answer(&mut function, &request("one-click", &token(id))).0, 200);
    assert_eq!(suppressions(&mut world).len(), 5);
}
