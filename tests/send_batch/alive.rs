//! What a CRM does to a campaign and its recipients while they are sent.

use std::time::{Duration, Instant};

use local_ses::lambda::{Begun, Function};
use postgres::error::SqlState;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{ORGANIZATION, TIMEOUT, World, event, failure, invoke, run};

/// A campaign of 40, of which an invocation has claimed the first 20 and waits for SES's answers.
fn under_way(world: &mut World) -> (Uuid, Function, Begun) {
    let campaign = world.campaign_of(40);
    world.ses.set_latency(Duration::from_millis(1500));
    let mut function = world.function_with(&[("SEND_CONCURRENCY", "50")]);
    let begun = function.begin(&event(campaign, 20), TIMEOUT).unwrap();
    world.wait_until("recipients are under way", "SELECT count(*) = 20 FROM recipients_under_way");
    (campaign, function, begun)
}

/// The SQLSTATE with which PostgreSQL refuses a statement about a campaign.
fn refusal(world: &mut World, sql: &str, campaign: Uuid) -> Option<SqlState> {
    let error = world.database.client().execute(sql, &[&campaign]).err()?;
    Some(error.code().unwrap_or_else(|| panic!("{error:?}")).clone())
}

#[test]
fn what_is_under_way_can_be_seen_and_is_protected() {
    let mut world = World::new();
    let (campaign, mut function, begun) = under_way(&mut world);
    for sql in [
        "DELETE FROM campaign_recipients WHERE campaign_id = $1 AND status = 'pending'",
        "DELETE FROM campaigns WHERE id = $1",
        "UPDATE campaign_recipients SET position = position + 1000 WHERE campaign_id = $1",
        "UPDATE campaign_recipients SET status = 'suppressed' WHERE campaign_id = $1",
        "UPDATE campaign_recipients SET email = 'corrected-' || email WHERE campaign_id = $1",
        "UPDATE campaign_recipients SET id = gen_random_uuid() WHERE campaign_id = $1",
        "UPDATE campaign_recipients SET organization_id = gen_random_uuid() WHERE campaign_id = $1",
    ] {
        assert_eq!(refusal(&mut world, sql, campaign), Some(SqlState::OBJECT_IN_USE), "{sql}");
    }
    let error = world.database.client().batch_execute("TRUNCATE campaigns CASCADE").unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::OBJECT_IN_USE));
    // A recipient's name and variables, and changes of other recipients, are allowed.
    for sql in [
        "UPDATE campaign_recipients SET variables = '{\"city\": \"Oslo\"}', name = 'Ada' WHERE campaign_id = $1",
        "DELETE FROM campaign_recipients WHERE campaign_id = $1 AND status = 'pending'
            AND id NOT IN (SELECT recipient_id FROM recipients_under_way)
            AND email IN ('r39@example.com', 'r40@example.com')",
    ] {
        assert_eq!(refusal(&mut world, sql, campaign), None, "{sql}");
    }
    function.finish(&begun).unwrap();
    assert_eq!(world.database.query("SELECT FROM recipients_under_way", &[]).len(), 0);
    world.ses.set_latency(Duration::ZERO);
    run(&mut function, event(campaign, 20));
    assert_eq!(world.statuses(campaign), [("sent".to_owned(), 38)].into());
    world.assert_consistent(campaign);
}

#[test]
fn a_transaction_that_changes_recipients_and_a_claim_come_one_after_the_other() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    let mut other = world.database.connect();
    let mut transaction = other.transaction().unwrap();
    transaction
        .execute(
            "DELETE FROM campaign_recipients WHERE campaign_id = $1 AND email = 'r3@example.com'",
            &[&campaign],
        )
        .unwrap();
    let mut function = world.function();
    let result = invoke(&mut function, &event(campaign, 10));
    assert_eq!((&result["status"], &result["batch"]["claimed"]), (&json!("wait"), &json!(0)));
    transaction.commit().unwrap();
    run(&mut function, event(campaign, 10));
    assert_eq!(world.ses.message_count(), 9);
    world.assert_consistent(campaign);
}

#[test]
fn at_repeatable_read_recipients_of_a_campaign_that_may_be_claimed_from_cannot_be_changed() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    world.database.client().batch_execute("SET default_transaction_isolation = 'repeatable read'").unwrap();
    let delete = "DELETE FROM campaign_recipients WHERE campaign_id = $1";
    assert_eq!(refusal(&mut world, delete, campaign), Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE));
    world.set_status(campaign, "paused");
    assert_eq!(refusal(&mut world, delete, campaign), None);
}

#[test]
fn paused_is_said_when_nothing_is_under_way() {
    let mut world = World::new();
    let (campaign, mut function, begun) = under_way(&mut world);
    function.freeze();
    world.set_status(campaign, "paused");
    let meanwhile = invoke(&mut world.function(), &event(campaign, 20));
    assert_eq!(meanwhile["status"], "wait");
    assert_eq!(
        meanwhile["reason"],
        "the campaign is paused, and another invocation is still sending a batch of it"
    );
    function.thaw();
    assert_eq!(function.finish(&begun).unwrap()["status"], "paused");
    assert_eq!(invoke(&mut function, &event(campaign, 20))["status"], "paused");
    let delete = "DELETE FROM campaign_recipients WHERE campaign_id = $1 AND status = 'pending'";
    assert_eq!(refusal(&mut world, delete, campaign), None);
    world.assert_consistent_after_deletes(campaign);
}

#[test]
fn a_batch_that_was_lost_before_a_pause_is_settled_while_the_campaign_is_paused() {
    for tick in [true, false] {
        let mut world = World::new();
        let (campaign, mut function, _) = under_way(&mut world);
        function.kill();
        world.set_status(campaign, "paused");
        world.expire_leases();
        world.ses.set_latency(Duration::ZERO);
        let delete = "DELETE FROM campaign_recipients WHERE campaign_id = $1 AND status = 'pending'";
        assert_eq!(refusal(&mut world, delete, campaign), Some(SqlState::OBJECT_IN_USE));
        let next = if tick { json!({}) } else { event(campaign, 20) };
        let result = invoke(&mut world.function(), &next);
        assert_eq!(result["status"], if tick { "idle" } else { "paused" });
        assert!(world.statuses(campaign)["uncertain"] > 0);
        assert_eq!(refusal(&mut world, delete, campaign), None);
    }
}

#[test]
fn a_crm_that_deletes_a_running_campaign_or_its_recipients_loses_no_activity_of_what_ses_accepted() {
    for delete in [
        "DELETE FROM campaigns WHERE id = $1",
        "DELETE FROM campaign_recipients WHERE campaign_id = $1",
        "DELETE FROM campaign_recipients WHERE campaign_id = $1 AND position % 3 = 0",
    ] {
        let mut world = World::new();
        let campaign = world.campaign_of(200);
        world.ses.set_latency(Duration::from_millis(3));
        let mut function = world.function_with(&[("SEND_CONCURRENCY", "4")]);
        let mut crm = world.database.connect();
        let refused = std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let mut next = event(campaign, 20);
                while next.is_object() {
                    // (A deleted campaign is unknown.)
                    let Ok(result) = function.invoke(&next, TIMEOUT) else { break };
                    next = result["next"].clone();
                    std::thread::sleep(Duration::from_secs(result["waitSeconds"].as_u64().unwrap()));
                }
            });
            world.wait_until("the campaign runs", "SELECT count(*) > 0 FROM recipients_under_way");
            // It is repeated until it succeeds.
            let mut refused = 0;
            while let Err(error) = crm.execute(delete, &[&campaign]) {
                assert_eq!(error.code(), Some(&SqlState::OBJECT_IN_USE), "{error:?}");
                refused += 1;
            }
            sending.join().unwrap();
            refused
        });
        assert!(refused > 0, "{delete}");
        let activities = world.database.query("SELECT DISTINCT source_ref FROM activities", &[]).len();
        assert_eq!(activities, world.ses.message_count(), "{delete}");
        assert_eq!(world.ses.addresses_received_more_than_once().len(), 0);
    }
}

#[test]
fn rows_that_are_gone_when_their_emails_are_recorded_are_said() {
    for sql in ["TRUNCATE campaign_recipients CASCADE", "DELETE FROM campaign_recipients"] {
        let mut world = World::new();
        let (campaign, mut function, begun) = under_way(&mut world);
        world
            .database
            .client()
            .batch_execute(&format!("ALTER TABLE campaign_recipients DISABLE TRIGGER USER; {sql}"))
            .unwrap();
        let result = function.finish(&begun).unwrap();
        assert_eq!(result["status"], "halted");
        let reason = result["reason"].as_str().unwrap();
        assert!(reason.starts_with("20 emails have no recipient any more"), "{reason}");
        assert_eq!(world.campaign_status(campaign).0, "paused");
    }
}

#[test]
fn an_update_that_a_trigger_discards_halts_the_campaign_and_nobody_is_written_to_again() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    world
        .database
        .client()
        .batch_execute(
            "CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER discard BEFORE UPDATE ON campaign_recipients
                FOR EACH ROW WHEN (OLD.email IN ('r2@example.com', 'r5@example.com')) EXECUTE FUNCTION discard()",
        )
        .unwrap();
    let mut function = world.function();
    let result = invoke(&mut function, &event(campaign, 10));
    assert_eq!(result["status"], "halted");
    let reason = result["reason"].as_str().unwrap();
    assert!(reason.starts_with("PostgreSQL did not keep the outcomes of 2 recipients"), "{reason}");
    // Setting it to `sending` too early gives the same error again.
    for _ in 0..2 {
        world.set_status(campaign, "sending");
        world.expire_leases();
        assert_eq!(invoke(&mut function, &event(campaign, 10))["status"], "halted");
    }
    assert_eq!(world.ses.message_count(), 10);
    world.database.client().batch_execute("DROP TRIGGER discard ON campaign_recipients").unwrap();
    world.set_status(campaign, "sending");
    world.expire_leases();
    run(&mut function, event(campaign, 10));
    assert_eq!(world.statuses(campaign), [("sent".to_owned(), 8), ("uncertain".to_owned(), 2)].into());
    assert_eq!(world.ses.message_count(), 10);
    world.assert_consistent(campaign);
}

#[test]
fn a_sequence_that_was_set_back_by_a_fail_over_changes_nothing() {
    let mut world = World::new();
    let campaign = world.campaign_of(60);
    let mut function = world.function();
    for _ in 0..2 {
        invoke(&mut function, &event(campaign, 10));
    }
    // The positions jump over a gap, and to values that are in use.
    let set = |world: &mut World, value: i64| {
        world
            .database
            .query("SELECT setval(pg_get_serial_sequence('campaign_batches', 'id'), $1)", &[&value]);
    };
    set(&mut world, 1000);
    invoke(&mut function, &event(campaign, 10));
    set(&mut world, 500);
    invoke(&mut function, &event(campaign, 10));
    set(&mut world, 1);
    run(&mut function, event(campaign, 10));
    assert_eq!(world.ses.message_count(), 60);
    world.assert_consistent(campaign);
}

#[test]
fn recipients_that_a_crm_numbers_itself_and_others_are_sent_together() {
    let mut world = World::new();
    let campaign = world.campaign();
    world.database.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email, position)
         SELECT $1, $2, 'n' || n || '@example.com', n FROM generate_series(1, 20) AS n",
        &[&campaign, &ORGANIZATION],
    );
    world.add_recipients(campaign, 20);
    let lowest =
        "UPDATE campaign_recipients SET position = -9223372036854775808 WHERE email = 'n7@example.com'";
    world.database.execute(lowest, &[]);
    let highest =
        "UPDATE campaign_recipients SET position = 9223372036854775807 WHERE email = 'n8@example.com'";
    world.database.execute(highest, &[]);
    run(&mut world.function(), event(campaign, 7));
    assert_eq!(world.statuses(campaign), [("sent".to_owned(), 40)].into());
    world.assert_consistent(campaign);
}

#[test]
fn recipients_that_become_visible_behind_those_that_were_counted_are_found_after_the_campaign_was_sent() {
    for tick in [true, false] {
        let mut world = World::new();
        let campaign = world.campaign();
        let add = "INSERT INTO campaign_recipients (campaign_id, organization_id, email, position)
                   SELECT $1, $2, 'n' || n || '@example.com', n * 10 FROM generate_series($3::int, $4) AS n";
        world.database.execute(add, &[&campaign, &ORGANIZATION, &11_i32, &20_i32]);
        let mut function = world.function();
        let next = if tick { json!({}) } else { event(campaign, 10) };
        run(&mut function, event(campaign, 10));
        // The rows come like those of a logical replication, which hold no lock on their campaign.
        world.database.client().batch_execute("SET session_replication_role = replica").unwrap();
        world.database.execute(add, &[&campaign, &ORGANIZATION, &1_i32, &10_i32]);
        assert_eq!(world.campaign_status(campaign).0, "sent");
        let results = run(&mut function, next);
        assert_eq!(results[0]["campaignId"], json!(campaign));
        assert_eq!(world.statuses(campaign), [("sent".to_owned(), 20)].into());
        assert_eq!(world.campaign_status(campaign).0, "sent");
        world.assert_consistent(campaign);
    }
}

#[test]
fn the_total_is_true_when_lower_positions_are_committed_late() {
    let mut world = World::new();
    let campaign = world.campaign();
    let add = "INSERT INTO campaign_recipients (campaign_id, organization_id, email, position)
               SELECT $1, $2, 'n' || n || '@example.com', n FROM generate_series($3::int, $4) AS n";
    world.database.execute(add, &[&campaign, &ORGANIZATION, &41_i32, &100_i32]);
    let mut function = world.function();
    invoke(&mut function, &event(campaign, 10));
    world.database.execute(add, &[&campaign, &ORGANIZATION, &1_i32, &40_i32]);
    world.database.execute("UPDATE campaign_cursors SET counted_at = now() - interval '31 seconds'", &[]);
    assert_eq!(invoke(&mut function, &event(campaign, 10))["progress"]["total"], 100);
    run(&mut function, event(campaign, 50));
    assert_eq!(world.ses.message_count(), 100);
    world.assert_consistent(campaign);
}

#[test]
fn what_is_unrecorded_closes_only_the_batch_that_it_is_about_and_only_when_it_is_all_of_it() {
    let mut world = World::new();
    let (campaign, other) = (world.campaign_of(20), world.campaign());
    world.add_recipient(other, "other@example.com");
    let mut function = world.function();
    let mut session = world.database.connect();
    let mut lock = session.transaction().unwrap();
    lock.batch_execute("LOCK TABLE activities IN SHARE MODE").unwrap();
    let result = function.invoke(&event(campaign, 20), Duration::from_secs(4)).unwrap();
    drop(lock);
    let unrecorded = &result["next"]["unrecorded"];
    assert!(unrecorded.is_object(), "{result}");

    let foreign = json!({"campaignId": other, "unrecorded": unrecorded});
    assert!(failure(&mut function, &foreign).starts_with("InvalidEvent: unrecorded.campaignId is "));
    // The form of release 0.1, without the campaign.
    let mut unnamed = foreign.clone();
    unnamed["unrecorded"].as_object_mut().unwrap().remove("campaignId");
    run(&mut function, unnamed);
    // It was truncated on its way, although it says that it is complete.
    let mut cut = result["next"].clone();
    cut["unrecorded"]["outcomes"].as_array_mut().unwrap().truncate(5);
    let after = invoke(&mut function, &cut);
    assert_eq!(after["status"], "wait", "the rest is left to its lease: {after}");

    run(&mut function, result["next"].clone());
    assert_eq!(world.statuses(campaign), [("sent".to_owned(), 20)].into());
    assert_eq!(world.ses.message_count(), 21);
    world.assert_consistent(campaign);
}

#[test]
fn variables_that_do_not_fit_into_the_functions_memory_are_claimed_in_parts() {
    let mut world = World::new();
    let campaign = world.campaign();
    // 40 of 200 kB that compresses well, and 80 that does not.
    world.database.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email, variables)
         SELECT $1, $2, 'n' || n || '@example.com', jsonb_build_object('text', CASE WHEN n <= 40 THEN repeat('x', 200000)
                ELSE (SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 6250) AS i) END)
           FROM generate_series(1, 120) AS n",
        &[&campaign, &ORGANIZATION],
    );
    let mut function = world.function_with(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")]);
    let results = run(&mut function, event(campaign, 1000));
    let claimed: Vec<u64> =
        results.iter().map(|result| result["batch"]["claimed"].as_u64().unwrap()).collect();
    assert!(claimed.iter().all(|claimed| claimed * 200_000 <= 8 * 1024 * 1024), "{claimed:?}");
    assert!(claimed.iter().take(3).all(|claimed| *claimed >= 30), "{claimed:?}");
    assert_eq!(world.statuses(campaign), [("sent".to_owned(), 120)].into());
    world.assert_consistent(campaign);
}

/// Two healthy campaigns of another organization, which are due after anything else.
fn healthy(world: &mut World) -> [Uuid; 2] {
    [(); 2].map(|()| {
        let campaign = world.campaign_of(3);
        let sql = "UPDATE campaigns SET organization_id = $2, started_at = now() WHERE id = $1";
        world.database.execute(sql, &[&campaign, &Uuid::from_u128(0x0b)]);
        campaign
    })
}

/// Ticks until one is idle; the healthy campaigns are sent then.
fn tick_until_idle(world: &mut World, healthy: [Uuid; 2], what: &str) -> Vec<Value> {
    let mut function = world.function();
    let mut results = Vec::new();
    for _ in 0..20 {
        let result = invoke(&mut function, &json!({}));
        let idle = result["status"] == "idle";
        results.push(result);
        if idle {
            break;
        }
    }
    for campaign in healthy {
        assert_eq!(world.campaign_status(campaign).0, "sent", "{what}: {results:?}");
    }
    results
}

#[test]
fn a_campaign_that_a_tick_cannot_work_on_never_keeps_it_from_the_others() {
    let broken = [
        (
            "a trigger that raises",
            "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION ''no''; END';
          CREATE TRIGGER raise BEFORE UPDATE ON campaigns FOR EACH ROW
             WHEN (OLD.organization_id = '0000000a-0000-0000-0000-00000000000a') EXECUTE FUNCTION raise()",
        ),
        (
            "a view of opted-out addresses that fails",
            "CREATE OR REPLACE VIEW opted_out AS
          SELECT organization_id, email::text FROM campaign_recipients
           WHERE organization_id = '0000000a-0000-0000-0000-00000000000a' AND 1 / (position - position) = 1",
        ),
        (
            "a template that does not compile",
            "UPDATE campaigns SET subject = '{% if %}'
           WHERE organization_id = '0000000a-0000-0000-0000-00000000000a'",
        ),
        (
            "reply_to of two dimensions",
            "UPDATE campaigns SET reply_to = '{{a@example.com,NULL},{NULL,NULL}}'
           WHERE organization_id = '0000000a-0000-0000-0000-00000000000a'",
        ),
    ];
    for (what, sql) in broken {
        let mut world = World::new();
        let campaign = world.campaign_of(3);
        let organization = Uuid::parse_str("0000000a-0000-0000-0000-00000000000a").unwrap();
        for table in ["campaigns", "campaign_recipients"] {
            let sql = format!("UPDATE {table} SET organization_id = $1");
            world.database.execute(&sql, &[&organization]);
        }
        let _ = campaign;
        let healthy = healthy(&mut world);
        world.database.client().batch_execute(sql).unwrap();
        let results = tick_until_idle(&mut world, healthy, what);
        assert_eq!(results.last().unwrap()["status"], "idle", "{what}");
    }
}

#[test]
fn a_lock_of_another_transaction_on_one_campaign_costs_a_tick_a_bounded_time() {
    let mut world = World::new();
    let locked = world.campaign_of(3);
    let healthy = healthy(&mut world);
    let mut other = world.database.connect();
    let mut transaction = other.transaction().unwrap();
    transaction.execute("SELECT FROM campaigns WHERE id = $1 FOR UPDATE", &[&locked]).unwrap();
    let began = Instant::now();
    tick_until_idle(&mut world, healthy, "locked");
    assert!(began.elapsed() < TIMEOUT / 2);
    let result = invoke(&mut world.function(), &event(locked, 10));
    assert_eq!(result["status"], "wait");
    assert!(
        result["reason"].as_str().unwrap().starts_with("another transaction holds a lock on the campaign")
    );
    drop(transaction);
    run(&mut world.function(), json!({}));
    assert_eq!(world.campaign_status(locked).0, "sent");
}

#[test]
fn any_number_of_open_imports_keeps_no_tick_from_the_others() {
    let mut world = World::new();
    let mut sessions = Vec::new();
    for n in 0..15 {
        let campaign = world.campaign();
        let mut session = world.database.connect();
        session
            .batch_execute(&format!(
                "BEGIN; INSERT INTO campaign_recipients (campaign_id, organization_id, email)
                        VALUES ('{campaign}', '{ORGANIZATION}', 'late{n}@example.com')"
            ))
            .unwrap();
        sessions.push(session);
    }
    let healthy = healthy(&mut world);
    tick_until_idle(&mut world, healthy, "imports");
}

#[test]
fn a_campaign_that_kills_the_function_is_left_alone_by_ticks_for_a_while() {
    let mut world = World::new();
    let poisoned = world.campaign_of(3);
    let healthy = healthy(&mut world);
    let mut dying = world.function_with(&[("FAILPOINTS", "claim-before=return")]);
    dying.invoke(&json!({}), TIMEOUT).unwrap_err();
    let mut function = world.function();
    for _ in 0..4 {
        invoke(&mut function, &json!({}));
    }
    for campaign in healthy {
        assert_eq!(world.campaign_status(campaign).0, "sent");
    }
    assert_eq!(world.statuses(poisoned)["pending"], 3);
    let logs = function.logs();
    let said =
        |line: &&String| line.contains("left alone for a while") && line.contains(&poisoned.to_string());
    assert!(logs.iter().find(said).is_some(), "{logs:?}");
    // Each lost attempt makes the pause longer.
    let retry = "SELECT extract(epoch FROM retry_at - now())::float8, attempts FROM campaign_attempts";
    let first: f64 = world.database.query(retry, &[])[0].get(0);
    world.database.execute("UPDATE campaign_attempts SET retry_at = now()", &[]);
    dying = world.function_with(&[("FAILPOINTS", "claim-before=return")]);
    dying.invoke(&json!({}), TIMEOUT).unwrap_err();
    let second = &world.database.query(retry, &[])[0];
    assert!(second.get::<_, f64>(0) > first && second.get::<_, i32>(1) == 2);
    // A successful attempt ends the pause.
    world.database.execute("UPDATE campaign_attempts SET retry_at = now()", &[]);
    run(&mut function, json!({}));
    assert_eq!(world.campaign_status(poisoned).0, "sent");
    assert_eq!(world.database.query("SELECT FROM campaign_attempts", &[]).len(), 0);
}
