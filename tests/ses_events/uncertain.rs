//! Uncertain recipients that SES has not reported on.

use campaign_sender::send_batch::uncertain::resend_unreported;
use campaign_sender::store::Database;
use campaign_sender::store::settings::database_url;

use super::*;
use crate::support::{self, World};

const AFTER: Duration = Duration::from_secs(3600);

/// The number of recipients of all campaigns that are sent to again.
fn resend(world: &World, campaign: Option<Uuid>) -> Vec<u32> {
    let url = database_url(Some(world.database.url.clone())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let resent = runtime.block_on(async {
        let until = Instant::now() + Duration::from_secs(20);
        resend_unreported(&Database::new(&url.clone().into()).unwrap(), campaign, AFTER, until).await.unwrap()
    });
    resent.into_iter().map(|(_, recipients)| recipients).collect()
}

/// A campaign with recipients that have been uncertain for two hours, and a delivery of another recipient at
/// this time.
fn campaign_with_uncertain(world: &mut World, event_seconds_ago: i32) -> Uuid {
    let (campaign, recipients) = uncertain_without_events(world);
    tell_ago(world, "delivery", "delivery", campaign, recipients[0], event_seconds_ago);
    sent_when_they_became_uncertain(world, campaign);
    campaign
}

/// The `sent` recipients were sent to two hours ago, when the others became `uncertain`.
fn sent_when_they_became_uncertain(world: &mut World, campaign: Uuid) {
    unguarded(
        world,
        "UPDATE campaign_recipients SET sent_at = now() - interval '2 hours' WHERE campaign_id = $1 AND status = 'sent'",
        &[&campaign],
    );
}

/// An event of a recipient that happened this long ago; its time is in `part`.
fn tell_ago(world: &mut World, kind: &str, part: &str, campaign: Uuid, recipient: Uuid, seconds_ago: i32) {
    let sql = "SELECT to_char((now() - make_interval(secs => $1)) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    let at: String = world.database.query(sql, &[&f64::from(seconds_ago)])[0].get(0);
    let mut event = event(kind, campaign, recipient);
    event["detail"][part]["timestamp"] = json!(at);
    deliver(&mut ses_events(world, &[]), &[event]);
}

/// The same without any event.
fn uncertain_without_events(world: &mut World) -> (Uuid, Vec<Uuid>) {
    let campaign = world.campaign();
    let recipients = uncertain(world, campaign, 3);
    let sql =
        "UPDATE campaign_recipients SET uncertain_since = now() - interval '2 hours' WHERE campaign_id = $1";
    world.database.execute(sql, &[&campaign]);
    (campaign, recipients)
}

#[test]
fn a_missing_event_in_a_stream_that_works_sends_again() {
    let mut world = World::new();
    let campaign = campaign_with_uncertain(&mut world, 60);
    assert_eq!(resend(&world, Some(campaign)), [2]);
    assert_eq!(world.statuses(campaign), BTreeMap::from([("pending".to_owned(), 2), ("sent".to_owned(), 1)]));
    assert_eq!(world.campaign_status(campaign).0, "sending");
    let sql = "SELECT count(*) FROM campaigns WHERE completed_at IS NOT NULL";
    assert_eq!(world.database.query(sql, &[])[0].get::<_, i64>(0), 0, "it is not complete any more");
    assert_eq!(
        world.count(
            campaign,
            "status = 'pending' AND previous_status = 'uncertain' AND uncertain_since IS NULL AND error_code IS NULL AND error IS NULL"
        ),
        2
    );
    assert_exact(&mut world);
    assert!(resend(&world, Some(campaign)).is_empty());

    let result = support::run(&mut world.function(), support::event(campaign, 10)).pop().unwrap();
    assert_eq!(
        result["progress"],
        json!({"total": 3, "sent": 3, "failed": 0, "suppressed": 0, "uncertain": 0, "remaining": 0})
    );
    assert_eq!(world.ses.message_count(), 2);
    assert_exact(&mut world);
}

#[test]
fn silence_proves_nothing_while_the_events_that_come_are_old() {
    let mut world = World::new();
    let campaign = campaign_with_uncertain(&mut world, 3700);
    assert!(resend(&world, Some(campaign)).is_empty());
    assert_eq!(world.count(campaign, "status = 'uncertain'"), 2);
}

#[test]
fn every_campaign_with_uncertain_recipients_is_found_without_its_name() {
    let mut world = World::new();
    let campaigns = [
        campaign_with_uncertain(&mut world, 60),
        campaign_with_uncertain(&mut world, 60),
        campaign_with_uncertain(&mut world, 60),
    ];
    world.set_status(campaigns[2], "paused");
    assert_eq!(resend(&world, None), [2, 2]);
    assert_eq!(world.count(campaigns[2], "status = 'uncertain'"), 2);
    assert_exact(&mut world);
}

#[test]
fn only_the_campaign_that_is_named_is_examined_whether_it_is_complete_or_not() {
    let mut world = World::new();
    let campaigns = [campaign_with_uncertain(&mut world, 60), campaign_with_uncertain(&mut world, 60)];
    world.set_status(campaigns[0], "sending");
    assert_eq!(resend(&world, Some(campaigns[0])), [2]);
    assert_eq!(world.count(campaigns[1], "status = 'uncertain'"), 2);
    assert_exact(&mut world);
}

#[test]
fn an_email_that_ses_has_accepted_is_never_sent_again() {
    let mut world = World::new();
    let campaign = campaign_with_uncertain(&mut world, 60);
    let sql = "SELECT id FROM campaign_recipients WHERE campaign_id = $1 AND status = 'uncertain' LIMIT 1";
    let accepted: Uuid = world.database.query(sql, &[&campaign])[0].get(0);
    // The activities table has refused its activity; then, as a release noted it that kept no message id.
    for set in ["message_id = 'm'", "message_id = NULL, error_code = 'activity_refused'"] {
        unguarded(&mut world, &format!("UPDATE campaign_recipients SET {set} WHERE id = $1"), &[&accepted]);
        world.database.execute("UPDATE campaign_cursors SET doubt_examined_at = NULL", &[]);
        resend(&world, Some(campaign));
        assert_eq!(status(&mut world, accepted), "uncertain", "{set}");
    }
    assert_eq!(world.statuses(campaign)["pending"], 1);
    assert_exact(&mut world);
}

#[test]
fn no_event_is_no_answer() {
    let mut world = World::new();
    let (campaign, _) = uncertain_without_events(&mut world);
    assert!(resend(&world, Some(campaign)).is_empty());
    assert!(resend(&world, None).is_empty());
    assert_eq!(world.count(campaign, "status = 'uncertain'"), 3);
}

#[test]
fn events_that_most_emails_do_not_have_prove_nothing() {
    let mut world = World::new();
    let (campaign, recipients) = uncertain_without_events(&mut world);
    for (kind, part) in [
        ("open", "open"),
        ("click", "click"),
        ("bounce-permanent", "bounce"),
        ("bounce-transient", "bounce"),
        ("complaint", "complaint"),
        ("reject", "mail"),
    ] {
        tell_ago(&mut world, kind, part, campaign, recipients[0], 60);
    }
    assert!(resend(&world, Some(campaign)).is_empty());
    assert_eq!(world.count(campaign, "status = 'uncertain'"), 2);
    tell_ago(&mut world, "send", "mail", campaign, recipients[0], 60);
    sent_when_they_became_uncertain(&mut world, campaign);
    world.database.execute("UPDATE campaign_cursors SET doubt_examined_at = NULL", &[]);
    assert_eq!(resend(&world, Some(campaign)), [2]);
}

#[test]
fn silence_counts_only_where_the_neighbours_speak() {
    // The number of neighbours, the number of them on which SES has reported, and whether that is enough.
    for (neighbours, reported, resent) in
        [(0, 0, false), (1, 0, false), (19, 18, false), (20, 19, true), (60, 57, true), (60, 56, false)]
    {
        let mut world = World::new();
        let campaign = campaign_with_uncertain(&mut world, 60);
        world.database.execute("DELETE FROM recipient_events", &[]);
        unguarded(
            &mut world,
            "UPDATE campaign_recipients SET sent_at = now() - interval '3 hours' WHERE campaign_id = $1 AND status = 'sent'",
            &[&campaign],
        );
        let ids: Vec<Uuid> = (0..neighbours)
            .map(|n| world.add_recipient(campaign, &format!("neighbour{n}@example.com")))
            .collect();
        unguarded(
            &mut world,
            "UPDATE campaign_recipients SET status = 'sent', message_id = id::text, sent_at = now() - interval '125 minutes'
              WHERE id = ANY ($1)",
            &[&ids],
        );
        world.database.execute(
            "INSERT INTO recipient_events (recipient_id, action, occurred_at, key)
             SELECT id, 'email_delivered', now(), gen_random_uuid() FROM unnest($1::uuid[]) AS id LIMIT $2",
            &[&ids, &i64::from(reported)],
        );
        let expected: &[u32] = if resent { &[2] } else { &[] };
        assert_eq!(resend(&world, Some(campaign)), expected, "{reported} of {neighbours}");
    }
}
