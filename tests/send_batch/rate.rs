//! The account's sending rate: all invocations use it together, and never exceed it.

use std::thread;
use std::time::Instant;

use local_ses::ses::{Account, TokenBucket};

use crate::support::{World, event, invoke, run};

/// An account that states its rate, and an SES that enforces it.
fn limit(world: &World, per_second: f64) {
    world.ses.set_account(Account { max_send_rate: per_second, ..Account::default() });
    world.ses.set_rate(Some(TokenBucket::full(per_second, per_second)));
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
    world.ses.set_rate(Some(TokenBucket::full(50.0, 50.0)));
    let results = run(&mut world.function_with(&[("SES_MAX_SEND_RATE", "50")]), event(campaign, 100));
    assert_eq!(results.last().unwrap()["status"], "done");
    assert_eq!(world.ses.statistics().throttled, 0);
    let per_second: f64 = world.database.query("SELECT per_second FROM send_rates", &[])[0].get(0);
    assert!((per_second - 50.0).abs() < f64::EPSILON);
}

#[test]
fn a_reservation_that_a_clock_made_before_it_was_set_back_is_void() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    world.database.execute(
        "INSERT INTO send_shares SELECT 'us-east-1', gen_random_uuid(), gen_random_uuid(), at, at, at
           FROM (SELECT now() + interval '1 hour' AS at) AS reserved",
        &[],
    );
    assert_eq!(invoke(&mut world.function(), &event(campaign, 10))["status"], "done");
}

#[test]
fn what_others_have_reserved_for_longer_than_an_invocation_lives_is_waited_for_outside() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    world.database.execute(
        "INSERT INTO send_shares SELECT 'us-east-1', gen_random_uuid(), gen_random_uuid(), at, at, at
           FROM (SELECT now() + interval '50 seconds' AS at) AS reserved",
        &[],
    );
    let result = invoke(&mut world.function(), &event(campaign, 10));
    assert_eq!(result["status"], "wait");
    assert!((30..=50).contains(&result["waitSeconds"].as_u64().unwrap()), "{result}");
    assert_eq!(result["reason"], "other invocations have reserved the account's sending rate");
    assert_eq!(world.statuses(campaign)["pending"], 10);
    assert_eq!(world.database.query("SELECT FROM campaign_batches", &[]).len(), 0);
}

#[test]
fn too_fast_slows_down_all_invocations_for_a_while() {
    let mut world = World::new();
    let campaign = world.campaign_of(100);
    // Others use the account too, so less is left than it states.
    world.ses.set_account(Account { max_send_rate: 1000.0, ..Account::default() });
    world.ses.set_rate(Some(TokenBucket::full(100.0, 10.0)));
    let results = run(&mut world.function(), event(campaign, 100));
    assert_eq!(results.last().unwrap()["status"], "done");
    assert!(world.ses.statistics().throttled > 0);
    let share: f64 = world.database.query("SELECT share FROM send_rates", &[])[0].get(0);
    assert!(share < 1.0, "{share}");
    world.assert_consistent(campaign);
}

#[test]
fn calls_that_are_larger_than_what_ses_takes_at_once_become_smaller() {
    for (api, burst) in [("auto", 20.0), ("bulk", 7.0), ("auto", 1.0)] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign_of(200);
        world.ses.set_account(Account { max_send_rate: 1000.0, ..Account::default() });
        world.ses.set_rate(Some(TokenBucket::full(1000.0, burst)));
        let results = run(&mut world.function(), event(campaign, 100));
        assert_eq!(results.last().unwrap()["status"], "done", "{api}, {burst} at once");
        assert_eq!(world.ses.message_count(), 200);
        world.assert_consistent(campaign);
    }
}

#[test]
fn where_nobody_says_the_rate_a_process_finds_it_and_keeps_it() {
    let mut world = World::sending_by("auto");
    let campaign = world.campaign_of(300);
    world.ses.set_account(Account { max_send_rate: 0.0, ..Account::default() });
    world.ses.set_rate(Some(TokenBucket::full(100.0, 10.0)));
    let mut function = world.function();
    let refused: Vec<_> = (0..3)
        .map(|_| {
            let before = world.ses.statistics().throttled;
            assert_eq!(invoke(&mut function, &event(campaign, 100))["batch"]["sent"], 100);
            world.ses.statistics().throttled - before
        })
        .collect();
    // Only the first call has fifty recipients.
    assert!(refused[0] >= 1 && refused[2] < 50, "{refused:?}");
    assert_eq!(world.database.query("SELECT FROM send_rates", &[]).len(), 0);
    world.assert_consistent(campaign);
}

#[test]
fn a_rate_that_was_not_used_for_a_while_is_begun_with_a_call_that_waits_for_its_turn() {
    let mut world = World::new();
    let campaign = world.campaign_of(30);
    let mut token = 0_u128;
    // The start of a claim at one message a second.
    let mut claim = |world: &mut World, catch_up: f64| {
        token += 1;
        let sql = "SELECT starts_in FROM claim_batch($1, $2, 1, 60, false, 1000, 1000, 'r', 1, 60, $3)";
        let parameters: [&(dyn postgres::types::ToSql + Sync); 3] =
            [&campaign, &uuid::Uuid::from_u128(token), &catch_up];
        world.database.query(sql, &parameters)[0].get::<_, f64>(0)
    };
    let reserved_until = |world: &mut World, ago: &str| {
        let sql = format!("UPDATE send_shares SET region_free_from = clock_timestamp() - interval '{ago}'");
        world.database.execute(&sql, &[]);
    };
    assert!((0.5..=1.1).contains(&claim(&mut world, 0.25)));
    assert!((1.2..=2.1).contains(&claim(&mut world, 0.25)));
    reserved_until(&mut world, "1 minute");
    assert!((0.5..=1.1).contains(&claim(&mut world, 0.25)));
    reserved_until(&mut world, "0.3 seconds");
    assert!(claim(&mut world, 0.25) <= -0.25);
    reserved_until(&mut world, "0.3 seconds");
    assert!((-0.2..=0.0).contains(&claim(&mut world, 0.0)));
}

#[test]
fn a_claim_whose_answer_was_lost_is_answered_again_with_the_same_batch() {
    let mut world = World::new();
    let campaign = world.campaign_of(50);
    let mut claim = |size: i32| {
        let row = &world.database.query(
            "SELECT verdict, batch_id, cardinality(ids), starts_in
               FROM claim_batch($1, '00000000-0000-0000-0000-00000000000b', $2, 60, false, 1000000, 1000, 'r', 10, 5, 0.25)",
            &[&campaign, &size],
        )[0];
        (
            row.get::<_, String>(0),
            row.get::<_, Option<i64>>(1),
            row.get::<_, Option<i32>>(2),
            row.get::<_, f64>(3),
        )
    };
    // At 10 a second, 48 would fit into 5 s.
    let first = claim(40);
    let again = claim(40);
    assert_eq!((&first.0, first.1, first.2), (&again.0, again.1, again.2));
    assert_eq!((first.0.as_str(), first.2), ("batch", Some(40)));
    assert!((first.3 - again.3).abs() < 1.0, "{first:?} {again:?}");
}

#[test]
fn a_campaign_beside_another_reserves_its_share_and_takes_what_is_left_over() {
    let mut world = World::new();
    let (huge, small) = (world.campaign_of(1000), world.campaign_of(1000));
    let began = Instant::now();
    let mut token = 0_u128;
    // The number of sends of an invocation of a minute at 10 a second, and the seconds until they start.
    let mut claim = |world: &mut World, campaign: uuid::Uuid| {
        token += 1;
        let row = &world.database.query(
            "SELECT coalesce(cardinality(ids), 0), coalesce(starts_in, 99)
               FROM claim_batch($1, $2, 1000, 60, false, 1000000, 1000, 'r', 10, 60, 0.25)",
            &[&campaign, &uuid::Uuid::from_u128(token)],
        )[0];
        (row.get::<_, i32>(0), row.get::<_, f64>(1).round())
    };
    assert_eq!(claim(&mut world, huge), (148, 0.0));
    // The other campaign is next, whatever the first still wants.
    assert_eq!(claim(&mut world, small), (49, 15.0));
    assert_eq!(claim(&mut world, huge).0, 0);
    // Its share of the time that has passed since, and nothing more.
    let share = |since: Instant| 1.0 + 5.0 * since.elapsed().as_secs_f64();
    let further = f64::from(claim(&mut world, small).0);
    assert!(further <= share(began), "{further}");
    // The state as if all of that were sent: half a share is waiting for each.
    world.database.execute("UPDATE send_shares SET region_free_from = now(), free_from = now()", &[]);
    assert_eq!(claim(&mut world, huge), (49, 0.0));
    assert_eq!(claim(&mut world, small), (49, 5.0));
    // Nobody wants the free rate now, so a campaign that is ahead of its share may have it.
    world.database.execute("UPDATE send_shares SET region_free_from = now()", &[]);
    assert_eq!(claim(&mut world, huge), (49, 0.0));
    assert_eq!(claim(&mut world, huge).0, 0);
}

#[test]
fn organizations_have_equal_shares_and_so_have_the_campaigns_of_one() {
    let mut world = World::new();
    let mut share = |campaign: u128, organization: u128| {
        let (campaign, organization) = (uuid::Uuid::from_u128(campaign), uuid::Uuid::from_u128(organization));
        let sql = "SELECT share FROM send_room('r', 10, $1, $2, 60, 0.25)";
        let share = world.database.query(sql, &[&campaign, &organization])[0].get::<_, f64>(0);
        world
            .database
            .query("SELECT reserve_sends('r', $1, $2, now(), 0, 10, 1, 0)", &[&campaign, &organization]);
        share
    };
    let shares = [(1, 1), (2, 1), (3, 2), (1, 1), (4, 3)]
        .map(|(campaign, organization)| share(campaign, organization));
    assert_eq!(shares.map(|share| format!("1/{:.0}", 1.0 / share)), ["1/1", "1/2", "1/2", "1/4", "1/3"]);
}
