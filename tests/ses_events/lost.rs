//! Events of emails that the database never handed over, because it has lost data.

use super::*;
use crate::support::{self, World, invoke};

const REASON: &str = "the database has lost what it had committed: Amazon SES reports 1 email that it never handed over. Follow docs/restore.md before you resume";

/// The effect of an event of a `pending` recipient on its campaign, which gets this status before it.
fn told_of(prepare: &str, kind: &str) -> (World, Uuid, Function) {
    let mut world = World::new();
    let campaign = world.campaign();
    let recipient = world.add_recipient(campaign, "ada@example.com");
    world.database.client().batch_execute(prepare).unwrap();
    let mut function = ses_events(&world, &[("METRICS", "on")]);
    assert!(deliver(&mut function, &[event(kind, campaign, recipient)]).is_empty());
    (world, campaign, function)
}

#[test]
fn an_email_that_was_never_handed_over_pauses_its_campaign_and_is_recorded() {
    for kind in ["send", "delivery", "bounce-permanent", "complaint", "open", "click", "reject"] {
        let (mut world, campaign, function) = told_of("", kind);
        assert_eq!(world.campaign_status(campaign), ("paused".to_owned(), Some(REASON.to_owned())), "{kind}");
        let status = if kind == "reject" { "failed" } else { "sent" };
        assert_eq!(world.statuses(campaign), BTreeMap::from([(status.to_owned(), 1)]), "{kind}");
        let said = logged(&function, "never handed over: it has lost what it had committed");
        assert_eq!((&said["level"], &said["count"]), (&json!("ERROR"), &json!(1)), "{said}");
        assert_eq!(logged(&function, "\"LostByDatabase\"")["LostByDatabase"], 1);
        assert_exact(&mut world);
    }
}

#[test]
fn what_a_person_has_decided_stays() {
    for status in ["draft", "cancelled", "failed"] {
        let (mut world, campaign, _) = told_of(&format!("UPDATE campaigns SET status = '{status}'"), "send");
        assert_eq!(world.campaign_status(campaign), (status.to_owned(), None));
    }
    let prepare = "UPDATE campaigns SET status = 'paused', status_reason = 'wrong coupon'";
    let (mut world, campaign, _) = told_of(prepare, "send");
    assert_eq!(world.campaign_status(campaign), ("paused".to_owned(), Some("wrong coupon".to_owned())));
    let (mut world, campaign, _) =
        told_of("UPDATE campaigns SET status = 'scheduled', scheduled_at = now() + interval '1 day'", "send");
    assert_eq!(world.campaign_status(campaign).0, "paused");
}

/// The status of a campaign of three after an event of its second recipient. Of `campaign` or of another one with the same
/// positions there is a batch with these columns, in which `p1` to `p3` are the positions.
fn after_an_event_beside_a_batch(of_another: bool, columns: &str) -> String {
    let mut world = World::new();
    let campaign = world.campaign();
    let recipients: Vec<Uuid> =
        (0..3).map(|n| world.add_recipient(campaign, &format!("r{n}@example.com"))).collect();
    let owner = if of_another { world.campaign() } else { campaign };
    world.database.execute("INSERT INTO campaign_cursors (campaign_id) VALUES ($1)", &[&owner]);
    let sql = format!(
        "INSERT INTO campaign_batches (campaign_id, number, first_position, last_position, handed_through, handed_by, closed_at,
                                       claimed_through, closed_through, claim_token, lease_ends_at)
         SELECT $1, 1, {columns}, p3, 0, $1, now() + interval '1 minute'
           FROM (SELECT min(position) AS p1, min(position) + 1 AS p2, max(position) AS p3 FROM campaign_recipients
                  WHERE campaign_id = $2) AS at"
    );
    world.database.execute(&sql, &[&owner, &campaign]);
    let mut function = ses_events(&world, &[]);
    assert!(deliver(&mut function, &[event("delivery", campaign, recipients[1])]).is_empty());
    assert_exact(&mut world);
    world.campaign_status(campaign).0
}

#[test]
fn only_an_open_batch_that_may_have_handed_the_email_over_explains_an_event_that_comes_before_its_record() {
    assert_eq!(after_an_event_beside_a_batch(false, "p1, p3, p2, $1, NULL"), "sending");
    assert_eq!(after_an_event_beside_a_batch(false, "p2, p2, p2, $1, NULL"), "sending");
    for (of_another, columns, why) in [
        (false, "p1, p3, p1, $1, NULL", "the mark is before it"),
        (false, "p3, p3, p3, $1, NULL", "the batch begins behind it"),
        (false, "p1, p3, p3, NULL, NULL", "a takeover has recorded what was handed over"),
        (false, "p1, p3, p3, $1, now()", "a closed batch has left an outcome"),
        (true, "p1, p3, p3, $1, NULL", "the batch is another campaign's"),
    ] {
        assert_eq!(after_an_event_beside_a_batch(of_another, columns), "paused", "{why}");
    }
}

#[test]
fn a_late_event_of_an_email_that_is_to_be_sent_again_by_a_decision_is_no_sign_of_it() {
    // By a person (`resolve --as resend`, `retry-failed`) or the policy: they leave the status before.
    for before in ["uncertain", "failed"] {
        let prepare = format!("UPDATE campaign_recipients SET previous_status = '{before}'");
        let (mut world, campaign, _) = told_of(&prepare, "delivery");
        assert_eq!(world.campaign_status(campaign), ("sending".to_owned(), None));
        assert_eq!(world.statuses(campaign), BTreeMap::from([("sent".to_owned(), 1)]));
    }
}

#[test]
fn events_of_a_campaign_that_is_being_sent_are_no_sign_of_it() {
    let mut world = World::new();
    let campaign = world.campaign_of(300);
    let (mut sender, mut function) = (world.function(), ses_events(&world, &[]));
    for _ in 0..3 {
        invoke(&mut sender, &support::event(campaign, 100));
        let bodies: Vec<Value> = world.ses.messages().iter().flat_map(local_ses::ses::events).collect();
        assert!(deliver(&mut function, &bodies).is_empty());
    }
    invoke(&mut sender, &support::event(campaign, 100));
    assert_eq!(world.campaign_status(campaign), ("sent".to_owned(), None));
    world.assert_consistent(campaign);
}
