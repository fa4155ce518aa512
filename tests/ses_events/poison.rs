//! One event of one tenant that PostgreSQL refuses, among those of others.

use super::*;
use crate::support::World;

/// A batch of 50 events of 50 campaigns of 50 organizations; a trigger of the CRM's table raises this
/// SQLSTATE for the activity of the one with this index.
fn poisoned(world: &mut World, kind: &str, sqlstate: &str, index: usize) -> Vec<Value> {
    let mut bodies = Vec::new();
    for n in 0..50_u128 {
        let campaign = world.campaign();
        let recipient = uncertain(world, campaign, 1)[0];
        for table in [
            "campaigns SET organization_id = $2 WHERE id",
            "campaign_recipients SET organization_id = $2 WHERE campaign_id",
        ] {
            unguarded(world, &format!("UPDATE {table} = $1"), &[&campaign, &Uuid::from_u128(0x100 + n)]);
        }
        bodies.push(event(kind, campaign, recipient));
    }
    let organization = Uuid::from_u128(0x100 + index as u128);
    world
        .database
        .client()
        .batch_execute(&format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF NEW.organization_id = '{organization}' THEN
                     RAISE EXCEPTION 'not this one' USING ERRCODE = '{sqlstate}';
                 END IF;
                 RETURN NEW;
             END $$;
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON activities
                 FOR EACH ROW EXECUTE FUNCTION refuse();"
        ))
        .unwrap();
    bodies
}

#[test]
fn one_refused_event_fails_alone_whatever_the_sqlstate() {
    for (kind, sqlstate, index) in [
        ("delivery", "42501", 0),
        ("bounce-permanent", "44000", 17),
        ("complaint", "54000", 49),
        ("open", "ZZ001", 25),
        ("click", "P0001", 31),
        ("send", "0A000", 8),
        ("bounce-transient", "42P01", 40),
    ] {
        let mut world = World::new();
        let mut function = ses_events(&world, &[]);
        let bodies = poisoned(&mut world, kind, sqlstate, index);
        assert_eq!(deliver(&mut function, &bodies), [format!("message-{index}")], "{sqlstate}");
        let sql = "SELECT count(*) FROM campaign_recipients WHERE status = 'sent'";
        assert_eq!(world.database.query(sql, &[])[0].get::<_, i64>(0), 49, "{sqlstate}");
        assert_exact(&mut world);
    }
}

#[test]
fn what_is_refused_altogether_is_the_batchs_failure_after_a_few_tries() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 200);
    let refuse = "CREATE SEQUENCE tries;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'none' USING ERRCODE = '42501'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION refuse();";
    world.database.client().batch_execute(refuse).unwrap();
    let bodies: Vec<Value> = recipients.iter().map(|id| event("delivery", campaign, *id)).collect();
    let said = crate::support::failure(&mut function, &in_sqs_batch(&bodies));
    assert_eq!(said, "DatabaseRefused: PostgreSQL refused the statement: none [42501]");
    let tries: i64 = world.database.query("SELECT last_value FROM tries", &[])[0].get(0);
    assert!(tries < 60, "{tries} tries");
    assert_eq!(world.count(campaign, "status = 'uncertain'"), 200);
}

#[test]
fn a_table_that_is_altered_while_the_function_is_warm_is_learned_again() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 2);
    assert!(deliver(&mut function, &[event("delivery", campaign, recipients[0])]).is_empty());
    world
        .database
        .client()
        .batch_execute("ALTER TABLE activities ALTER COLUMN source_ref TYPE uuid USING source_ref::uuid")
        .unwrap();
    assert!(deliver(&mut function, &[event("delivery", campaign, recipients[1])]).is_empty());
    assert_eq!(world.count(campaign, "status = 'sent'"), 2);
}
