//! Situations that operators meet at night: something changes while a campaign is sent, and `campaign status` says what
//! it is as soon as the first invocation has met it.

use local_ses::ses::{Effect, Rule};
use serde_json::json;

use crate::support::{TIMEOUT, World, event, failure, invoke};
use crate::why_nothing_is_sent::now;

/// A trigger that refuses every statement of this kind with a message of PostgreSQL's.
fn refuse(world: &mut World, statement: &str, table: &str, code: &str, message: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE '{message}' USING ERRCODE = '{code}'; END $$;
         CREATE TRIGGER refuse BEFORE {statement} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse();"
    );
    world.database.client().batch_execute(&sql).unwrap();
}

#[test]
fn an_activities_table_that_is_renamed_while_a_batch_is_sent_is_named_at_once() {
    let mut world = World::single();
    let id = world.campaign_of(20);
    world.ses.add_rule(Rule::any(Effect::Delay { ms: 500 }));
    let mut function = world.function();
    let begun = function.begin(&event(id, 5), TIMEOUT).unwrap();
    world.wait_until("a batch is claimed", "SELECT EXISTS (SELECT FROM campaign_batches)");
    world.database.execute("ALTER TABLE activities RENAME TO activities_old", &[]);
    let result = function.finish(&begun).unwrap();
    assert_eq!(result["activities"]["success"], false, "{result}");
    let table = "ACTIVITIES_TABLE activities: there is no such table";
    let (code, said) = now(&world, id);
    assert_eq!(code, "unrecorded", "{said}");
    assert!(said.contains(table), "{said}");
    assert!(said.contains("\nCorrect what PostgreSQL says of it"), "{said}");
    // The next invocation, and that of a schedule, learn the table again before they do anything.
    for event in [result["next"].clone(), json!({})] {
        let _ = function.invoke(&event, TIMEOUT);
        let (code, said) = now(&world, id);
        assert_eq!(code, "unusable_activities_table", "{said}");
        assert!(said.contains(table) && said.contains("\nCorrect the activities table"), "{said}");
    }
    world.database.execute("ALTER TABLE activities_old RENAME TO activities", &[]);
    assert_eq!(invoke(&mut function, &result["next"])["activities"]["success"], true);
    assert_ne!(now(&world, id).0, "unrecorded");
}

#[test]
fn a_right_that_is_revoked_is_named_whatever_step_needs_it() {
    let denied = |table: &str| format!("permission denied for table {table}");
    let mut world = World::single();
    let id = world.campaign_of(20);
    refuse(&mut world, "UPDATE", "campaign_recipients", "42501", &denied("campaign_recipients"));
    let result = world.function().invoke(&event(id, 5), TIMEOUT / 6).unwrap();
    assert_eq!(result["activities"]["success"], false, "{result}");
    let (code, said) = now(&world, id);
    assert_eq!(code, "unrecorded", "{said}");
    assert!(said.contains("could not record yet") && said.contains(&denied("campaign_recipients")), "{said}");

    let mut world = World::single();
    let id = world.campaign_of(20);
    refuse(&mut world, "INSERT", "campaign_batches", "42501", &denied("campaign_batches"));
    failure(&mut world.function(), &event(id, 5));
    let (code, said) = now(&world, id);
    assert_eq!(code, "database_refused", "{said}");
    assert!(
        said.contains(&denied("campaign_batches")) && said.contains("grant the right where one is denied"),
        "{said}"
    );
}

#[test]
fn a_disk_that_is_full_is_named_while_a_note_can_be_written_and_is_hinted_at_when_none_can() {
    let mut world = World::single();
    let id = world.campaign_of(20);
    refuse(
        &mut world,
        "INSERT",
        "campaign_batches",
        "53100",
        "could not extend file: No space left on device",
    );
    failure(&mut world.function(), &event(id, 5));
    let (code, said) = now(&world, id);
    assert_eq!(code, "database_refused", "{said}");
    assert!(
        said.contains("No space left on device") && said.contains("make room where a disk is full"),
        "{said}"
    );

    world.database.execute("DELETE FROM campaign_last_invocations", &[]);
    refuse(
        &mut world,
        "INSERT",
        "campaign_last_invocations",
        "53100",
        "could not extend file: No space left on device",
    );
    world.database.execute("UPDATE campaigns SET started_at = now() - interval '1 hour'", &[]);
    failure(&mut world.function(), &event(id, 5));
    let (code, said) = now(&world, id);
    assert_eq!(code, "overdue", "{said}");
    assert!(said.contains("or not be able to write there"), "{said}");
}

#[test]
fn a_clock_that_is_wrong_is_told_from_an_ses_that_is_away() {
    for (code, message) in [
        (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        (
            "InvalidSignatureException",
            "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z",
        ),
    ] {
        let mut world = World::single();
        let id = world.campaign_of(5);
        let (code, message) = (code.to_owned(), message.to_owned());
        let said_by_ses = format!(
            "SES cannot be reached (noted T ago; the next invocation is to come in T): {code}: {message}"
        );
        world.ses.add_rule(Rule::any(Effect::Refuse { code, message, status: 403 }));
        assert_eq!(invoke(&mut world.function(), &event(id, 5))["status"], "wait");
        let (code, said) = now(&world, id);
        assert_eq!(code, "ses_unreachable", "{said}");
        assert!(
            said.starts_with(&said_by_ses) && said.contains("at the clock of the machine that sends"),
            "{said}"
        );
    }
}

#[test]
fn what_is_deleted_or_revoked_at_ses_pauses_the_campaign_with_what_to_correct() {
    for (code, message, advice) in [
        ("NotFoundException", "Configuration set <news> does not exist.", "Correct SES_CONFIGURATION_SET"),
        (
            "MessageRejected",
            "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: example.com",
            "Verify the identity that it names",
        ),
        (
            "AccessDeniedException",
            "User: arn:aws:sts::123456789012:assumed-role/send is not authorized to perform: ses:SendEmail",
            "Let the function's role send",
        ),
    ] {
        let mut world = World::single();
        let id = world.campaign_of(5);
        let effect = Effect::Refuse { code: code.to_owned(), message: message.to_owned(), status: 400 };
        world.ses.add_rule(Rule::any(effect));
        assert_eq!(invoke(&mut world.function(), &event(id, 5))["status"], "halted", "{code}");
        let (_, said) = now(&world, id);
        assert!(said.contains(advice), "{said}");
    }
}

#[test]
fn invocations_that_time_out_each_time_are_seen_to_be_lost_and_then_to_rest() {
    let mut world = World::single();
    let id = world.campaign_of(20);
    world.ses.add_rule(Rule::any(Effect::Delay { ms: 60_000 }));
    let mut function = world.function();
    function.begin(&json!({}), TIMEOUT).unwrap();
    let claimed = "SELECT EXISTS (SELECT FROM campaign_batches WHERE claim_token IS NOT NULL)";
    world.wait_until("a batch is claimed", claimed);
    drop(function);
    world.expire_leases();
    let (code, said) = now(&world, id);
    assert_eq!(code, "lost_batch", "{said}");
    assert!(said.contains("look at the log of send-batch for why it was lost"), "{said}");
}

#[test]
fn two_schedules_at_once_are_no_trouble() {
    let mut world = World::single();
    let id = world.campaign_of(20);
    world.ses.add_rule(Rule::any(Effect::Delay { ms: 1500 }));
    let mut first = world.function();
    let begun = first.begin(&json!({}), TIMEOUT).unwrap();
    world.wait_until("a batch is claimed", "SELECT EXISTS (SELECT FROM campaign_batches)");
    let (code, said) = now(&world, id);
    assert_eq!(code, "at_work", "{said}");
    let second = invoke(&mut world.function(), &json!({}));
    assert_eq!(second["batch"]["claimed"], 0, "{second}");
    assert_eq!(first.finish(&begun).unwrap()["batch"]["sent"], 20);
}
