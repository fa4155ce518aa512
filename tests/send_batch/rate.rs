//! The account's sending rate: used by all invocations together, and never overrun.

use std::thread;

use campaign_sender::local::ses::{Account, TokenBucket};
use serde_json::json;

use crate::support::{World, event, invoke, run};

/// An account that says its rate, and an SES that enforces it.
fn limit(world: &World, per_second: f64) {
    world.ses.set_account(Account { max_send_rate: per_second, ..Account::default() });
    world.ses.set_rate(Some(TokenBucket { per_second, burst: per_second }));
}

#[test]
fn the_rate_is_shared_by_all_invocations_of_all_campaigns_and_never_overrun() {
    let mut world = World::new();
    let campaigns = [world.campaign_of(300), world.campaign_of(300)];
    limit(&world, 200.0);
    let mut functions: Vec<_> = (0..4).map(|_| world.function()).collect();
    thread::scope(|scope| {
        for (n, function) in functions.iter_mut().enumerate() {
            scope.spawn(move || run(function, event(campaigns[n % 2], 50)));
        }
    });
    assert_eq!(world.ses.statistics().throttled, 0);
    for campaign in campaigns {
        assert_eq!(world.statuses(campaign)["sent"], 300);
    }
}

#[test]
fn a_lower_rate_can_be_set() {
    let mut world = World::new();
    let campaign = world.campaign_of(100);
    world.ses.set_rate(Some(TokenBucket { per_second: 50.0, burst: 50.0 }));
    let results = run(&mut world.function_with(&[("SES_MAX_SEND_RATE", "50")]), event(campaign, 100));
    assert_eq!(results.last().unwrap()["status"], "done");
    assert_eq!(world.ses.statistics().throttled, 0);
    let per_second: f64 = world.database.query("SELECT per_second FROM send_rates", &[])[0].get(0);
    assert!((per_second - 50.0).abs() < f64::EPSILON);
}

#[test]
fn what_others_have_reserved_for_longer_than_an_invocation_lives_is_waited_for_outside() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    world.database.execute(
        "INSERT INTO send_rates (region, per_second, free_from) VALUES ('us-east-1', 10000, now() + interval '10 minutes')",
        &[],
    );
    let result = invoke(&mut world.function(), &event(campaign, 10));
    assert_eq!((&result["status"], &result["waitSeconds"]), (&json!("wait"), &json!(60)));
    assert_eq!(result["reason"], "other invocations have reserved the account's sending rate");
    assert_eq!(world.statuses(campaign)["pending"], 10);
    assert_eq!(world.database.query("SELECT FROM campaign_batches", &[]).len(), 0);
}

#[test]
fn too_fast_slows_down_all_invocations_for_a_while() {
    let mut world = World::new();
    let campaign = world.campaign_of(100);
    // Others use the account too: less is left than it says.
    world.ses.set_account(Account { max_send_rate: 1000.0, ..Account::default() });
    world.ses.set_rate(Some(TokenBucket { per_second: 100.0, burst: 10.0 }));
    let results = run(&mut world.function(), event(campaign, 100));
    assert_eq!(results.last().unwrap()["status"], "done");
    assert!(world.ses.statistics().throttled > 0);
    let share: f64 = world.database.query("SELECT share FROM send_rates", &[])[0].get(0);
    assert!(share < 1.0, "{share}");
    world.assert_consistent(campaign);
}
