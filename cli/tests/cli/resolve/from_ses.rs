//! `campaign resolve --from-ses`, against the Message Insights of the local SES.

use local_ses::ses::Vdm;
use uuid::Uuid;

use crate::support::{World, event, run};
use crate::{campaign, done, refused};

fn from_ses(world: &World, campaign_id: Uuid, arguments: &[&str]) -> std::process::Output {
    world.campaign_command(&[&["resolve", &campaign_id.to_string(), "--from-ses"], arguments].concat())
}

/// A campaign with three uncertain recipients, of whom SES has accepted the emails to r1 and r2, in an account with
/// Virtual Deliverability Manager.
fn doubtful() -> (World, Uuid) {
    let mut world = World::single();
    let campaign = world.campaign_with_uncertain();
    world.ses.set_vdm(Vdm { enabled: true, failing: false });
    (world, campaign)
}

#[test]
fn what_ses_accepted_becomes_sent_with_its_message_id_and_the_rest_stays_uncertain() {
    let (mut world, campaign_id) = doubtful();
    let before = world.contents();
    let [r1, r2, r3] = [1, 2, 3].map(|n| world.recipient(&format!("r{n}@example.com")));
    let dry = done(&from_ses(&world, campaign_id, &[]));
    assert_eq!(
        dry,
        format!(
            "\"Spring\": 3 uncertain recipients
       2  accepted by SES: they become sent, with their activities, for example {r1}
       1  without an email at SES: they stay uncertain, because that proves nothing, for example {r3}
Nothing was changed: give --yes to record this.
"
        )
    );
    assert_eq!(world.contents(), before);

    let said = done(&from_ses(&world, campaign_id, &["--yes"]));
    assert!(said.ends_with("2 recipients now sent, with an activity for each.\n"), "{said}");
    assert_eq!(world.counters(campaign_id), "sent: 6 = 5 sent + 0 failed + 1 uncertain + 0 pending");
    // It has the message ids of the mailbox, and one activity for each of them.
    world.assert_consistent(campaign_id);
    let activity = world.database.query(
        "SELECT description, metadata->>'messageId' FROM activities WHERE source_ref = $1 AND action = 'email_sent'",
        &[&r2],
    );
    let message =
        world.ses.messages().into_iter().find(|message| message.tag("recipient_id") == Some(&r2)).unwrap();
    assert_eq!(activity[0].get::<_, String>(0), "Email sent to r2@example.com: Hello you");
    assert_eq!(activity[0].get::<_, String>(1), message.id);

    let contents = world.contents();
    done(&from_ses(&world, campaign_id, &["--yes"]));
    assert_eq!(world.contents(), contents, "it can be given again");
}

#[test]
fn the_same_subject_to_the_same_address_by_another_campaign_or_a_test_proves_nothing() {
    let (mut world, campaign_id) = doubtful();
    // Both campaigns have the same subject for r3, whose email of the first one SES did not accept.
    let other = world.campaign();
    world.database.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email, name)
         SELECT $1, organization_id, email, name FROM campaign_recipients WHERE email = 'r3@example.com'",
        &[&other],
    );
    run(&mut world.function(), event(other, 10));
    let id = campaign_id.to_string();
    done(&world.campaign_command(&["send", &id, "--test", "r3@example.com"]));
    assert_eq!(
        world.ses.messages().iter().filter(|m| m.recipients().any(|to| to == "r3@example.com")).count(),
        2
    );

    let r3 = world.database.query(
        "SELECT id::text FROM campaign_recipients WHERE email = 'r3@example.com' AND campaign_id = $1",
        &[&campaign_id],
    );
    let r3: String = r3[0].get(0);
    let said = done(&from_ses(&world, campaign_id, &["--yes", "--recipient", &r3]));
    assert_eq!(
        said,
        format!(
            "\"Spring\": 1 uncertain recipient
       1  with other emails only (another campaign, a test, another sender): they stay uncertain, for example {r3}
Nothing was changed.
"
        )
    );
    assert_eq!(world.counters(campaign_id), "sent: 6 = 3 sent + 0 failed + 3 uncertain + 0 pending");
}

#[test]
fn without_virtual_deliverability_manager_or_its_export_nothing_changes_and_ses_s_words_are_shown() {
    let mut world = World::single();
    let campaign_id = world.campaign_with_uncertain();
    let before = world.contents();
    assert_eq!(
        refused(&from_ses(&world, campaign_id, &["--yes"])),
        "69: campaign: SES did not answer CreateExportJob: BadRequestException: Virtual Deliverability Manager is not enabled for this account.; check that Virtual Deliverability Manager is on in this region, AWS_REGION, the credentials and the right ses:CreateExportJob"
    );
    world.ses.set_vdm(Vdm { enabled: true, failing: true });
    let error = refused(&from_ses(&world, campaign_id, &["--yes"]));
    assert!(
        error.starts_with("69: campaign: SES's export ") && error.ends_with(" is FAILED: The export failed."),
        "{error}"
    );
    assert_eq!(world.contents(), before);
}

#[test]
fn a_recipient_that_is_not_uncertain_is_not_asked_about() {
    let (mut world, campaign_id) = doubtful();
    let r4 = world.recipient("r4@example.com");
    assert_eq!(
        refused(&from_ses(&world, campaign_id, &["--recipient", &r4])),
        format!("65: campaign: --recipient {r4}: the campaign has no such uncertain recipient")
    );
    let id = campaign_id.to_string();
    let both = campaign(&world.database.url, &["resolve", &id, "--from-ses", "--from-log", "-"], "");
    assert!(!both.status.success());
}
