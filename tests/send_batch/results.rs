//! Each status of the batch result, and each form of event.

use serde_json::json;

use crate::support::{TIMEOUT, World, event, failure, invoke, run};

#[test]
fn a_campaign_is_sent_batch_after_batch_until_it_is_done() {
    let mut world = World::new();
    let campaign = world.campaign_of(25);
    let mut function = world.function();

    let results = run(&mut function, event(campaign, 10));
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["continue", "continue", "done"]);
    assert_eq!(
        results[0],
        json!({
            "campaignId": campaign,
            "status": "continue",
            "waitSeconds": 0,
            "batch": {"claimed": 10, "sent": 10, "failed": 0, "suppressed": 0, "uncertain": 0, "deferred": 0},
            "activities": {"success": true, "count": 10, "error": null},
            "progress": {"total": 25, "sent": 10, "failed": 0, "suppressed": 0, "uncertain": 0, "remaining": 15},
            "reason": null,
            "next": {"campaignId": campaign, "batchSize": 10},
        })
    );
    assert_eq!(world.ses.message_count(), 25);
    assert_eq!(world.campaign_status(campaign).0, "sent");
    world.assert_consistent(campaign);

    // Asked again, it is still done.
    let again = invoke(&mut function, &event(campaign, 10));
    assert_eq!((&again["status"], &again["batch"]["claimed"]), (&json!("done"), &json!(0)));
    assert_eq!(world.ses.message_count(), 25);
}
