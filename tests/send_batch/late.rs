//! `send_before`: what is not sent in time is not sent at all.

use std::time::{Duration, Instant};

use local_ses::ses::{Effect, Rule, TokenBucket};
use serde_json::json;
use uuid::Uuid;

use crate::support::{TIMEOUT, World, event, invoke, run};

const REASON: &str = "send_before is over: nothing is sent after ";

fn send_before(world: &mut World, campaign: Uuid, interval: &str) {
    let sql =
        format!("UPDATE campaigns SET send_before = clock_timestamp() + interval '{interval}' WHERE id = $1");
    world.database.execute(&sql, &[&campaign]);
}

fn assert_paused(world: &mut World, campaign: Uuid) {
    let (status, reason) = world.campaign_status(campaign);
    assert_eq!(status, "paused");
    assert!(reason.as_deref().is_some_and(|reason| reason.starts_with(REASON)), "{reason:?}");
}

#[test]
fn a_campaign_whose_time_is_over_is_paused_before_anybody_is_claimed() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    send_before(&mut world, campaign, "-1 second");
    let mut function = world.function();
    for attempt in ["first", "set to sending again"] {
        let result = invoke(&mut function, &event(campaign, 10));
        assert_eq!(result["status"], "halted", "{attempt}");
        assert!(result["reason"].as_str().unwrap().starts_with(REASON), "{attempt}: {result}");
        assert_eq!((&result["batch"]["claimed"], &result["progress"]["remaining"]), (&json!(0), &json!(10)));
        assert_paused(&mut world, campaign);
        assert_eq!(invoke(&mut function, &event(campaign, 10))["status"], "paused", "{attempt}");
        world.set_status(campaign, "sending");
    }
    assert_eq!(world.ses.message_count(), 0);
    assert_eq!(world.statuses(campaign)["pending"], 10);

    // With a later time it goes on.
    send_before(&mut world, campaign, "1 hour");
    assert_eq!(run(&mut function, event(campaign, 10)).last().unwrap()["status"], "done");
    world.assert_consistent(campaign);
}

#[test]
fn a_tick_pauses_what_was_scheduled_and_is_too_late_and_takes_the_next_campaign() {
    let mut world = World::new();
    let late = world.campaign_of(3);
    world.database.execute(
        "UPDATE campaigns SET status = 'scheduled', scheduled_at = now() - interval '7 days',
                send_before = now() - interval '6 days' WHERE id = $1",
        &[&late],
    );
    let mut function = world.function();
    let result = invoke(&mut function, &json!({}));
    assert_eq!((&result["campaignId"], &result["status"]), (&json!(late), &json!("halted")));
    assert_paused(&mut world, late);
    let other = world.campaign_of(2);
    assert_eq!(invoke(&mut function, &json!({}))["campaignId"], json!(other));
    assert_eq!(world.statuses(late)["pending"], 3);
}

#[test]
fn no_send_starts_within_a_batch_when_the_time_is_over() {
    for api in ["single", "bulk"] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign_of(400);
        world.ses.set_rate(Some(TokenBucket::full(50.0, 50.0)));
        let mut function = world.function_with(&[("SES_MAX_SEND_RATE", "50")]);
        // Connections and the first plan take their time.
        let first = world.campaign_of(1);
        run(&mut function, event(first, 1));
        world.ses.clear_messages();

        send_before(&mut world, campaign, "2 seconds");
        let sql = "SELECT extract(epoch FROM send_before)::float8 FROM campaigns WHERE id = $1";
        let limit: f64 = world.database.query(sql, &[&campaign])[0].get(0);
        let result = invoke(&mut function, &event(campaign, 400));
        assert_eq!(result["status"], "halted", "{api}: {result}");
        assert!(result["reason"].as_str().unwrap().starts_with(REASON), "{api}: {result}");
        let sent = result["batch"]["sent"].as_i64().unwrap();
        assert!((1..=150).contains(&sent), "{api}: {result}");
        let claimed = result["batch"]["claimed"].as_i64().unwrap();
        assert!(claimed > sent, "{api}: {result}");
        assert_eq!(result["batch"]["deferred"], claimed - sent, "{api}");
        // The last one reached SES in time, give or take the way there.
        let received = world.ses.messages().iter().map(|message| message.received).max().unwrap();
        let received = received.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(received < limit + 0.1, "{api}: {} s late", received - limit);
        assert_paused(&mut world, campaign);
        assert_eq!(world.statuses(campaign)["pending"], 400 - sent, "{api}");
        world.assert_consistent(campaign);
    }
}

#[test]
fn a_time_that_is_set_while_a_batch_is_sent_counts_within_two_seconds() {
    let mut world = World::single();
    let campaign = world.campaign_of(400);
    let mut function = world.function_with(&[("SES_MAX_SEND_RATE", "40")]);
    let mut operator = world.database.connect();
    let result = std::thread::scope(|scope| {
        let invocation = scope.spawn(|| invoke(&mut function, &event(campaign, 400)));
        let end = Instant::now() + Duration::from_secs(20);
        while world.ses.message_count() == 0 {
            assert!(Instant::now() < end, "nothing is sent");
            std::thread::yield_now();
        }
        operator.execute("UPDATE campaigns SET send_before = now() WHERE id = $1", &[&campaign]).unwrap();
        invocation.join().unwrap()
    });
    assert_eq!(result["status"], "halted");
    let sent = result["batch"]["sent"].as_i64().unwrap();
    assert!((1..200).contains(&sent), "{result}");
    assert_paused(&mut world, campaign);
    world.assert_consistent(campaign);
}

#[test]
fn a_campaign_that_is_done_in_time_is_sent_however_late_its_last_answer_comes() {
    let mut world = World::single();
    let campaign = world.campaign_of(3);
    world.ses.add_rule(Rule::any(Effect::AcceptThenDelay { ms: 3000 }));
    send_before(&mut world, campaign, "2 seconds");
    let mut function = world.function();
    assert_eq!(invoke(&mut function, &event(campaign, 3))["status"], "done");
    assert_eq!(world.campaign_status(campaign), ("sent".to_owned(), None));
    // One that has recipients again is too late for them.
    world.add_recipient(campaign, "late@example.com");
    assert_eq!(invoke(&mut function, &event(campaign, 3))["status"], "halted");
    assert_paused(&mut world, campaign);
}

#[test]
fn what_a_lost_invocation_left_is_settled_when_it_is_too_late_to_send_the_rest() {
    let mut world = World::single();
    let campaign = world.campaign_of(40);
    world.ses.add_rule(Rule::nth(5, Effect::Delay { ms: 60_000 }));
    let mut function = world.function_with(&[("SEND_CONCURRENCY", "1")]);
    let _begun = function.begin(&event(campaign, 40), TIMEOUT).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while world.ses.message_count() < 4 {
        assert!(Instant::now() < end, "nothing is sent");
        std::thread::yield_now();
    }
    function.kill();
    world.expire_leases();
    send_before(&mut world, campaign, "-1 second");
    let result = invoke(&mut world.function(), &event(campaign, 40));
    assert_eq!(result["status"], "halted");
    assert_paused(&mut world, campaign);
    let statuses = world.statuses(campaign);
    assert!(statuses["uncertain"] >= 4 && statuses["pending"] > 0, "{statuses:?}");
    assert_eq!(statuses["uncertain"] + statuses["pending"], 40);
}

#[test]
fn times_without_end_are_read() {
    let mut world = World::new();
    for (value, status) in [("infinity", "done"), ("-infinity", "halted")] {
        let campaign = world.campaign_of(2);
        let sql = format!("UPDATE campaigns SET send_before = '{value}' WHERE id = $1");
        world.database.execute(&sql, &[&campaign]);
        assert_eq!(invoke(&mut world.function(), &event(campaign, 2))["status"], status, "{value}");
    }
}
