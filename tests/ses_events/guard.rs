//! The reputation guard: campaigns whose emails bounce or lead to complaints too often.

use super::*;
use crate::support::World;

/// A campaign with this number of `sent` recipients, without events of SES yet.
fn sending(world: &mut World, recipients: usize) -> (Uuid, Vec<Uuid>) {
    let campaign = world.campaign();
    let ids = uncertain(world, campaign, recipients);
    world.set_status(campaign, "sending");
    (campaign, ids)
}

/// One event for each of these recipients, in one batch.
fn tell(function: &mut Function, kind: &str, campaign: Uuid, recipients: &[Uuid]) {
    let bodies: Vec<Value> = recipients.iter().map(|recipient| event(kind, campaign, *recipient)).collect();
    assert!(deliver(function, &bodies).is_empty());
}

#[test]
fn a_campaign_whose_emails_bounce_too_often_is_paused_by_the_batch_that_tells() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[("METRICS", "on")]);
    let (campaign, ids) = sending(&mut world, 120);
    tell(&mut function, "bounce-permanent", campaign, &ids[..9]);
    assert_eq!(world.campaign_status(campaign).0, "sending", "1 of 10 is no rate yet");
    tell(&mut function, "delivery", campaign, &ids[20..]);
    tell(&mut function, "bounce-permanent", campaign, &ids[9..20]);
    let (status, reason) = world.campaign_status(campaign);
    assert_eq!(status, "paused");
    insta::assert_snapshot!(reason.unwrap(), @"20 of 120 emails bounced (17 %), more than 5 %: clean the list, then set the status to 'sending'");
    let line = logged(&function, "PausedByGuard");
    assert_eq!(line["campaign_id"], json!(campaign));
    assert_exact(&mut world);
}

#[test]
fn complaints_stop_a_campaign_and_repeated_events_count_once() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let (campaign, ids) = sending(&mut world, 150);
    tell(&mut function, "delivery", campaign, &ids);
    for _ in 0..3 {
        tell(&mut function, "complaint", campaign, &ids[..1]);
    }
    assert_eq!(world.campaign_status(campaign).0, "sending");
    tell(&mut function, "complaint", campaign, &ids[..3]);
    assert_eq!(world.campaign_status(campaign).0, "paused");
}

#[test]
fn emails_to_providers_without_feedback_are_left_out_of_the_rate_of_complaints_unless_none_are_named() {
    let mut world = World::new();
    for (setting, expected) in [("none", "sending"), ("", "paused")] {
        let mut function = ses_events(&world, &[("GUARD_NO_FEEDBACK_DOMAINS", setting)]);
        // 200 at a provider that reports complaints, 500 at Gmail, in several spellings.
        let (campaign, mut ids) = sending(&mut world, 200);
        ids.extend((0..500).map(|n| {
            let domain = ["gmail.com", "GoogleMail.com", "Gmail.Com"][n % 3];
            world.add_recipient(campaign, &format!("{n}-{campaign}@{domain}"))
        }));
        set_uncertain(&mut world, campaign);
        world.set_status(campaign, "sending");
        tell(&mut function, "delivery", campaign, &ids);
        // A repeated event counts once.
        tell(&mut function, "delivery", campaign, &ids[150..300]);
        tell(&mut function, "complaint", campaign, &ids[..2]);
        let (status, reason) = world.campaign_status(campaign);
        assert_eq!(status, expected, "{setting}: {reason:?}");
        if let Some(reason) = reason {
            insta::assert_snapshot!(reason, @"2 of 200 recipients complained (1 %), more than 0.1 %, without the 500 emails to providers that report no complaints: clean the list, then set the status to 'sending'");
        }
        let counted = world.database.query(
            "SELECT delivered, without_feedback, judged_without_feedback FROM campaign_feedback WHERE campaign_id = $1",
            &[&campaign],
        );
        let counted: [i32; 3] = [0, 1, 2].map(|column| counted[0].get(column));
        assert_eq!(counted, if expected == "paused" { [700, 500, 500] } else { [700, 0, 0] });
        world.set_status(campaign, "cancelled");
    }
    assert_exact(&mut world);
}

#[test]
fn resuming_a_campaign_accepts_its_figures_and_the_guard_counts_from_zero() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let (campaign, ids) = sending(&mut world, 340);
    tell(&mut function, "bounce-permanent", campaign, &ids[..100]);
    assert_eq!(world.campaign_status(campaign).0, "paused");
    world.set_status(campaign, "sending");
    tell(&mut function, "bounce-permanent", campaign, &ids[..110]);
    tell(&mut function, "delivery", campaign, &ids[110..220]);
    assert_eq!(world.campaign_status(campaign).0, "sending");
    tell(&mut function, "bounce-permanent", campaign, &ids[220..]);
    assert_eq!(world.campaign_status(campaign).0, "paused");
}

#[test]
fn an_organizations_small_campaigns_are_judged_together_and_another_organizations_apart() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaigns: Vec<_> = (0..3).map(|_| sending(&mut world, 50)).collect();
    let (other, others) = sending(&mut world, 50);
    world.database.execute(
        "UPDATE campaigns SET organization_id = $2 WHERE id = $1",
        &[&other, &Uuid::from_u128(0x0b)],
    );
    unguarded(
        &mut world,
        "UPDATE campaign_recipients SET organization_id = $2 WHERE campaign_id = $1",
        &[&other, &Uuid::from_u128(0x0b)],
    );
    tell(&mut function, "delivery", other, &others);
    for (campaign, ids) in &campaigns {
        tell(&mut function, "delivery", *campaign, &ids[10..]);
    }
    for (campaign, ids) in &campaigns {
        tell(&mut function, "bounce-permanent", *campaign, &ids[..10]);
    }
    for (campaign, _) in &campaigns {
        let (status, reason) = world.campaign_status(*campaign);
        assert_eq!(status, "paused");
        assert!(reason.unwrap().contains("the organization's campaigns"));
    }
    assert_eq!(world.campaign_status(other).0, "sending");
}

#[test]
fn what_a_person_has_ended_stays_so_and_the_limits_can_be_set() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[("GUARD_MAX_BOUNCE_RATE", "0.5"), ("GUARD_MIN_SAMPLE", "10")]);
    let (campaign, ids) = sending(&mut world, 30);
    tell(&mut function, "delivery", campaign, &ids[..14]);
    tell(&mut function, "bounce-permanent", campaign, &ids[14..28]);
    assert_eq!(world.campaign_status(campaign).0, "sending", "half is not more than half");
    world.set_status(campaign, "cancelled");
    let (campaign, ids) = sending(&mut world, 30);
    tell(&mut function, "bounce-permanent", campaign, &ids);
    assert_eq!(world.campaign_status(campaign).0, "paused");
    let statuses = world.database.query("SELECT count(*) FROM campaigns WHERE status = 'cancelled'", &[]);
    assert_eq!(statuses[0].get::<_, i64>(0), 1);
}

#[test]
fn what_ses_itself_makes_is_suppressed_and_not_held_against_the_campaign() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let bounces = [
        "OnAccountSuppressionList",
        "OnTenantSuppressionList",
        "Suppressed",
        "EmailValidationSuppressed",
        "NewlySuppressedSomehow",
    ];
    let (campaign, ids) = sending(&mut world, 300);
    let bodies: Vec<Value> = ids
        .iter()
        .enumerate()
        .map(|(n, recipient)| {
            if n % 3 == 0 {
                let mut event = event("complaint-by-ses", campaign, *recipient);
                let sub_types = ["OnAccountSuppressionList", "OnTenantSuppressionList"];
                event["detail"]["complaint"]["complaintSubType"] = json!(sub_types[n % 2]);
                return event;
            }
            let mut event = event("bounce-by-ses", campaign, *recipient);
            event["detail"]["bounce"]["bounceSubType"] = json!(bounces[n % 5]);
            event
        })
        .collect();
    assert!(deliver(&mut function, &bodies).is_empty());
    assert_eq!(world.campaign_status(campaign).0, "sending");
    let sql = "SELECT count(*) FILTER (WHERE reason = 'bounce'), count(*) FILTER (WHERE reason = 'complaint')
                 FROM suppressions";
    let row = &world.database.query(sql, &[])[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (200, 100));
    let sql = "SELECT DISTINCT action || ': ' || (metadata->>'suppressedBy') FROM activities
                WHERE action <> 'email_sent' ORDER BY 1";
    let said: Vec<String> = world.database.query(sql, &[]).iter().map(|row| row.get(0)).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    email_bounced: Amazon SES
    email_bounced: account suppression list
    email_bounced: email validation
    email_bounced: global suppression list
    email_bounced: tenant suppression list
    email_complained: account suppression list
    email_complained: tenant suppression list
    ");
    let sql = "SELECT DISTINCT description FROM activities WHERE action = 'email_complained'
                  AND source_ref = $1";
    let said: String = world.database.query(sql, &[&ids[0].to_string()])[0].get(0);
    assert!(said.starts_with("Email withheld from 0-"), "{said}");
}

#[test]
fn each_email_counts_once_however_many_events_of_a_kind_it_has() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let (campaign, ids) = sending(&mut world, 100);
    tell(&mut function, "delivery", campaign, &ids[1..]);
    for n in 0..60_usize {
        let mut bodies = vec![];
        for (kind, part) in [
            ("bounce-permanent", "bounce"),
            ("complaint", "complaint"),
            ("delivery", "delivery"),
            ("reject", "mail"),
        ] {
            let mut event = event(kind, campaign, ids[0]);
            event["detail"][part]["timestamp"] =
                json!(format!("2026-11-{:02}T09:{n:02}:00.000Z", 2 + n % 20));
            event["detail"][part]["feedbackId"] = json!(format!("feedback-{n}"));
            bodies.push(event);
        }
        assert!(deliver(&mut function, &bodies).is_empty());
    }
    let row = &world
        .database
        .query("SELECT delivered, bounced, complained, rejected FROM campaign_feedback", &[])[0];
    let counts: Vec<i32> = (0..4).map(|column| row.get(column)).collect();
    assert_eq!(counts, [100, 1, 1, 1]);
    assert_eq!(world.campaign_status(campaign).0, "sending");
    let once: Vec<i64> = actions(&mut world, ids[0]).into_values().collect();
    assert_eq!(once, [1; 5]);
}

#[test]
fn a_campaign_that_ses_rejects_after_accepting_it_does_not_look_like_a_success() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[("METRICS", "on")]);
    let (campaign, ids) = sending(&mut world, 40);
    tell(&mut function, "send", campaign, &ids);
    tell(&mut function, "reject", campaign, &ids[..19]);
    assert_eq!(world.campaign_status(campaign).0, "sending");
    tell(&mut function, "rendering-failure", campaign, &ids[19..]);
    let (status, reason) = world.campaign_status(campaign);
    assert_eq!(status, "paused");
    insta::assert_snapshot!(reason.unwrap(), @"40 of 40 emails were rejected by Amazon SES after it had accepted them (100 %): correct the content, then set the status to 'sending'");
    assert_eq!(world.statuses(campaign), BTreeMap::from([("sent".to_owned(), 40)]), "SES accepted them");
    let line = logged(&function, "SES rejected emails that it had accepted");
    assert_eq!((&line["campaign_id"], &line["count"]), (&json!(campaign.to_string()), &json!(19)), "{line}");
    assert_eq!(logged(&function, "MisfitEvents")["Rejected"], 19);
    assert_exact(&mut world);
}

#[test]
fn a_timeline_without_words_for_bounces_does_not_blind_the_guard() {
    let mut world = World::new();
    world
        .database
        .client()
        .batch_execute(
            "CREATE TYPE timeline_action AS ENUM ('email_sent');
         ALTER TABLE activities ALTER COLUMN action TYPE timeline_action USING action::timeline_action;",
        )
        .unwrap();
    let mut function = ses_events(&world, &[]);
    let (campaign, ids) = sending(&mut world, 100);
    tell(&mut function, "bounce-permanent", campaign, &ids);
    assert_eq!(world.campaign_status(campaign).0, "paused");
}
