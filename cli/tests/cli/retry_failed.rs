//! `campaign retry-failed`: which recipients are sent to again, and which never are.

use std::process::Output;

use local_ses::ses::{Effect, Rule};
use uuid::Uuid;

use crate::support::{World, event, run};
use crate::{campaign, done, refused, waits_for_a_lock};

fn retry(database_url: &str, campaign_id: Uuid, arguments: &[&str]) -> Output {
    campaign(database_url, &[&["retry-failed", &campaign_id.to_string()], arguments].concat(), "")
}

impl World {
    /// A campaign of 6 that is sent: SES has refused r1 and r2 for one cause and r3 for another, r4 has no address.
    fn campaign_with_failures(&mut self) -> Uuid {
        let campaign = self.campaign_of(6);
        self.database
            .execute("UPDATE campaign_recipients SET email = 'nowhere' WHERE email = 'r4@example.com'", &[]);
        for (address, code) in
            [("r1", "MessageRejected"), ("r2", "MessageRejected"), ("r3", "BadRequestException")]
        {
            let effect = Effect::Refuse { code: code.to_owned(), message: "no".to_owned(), status: 400 };
            self.ses.add_rule(Rule::to(format!("{address}@example.com"), effect));
        }
        run(&mut self.function(), event(campaign, 10));
        self.ses.clear_rules();
        assert_eq!(self.outcome("r1@example.com"), ("failed".to_owned(), Some("MessageRejected".to_owned())));
        campaign
    }
}

#[test]
fn those_who_failed_by_the_chosen_codes_are_sent_to_again_and_nobody_else() {
    let mut world = World::single();
    let campaign = world.campaign_with_failures();
    world.database.execute("UPDATE campaign_cursors SET refusal = 'no', refusal_count = 19", &[]);
    let said = done(&retry(&world.database.url, campaign, &["--code", "MessageRejected"]));
    insta::assert_snapshot!(said, @r#"
    "Spring": 2 recipients are pending again
            2  MessageRejected
    The campaign is sending: the next invocation of send-batch sends to them.
    "#);
    assert_eq!(world.outcome("r1@example.com"), ("pending".to_owned(), None));
    world.assert_consistent(campaign);
    // The campaign is not complete any more, and earlier refusals do not count for the new attempts.
    let state = "SELECT completed_at IS NULL AND refusal IS NULL AND refusal_count = 0
                   FROM campaigns JOIN campaign_cursors ON campaign_id = id";
    assert!(world.database.query(state, &[])[0].get::<_, bool>(0));
    // They are behind all others, in their former order.
    let order =
        "SELECT string_agg(split_part(email, '@', 1), ' ' ORDER BY position) FROM campaign_recipients";
    assert_eq!(world.database.query(order, &[])[0].get::<_, String>(0), "r3 nowhere r5 r6 r1 r2");

    let results = run(&mut world.function(), serde_json::json!({}));
    let batch = &results[0]["batch"];
    assert_eq!((&batch["claimed"], &batch["sent"]), (&2.into(), &2.into()));
    assert_eq!(world.campaign_status(campaign).0, "sent");
    assert_eq!(world.outcome("r3@example.com").0, "failed");
    assert_eq!(world.ses.message_count(), 4);
    world.assert_consistent(campaign);
}

#[test]
fn the_failures_of_another_campaign_stay() {
    let mut world = World::single();
    let (campaign, other) = (world.campaign_with_failures(), world.campaign_with_failures());
    world.database.execute("UPDATE campaign_cursors SET refusal = 'no', refusal_count = 19", &[]);
    let of_other = "SELECT c::text, k::text, (SELECT string_agg(r::text, ' ' ORDER BY r.id) FROM campaign_recipients AS r
                                               WHERE r.campaign_id = c.id)
                      FROM campaigns AS c JOIN campaign_cursors AS k ON k.campaign_id = c.id WHERE c.id = $1";
    let rows = |world: &mut World| {
        let row = &world.database.query(of_other, &[&other])[0];
        [0, 1, 2].map(|column| row.get::<_, String>(column))
    };
    let before = rows(&mut world);
    done(&retry(&world.database.url, campaign, &["--code", "MessageRejected"]));
    assert_eq!(world.count(campaign, "status = 'pending'"), 2);
    assert_eq!(rows(&mut world), before);
}

#[test]
fn word_from_ses_that_an_email_was_sent_wins_against_the_retry() {
    let mut world = World::single();
    let campaign = world.campaign_with_failures();
    let mut events = world.database.connect();
    let mut event = events.transaction().unwrap();
    event
        .batch_execute(
            "UPDATE campaign_recipients SET status = 'sent', message_id = 'm' WHERE email = 'r1@example.com';
             UPDATE campaigns SET sent_count = sent_count + 1, failed_count = failed_count - 1",
        )
        .unwrap();
    let url = world.database.url.clone();
    let said = std::thread::scope(|scope| {
        let retrying = scope.spawn(move || done(&retry(&url, campaign, &["--code", "MessageRejected"])));
        waits_for_a_lock(&world.database);
        event.commit().unwrap();
        retrying.join().unwrap()
    });
    assert!(said.starts_with("\"Spring\": 1 recipient is pending again\n"), "{said}");
    assert_eq!(world.outcome("r1@example.com").0, "sent");
    run(&mut world.function(), serde_json::json!({}));
    assert!(world.ses.messages().iter().all(|message| message.recipients().all(|to| to != "r1@example.com")));
    let counters =
        &world.database.query("SELECT sent_count, failed_count, total_count FROM campaigns", &[])[0];
    assert_eq!((counters.get::<_, i32>(0), counters.get::<_, i32>(1), counters.get::<_, i32>(2)), (4, 2, 6));
}

#[test]
fn those_whom_ses_may_have_accepted_are_never_sent_to_again() {
    let mut world = World::single();
    let campaign = world.campaign_with_failures();
    for code in ["rejected", "rendering_failure", "resolved"] {
        let error = refused(&retry(&world.database.url, campaign, &["--code", code]));
        assert!(error.starts_with(&format!("65: campaign: --code {code}: SES ")), "{error}");
        assert!(error.ends_with("so none is sent again"), "{error}");
    }
    // A recipient with a message id was accepted once, whatever its status.
    world
        .database
        .execute("UPDATE campaign_recipients SET message_id = 'm' WHERE email = 'r1@example.com'", &[]);
    let said = done(&retry(&world.database.url, campaign, &["--code", "MessageRejected"]));
    assert!(said.starts_with("\"Spring\": 1 recipient is pending again\n"), "{said}");
    assert_eq!(world.outcome("r1@example.com").0, "failed");
}

#[test]
fn a_dry_run_and_a_code_that_nobody_has_change_nothing() {
    let mut world = World::single();
    let campaign = world.campaign_with_failures();
    let said = done(&retry(
        &world.database.url,
        campaign,
        &["--code", "MessageRejected", "BadRequestException", "--dry-run"],
    ));
    insta::assert_snapshot!(said, @r#"
    "Spring": 3 recipients would be pending again
            2  MessageRejected
            1  BadRequestException
    The campaign is sent. Nothing was changed: that was a dry run.
    "#);
    let id = campaign.to_string();
    let before = ["retry-failed", "--dry-run", "--code", "MessageRejected", "BadRequestException", &id];
    assert_eq!(done(&crate::campaign(&world.database.url, &before, "")), said);
    insta::assert_snapshot!(refused(&retry(&world.database.url, campaign, &["--code", "timed_out"])), @r#"65: campaign: --code timed_out: nobody of "Spring" failed with that; there are MessageRejected (2), BadRequestException (1), invalid_address (1)"#);
    assert_eq!(world.campaign_status(campaign).0, "sent");
    assert_eq!(world.count(campaign, "status = 'failed'"), 4);
    world.assert_consistent(campaign);
    world.set_status(campaign, "cancelled");
    let cancelled = refused(&retry(&world.database.url, campaign, &["--code", "MessageRejected"]));
    assert!(cancelled.ends_with("is cancelled, and sends to nobody any more"), "{cancelled}");
}

#[test]
fn what_another_transaction_was_in_the_way_of_is_done_again() {
    let mut world = World::single();
    let campaign = world.campaign_with_failures();
    // The first two attempts end in a conflict, at their last statement.
    world
        .database
        .client()
        .batch_execute(
            "CREATE SEQUENCE attempts;
             CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('attempts') <= 2 THEN RAISE EXCEPTION 'meet' USING ERRCODE = 'deadlock_detected'; END IF;
                 RETURN new;
             END $$;
             CREATE TRIGGER conflict BEFORE UPDATE OF failed_count ON campaigns
                 FOR EACH ROW EXECUTE FUNCTION conflict()",
        )
        .unwrap();
    done(&retry(&world.database.url, campaign, &["--code", "MessageRejected"]));
    assert_eq!(world.count(campaign, "status = 'pending'"), 2);
    let attempts = world.database.query("SELECT last_value FROM attempts", &[])[0].get::<_, i64>(0);
    assert_eq!(attempts, 3);
}
