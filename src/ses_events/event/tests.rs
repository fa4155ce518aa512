use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;

/// What each file of a folder of `events/ses/` says, without what is the same in all of them.
fn said(folder: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events/ses").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all = String::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy();
        match parse_text(&fs::read_to_string(&file).unwrap()).unwrap() {
            Said::Event(event) => {
                let Event { recipient_id, accepted_at, occurred_at, subject, kind, .. } = *event;
                let id = &recipient_id.to_string()[..8];
                let subject = subject.unwrap_or("no subject".to_owned());
                writeln!(all, "{name}: {id} accepted {accepted_at}, at {occurred_at}, {subject}: {kind:?}")
                    .unwrap();
            }
            other => writeln!(all, "{name}: {other:?}").unwrap(),
        }
    }
    all
}

#[test]
fn every_type_of_event_says_what_happened() {
    insta::assert_snapshot!(said("eventbridge"), @r#"
    bounce-permanent: 2e86f3b9 accepted 2026-03-02T09:00:00.812Z, at 2026-03-02T09:00:04.669Z, Spring offers: Bounce { bounce_type: "Permanent", sub_type: "General", diagnostic_code: Some("smtp; 550 5.1.1 user unknown"), feedback_id: "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8bexample-000000" }
    bounce-transient: 7f52c8a1 accepted 2026-03-02T09:00:00.901Z, at 2026-03-02T09:00:06.114Z, Spring offers: Bounce { bounce_type: "Transient", sub_type: "MailboxFull", diagnostic_code: Some("smtp; 552 5.2.2 mailbox full"), feedback_id: "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8cexample-000000" }
    click: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:21:25.57Z, Spring offers: Click { link: "https://shop.example.com/offers?spring=2026", user_agent: Some("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0.3112.90 Safari/537.36") }
    complaint: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T10:05:02.669Z, Spring offers: Complaint { feedback_type: Some("abuse"), user_agent: Some("Amazon SES Mailbox Simulator"), feedback_id: "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8aexample-000000" }
    delivery-delay: Nothing
    delivery: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:00:03.133Z, Spring offers: Delivery
    open: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:20:19.652Z, Spring offers: Open { user_agent: Some("Mozilla/5.0 (iPhone; CPU iPhone OS 10_3_3 like Mac OS X) AppleWebKit/603.3.8 (KHTML, like Gecko) Mobile/14G60") }
    reject: 94b3d7e6 accepted 2026-03-02T09:00:01.017Z, at 2026-03-02T09:00:01.017Z, Spring offers: Reject { reason: "Bad content" }
    rendering-failure: d80e5a3c accepted 2026-03-02T09:00:01.197Z, at 2026-03-02T09:00:01.197Z, no subject: RenderingFailure { message: "Attribute 'attributeName' is not present in the rendering data." }
    send: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:00:00.645Z, Spring offers: Send
    subscription: Nothing
    "#);
}

#[test]
fn an_event_says_the_same_by_sns_as_by_eventbridge() {
    assert_eq!(said("sns"), said("eventbridge"));
}

#[test]
fn an_event_says_the_same_by_sns_with_raw_delivery() {
    let by_eventbridge: Value =
        serde_json::from_str(include_str!("../../../events/ses/eventbridge/click.json")).unwrap();
    assert_eq!(parse(by_eventbridge["detail"].clone()), parse(by_eventbridge));
}

fn with(change: impl FnOnce(&mut Value)) -> Result<Said, NotAnEvent> {
    let mut event: Value =
        serde_json::from_str(include_str!("../../../events/ses/eventbridge/bounce-permanent.json")).unwrap();
    change(&mut event);
    parse(event)
}

fn event_with(change: impl FnOnce(&mut Value)) -> Event {
    let Ok(Said::Event(event)) = with(change) else { panic!("not an event") };
    *event
}

#[test]
fn a_feedback_notification_is_an_event_too() {
    let event = event_with(|event| {
        event["detail"]["notificationType"] = event["detail"]["eventType"].take();
    });
    assert!(matches!(event.kind, Kind::Bounce { .. }));
}

#[test]
fn an_email_of_another_sender_has_no_recipient() {
    for (tag, value) in
        [("recipient_id", json!(["42"])), ("recipient_id", json!([])), ("campaign_id", json!(null))]
    {
        assert_eq!(with(|event| event["detail"]["mail"]["tags"][tag] = value), Ok(Said::OtherSender));
    }
}

#[test]
fn what_ses_and_sns_say_of_themselves_is_passed_over() {
    let validated = "Successfully validated SNS topic for Amazon SES event publishing.";
    assert_eq!(parse_text(validated), Ok(Said::Nothing));
    assert_eq!(parse(json!({"Type": "Notification", "Message": validated})), Ok(Said::Nothing));
    assert_eq!(parse(json!({"notificationType": "AmazonSnsSubscriptionSucceeded"})), Ok(Said::Nothing));
    let advice = json!({"source": "aws.ses", "detail-type": "Advisor Recommendation Status Open", "detail": {"version": "1.0"}});
    assert_eq!(parse(advice), Ok(Said::Nothing));
}

#[test]
fn what_is_no_event_is_told_in_one_line() {
    let problem = |body: &str| parse_text(body).unwrap_err().to_string();
    insta::assert_snapshot!(problem("{"), @"the body is not JSON: EOF while parsing an object at line 1 column 1");
    insta::assert_snapshot!(problem("[]"), @"it has neither eventType nor notificationType");
    insta::assert_snapshot!(problem(r#"{"Type":"SubscriptionConfirmation","Message":"You have chosen"}"#), @r#"it is an SNS message of the type "SubscriptionConfirmation""#);
    insta::assert_snapshot!(problem(r#"{"Type":"Notification","Message":"hello"}"#), @"the SNS notification's Message is not JSON: expected value at line 1 column 1");
    insta::assert_snapshot!(problem(r#"{"source":"aws.s3","detail":{}}"#), @r#"source is "aws.s3": expected "aws.ses""#);
    insta::assert_snapshot!(with(|event| event["detail"]["mail"]["timestamp"] = json!("yesterday")).unwrap_err(), @r#"mail.timestamp is "yesterday": expected a time (RFC 3339)"#);
    insta::assert_snapshot!(with(|event| event["detail"]["mail"]["messageId"] = json!(null)).unwrap_err(), @"mail.messageId is null: expected a text");
}

#[test]
fn a_subject_is_what_the_recipient_sees_or_none() {
    let subject = |change: fn(&mut Value)| event_with(|event| change(&mut event["detail"]["mail"])).subject;
    assert_eq!(subject(|_| ()).as_deref(), Some("Spring offers"));
    let from_headers = subject(|mail| {
        mail["commonHeaders"] = json!(null);
        mail["headers"] = json!([{"name": "From"}, {"name": "SUBJECT", "value": "Hello\r\n there\u{0}"}]);
    });
    assert_eq!(from_headers.as_deref(), Some("Hello  there "));
    assert_eq!(subject(|mail| mail["commonHeaders"]["subject"] = json!("=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=")), None);
}

#[test]
fn only_what_makes_an_address_useless_suppresses_it() {
    let bounce = |kind: &str| {
        event_with(|event| event["detail"]["bounce"]["bounceType"] = json!(kind)).kind.suppression()
    };
    assert_eq!(
        [bounce("Permanent"), bounce("Transient"), bounce("Undetermined")],
        [Some("bounce"), None, None]
    );
    let complaint = |kind: Option<&str>| {
        let (user_agent, feedback_id) = (None, String::new());
        Kind::Complaint { feedback_type: kind.map(str::to_owned), user_agent, feedback_id }.suppression()
    };
    assert_eq!([complaint(None), complaint(Some("abuse"))], [Some("complaint"); 2]);
    assert_eq!(complaint(Some("not-spam")), None);
}

#[test]
fn no_text_holds_what_postgresql_cannot_store() {
    let event = event_with(|event| {
        event["detail"]["bounce"]["bouncedRecipients"][0]["diagnosticCode"] = json!("a\u{0}b");
        event["detail"]["bounce"]["feedbackId"] = json!("a\u{0}b");
        event["detail"]["mail"]["messageId"] = json!("a\u{0}b");
    });
    assert!(!format!("{event:?}").contains('\0') && !event.message_id.contains('\0'));
    assert_eq!(event.kind.details()["diagnosticCode"], "a b");
}

mod fuzzing {
    //! Whatever comes in place of an event, reading it ends in a value. `fuzz/` does the same for longer.

    use proptest::prelude::*;

    use super::*;

    fn corpus() -> Vec<Vec<u8>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("events/ses");
        let folders = ["eventbridge", "sns", "sqs"].map(|folder| root.join(folder));
        let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
        files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_damage_to_an_event_makes_the_parsers_panic(
            file in prop::sample::select(corpus()),
            damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(br#"{}[]",:\u0 -T9xe"#.to_vec()), 0..4_u8), 1..6),
        ) {
            let mut body = file;
            for (place, byte, how) in damage {
                let at = place.index(body.len());
                match how {
                    0 => body[at] = byte,
                    1 => body.insert(at, byte),
                    2 => { body.remove(at); }
                    // A piece of it is doubled.
                    _ => { let piece = body[at..(at + 40).min(body.len())].to_vec(); body.splice(at..at, piece); }
                }
            }
            if let Ok(body) = std::str::from_utf8(&body) {
                let _ = parse_text(body);
                if let Ok(event) = serde_json::from_str(body) {
                    let _ = crate::ses_events::sqs::records(event);
                }
            }
        }
    }
}
