//! Activities that the CRM's table refuses although its columns fit: one of a batch, or all.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{World, event, invoke, run};

/// A trigger that raises `message` with an SQLSTATE if `condition` holds, and counts how often it did.
fn raise(world: &mut World, condition: &str, sqlstate: &str, message: &str) {
    world
        .database
        .client()
        .batch_execute(&format!(
            "CREATE SEQUENCE IF NOT EXISTS refusals;
             CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF {condition} THEN
                     PERFORM nextval('refusals');
                     RAISE EXCEPTION '%', {message} USING ERRCODE = '{sqlstate}';
                 END IF;
                 RETURN NEW;
             END $$;
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION refuse()"
        ))
        .unwrap();
}

fn refusals(world: &mut World) -> i64 {
    let sql = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM refusals";
    world.database.query(sql, &[])[0].get(0)
}

/// The number of uncertain recipients whose emails SES accepted, with their message ids.
fn accepted_and_refused(world: &mut World) -> usize {
    let sql = "SELECT message_id FROM campaign_recipients WHERE status = 'uncertain' AND error_code = 'activity_refused'";
    let ids: Vec<Option<String>> =
        world.database.query(sql, &[]).iter().map(|row| row.get("message_id")).collect();
    let messages: Vec<String> = world.ses.messages().into_iter().map(|message| message.id).collect();
    assert!(ids.iter().flatten().all(|id| messages.contains(id)), "{ids:?}");
    ids.iter().flatten().count()
}

#[test]
fn one_activity_that_is_refused_costs_its_own_recipient_whatever_the_sqlstate() {
    for sqlstate in [
        "P0001", "CR001", "42501", "44000", "54000", "22P02", "23503", "42P01", "0A000", "55000", "XX000",
        "08001", "25006", "26000", "53100", "53200", "57014",
    ] {
        let mut world = World::new();
        let campaign = world.campaign_of(20);
        raise(&mut world, "NEW.description LIKE '%r8@%'", sqlstate, "'not this one'");
        let result = invoke(&mut world.function(), &event(campaign, 20));
        assert_eq!(result["status"], "done", "{sqlstate}: {result}");
        assert_eq!(result["activities"], json!({"success": true, "count": 19, "error": null}), "{sqlstate}");
        assert_eq!((&result["batch"]["sent"], &result["batch"]["uncertain"]), (&json!(19), &json!(1)));
        assert_eq!(world.outcome("r8@example.com").1.as_deref(), Some("activity_refused"), "{sqlstate}");
        assert_eq!(accepted_and_refused(&mut world), 1, "{sqlstate}");
        world.assert_consistent(campaign);
    }
}

#[test]
fn a_customer_that_was_deleted_meanwhile_costs_its_own_recipient() {
    // A deferred key is checked when the record is committed.
    for checked in ["NOT DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"] {
        let mut world = World::new();
        let campaign = world.campaign_of(12);
        world
            .database
            .client()
            .batch_execute(&format!(
                "CREATE TABLE customers (id uuid PRIMARY KEY);
                 UPDATE campaign_recipients SET customer_id = gen_random_uuid() WHERE email ~ '^r(3|6|9|12)@';
                 INSERT INTO customers SELECT coalesce(customer_id, id) FROM campaign_recipients;
                 ALTER TABLE activities ADD FOREIGN KEY (entity_id) REFERENCES customers {checked};
                 DELETE FROM customers USING campaign_recipients AS r
                  WHERE r.customer_id = customers.id AND r.email IN ('r3@example.com', 'r6@example.com')"
            ))
            .unwrap();
        let result = invoke(&mut world.function(), &event(campaign, 12));
        let said = (&result["status"], &result["activities"]["count"]);
        assert_eq!(said, (&json!("done"), &json!(10)), "{checked}: {result}");
        assert_eq!(accepted_and_refused(&mut world), 2);
        world.assert_consistent(campaign);
    }
}

#[test]
fn a_table_that_refuses_every_activity_halts_the_campaign_with_the_true_cause() {
    for (size, total) in [(5, 12), (20, 50), (600, 700)] {
        let mut world = World::new();
        let campaign = world.campaign_of(total);
        raise(&mut world, "true", "P0001", "'the timeline is closed for ' || NEW.source");
        let mut function = world.function();
        let started = Instant::now();
        let result = invoke(&mut function, &event(campaign, size));
        assert!(started.elapsed() < Duration::from_secs(10), "{size}");
        assert_eq!(result["status"], "halted", "{result}");
        let reason = result["reason"].as_str().unwrap();
        assert!(
            reason.contains("public.activities") && reason.contains("the timeline is closed for email"),
            "{reason}"
        );
        assert_eq!((&result["batch"]["sent"], &result["batch"]["uncertain"]), (&json!(0), &json!(size)));
        assert_eq!(world.campaign_status(campaign), ("paused".to_owned(), Some(reason.to_owned())));
        assert_eq!(accepted_and_refused(&mut world), size as usize);
        assert_eq!(world.statuses(campaign)["pending"], i64::from(total) - i64::from(size));
        // The batch, and ten at most one by one.
        assert!(refusals(&mut world) <= 11, "{}", refusals(&mut world));
        assert!(function.logs().iter().all(|line| !line.contains("@example.com")));
        world.assert_consistent(campaign);
    }
}

#[test]
fn a_campaign_that_goes_on_first_gets_the_activities_that_were_refused() {
    for tick in [false, true] {
        let mut world = World::new();
        let campaign = world.campaign_of(30);
        raise(&mut world, "true", "P0001", "'the timeline is closed'");
        let mut function = world.function();
        assert_eq!(invoke(&mut function, &event(campaign, 10))["status"], "halted");
        // One of them is refused because of its own data, and does not stop the others.
        raise(&mut world, "NEW.description LIKE '%r4@%'", "P0001", "'not this one'");
        let event = if tick { json!({}) } else { event(campaign, 10) };
        world.set_status(campaign, "sending");
        assert_eq!(run(&mut function, event).last().unwrap()["status"], "done");
        assert_eq!((world.statuses(campaign)["sent"], accepted_and_refused(&mut world)), (29, 1));
        assert_eq!(world.ses.message_count(), 30);
        world.assert_consistent(campaign);
    }
}

#[test]
fn an_exhausted_disk_leaves_the_batch_unrecorded_within_seconds() {
    for (sqlstate, words) in [("53100", "No space left on device"), ("53200", "out of memory")] {
        let mut world = World::new();
        let campaign = world.campaign_of(100);
        raise(&mut world, "true", sqlstate, &format!("'{words}'"));
        let mut function = world.function();
        let started = Instant::now();
        let result = invoke(&mut function, &event(campaign, 100));
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!((&result["status"], &result["activities"]["success"]), (&json!("wait"), &json!(false)));
        assert!(result["activities"]["error"].as_str().unwrap().contains(words), "{result}");
        assert!(refusals(&mut world) <= 11);
        raise(&mut world, "false", sqlstate, "'x'");
        assert_eq!(run(&mut function, result["next"].clone()).last().unwrap()["status"], "done");
        assert_eq!(world.ses.message_count(), 100);
        world.assert_consistent(campaign);
    }
}

#[test]
fn one_recipient_that_is_refused_alone_halts_only_what_goes_on() {
    let mut world = World::new();
    let campaign = world.campaign_of(2);
    raise(&mut world, "true", "CR001", "'closed'");
    let mut function = world.function();
    assert_eq!(invoke(&mut function, &event(campaign, 1))["status"], "halted");
    assert_eq!(world.campaign_status(campaign).0, "paused");
    world.set_status(campaign, "sending");
    assert_eq!(invoke(&mut function, &event(campaign, 1))["status"], "done");
    assert_eq!(accepted_and_refused(&mut world), 2);
    world.assert_consistent(campaign);
}

#[test]
fn many_refused_among_many_are_each_found() {
    let mut world = World::new();
    let campaign = world.campaign_of(200);
    raise(&mut world, "NEW.description LIKE '%2@%' OR NEW.description LIKE '%4@%'", "P0001", "'even'");
    let result = invoke(&mut world.function(), &event(campaign, 200));
    assert_eq!(
        (&result["status"], &result["activities"]["count"]),
        (&json!("done"), &json!(160)),
        "{result}"
    );
    assert_eq!(accepted_and_refused(&mut world), 40);
    world.assert_consistent(campaign);
}

#[test]
fn a_partition_that_is_missing_leaves_the_batch_unrecorded_after_ten_tries() {
    let mut world = World::new();
    let campaign = world.campaign_of(500);
    world
        .database
        .client()
        .batch_execute(
            "DROP TABLE activities;
             CREATE TABLE activities (organization_id uuid, user_id uuid, entity_type text, entity_id uuid, action text,
                 description text, metadata jsonb, source text, source_ref text, created_at timestamptz DEFAULT now())
                 PARTITION BY RANGE (created_at);
             CREATE TABLE old PARTITION OF activities FOR VALUES FROM ('2000-01-01') TO ('2001-01-01')",
        )
        .unwrap();
    let mut function = world.function();
    let mut result = invoke(&mut function, &event(campaign, 500));
    for _ in 0..2 {
        assert_eq!((&result["status"], &result["activities"]["success"]), (&json!("wait"), &json!(false)));
        let error = result["activities"]["error"].as_str().unwrap();
        assert!(
            error.contains("no partition of relation") && !error.contains("could not be reached"),
            "{error}"
        );
        result = invoke(&mut function, &result["next"]);
    }
    let tries = function.logs().iter().filter(|line| line.contains("an activity is refused")).count();
    assert_eq!(tries, 0);
    world.database.client().batch_execute("CREATE TABLE rest PARTITION OF activities DEFAULT").unwrap();
    assert_eq!(run(&mut function, result["next"].clone()).last().unwrap()["status"], "done");
    assert_eq!(world.ses.message_count(), 500);
    world.assert_consistent(campaign);
}

#[test]
fn a_right_that_is_lost_in_mid_campaign_leaves_the_batch_unrecorded_with_the_true_cause() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    raise(&mut world, "true", "42501", "'permission denied for table tags'");
    let mut function = world.function();
    let result = invoke(&mut function, &event(campaign, 10));
    assert_eq!((&result["status"], &result["activities"]["success"]), (&json!("wait"), &json!(false)));
    assert!(result["activities"]["error"].as_str().unwrap().contains("permission denied for table tags"));
    raise(&mut world, "false", "42501", "'x'");
    assert_eq!(run(&mut function, result["next"].clone()).last().unwrap()["status"], "done");
    world.assert_consistent(campaign);
}

#[test]
fn a_message_of_a_megabyte_is_cut_wherever_it_comes_from() {
    for sqlstate in ["P0001", "55000"] {
        let mut world = World::new();
        let campaign = world.campaign_of(300);
        raise(&mut world, "true", sqlstate, "repeat('x', 1000000)");
        let result = invoke(&mut world.function(), &event(campaign, 200));
        let size = serde_json::to_string(&result).unwrap().len();
        assert!(size < 256 * 1024, "{sqlstate}: {size} bytes");
        let text = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
        assert!((1..1100).contains(&(text(&result["reason"]).max(text(&result["activities"]["error"])))));
        let sql = "SELECT coalesce(max(length(error)), 0) FROM campaign_recipients";
        assert!(world.database.query(sql, &[])[0].get::<_, i32>(0) < 1100);
        let unrecorded = if sqlstate == "P0001" { 0 } else { 200 };
        assert_eq!(result["next"]["unrecorded"]["outcomes"].as_array().map_or(0, Vec::len), unrecorded);
    }
}
