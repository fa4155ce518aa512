//! Opens and clicks: people and machines are distinguished, and repetitions are counted.

use super::*;
use crate::support::{ORGANIZATION, UNSUBSCRIBE_SECRET, UNSUBSCRIBE_URL, World};
use campaign_sender::message::token::{Keys, RecipientIds};

/// An open in the n-th millisecond after noon.
fn open(campaign: Uuid, recipient: Uuid, n: u32) -> Value {
    let mut event = event("open", campaign, recipient);
    event["detail"]["open"]["timestamp"] =
        json!(format!("2026-11-03T12:00:{:02}.{:03}Z", n / 1000, n % 1000));
    event
}

/// What is counted of a recipient: action, who made it, how often.
fn counts(world: &mut World, recipient: Uuid) -> Vec<(String, Option<String>, i32)> {
    let sql = "SELECT action, made_by, count FROM recipient_events WHERE recipient_id = $1
                ORDER BY action, made_by, count";
    world.database.query(sql, &[&recipient]).iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[test]
fn ten_thousand_opens_of_one_recipient_are_one_activity_and_a_count() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let opens: Vec<Value> = (0..10_000).map(|n| open(campaign, recipient, n)).collect();
    let sql = "SELECT cardinality(newest) FROM recipient_events";
    for part in [&opens[..3000], &opens[3000..7000], &opens[7000..], &opens[7000..], &opens[9990..]] {
        assert!(deliver(&mut function, part).is_empty());
        assert_eq!(world.database.query(sql, &[])[0].get::<_, i32>(0), 16);
    }
    assert_eq!(actions(&mut world, recipient)["email_opened"], 1);
    assert_eq!(counts(&mut world, recipient), [("email_opened".to_owned(), None, 10_000)]);
}

#[test]
fn opens_that_come_in_order_or_a_little_out_of_it_are_counted_exactly_however_often_they_come() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let opens: Vec<Value> = (0..60).map(|n| open(campaign, recipient, n * 10)).collect();
    for pair in opens.chunks(2) {
        for event in pair.iter().rev().chain(pair) {
            assert!(deliver(&mut function, std::slice::from_ref(event)).is_empty());
        }
    }
    assert_eq!(counts(&mut world, recipient), [("email_opened".to_owned(), None, 60)]);
    let at: String = world
        .database
        .query("SELECT metadata->>'occurredAt' FROM activities WHERE action = 'email_opened'", &[])[0]
        .get(0);
    assert_eq!(at, "2026-11-03T12:00:00.01Z", "the first that was recorded");
}

#[test]
fn an_event_that_a_batch_has_twice_is_counted_once() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let opens = [0, 1, 2].map(|n| open(campaign, recipient, n));
    for (batch, count) in [(vec![0, 0, 0], 1), (vec![1, 1, 0], 2), (vec![2, 1, 2], 3)] {
        let bodies: Vec<Value> = batch.into_iter().map(|n| opens[n].clone()).collect();
        assert!(deliver(&mut function, &bodies).is_empty());
        assert_eq!(counts(&mut world, recipient), [("email_opened".to_owned(), None, count)]);
    }
}

#[test]
fn people_machines_and_apples_proxy_are_told_apart() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let kinds = ["open-by-machine", "click-by-machine", "open", "click"];
    let mut bodies: Vec<Value> = kinds.iter().map(|kind| event(kind, campaign, recipient)).collect();
    let mut apple = event("open", campaign, recipient);
    apple["detail"]["open"]["userAgent"] = json!("Mozilla/5.0");
    let mut unlikely = event("open", campaign, recipient);
    unlikely["detail"]["open"]["isBotEvent"] = json!("Unlikely");
    bodies.extend([apple, unlikely]);
    assert!(deliver(&mut function, &bodies).is_empty());
    let sql = "SELECT action || ': ' || split_part(description, ' ' , 1) || ' … '
                      || (metadata - '{emailId,recipientEmail,campaignId,campaignName,messageId,userAgent,occurredAt,link}'::text[])::text
                 FROM activities WHERE action <> 'email_sent' ORDER BY 1";
    let said: Vec<String> = world.database.query(sql, &[]).iter().map(|row| row.get(0)).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    email_clicked: Link … {"automated": true}
    email_clicked: Link … {}
    email_opened: Email … {"automated": true}
    email_opened: Email … {}
    email_opened: Images … {"privacyProxy": "Apple Mail Privacy Protection"}
    "#);
    let made_by: Vec<Option<String>> =
        counts(&mut world, recipient).into_iter().map(|(_, made_by, _)| made_by).collect();
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(made_by, [name("machine"), None, name("apple"), name("machine"), None]);
}

#[test]
fn a_click_on_the_link_to_unsubscribe_is_no_click_and_its_token_is_nowhere() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let token = Keys::parse(UNSUBSCRIBE_SECRET)
        .unwrap()
        .sign(RecipientIds { recipient_id: recipient, organization_id: ORGANIZATION });
    let link = format!("{UNSUBSCRIBE_URL}/{token}");
    let mut click = event("click", campaign, recipient);
    click["detail"]["click"]["link"] = json!(link);
    let mut open = event("open", campaign, recipient);
    open["detail"]["open"]["userAgent"] = json!(format!("Scanner of {link}"));
    let mut delivery = event("delivery", campaign, recipient);
    delivery["detail"]["mail"]["commonHeaders"]["subject"] = json!(format!("To stop: {link}"));
    assert!(deliver(&mut function, &[click, open, delivery]).is_empty());
    let written: Vec<String> = actions(&mut world, recipient).into_keys().collect();
    assert_eq!(written, ["email_delivered", "email_opened", "email_sent"]);
    let sql = "SELECT count(*) FROM activities AS a WHERE strpos(a::text, $1) > 0";
    assert_eq!(world.database.query(sql, &[&token])[0].get::<_, i64>(0), 0);
}

#[test]
fn every_text_is_bounded_and_on_one_line() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let long = format!("a\u{0}b\r\n{}", "é".repeat(100_000));
    let mut bodies = Vec::new();
    for (kind, pointer) in [
        ("bounce-permanent", "/detail/bounce/bouncedRecipients/0/diagnosticCode"),
        ("bounce-transient", "/detail/bounce/bounceSubType"),
        ("complaint", "/detail/complaint/userAgent"),
        ("open", "/detail/open/userAgent"),
        ("click", "/detail/click/link"),
        ("reject", "/detail/reject/reason"),
        ("send", "/detail/mail/commonHeaders/subject"),
    ] {
        let mut event = event(kind, campaign, recipient);
        *event.pointer_mut(pointer).unwrap() = json!(long);
        bodies.push(event);
    }
    assert!(deliver(&mut function, &bodies).is_empty());
    let sql = "SELECT max(length(description)), max(length(metadata::text)), bool_or(description ~ '[\\n\\r]'), count(*)
                 FROM activities";
    let row = &world.database.query(sql, &[])[0];
    assert!(row.get::<_, i32>(0) < 1200 && row.get::<_, i32>(1) < 1800, "{row:?}");
    assert_eq!((row.get::<_, bool>(2), row.get::<_, i64>(3)), (false, 7));
}

#[test]
fn events_that_release_0_1_recorded_have_no_second_activity() {
    let mut world = World::new();
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 3);
    // The rows after a migration: one for each kind, without the times of its further events.
    let insert = "INSERT INTO recipient_events (recipient_id, action, occurred_at, key, count)
                  VALUES ($1, 'email_opened', '2026-11-02T09:20:19.652Z', $2, $3)";
    world.database.execute(insert, &[&recipients[0], &Uuid::from_u128(1), &3]);
    world.database.execute(insert, &[&recipients[1], &Uuid::from_u128(1), &1]);
    assert_eq!(counts(&mut world, recipients[0]), [("email_opened".to_owned(), None, 3)]);
    let mut function = ses_events(&world, &[]);
    let bodies: Vec<Value> = recipients.iter().map(|id| event("open", campaign, *id)).collect();
    assert!(deliver(&mut function, &bodies).is_empty());
    for recipient in &recipients[..2] {
        assert!(!actions(&mut world, *recipient).contains_key("email_opened"), "it has one already");
    }
    assert_eq!(actions(&mut world, recipients[2])["email_opened"], 1, "what is known of others says nothing");
    // An open at another time is a further one.
    assert!(deliver(&mut function, &[open(campaign, recipients[0], 0)]).is_empty());
    let (kinds, all): (i64, i64) = {
        let sql = "SELECT count(*), sum(count) FROM recipient_events WHERE recipient_id = $1";
        let row = &world.database.query(sql, &[&recipients[0]])[0];
        (row.get(0), row.get(1))
    };
    assert_eq!((kinds, all), (2, 4));
}
