//! Each status of the batch result, and each form of event.

use local_ses::lambda::InvocationError;
use local_ses::ses::{Account, Effect, Rule};
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

#[test]
fn a_campaign_that_is_scheduled_for_later_waits_until_then() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    world.database.execute(
        "UPDATE campaigns SET status = 'scheduled', scheduled_at = now() + interval '1 hour' WHERE id = $1",
        &[&campaign],
    );
    let mut function = world.function();
    let result = invoke(&mut function, &event(campaign, 10));
    assert_eq!(result["status"], "wait");
    let wait = result["waitSeconds"].as_u64().unwrap();
    assert!((3590..=3600).contains(&wait), "{wait}");
    assert_eq!(result["next"], event(campaign, 10));
    assert_eq!(result["progress"]["total"], 3);
    assert_eq!(invoke(&mut function, &json!({}))["status"], "idle");

    world.database.execute("UPDATE campaigns SET scheduled_at = 'infinity' WHERE id = $1", &[&campaign]);
    let result = invoke(&mut function, &event(campaign, 10));
    assert_eq!(result["status"], "wait");
    // The longest that Step Functions waits.
    assert!(result["waitSeconds"].as_u64().unwrap() <= 99_999_999, "{result}");

    world.database.execute("UPDATE campaigns SET scheduled_at = now() WHERE id = $1", &[&campaign]);
    let result = invoke(&mut function, &json!({}));
    assert_eq!((&result["status"], &result["batch"]["sent"]), (&json!("done"), &json!(3)));
    let row = &world
        .database
        .query("SELECT started_at IS NOT NULL, completed_at IS NOT NULL FROM campaigns", &[])[0];
    assert!(row.get::<_, bool>(0) && row.get::<_, bool>(1));
}

#[test]
fn a_person_stops_a_campaign_and_it_is_said_who_it_was_not() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    let mut function = world.function();
    for (status, expected) in [("paused", "paused"), ("cancelled", "cancelled"), ("failed", "cancelled")] {
        world.set_status(campaign, status);
        let result = invoke(&mut function, &event(campaign, 10));
        assert_eq!(result["status"], expected);
        assert_eq!(result["batch"]["claimed"], 0);
    }
    world.set_status(campaign, "sent");
    assert_eq!(invoke(&mut function, &event(campaign, 10))["status"], "done");
    assert_eq!(world.ses.message_count(), 0);

    // Resumed, nobody was forgotten.
    world.set_status(campaign, "sending");
    assert_eq!(invoke(&mut function, &event(campaign, 10))["batch"]["sent"], 3);
    world.assert_consistent(campaign);
}

#[test]
fn while_another_invocation_holds_the_rest_the_answer_is_wait() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    world.ses.add_rule(Rule::any(Effect::Delay { ms: 1500 }));
    let (mut first, mut second) = (world.function(), world.function());
    let begun = first.begin(&event(campaign, 10), TIMEOUT).unwrap();
    world.wait_until(
        "a batch is claimed",
        "SELECT EXISTS (SELECT FROM campaign_batches WHERE claim_token IS NOT NULL)",
    );

    let result = invoke(&mut second, &event(campaign, 10));
    assert_eq!(result["status"], "wait");
    assert_eq!(result["reason"], "another invocation or an open import holds the rest");
    // A tick skips a campaign that another invocation works on.
    assert_eq!(invoke(&mut second, &json!({}))["status"], "idle");

    assert_eq!(first.finish(&begun).unwrap()["status"], "done");
    world.assert_consistent(campaign);
}

#[test]
fn a_template_that_does_not_compile_halts_before_anything_is_claimed() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    world.database.execute("UPDATE campaigns SET html = '<p>{% if %}'", &[]);
    let result = invoke(&mut world.function(), &event(campaign, 10));
    assert_eq!(result["status"], "halted");
    let reason = "the template does not compile: unexpected end of block (html, line 1)";
    assert_eq!(result["reason"], reason);
    assert_eq!(world.campaign_status(campaign), ("paused".to_owned(), Some(reason.to_owned())));
    assert_eq!((&result["progress"]["total"], &result["progress"]["remaining"]), (&json!(3), &json!(3)));
    assert_eq!(world.statuses(campaign)["pending"], 3);
    assert_eq!(world.database.query("SELECT FROM campaign_batches", &[]).len(), 0);
}

#[test]
fn an_account_that_may_not_send_halts_the_campaign_and_loses_nobody() {
    let mut world = World::new();
    let campaign = world.campaign_of(200);
    let account = Account { sending_enabled: false, ..Account::default() };
    world.ses.set_account(account);
    let mut function = world.function();
    let result = invoke(&mut function, &event(campaign, 100));
    assert_eq!(result["status"], "halted");
    assert!(result["reason"].as_str().unwrap().starts_with("SendingPausedException: "), "{result}");
    assert_eq!(result["batch"]["deferred"], 100);
    assert_eq!(world.campaign_status(campaign).0, "paused");
    assert_eq!(world.statuses(campaign)["pending"], 200);
    assert_eq!(invoke(&mut function, &event(campaign, 100))["status"], "paused");

    // After the cause is corrected and the campaign resumed, everyone gets it.
    world.ses.set_account(Account::default());
    world.set_status(campaign, "sending");
    assert_eq!(run(&mut function, event(campaign, 100)).last().unwrap()["status"], "done");
    assert_eq!(world.campaign_status(campaign), ("sent".to_owned(), None));
    world.assert_consistent(campaign);
}

#[test]
fn the_same_refusal_for_all_of_the_first_halts_instead_of_failing_the_list() {
    let refuse = Effect::Refuse {
        code: "MessageRejected".into(),
        message: "Address … is blacklisted".into(),
        status: 400,
    };
    for batch_size in [7, 100] {
        let mut world = World::new();
        let campaign = world.campaign_of(100);
        world.ses.add_rule(Rule::any(refuse.clone()));
        let mut function = world.function();
        let results = run(&mut function, event(campaign, batch_size));
        let last = results.last().unwrap();
        assert_eq!(last["status"], "halted");
        assert_eq!(
            last["reason"],
            "each of the first 20 recipients was refused: MessageRejected: Address … is blacklisted"
        );
        assert!(world.count(campaign, "status = 'pending'") >= 80);
        world.assert_consistent(campaign);

        // After the cause is corrected and the campaign resumed, the rest is sent.
        world.ses.clear_rules();
        world.set_status(campaign, "sending");
        assert_eq!(run(&mut function, event(campaign, 100)).last().unwrap()["status"], "done");
        assert!(world.count(campaign, "status = 'sent'") >= 80);
        world.assert_consistent(campaign);
    }
}

#[test]
fn a_daily_quota_that_is_used_up_waits_and_fails_nobody() {
    let mut world = World::new();
    let campaign = world.campaign_of(30);
    world.ses.set_account(Account { max_24_hour_send: 10.0, sent_last_24_hours: 0.0, ..Account::default() });
    let mut function = world.function();
    let result = invoke(&mut function, &event(campaign, 30));
    assert_eq!((&result["status"], &result["batch"]["sent"]), (&json!("continue"), &json!(10)));
    let result = invoke(&mut function, &event(campaign, 30));
    assert_eq!((&result["status"], &result["waitSeconds"]), (&json!("wait"), &json!(900)));
    assert_eq!(world.statuses(campaign)["pending"], 20);
    // Another invocation has read a quota that others have used up by the time it sends.
    world.ses.set_account(Account::default());
    let message = "Daily message quota exceeded.".to_owned();
    world.ses.add_rule(Rule::any(Effect::Refuse {
        code: "LimitExceededException".into(),
        message,
        status: 400,
    }));
    let result = invoke(&mut world.function(), &event(campaign, 30));
    assert_eq!((&result["status"], &result["waitSeconds"]), (&json!("wait"), &json!(900)));
    assert_eq!((&result["batch"]["sent"], &result["batch"]["deferred"]), (&json!(0), &json!(20)));
    world.assert_consistent(campaign);
}

#[test]
fn every_form_of_event_in_the_contract_is_understood() {
    let mut world = World::new();
    let mut function = world.function();
    let file = |name: &str| {
        let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    for name in ["empty", "eventbridge-rule", "eventbridge-scheduler"] {
        assert_eq!(invoke(&mut function, &file(name))["status"], "idle", "{name}");
        let campaign = world.campaign_of(2);
        assert_eq!(invoke(&mut function, &file(name))["campaignId"], json!(campaign), "{name}");
    }
    for name in ["send-batch", "send-batch-default-size"] {
        let event = file(name);
        let id: uuid::Uuid = event["campaignId"].as_str().unwrap().parse().unwrap();
        assert_eq!(failure(&mut function, &event), format!("UnknownCampaign: there is no campaign {id}"));
    }
}

#[test]
fn an_event_that_is_wrong_is_told_what_is_wrong_and_claims_nothing() {
    let mut world = World::new();
    let campaign = world.campaign_of(2);
    let mut function = world.function();
    for bad in [
        json!(null),
        json!([1]),
        json!({"campaignId": 7}),
        json!({"campaignId": campaign, "batchSize": -1}),
        json!({"campaign": campaign}),
    ] {
        let failure = failure(&mut function, &bad);
        assert!(failure.starts_with("InvalidEvent: "), "{failure}");
    }
    for bad in ["", "{", "{\"campaignId\": nothing}", &"[".repeat(1000)] {
        let begun = function.begin_raw(bad, TIMEOUT).unwrap();
        let Err(InvocationError::Failed { error_type, message }) = function.finish(&begun) else {
            panic!("{bad} was taken");
        };
        assert_eq!(error_type, "InvalidEvent");
        assert!(message.starts_with("the event is not JSON ("), "{message}");
    }
    world.set_status(campaign, "draft");
    assert_eq!(
        failure(&mut function, &event(campaign, 10)),
        format!(
            "CampaignNotReady: campaign {campaign} is a draft: set its status to 'sending', or to 'scheduled' with a time"
        )
    );
    assert_eq!(invoke(&mut function, &json!({}))["status"], "idle");
    world.set_status(campaign, "scheduled");
    assert_eq!(
        failure(&mut function, &event(campaign, 10)),
        format!("CampaignNotReady: campaign {campaign} is scheduled without a time: set its scheduled_at")
    );
    assert_eq!(world.ses.message_count(), 0);
}

#[test]
fn without_a_deadline_of_its_own_an_invocation_takes_the_configured_one() {
    let mut world = World::new();
    let campaign = world.campaign_of(2);
    world.ses.set_latency(std::time::Duration::from_millis(600));
    let mut function = world.function_with(&[("LAMBDA_TIMEOUT_SECONDS", "30")]);
    let begun = function.begin_at(&event(campaign, 10), 60_000).unwrap();
    world.wait_until(
        "a batch is claimed",
        "SELECT EXISTS (SELECT FROM campaign_batches WHERE claim_token IS NOT NULL)",
    );
    let sql = "SELECT extract(epoch FROM lease_ends_at - opened_at)::float8 FROM campaign_batches";
    let lease: f64 = world.database.query(sql, &[])[0].get(0);
    assert!((30.0..=40.0).contains(&lease), "{lease}");
    assert_eq!(function.finish(&begun).unwrap()["status"], "done");
}

#[test]
fn a_campaign_that_halts_when_it_is_due_or_opened_again_is_paused_and_ticks_leave_it_alone() {
    let mut world = World::new();
    let campaign = world.campaign_of(2);
    let mut function = world.function();
    world
        .database
        .execute("UPDATE campaigns SET status = 'scheduled', scheduled_at = now(), subject = '{{'", &[]);
    assert_eq!(invoke(&mut function, &json!({}))["status"], "halted");
    assert_eq!(world.campaign_status(campaign).0, "paused");
    assert_eq!(invoke(&mut function, &json!({}))["status"], "idle");

    world.database.execute("UPDATE campaigns SET status = 'sending', subject = 'x'", &[]);
    assert_eq!(run(&mut function, json!({})).last().unwrap()["status"], "done");
    world.add_recipients(campaign, 1);
    world.database.execute("UPDATE campaigns SET subject = '{{'", &[]);
    assert_eq!(invoke(&mut function, &json!({}))["status"], "halted");
    assert_eq!(world.campaign_status(campaign).0, "paused");
    assert_eq!(invoke(&mut function, &json!({}))["status"], "idle");
}

#[test]
fn a_pause_says_why_where_a_person_gave_a_reason() {
    let mut world = World::new();
    let campaign = world.campaign_of(200);
    world.ses.add_rule(Rule::any(Effect::Delay { ms: 50 }));
    let mut function = world.function_with(&[("SEND_CONCURRENCY", "2")]);
    let begun = function.begin(&event(campaign, 200), TIMEOUT).unwrap();
    world.wait_until(
        "a batch is claimed",
        "SELECT EXISTS (SELECT FROM campaign_batches WHERE claim_token IS NOT NULL)",
    );
    world.database.execute("UPDATE campaigns SET status = 'paused', status_reason = 'wrong price'", &[]);
    let result = function.finish(&begun).unwrap();
    assert_eq!((&result["status"], &result["reason"]), (&json!("paused"), &json!("wrong price")));
}
