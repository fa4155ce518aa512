//! What a wish changes, and what it does not.

use super::*;
use crate::support::CREATOR;

const BOTH: [&str; 2] = ["one-click", "one-click-multipart"];

#[test]
fn one_click_suppresses_the_address_marks_the_recipient_counts_and_tells_the_timeline() {
    let mut world = World::new();
    let mut function = function(&world);
    for (n, kind) in BOTH.into_iter().enumerate() {
        let email = format!(" Person{n}@Example.com");
        let id = recipient(&mut world, &email);
        assert_eq!(
            answer(&mut function, &request(kind, &token(id))),
            (200, "You are unsubscribed".to_owned()),
            "{kind}"
        );
        assert_eq!(suppressions(&mut world)[n], (format!("person{n}@example.com"), "unsubscribe".to_owned()));
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
        assert_eq!(actions(&mut world, id), ["email_unsubscribed"], "the person's word is in the timeline");
        assert_eq!(mark(&mut world, id), (true, 1));
    }
}

#[test]
fn the_way_back_takes_back_ones_own_word_and_nothing_else() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    answer(&mut function, &request("one-click", &token(id)));
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
