//! Rows that lie ahead of PostgreSQL's clock, as after it was set back.

use serde_json::json;

use crate::support::{World, event, invoke, run};

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
    let results = run(&mut function, event(campaign, 200));
    let waited: u64 = results.iter().map(|result| result["waitSeconds"].as_u64().unwrap()).sum();
    assert!(waited < 10, "{results:?}");
    assert_eq!(results.last().unwrap()["status"], json!("done"));
    world.assert_consistent(campaign);
}
