//! The crash matrix: the process ends at a named point, for the first, a middle or the last recipient, while
//! SES behaves well or badly. Whatever happened, the next invocations run the campaign to its end, and the
//! mailbox and the tables agree, except for uncertain recipients.

use std::time::Duration;

use local_ses::lambda::InvocationError;
use local_ses::ses::{Effect, Rule};
use serde_json::{Value, json};

use crate::support::{TIMEOUT, World, event, invoke, run};

const RECIPIENTS: i32 = 60;
const BATCH: u32 = 30;
const CONCURRENCY: usize = 4;
/// How far the mark is ahead in the last batch, which has one checkpoint; it is less in the others.
const STEP: usize = 16;

/// Runs a batch into a crash at the n-th passing of a point; false if the point was not passed that often.
fn crash(world: &World, campaign: uuid::Uuid, point: &str, nth: usize) -> bool {
    let failpoints = format!("{point}={}*off->return", nth - 1);
    let concurrency = CONCURRENCY.to_string();
    let mut function =
        world.function_with(&[("FAILPOINTS", &failpoints), ("SEND_CONCURRENCY", &concurrency)]);
    match function.invoke(&event(campaign, BATCH), TIMEOUT) {
        Err(InvocationError::Crashed) => true,
        Ok(_) => false,
        Err(error) => panic!("{error:?}"),
    }
}

/// Runs the campaign to its end and checks that nothing is lost and nothing doubled.
fn recover(world: &mut World, campaign: uuid::Uuid, crashes: usize, what: &str) {
    world.expire_leases();
    let results = run(&mut world.function(), event(campaign, BATCH));
    assert_eq!(results.last().unwrap()["status"], "done", "{what}");
    let statuses = world.statuses(campaign);
    let uncertain = usize::try_from(statuses.get("uncertain").copied().unwrap_or(0)).unwrap();
    // A call whose connection breaks makes all of its recipients uncertain; with bulk calls, these are whole
    // steps.
    let under_way = if world.api == "single" { CONCURRENCY } else { RECIPIENTS as usize };
    assert!(uncertain <= crashes * (under_way + STEP), "{what}: {uncertain} recipients are uncertain");
    assert_eq!(statuses.get("pending"), None, "{what}");
    world.assert_consistent(campaign);
}

/// The passings for the first, a middle and the last recipient of a batch.
const INSTANTS: [usize; 3] = [1, 15, 30];

fn matrix(point: &str, instants: &[usize], effects: &[Option<Effect>]) {
    run_matrix("single", point, instants, effects);
}

fn run_matrix(api: &'static str, point: &str, instants: &[usize], effects: &[Option<Effect>]) {
    for effect in effects {
        for &nth in instants {
            let mut world = World::sending_by(api);
            let campaign = world.campaign_of(RECIPIENTS);
            if let Some(effect) = effect {
                world.ses.add_rule(Rule::to_containing("5@example.com", effect.clone()));
            }
            let what = format!("{point} #{nth}, SES: {effect:?}");
            assert!(crash(&world, campaign, point, nth), "{what}: no crash");
            recover(&mut world, campaign, 1, &what);
        }
    }
}

fn behaviours() -> Vec<Option<Effect>> {
    let refuse = Effect::Refuse { code: "MessageRejected".into(), message: "no".into(), status: 400 };
    vec![None, Some(Effect::DropAfterAccept), Some(refuse), Some(Effect::AcceptThenDelay { ms: 400 })]
}

#[test]
fn a_crash_around_the_claim_leaves_everyone_pending_and_few_uncertain() {
    for point in ["claim-before", "claim-after"] {
        matrix(point, &[1], &behaviours());
    }
}

#[test]
fn a_crash_before_a_send_never_sends_again_what_went_before() {
    matrix("send-before", &INSTANTS, &behaviours());
}

#[test]
fn a_crash_after_an_answer_never_sends_again() {
    matrix("send-answered", &INSTANTS, &behaviours());
}

#[test]
fn a_crash_around_a_bulk_call_never_sends_again() {
    for point in ["claim-after", "send-before", "send-answered", "checkpoint-after", "record-before"] {
        let instants: &[usize] = if point.starts_with("send") { &[1, 2, 3] } else { &[1] };
        run_matrix("bulk", point, instants, &[None, Some(Effect::DropAfterAccept)]);
    }
}

#[test]
fn a_crash_around_a_checkpoint_never_sends_again() {
    for point in ["checkpoint-before", "checkpoint-after"] {
        matrix(point, &[1, 2], &behaviours());
    }
}

#[test]
fn a_crash_before_recording_never_sends_again_and_a_crash_after_it_loses_nothing() {
    matrix("record-before", &[1], &behaviours());
    matrix("record-after", &[1], &behaviours());
}

#[test]
fn a_crash_while_taking_over_is_taken_over_itself() {
    for point in ["claim-after", "record-before", "takeover-after"] {
        let mut world = World::single();
        let campaign = world.campaign_of(RECIPIENTS);
        assert!(crash(&world, campaign, "send-answered", 20));
        world.expire_leases();
        assert!(crash(&world, campaign, point, 1), "{point}");
        recover(&mut world, campaign, 2, point);
    }
}

#[test]
fn a_crash_makes_what_was_under_way_and_one_step_uncertain_and_not_the_batch() {
    let mut world = World::single();
    let campaign = world.campaign_of(300);
    let mut function =
        world.function_with(&[("FAILPOINTS", "send-answered=140*off->return"), ("SEND_CONCURRENCY", "4")]);
    assert_eq!(function.invoke(&event(campaign, 300), TIMEOUT), Err(InvocationError::Crashed));
    world.expire_leases();
    run(&mut world.function(), event(campaign, 300));
    let statuses = world.statuses(campaign);
    assert!(statuses["uncertain"] <= 4 + 160, "{statuses:?}");
    assert_eq!(statuses["uncertain"] + statuses["sent"], 300);
    world.assert_consistent(campaign);
}

#[test]
fn nobody_is_handed_over_beyond_a_mark_that_postgresql_has_refused() {
    for api in ["single", "bulk"] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign_of(300);
        let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
                          AS $$ BEGIN RAISE EXCEPTION 'the mark stays'; END $$;
                      CREATE TRIGGER refuse BEFORE UPDATE ON campaign_batches FOR EACH ROW
                          WHEN (NEW.handed_through > OLD.handed_through) EXECUTE FUNCTION refuse()";
        world.database.client().batch_execute(refuse).unwrap();
        let result = invoke(&mut world.function(), &event(campaign, 300));
        // A last batch of 300 has a step of 160, which the claim itself has marked. The refusal comes before its end or after.
        let sent = result["batch"]["sent"].as_u64().unwrap();
        assert!(sent <= 160, "{api}: {result}");
        assert_eq!(result["batch"]["deferred"], 300 - sent, "{api}: {result}");
        assert_eq!(world.ses.message_count() as u64, sent, "{api}");
        world.database.client().batch_execute("DROP FUNCTION refuse CASCADE").unwrap();
        run(&mut world.function(), event(campaign, 300));
        assert_eq!(world.statuses(campaign)["sent"], 300, "{api}");
        world.assert_consistent(campaign);
    }
}

#[test]
fn a_slow_batch_has_few_uncertain_after_a_crash() {
    let mut world = World::single();
    let campaign = world.campaign_of(300);
    world.ses.set_latency(Duration::from_millis(100));
    let mut function = world.function_with(&[("SEND_CONCURRENCY", "4")]);
    let begun = function.begin(&event(campaign, 300), TIMEOUT).unwrap();
    world.wait_until("outcomes are noted", "SELECT count(*) >= 2 FROM campaign_batch_outcomes");
    function.kill();
    assert_eq!(function.finish(&begun), Err(InvocationError::Crashed));
    world.expire_leases();
    run(&mut world.function(), event(campaign, 300));
    world.assert_consistent(campaign);
}

#[test]
fn a_batch_is_not_taken_over_before_its_lease_has_ended() {
    let mut world = World::single();
    let campaign = world.campaign_of(20);
    assert!(crash(&world, campaign, "claim-after", 1));
    let result = invoke(&mut world.function(), &event(campaign, 20));
    assert_eq!(result["status"], "wait");
    assert_eq!(world.ses.message_count(), 0);
    let sql = "SELECT extract(epoch FROM max(lease_ends_at) - now())::float8 FROM campaign_batches";
    let lease: f64 = world.database.query(sql, &[])[0].get(0);
    assert!(lease <= TIMEOUT.as_secs_f64() + 10.0, "{lease}");
}

#[test]
fn a_lost_batch_is_found_however_many_were_closed_behind_it() {
    let mut world = World::single();
    let campaign = world.campaign_of(100);
    assert!(crash(&world, campaign, "claim-after", 1));
    let mut function = world.function();
    for _ in 0..5 {
        assert_eq!(invoke(&mut function, &event(campaign, 10))["batch"]["sent"], 10);
    }
    let sql =
        "SELECT max(closed_through) < (SELECT min(position) FROM campaign_recipients) FROM campaign_batches";
    assert!(world.database.query(sql, &[])[0].get::<_, bool>(0));
    world.expire_leases();
    run(&mut function, event(campaign, 10));
    let sql =
        "SELECT max(closed_through) > 80 AND NOT EXISTS (SELECT FROM campaign_batches WHERE closed_at IS NULL)
                 FROM campaign_batches";
    assert!(world.database.query(sql, &[])[0].get::<_, bool>(0));
    world.assert_consistent(campaign);
}

#[test]
fn a_campaign_whose_orchestrator_died_is_picked_up_by_the_next_tick() {
    let mut world = World::single();
    let campaign = world.campaign_of(RECIPIENTS);
    assert!(crash(&world, campaign, "send-answered", 20));
    let mut function = world.function();
    assert_eq!(invoke(&mut function, &json!({}))["status"], "idle");
    world.expire_leases();
    let results = run(&mut function, json!({}));
    assert_eq!(results.last().unwrap()["campaignId"], json!(campaign));
    world.assert_consistent(campaign);
}

#[test]
fn a_late_invocation_records_what_ses_accepted_and_sends_nothing_more() {
    let mut world = World::single();
    let campaign = world.campaign_of(40);
    world.ses.set_latency(Duration::from_millis(300));
    let mut frozen = world.function_with(&[("SEND_CONCURRENCY", "4")]);
    let begun = frozen.begin(&event(campaign, 40), TIMEOUT).unwrap();
    world.wait_until(
        "a batch is claimed",
        "SELECT EXISTS (SELECT FROM campaign_batches WHERE claim_token IS NOT NULL)",
    );
    while world.ses.message_count() == 0 {
        std::thread::yield_now();
    }
    frozen.freeze();
    world.expire_leases();
    world.ses.set_latency(Duration::ZERO);
    // Another one takes the batch over and finishes the campaign.
    assert_eq!(run(&mut world.function(), event(campaign, 40)).last().unwrap()["status"], "done");
    let uncertain = world.statuses(campaign)["uncertain"];
    assert!(uncertain > 0);
    frozen.thaw();
    frozen.finish(&begun).unwrap();
    // The recipients that it had sent to are not uncertain any more.
    assert!(world.statuses(campaign).get("uncertain").copied().unwrap_or(0) < uncertain);
    world.assert_consistent(campaign);
}

#[test]
fn a_next_that_is_used_twice_sends_nothing_twice() {
    let mut world = World::single();
    let campaign = world.campaign_of(30);
    let mut function = world.function();
    let first = invoke(&mut function, &event(campaign, 10));
    for _ in 0..2 {
        invoke(&mut function, &first["next"]);
    }
    assert_eq!(world.ses.message_count(), 30);
    world.assert_consistent(campaign);
}

#[test]
fn what_cannot_be_recorded_is_handed_on_and_recorded_once() {
    let mut world = World::single();
    let campaign = world.campaign_of(50);
    let mut function = world.function();
    // Nothing can be written to the recipients while this transaction is open.
    let mut other = world.database.connect();
    let mut lock = other.transaction().unwrap();
    lock.batch_execute("LOCK TABLE activities IN SHARE MODE").unwrap();
    let result = function.invoke(&event(campaign, 20), Duration::from_secs(4)).unwrap();
    assert_eq!(result["activities"]["success"], false);
    assert_eq!((&result["status"], &result["batch"]["sent"]), (&json!("wait"), &json!(20)));
    assert!(result["next"]["unrecorded"].is_object());
    assert_eq!(world.statuses(campaign)["pending"], 50);

    // It is still locked: the unrecorded outcomes are handed on, and nothing else is sent before they are
    // recorded.
    let again = function.invoke(&result["next"], Duration::from_secs(4)).unwrap();
    assert_eq!(again["next"], result["next"]);
    assert_eq!(world.ses.message_count(), 20);
    drop(lock);

    for _ in 0..2 {
        invoke(&mut function, &result["next"]);
    }
    assert_eq!(run(&mut function, event(campaign, 20)).last().unwrap()["status"], "done");
    assert_eq!(world.statuses(campaign), [("sent".to_owned(), 50)].into());
    world.assert_consistent(campaign);
}

#[test]
fn a_connection_that_is_cut_while_recording_is_made_again() {
    let mut world = World::single();
    let campaign = world.campaign_of(20);
    let mut other = world.database.connect();
    let mut lock = other.transaction().unwrap();
    lock.batch_execute("LOCK TABLE activities IN SHARE MODE").unwrap();
    let mut function = world.function();
    let begun = function.begin(&event(campaign, 20), TIMEOUT).unwrap();
    let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock')";
    world.wait_until("recording waits for the lock", waiting);
    world.database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'",
        &[],
    );
    drop(lock);
    let result: Value = function.finish(&begun).unwrap();
    assert_eq!((&result["status"], &result["activities"]["count"]), (&json!("done"), &json!(20)));
    world.assert_consistent(campaign);
}

#[test]
fn the_log_has_each_accepted_message_and_no_address() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    let mut function = world.function();
    invoke(&mut function, &event(campaign, 10));
    let lines: Vec<Value> =
        function.logs().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let accepted: Vec<_> = lines.iter().filter(|line| line["message"] == "accepted").collect();
    let mut logged: Vec<&str> = Vec::new();
    for line in &accepted {
        assert_eq!(line["campaign_id"], json!(campaign));
        assert!(line["sent_at_ms"].is_u64() && line["spans"][0]["request_id"].is_string(), "{line}");
        logged.extend(line["messages"].as_str().unwrap().split(' '));
    }
    logged.sort_unstable();
    let sql = "SELECT id::text || '=' || message_id FROM campaign_recipients ORDER BY 1";
    let sent: Vec<String> = world.database.query(sql, &[]).iter().map(|row| row.get(0)).collect();
    assert_eq!((logged.len(), logged), (10, sent.iter().map(String::as_str).collect()));
    assert!(function.logs().iter().all(|line| !line.contains("@example.com")));
}
