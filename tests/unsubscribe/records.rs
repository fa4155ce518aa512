//! What a request changes, and what it does not change.

use super::*;
use crate::support::CREATOR;

const BOTH: [&str; 2] = ["one-click", "one-click-multipart"];

#[test]
fn one_click_suppresses_the_address_marks_the_recipient_counts_and_tells_the_timeline() {
    let mut world = World::new();
    let mut function = function(&world);
    for (n, kind) in BOTH.into_iter().enumerate() {
        let email = format!(" Person{n}@M\u{fc}nchen.Example\u{200b}");
        let id = recipient(&mut world, &email);
        assert_eq!(
            answer(&mut function, &request(kind, &token(id))),
            (200, "You are unsubscribed".to_owned()),
            "{kind}"
        );
        assert_eq!(
            suppressions(&mut world)[n],
            (format!("person{n}@xn--mnchen-3ya.example"), "unsubscribe".to_owned())
        );
        assert_eq!(mark(&mut world, id), (true, 1));
        assert_eq!(actions(&mut world, id), ["email_unsubscribed"]);
    }
}

#[test]
fn the_activity_has_the_form_of_the_others() {
    let mut world = World::new();
    let id = recipient(&mut world, "ada@example.com");
    let customer = Uuid::new_v4();
    let sql =
        "UPDATE campaign_recipients SET customer_id = $1, name = 'Ada' WHERE id = $2 RETURNING campaign_id";
    let campaign: Uuid = world.database.query(sql, &[&customer, &id])[0].get(0);
    answer(&mut function(&world), &request("one-click", &token(id)));
    let row = &world.database.query("SELECT * FROM activities", &[])[0];
    let text = |column: &str| row.get::<_, String>(column);
    assert_eq!(row.get::<_, Uuid>("organization_id"), ORGANIZATION);
    assert_eq!(row.get::<_, Uuid>("user_id"), CREATOR);
    assert_eq!((text("entity_type"), row.get::<_, Uuid>("entity_id")), ("customer".to_owned(), customer));
    assert_eq!((text("source"), text("source_ref")), ("email".to_owned(), id.to_string()));
    assert_eq!(text("description"), "Unsubscribed from emails: Ada");
    assert_eq!(
        row.get::<_, Value>("metadata"),
        json!({"emailId": id, "recipientEmail": "ada@example.com", "recipientName": "Ada",
               "campaignId": campaign, "campaignName": "Spring", "messageId": "message"})
    );
}

#[test]
fn the_same_request_again_and_at_once_writes_nothing_more() {
    let mut world = World::new();
    let id = recipient(&mut world, "ada@example.com");
    let event = request("one-click", &token(id));
    let mut functions: Vec<Function> = (0..4).map(|_| function(&world)).collect();
    for _ in 0..5 {
        let begun: Vec<_> = functions
            .iter_mut()
            .map(|function| function.begin(&event, Duration::from_secs(20)).unwrap())
            .collect();
        for (function, begun) in functions.iter_mut().zip(&begun) {
            assert_eq!(function.finish(begun).unwrap()["statusCode"], 200);
        }
    }
    assert_eq!(actions(&mut world, id), ["email_unsubscribed"]);
    assert_eq!(mark(&mut world, id), (true, 1));
    assert_eq!(suppressions(&mut world).len(), 1);
}

#[test]
fn a_reason_only_gets_stronger() {
    let mut world = World::new();
    let mut function = function(&world);
    for (before, after) in [("bounce", "unsubscribe"), ("complaint", "complaint"), ("manual", "manual")] {
        let email = format!("{before}@example.com");
        let id = recipient(&mut world, &email);
        suppress(&mut world, &email, before);
        assert_eq!(answer(&mut function, &request("one-click", &token(id))).0, 200);
        assert!(suppressions(&mut world).contains(&(email, after.to_owned())));
        assert_eq!(actions(&mut world, id), ["email_unsubscribed"], "the unsubscribe is in the timeline");
        assert_eq!(mark(&mut world, id), (true, 1));
    }
}

#[test]
fn the_way_back_takes_back_ones_own_word_and_nothing_else() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    answer(&mut function, &request("one-click", &token(id)));
    rest(&mut world);
    for _ in 0..2 {
        let back = answer(&mut function, &request("subscribe-again", &token(id)));
        assert_eq!(back, (200, "You are subscribed again".to_owned()));
        assert_eq!(suppressions(&mut world), []);
        assert_eq!(mark(&mut world, id), (false, 0));
        assert_eq!(actions(&mut world, id), ["email_unsubscribed", "email_resubscribed"]);
    }
    answer(&mut function, &request("one-click", &token(id)));
    assert_eq!(mark(&mut world, id), (true, 1));
    assert_eq!(actions(&mut world, id).len(), 3);

    for reason in ["bounce", "complaint", "manual"] {
        let email = format!("{reason}@example.com");
        let id = recipient(&mut world, &email);
        suppress(&mut world, &email, reason);
        let (status, title) = answer(&mut function, &request("subscribe-again", &token(id)));
        assert_eq!((status, title.as_str()), (200, "This address gets no more emails"));
        assert!(suppressions(&mut world).contains(&(email, reason.to_owned())));
        assert_eq!(actions(&mut world, id), [""; 0]);
    }
}

#[test]
fn white_space_of_any_kind_around_an_address_keeps_nobody_off_the_list_or_on_it() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "\u{a0}Ada@Example.com\t");
    for (kind, title, count) in [
        ("one-click", "You are unsubscribed", 1),
        ("get", "You are unsubscribed", 1),
        ("subscribe-again", "You are subscribed again", 0),
        ("get", "Do you want to unsubscribe?", 0),
    ] {
        rest(&mut world);
        assert_eq!(answer(&mut function, &request(kind, &token(id))), (200, title.to_owned()), "{kind}");
        assert_eq!(suppressions(&mut world).len(), count, "{kind}");
    }
}

#[test]
fn what_holds_for_all_organizations_is_not_taken_back_by_a_recipient_of_one() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "Ada@example.com");
    let sql = "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, 'ada@example.com', 'complaint')";
    world.database.execute(sql, &[&Uuid::nil()]);
    let last = "This address gets no more emails";
    assert_eq!(answer(&mut function, &request("get", &token(id))).1, last);
    assert_eq!(answer(&mut function, &request("one-click", &token(id))).1, "You are unsubscribed");
    rest(&mut world);
    assert_eq!(answer(&mut function, &request("subscribe-again", &token(id))).1, last);
    assert_eq!(suppressions(&mut world), []);
    let everywhere = world.database.query("SELECT FROM suppressions WHERE reason = 'complaint'", &[]);
    assert_eq!(everywhere.len(), 1);
}

#[test]
fn recipients_that_unsubscribe_while_their_batch_is_sent_lose_no_word_and_no_count() {
    let mut world = World::new();
    let campaign = world.campaign_of(200);
    world.ses.set_latency(Duration::from_millis(50));
    let mut send_batch = world.function_with(&[("SEND_CONCURRENCY", "5"), ("SEND_API", "single")]);
    let batch = send_batch.begin(&support::event(campaign, 200), Duration::from_secs(60)).unwrap();
    let mut function = function(&world);
    let mut unsubscribed = Vec::new();
    while unsubscribed.len() < 10 {
        // Recipients that have their email already; the others' are under way, and nothing is recorded yet.
        for message in world.ses.messages().iter().skip(unsubscribed.len()).take(10 - unsubscribed.len()) {
            let id: Uuid = message.tag("recipient_id").unwrap().parse().unwrap();
            assert_eq!(answer(&mut function, &request("one-click", &token(id))).0, 200);
            unsubscribed.push(id);
        }
        std::thread::yield_now();
    }
    assert_eq!(world.count(campaign, "status = 'sent'"), 0, "the batch is not recorded yet");
    let result = send_batch.finish(&batch).unwrap();
    assert_eq!((&result["status"], &result["batch"]["sent"]), (&json!("done"), &json!(200)));
    for id in unsubscribed {
        assert_eq!(mark(&mut world, id), (true, 10));
        let mut actions = actions(&mut world, id);
        actions.sort();
        assert_eq!(actions, ["email_sent", "email_unsubscribed"]);
    }
    assert_eq!(suppressions(&mut world).len(), 10);
    world.assert_consistent(campaign);
}

#[test]
fn a_suppression_that_somebody_took_away_comes_back_with_the_next_request() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    answer(&mut function, &request("one-click", &token(id)));
    world.database.execute("DELETE FROM suppressions", &[]);
    answer(&mut function, &request("one-click", &token(id)));
    assert_eq!(suppressions(&mut world).len(), 1);
    assert_eq!(mark(&mut world, id), (true, 1), "counted once");
    assert_eq!(actions(&mut world, id), ["email_unsubscribed", "email_unsubscribed"]);
}

#[test]
fn a_recipient_that_waits_in_another_campaign_is_not_written_to() {
    let mut world = World::new();
    let id = recipient(&mut world, "ada@example.com");
    let next = world.campaign();
    let waiting = world.add_recipient(next, "ADA@example.com ");
    let other = world.add_recipient(next, "bob@example.com");
    answer(&mut function(&world), &request("one-click", &token(id)));
    support::run(&mut world.function(), support::event(next, 10));
    let mut status = |id: Uuid| {
        world.database.query("SELECT status FROM campaign_recipients WHERE id = $1", &[&id])[0]
            .get::<_, String>(0)
    };
    assert_eq!((status(waiting).as_str(), status(other).as_str()), ("suppressed", "sent"));
}
