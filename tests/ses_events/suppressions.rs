//! Addresses that events suppress for an organization.

use super::*;
use crate::support::{ORGANIZATION, World};

/// The reasons for which addresses are suppressed, by address.
fn suppressions(world: &mut World, organization: Uuid) -> BTreeMap<String, String> {
    let sql = "SELECT email, reason FROM suppressions WHERE organization_id = $1";
    world.database.query(sql, &[&organization]).iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn expected(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(email, reason)| ((*email).to_owned(), (*reason).to_owned())).collect()
}

#[test]
fn a_permanent_bounce_and_a_complaint_suppress_the_address_for_that_organization_only() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let (campaign, other) = (world.campaign(), world.campaign());
    let other_organization = Uuid::from_u128(0x0b);
    let mut bodies = Vec::new();
    for (campaign, email, kind) in [
        (campaign, " Nobody@Example.com", "bounce-permanent"),
        (campaign, "full@example.com", "bounce-transient"),
        (campaign, "angry@example.com", "complaint"),
        (other, "nobody@example.com", "delivery"),
        (other, "gone@example.com", "bounce-permanent"),
    ] {
        let recipient = world.add_recipient(campaign, email);
        bodies.push(event(kind, campaign, recipient));
    }
    for table in [
        "campaigns SET organization_id = $2 WHERE id",
        "campaign_recipients SET organization_id = $2 WHERE campaign_id",
    ] {
        world.database.execute(&format!("UPDATE {table} = $1"), &[&other, &other_organization]);
    }
    assert!(deliver(&mut function, &bodies).is_empty());
    let here = expected(&[("angry@example.com", "complaint"), ("nobody@example.com", "bounce")]);
    assert_eq!(suppressions(&mut world, ORGANIZATION), here);
    assert_eq!(suppressions(&mut world, other_organization), expected(&[("gone@example.com", "bounce")]));
    assert_exact(&mut world);
}

#[test]
fn an_address_is_suppressed_in_the_form_in_which_ses_was_given_it() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let bodies = ["Info@M\u{fc}nchen.example", "ada@example.com\u{200b}"].map(|email| {
        let recipient = world.add_recipient(campaign, email);
        event("bounce-permanent", campaign, recipient)
    });
    assert!(deliver(&mut function, &bodies).is_empty());
    let expected = expected(&[("ada@example.com", "bounce"), ("info@xn--mnchen-3ya.example", "bounce")]);
    assert_eq!(suppressions(&mut world, ORGANIZATION), expected);
    assert_exact(&mut world);
}

#[test]
fn a_reason_only_gets_stronger() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let mut bodies = Vec::new();
    for (email, before, kinds) in [
        ("a@example.com", "unsubscribe", &["bounce-permanent", "complaint"][..]),
        ("b@example.com", "manual", &["complaint"]),
        ("c@example.com", "complaint", &["bounce-permanent"]),
        ("d@example.com", "unsubscribe", &["bounce-permanent"]),
        ("e@example.com", "bounce", &["complaint", "complaint"]),
    ] {
        let recipient = world.add_recipient(campaign, email);
        let sql = "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, $2, $3)";
        world.database.execute(sql, &[&ORGANIZATION, &email, &before]);
        bodies.extend(kinds.iter().map(|kind| event(kind, campaign, recipient)));
    }
    assert!(deliver(&mut function, &bodies).is_empty());
    let reasons: Vec<String> = suppressions(&mut world, ORGANIZATION).into_values().collect();
    assert_eq!(reasons, ["complaint", "manual", "complaint", "unsubscribe", "complaint"]);
}

#[test]
fn a_bounce_after_an_unsubscription_is_noted_beside_it_once() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = world.add_recipient(campaign, "ada@example.com");
    let sql = "INSERT INTO suppressions (organization_id, email, reason, link_recipient_id)
               VALUES ($1, 'ada@example.com', 'unsubscribe', $2)";
    world.database.execute(sql, &[&ORGANIZATION, &recipient]);
    let mut versions = Vec::new();
    for _ in 0..2 {
        assert!(deliver(&mut function, &[event("bounce-permanent", campaign, recipient)]).is_empty());
        let sql = "SELECT reason, outweighs_bounce, link_recipient_id, ctid::text FROM suppressions";
        let row = &world.database.query(sql, &[])[0];
        let entry = (row.get::<_, String>(0), row.get::<_, bool>(1), row.get::<_, Option<Uuid>>(2));
        assert_eq!(
            entry,
            ("unsubscribe".to_owned(), true, Some(recipient)),
            "the link may still take its unsubscribe back"
        );
        versions.push(row.get::<_, String>(3));
    }
    assert_eq!(versions[0], versions[1]);
    assert!(deliver(&mut function, &[event("complaint", campaign, recipient)]).is_empty());
    assert_eq!(suppressions(&mut world, ORGANIZATION), expected(&[("ada@example.com", "complaint")]));
}

/// A message to this address that bounced transiently, or was delivered, on this day of November; each message is
/// of a campaign of its own.
fn message(world: &mut World, email: &str, kind: &str, day: u32) -> Value {
    let campaign = world.campaign();
    let recipient = world.add_recipient(campaign, email);
    let mut event = event(kind, campaign, recipient);
    let part = if kind == "delivery" { "delivery" } else { "bounce" };
    event["detail"][part]["timestamp"] = json!(format!("2026-11-{day:02}T12:00:00.000Z"));
    event
}

#[test]
fn three_messages_that_bounce_transiently_within_seven_days_suppress_an_address() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let full = [5, 1, 3].map(|day| message(&mut world, " Full@Example.com", "bounce-transient", day));
    let rarely = [1, 5, 9].map(|day| message(&mut world, "rarely@example.com", "bounce-transient", day));
    for event in rarely.iter().chain(&full[..2]).chain(&full[..2]) {
        assert!(deliver(&mut function, &[event.clone(), event.clone()]).is_empty());
    }
    assert_eq!(suppressions(&mut world, ORGANIZATION), expected(&[]));
    assert!(deliver(&mut function, &full[2..]).is_empty());
    assert_eq!(suppressions(&mut world, ORGANIZATION), expected(&[("full@example.com", "bounce")]));
    assert_exact(&mut world);
}

#[test]
fn three_of_one_batch_count_like_three_of_three() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let events = [1, 2, 3].map(|day| message(&mut world, "full@example.com", "bounce-transient", day));
    assert!(deliver(&mut function, &events).is_empty());
    assert_eq!(suppressions(&mut world, ORGANIZATION), expected(&[("full@example.com", "bounce")]));
}

#[test]
fn a_delivery_in_between_shows_that_the_address_works() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let mut events: Vec<Value> =
        [("bounce-transient", 1), ("bounce-transient", 2), ("delivery", 3), ("bounce-transient", 4)]
            .map(|(kind, day)| message(&mut world, "away@example.com", kind, day))
            .into();
    for event in &events {
        assert!(deliver(&mut function, std::slice::from_ref(event)).is_empty());
    }
    events.reverse();
    assert!(deliver(&mut function, &events).is_empty());
    assert_eq!(suppressions(&mut world, ORGANIZATION), expected(&[]));
}

#[test]
fn a_bounce_for_what_a_message_holds_says_nothing_of_the_address() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let events = ["MessageTooLarge", "ContentRejected", "AttachmentRejected"].map(|sub_type| {
        let mut event = message(&mut world, "ada@example.com", "bounce-transient", 1);
        event["detail"]["bounce"]["bounceSubType"] = json!(sub_type);
        event
    });
    assert!(deliver(&mut function, &events).is_empty());
    assert_eq!(suppressions(&mut world, ORGANIZATION), expected(&[]));
}

#[test]
fn a_recipient_on_the_accounts_own_list_is_sent_bounced_and_suppressed() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let mut bounce = event("bounce-permanent", campaign, recipient);
    bounce["detail"]["bounce"]["bounceSubType"] = json!("OnAccountSuppressionList");
    assert!(deliver(&mut function, &[bounce]).is_empty());
    assert_eq!(status(&mut world, recipient), "sent", "SES accepted the message");
    let sql = "SELECT description FROM activities WHERE action = 'email_bounced'";
    let description: String = world.database.query(sql, &[])[0].get(0);
    assert!(
        description.starts_with("Email bounced (Permanent/OnAccountSuppressionList) for ")
            && description.ends_with(": not sent by Amazon SES itself (account suppression list)"),
        "{description}"
    );
    assert_eq!(suppressions(&mut world, ORGANIZATION).len(), 1);
}

/// Bounces that are automatic replies: each message was delivered, and then answered.
#[test]
fn automatic_replies_to_delivered_messages_never_suppress_in_whatever_order_the_events_come() {
    for order in ["deliveries first", "bounces first", "together"] {
        let mut world = World::new();
        let mut function = ses_events(&world, &[]);
        let mut bounces = Vec::new();
        let mut deliveries = Vec::new();
        for day in 1..=3 {
            let mut bounce = message(&mut world, "ada@example.com", "bounce-transient", day);
            bounce["detail"]["bounce"]["bounceSubType"] = json!("General");
            let mut delivery = bounce.clone();
            delivery["detail"]["eventType"] = json!("Delivery");
            delivery["detail"]["delivery"] = json!({"timestamp": format!("2026-11-{day:02}T11:59:58.000Z")});
            bounces.push(bounce);
            deliveries.push(delivery);
        }
        let batches = match order {
            "deliveries first" => vec![deliveries, bounces],
            "bounces first" => vec![bounces, deliveries],
            _ => vec![bounces.into_iter().chain(deliveries).collect()],
        };
        for batch in &batches {
            assert!(deliver(&mut function, batch).is_empty());
        }
        assert_eq!(suppressions(&mut world, ORGANIZATION), expected(&[]), "{order}");
        for batch in &batches {
            assert!(deliver(&mut function, batch).is_empty());
        }
        assert_eq!(suppressions(&mut world, ORGANIZATION), expected(&[]), "{order}, repeated");
        let fresh = [5, 6, 7].map(|day| message(&mut world, "ada@example.com", "bounce-transient", day));
        assert!(deliver(&mut function, &fresh).is_empty());
        assert_eq!(
            suppressions(&mut world, ORGANIZATION).len(),
            1,
            "{order}: messages that were not delivered"
        );
    }
}

#[test]
fn a_delivery_that_comes_late_takes_back_what_soft_bounces_did_and_nothing_else() {
    for other in ["bounce-permanent", "complaint", "manual"] {
        let mut world = World::new();
        let mut function = ses_events(&world, &[]);
        let bounces = [1, 2, 3].map(|day| message(&mut world, "ada@example.com", "bounce-transient", day));
        assert!(deliver(&mut function, &bounces).is_empty());
        assert_eq!(suppressions(&mut world, ORGANIZATION), expected(&[("ada@example.com", "bounce")]));
        if other == "manual" {
            world.database.execute("UPDATE suppressions SET reason = 'manual'", &[]);
        } else {
            let campaign = world.campaign();
            let recipient = world.add_recipient(campaign, "ada@example.com");
            assert!(deliver(&mut function, &[event(other, campaign, recipient)]).is_empty());
        }
        let mut delivery = bounces[1].clone();
        delivery["detail"]["eventType"] = json!("Delivery");
        delivery["detail"]["delivery"] = json!({"timestamp": "2026-11-04T12:00:00.000Z"});
        let mut function = ses_events(&world, &[]);
        assert!(deliver(&mut function, &[delivery]).is_empty());
        assert_eq!(suppressions(&mut world, ORGANIZATION).len(), 1, "{other}");
        assert_eq!(logged(&function, "SES events recorded")["taken_back"], 0, "{other}");
    }
}
