//! The effect of events on a recipient's status.

use local_ses::ses::{Effect, Rule, events};

use super::*;
use crate::support::{self, TIMEOUT, World};

#[test]
fn whatever_befell_an_email_proves_that_it_was_sent() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let kinds = ["send", "delivery", "bounce-permanent", "bounce-transient", "complaint", "open", "click"];
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, kinds.len());
    let bodies: Vec<Value> =
        kinds.iter().zip(&recipients).map(|(kind, id)| event(kind, campaign, *id)).collect();
    assert!(deliver(&mut function, &bodies).is_empty());
    for (kind, recipient) in kinds.iter().zip(recipients) {
        let row = &world.database.query(
            "SELECT r.status, r.message_id, r.error_code, r.sent_at = $2::text::timestamptz,
                    a.created_at = r.sent_at, a.description, a.metadata, r.uncertain_since IS NULL
               FROM campaign_recipients AS r JOIN activities AS a ON a.source_ref = r.id::text
              WHERE r.id = $1 AND a.action = 'email_sent'",
            &[&recipient, &ACCEPTED_AT],
        )[0];
        assert_eq!(row.get::<_, &str>(0), "sent", "{kind}");
        assert_eq!(row.get::<_, Option<String>>(1), Some(message_id(recipient)), "{kind}");
        assert_eq!(row.get::<_, Option<&str>>(2), None, "{kind}");
        assert!(row.get::<_, bool>(3) && row.get::<_, bool>(4) && row.get::<_, bool>(7), "{kind}");
        assert!(row.get::<_, &str>(5).ends_with("@example.com: Spring offers"), "{kind}");
        let metadata: Value = row.get(6);
        assert_eq!(metadata["messageId"], json!(message_id(recipient)), "{kind}");
        assert_eq!(metadata["subject"], "Spring offers", "{kind}");
    }
    assert_exact(&mut world);
}

#[test]
fn a_rejection_fails_what_was_uncertain_and_leaves_what_was_sent() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 3);
    deliver(&mut function, &[event("send", campaign, recipients[2])]);
    let bodies = [
        event("reject", campaign, recipients[0]),
        event("rendering-failure", campaign, recipients[1]),
        event("reject", campaign, recipients[2]),
    ];
    assert!(deliver(&mut function, &bodies).is_empty());
    let rows = world.database.query(
        "SELECT status, error_code, error, message_id IS NULL AND sent_at IS NULL AND uncertain_since IS NULL
                  FROM campaign_recipients ORDER BY position",
        &[],
    );
    assert!(rows[0].get::<_, bool>(3) && rows[1].get::<_, bool>(3), "`retry-failed` may choose them");
    let outcomes: Vec<(String, Option<String>, Option<String>)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let failed =
        |code: &str, error: &str| ("failed".to_owned(), Some(code.to_owned()), Some(error.to_owned()));
    assert_eq!(outcomes[0], failed("rejected", "Bad content"));
    let message = "Attribute 'attributeName' is not present in the rendering data.";
    assert_eq!(outcomes[1], failed("rendering_failure", message));
    assert_eq!(outcomes[2], ("sent".to_owned(), None, None));
    for recipient in recipients {
        assert_eq!(actions(&mut world, recipient)["email_rejected"], 1);
    }
    assert_exact(&mut world);
}

#[test]
fn that_it_was_sent_outweighs_that_it_failed_in_any_order() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 3);
    let (sent, rejected) = (
        |n: usize| event("send", campaign, recipients[n]),
        |n: usize| event("reject", campaign, recipients[n]),
    );
    deliver(&mut function, &[sent(0), rejected(0), rejected(1), sent(1), rejected(2)]);
    deliver(&mut function, &[sent(2)]);
    assert_eq!(recipients.iter().map(|id| status(&mut world, *id)).collect::<Vec<_>>(), ["sent"; 3]);
    assert_exact(&mut world);
}

#[test]
fn what_is_final_stays() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 2);
    for (recipient, status) in recipients.iter().zip(["suppressed", "failed"]) {
        let sql = "UPDATE campaign_recipients SET status = $2, error = 'before' WHERE id = $1";
        world.database.execute(sql, &[recipient, &status]);
    }
    let sql =
        "UPDATE campaigns SET failed_count = 1, suppressed_count = 1, uncertain_count = 0 WHERE id = $1";
    world.database.execute(sql, &[&campaign]);
    let bodies = [event("send", campaign, recipients[0]), event("reject", campaign, recipients[1])];
    assert!(deliver(&mut function, &bodies).is_empty());
    assert_eq!(world.count(campaign, "error = 'before' AND status IN ('suppressed', 'failed')"), 2);
    assert_exact(&mut world);
}

#[test]
fn an_event_of_another_campaign_settles_nothing() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let (campaign, other) = (world.campaign(), world.campaign());
    let recipient = uncertain(&mut world, campaign, 1)[0];
    assert!(
        deliver(&mut function, &["send", "delivery"].map(|kind| event(kind, other, recipient))).is_empty()
    );
    assert_eq!(status(&mut world, recipient), "uncertain");
    assert!(actions(&mut world, recipient).is_empty());
}

#[test]
fn the_line_of_a_batch_counts_what_it_changed() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 5);
    let sql = "INSERT INTO suppressions (organization_id, email, reason)
               SELECT organization_id, email, 'unsubscribe' FROM campaign_recipients WHERE id = $1";
    world.database.execute(sql, &[&recipients[3]]);
    let mut misfit = event("send", campaign, recipients[4]);
    misfit["detail"]["mail"]["tags"]["organization_id"] = json!([Uuid::from_u128(0x0b)]);
    let kinds = ["send", "reject", "complaint", "bounce-permanent"];
    let mut bodies: Vec<Value> =
        kinds.iter().zip(&recipients).map(|(kind, id)| event(kind, campaign, *id)).collect();
    bodies.extend([misfit, event("send", campaign, Uuid::new_v4())]);
    assert!(deliver(&mut function, &bodies).is_empty());
    let line = logged(&function, "SES events recorded");
    let figures = ["events", "unknown", "misfit", "sent", "failed", "activities", "suppressed", "taken_back"];
    let counted = figures.map(|figure| line[figure].as_u64().unwrap_or_else(|| panic!("{figure}: {line}")));
    // Three emails were sent, and one rejected, one complained of and one bounced. The bounce is noted beside the
    // unsubscription, so only the complaint is a new suppression.
    assert_eq!(counted, [6, 1, 1, 3, 1, 6, 1, 0]);
}

#[test]
fn unknown_recipients_and_other_senders_are_passed_over_and_counted() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let mut other_sender = event("send", campaign, recipient);
    other_sender["detail"]["mail"]["tags"] = json!({});
    let bodies = [
        other_sender,
        event("delivery", campaign, Uuid::new_v4()),
        event("click", Uuid::new_v4(), Uuid::new_v4()),
        event("delivery-delay", campaign, recipient),
        event("subscription", campaign, recipient),
    ];
    assert!(deliver(&mut function, &bodies).is_empty());
    assert_eq!(status(&mut world, recipient), "uncertain");
    let line = logged(&function, "SES events recorded");
    let counts = ["events", "unknown", "other_sender", "nothing", "activities"]
        .map(|name| line[name].as_u64().unwrap());
    assert_eq!(counts, [2, 2, 1, 2, 0], "{line}");
}

#[test]
fn events_that_overtake_the_record_and_the_record_make_one_activity() {
    let mut world = World::single();
    let campaign = world.campaign_of(6);
    // The last answer keeps the batch unrecorded while the events of the others arrive.
    world.ses.add_rule(Rule::to("r6@example.com", Effect::Delay { ms: 4000 }));
    let (mut sender, mut function) = (world.function(), ses_events(&world, &[]));
    let begun = sender.begin(&support::event(campaign, 10), TIMEOUT).unwrap();
    while world.ses.message_count() < 5 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let bodies: Vec<Value> = world.ses.messages().iter().flat_map(events).collect();
    assert!(deliver(&mut function, &bodies).is_empty());
    assert_eq!(world.statuses(campaign), BTreeMap::from([("pending".to_owned(), 1), ("sent".to_owned(), 5)]));
    let result = sender.finish(&begun).unwrap();
    assert_eq!((&result["status"], &result["activities"]["count"]), (&json!("done"), &json!(6)), "{result}");
    world.assert_consistent(campaign);
    assert_exact(&mut world);
}

#[test]
fn a_lost_answer_is_settled_by_late_doubled_and_shuffled_events() {
    let mut world = World::single();
    let campaign = world.campaign_of(9);
    for address in ["r2@example.com", "r5@example.com"] {
        world.ses.add_rule(Rule::to(address, Effect::DropAfterAccept));
    }
    let mut sender = world.function();
    let result = support::run(&mut sender, support::event(campaign, 10)).pop().unwrap();
    assert_eq!(result["progress"]["uncertain"], 2, "{result}");

    let mut bodies: Vec<Value> = world.ses.messages().iter().flat_map(events).collect();
    bodies.extend(bodies.clone().iter().map(in_sns));
    bodies.reverse();
    bodies.rotate_left(7);
    let mut function = ses_events(&world, &[]);
    for _ in 0..2 {
        assert!(deliver(&mut function, &bodies).is_empty());
    }
    assert_eq!(world.statuses(campaign), BTreeMap::from([("sent".to_owned(), 9)]));
    world.assert_consistent(campaign);
    assert_exact(&mut world);
}
