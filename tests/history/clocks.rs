//! Rows with times ahead of PostgreSQL's clock, as after the clock was set back.

use std::time::Duration;

use crate::support::{World, event, invoke};

#[test]
fn what_lies_an_hour_ahead_holds_nothing_up() {
    let mut world = World::new();
    let campaign = world.campaign_of(300);
    let mut function = world.function_with(&[("SES_MAX_SEND_RATE", "100000")]);
    invoke(&mut function, &event(campaign, 100));
    for sql in [
        "UPDATE send_shares SET region_free_from = region_free_from + interval '1 hour',
                free_from = free_from + interval '1 hour', wants_until = wants_until + interval '1 hour'",
        "UPDATE database_history SET hold_until = now() + interval '1 hour', reason = 'before the clock was set back';
         UPDATE database_history SET written_by = xmin",
        "UPDATE campaign_batches SET closed_at = NULL, claim_token = gen_random_uuid(), handed_by = NULL,
                lease_ends_at = now() + interval '1 hour'",
    ] {
        world.database.client().batch_execute(sql).unwrap();
    }
    let mut next = event(campaign, 200);
    while !next.is_null() {
        let result = invoke(&mut function, &next);
        let wait = result["waitSeconds"].as_u64().unwrap();
        assert!(wait < 10, "{result}");
        std::thread::sleep(Duration::from_secs(wait));
        next = result["next"].clone();
    }
    assert_eq!(world.campaign_status(campaign).0, "sent");
    world.assert_consistent(campaign);
}
