//! Several invocations at once, large campaigns, and the statements that PostgreSQL sees.

use std::time::{Duration, Instant};

use local_ses::ses::{Effect, Rule};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{TIMEOUT, World, all_at_once, assert_identity, event, invoke, run};

#[test]
fn two_invocations_at_once_send_every_recipient_exactly_once() {
    let mut world = World::new();
    let campaign = world.campaign_of(1000);
    all_at_once(&mut world, campaign, 2, 50);
    assert_eq!(world.ses.message_count(), 1000);
    world.assert_consistent(campaign);
}

#[test]
fn eight_invocations_at_once_send_every_recipient_exactly_once() {
    let mut world = World::new();
    let campaign = world.campaign_of(2000);
    all_at_once(&mut world, campaign, 8, 37);
    assert_eq!(world.ses.message_count(), 2000);
    world.assert_consistent(campaign);
}

#[test]
fn the_same_event_delivered_twice_at_the_same_moment_sends_nothing_twice() {
    let mut world = World::new();
    let campaign = world.campaign_of(40);
    let (mut first, mut second) = (world.function(), world.function());
    for event in [json!({}), event(campaign, 10)] {
        let (one, two) = (first.begin(&event, TIMEOUT).unwrap(), second.begin(&event, TIMEOUT).unwrap());
        assert_identity(&first.finish(&one).unwrap());
        assert_identity(&second.finish(&two).unwrap());
    }
    assert_eq!(run(&mut first, event(campaign, 10)).last().unwrap()["status"], "done");
    assert_eq!(world.ses.message_count(), 40);
    world.assert_consistent(campaign);
}

#[test]
fn ticks_take_the_campaigns_in_the_order_in_which_they_are_due() {
    let mut world = World::new();
    let (first, second) = (world.campaign_of(4), world.campaign_of(4));
    world.database.execute(
        "UPDATE campaigns SET status = 'scheduled', scheduled_at = now() - CASE WHEN id = $1 THEN interval '1 hour' ELSE interval '2 hours' END",
        &[&first],
    );
    let mut function = world.function();
    let taken: Vec<_> = (0..3).map(|_| invoke(&mut function, &json!({}))["campaignId"].clone()).collect();
    assert_eq!(taken, [json!(second), json!(first), json!(null)]);
    for campaign in [first, second] {
        assert_eq!(world.statuses(campaign)["sent"], 4);
    }
}

#[test]
fn the_statements_of_a_batch_do_not_grow_with_it() {
    let mut world = World::new();
    world
        .database
        .client()
        .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .expect("the tests' server has pg_stat_statements: `./dev test` starts such a one");
    for (size, batches) in [(1, 1), (500, 1), (5000, 1), (5000, 2)] {
        let campaign = world.campaign_of(size * batches);
        let mut function = world.function();
        for _ in 0..batches {
            world.database.query("SELECT pg_stat_statements_reset()", &[]);
            let started = Instant::now();
            let result = invoke(&mut function, &event(campaign, u32::try_from(size).unwrap()));
            assert_eq!(result["batch"]["sent"], size);
            let statements: i64 = world.database.query(
                "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
                  WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND query NOT LIKE '%pg_stat_statements%'
                    -- What begins and ends each one's transaction, and looks at the schema's version the first time,
                    -- all in the same round trip.
                    AND query !~ '^(BEGIN|SET LOCAL|COMMIT|DO )' AND query !~ '^SELECT[[:space:]]+set_config'",
                &[],
            )[0]
            .get(0);
            // Five for any size, and one for each second that the batch takes.
            let seconds = i64::try_from(started.elapsed().as_secs()).unwrap();
            assert!(
                statements <= 5 + seconds,
                "{statements} statements for {size} recipients in {seconds} s"
            );
        }
        world.assert_consistent(campaign);
        world.ses.clear_messages();
    }
}

#[test]
fn ten_thousand_recipients_are_sent_end_to_end() {
    let mut world = World::new();
    let campaign = world.campaign_of(10_000);
    let results = run(&mut world.function(), event(campaign, 1000));
    assert_eq!(results.len(), 10);
    assert_eq!(results.last().unwrap()["progress"]["sent"], 10_000);
    world.assert_consistent(campaign);
}

#[test]
fn connections_that_died_between_invocations_cost_no_recipient_and_leave_nobody_uncertain() {
    let mut world = World::new();
    let campaign = world.campaign_of(60);
    let mut function = world.function();
    for _ in 0..3 {
        assert_eq!(invoke(&mut function, &event(campaign, 20))["batch"]["sent"], 20);
        world.ses.close_idle_connections();
        world.database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()",
            &[],
        );
    }
    world.assert_consistent(campaign);
}

#[test]
fn connections_that_died_while_the_environment_was_frozen_cost_no_recipient_and_leave_nobody_uncertain() {
    let mut world = World::new();
    let campaign = world.campaign_of(60);
    let mut function = world.function();
    assert_eq!(invoke(&mut function, &event(campaign, 20))["batch"]["sent"], 20);
    for _ in 0..2 {
        function.freeze();
        world.ses.close_idle_connections();
        world.database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()",
            &[],
        );
        // The event and the end of the connections reach the process in the same moment.
        let begun = function.begin(&event(campaign, 20), TIMEOUT).unwrap();
        function.thaw();
        assert_eq!(function.finish(&begun).unwrap()["batch"]["sent"], 20);
    }
    world.assert_consistent(campaign);
}

#[test]
fn postgresql_that_is_away_at_the_start_fails_the_invocation_and_claims_nothing() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://nobody@127.0.0.1:{port}/nowhere");
    let mut function = world.function_with(&[("DATABASE_URL", &url)]);
    let error = function.invoke(&event(campaign, 10), Duration::from_secs(3)).unwrap_err();
    let message = format!("{error:?}");
    assert!(message.contains("DatabaseUnavailable") && message.contains("refused"), "{message}");
    assert_eq!(world.statuses(campaign)["pending"], 3);
}

#[test]
fn pause_takes_effect_within_the_batch() {
    let mut world = World::new();
    let campaign = world.campaign_of(2000);
    world.ses.set_latency(Duration::from_millis(50));
    let mut function = world.function_with(&[("SEND_CONCURRENCY", "5")]);
    let begun = function.begin(&event(campaign, 2000), TIMEOUT).unwrap();
    world.wait_until(
        "a batch is claimed",
        "SELECT EXISTS (SELECT FROM campaign_batches WHERE claim_token IS NOT NULL)",
    );
    for status in ["paused", "cancelled"] {
        world.set_status(campaign, status);
    }
    let committed = std::time::SystemTime::now();
    let result = function.finish(&begun).unwrap();
    assert_identity(&result);
    assert_eq!(result["status"], "cancelled");
    let (sent, deferred) =
        (result["batch"]["sent"].as_i64().unwrap(), result["batch"]["deferred"].as_i64().unwrap());
    assert!(deferred > 0 && sent + deferred == 2000, "{result}");
    let last = world.ses.messages().last().unwrap().received;
    assert!(last < committed + Duration::from_secs(2), "a send started too late");
    world.assert_consistent(campaign);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Whatever SES does, the counts add up (`invoke` checks it), nobody gets two emails, and a campaign
    /// ends; if it halts because SES rarely answers clearly, a person resumes it each time.
    #[test]
    fn the_counts_add_up_whatever_ses_does(effects in proptest::collection::vec(0..24_u8, 40), size in 1..50_u32) {
        let mut world = World::new();
        let campaign = world.campaign_of(40);
        for (n, effect) in effects.iter().enumerate() {
            let address = format!("r{}@example.com", n + 1);
            let refuse = |code: &str, status| Effect::Refuse { code: code.into(), message: format!("no {n}"), status };
            world.ses.add_rule(match effect {
                1 => Rule::to(address, refuse("MessageRejected", 400)),
                2 => Rule::to(address, Effect::Throttle).times(1),
                3 => Rule::to(address, Effect::DropBeforeAccept),
                4 => Rule::to(address, Effect::DropAfterAccept),
                5 => Rule::to(address, Effect::ServerError),
                6 => Rule::to(address, refuse("SomethingNew", 418)),
                7 => Rule::to(address, Effect::Delay { ms: 20 }),
                _ => continue,
            });
        }
        let mut function = world.function();
        let mut last = run(&mut function, event(campaign, size)).pop().unwrap();
        for _ in 0..10 {
            if last["status"] == "halted" {
                let reason = last["reason"].as_str().unwrap();
                prop_assert!(reason.starts_with("SES repeatedly gave no clear answer"), "{reason}");
                world.set_status(campaign, "sending");
                last = run(&mut function, event(campaign, size)).pop().unwrap();
            }
        }
        prop_assert_eq!(&last["status"], "done");
        prop_assert_eq!(&last["progress"]["remaining"], 0);
        world.assert_consistent(campaign);
    }
}
