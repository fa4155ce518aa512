use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;

/// The content of each file of a folder of `events/ses/`, without what is the same in all of them.
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
    bounce-by-ses: 2e86f3b9 accepted 2026-03-02T09:00:00.812Z, at 2026-03-02T09:00:01.402Z, Spring offers: Bounce { bounce_type: "Permanent", sub_type: "OnAccountSuppressionList", diagnostic_code: Some("Amazon SES did not send the message to this address because it is on the suppression list for your account. For more information about removing addresses from the suppression list, see the Amazon SES Developer Guide at https://docs.aws.amazon.com/ses/latest/DeveloperGuide/sending-email-suppression-list.html") }
    bounce-permanent: 2e86f3b9 accepted 2026-03-02T09:00:00.812Z, at 2026-03-02T09:00:04.669Z, Spring offers: Bounce { bounce_type: "Permanent", sub_type: "General", diagnostic_code: Some("smtp; 550 5.1.1 user unknown") }
    bounce-transient: 7f52c8a1 accepted 2026-03-02T09:00:00.901Z, at 2026-03-02T09:00:06.114Z, Spring offers: Bounce { bounce_type: "Transient", sub_type: "MailboxFull", diagnostic_code: Some("smtp; 552 5.2.2 mailbox full") }
    click-by-machine: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:00:05.38Z, Spring offers: Click { by: Machine, link: "https://shop.example.com/offers?spring=2026", link_key: 36566c39-b071-0681-d5cc-a491de150fc8, user_agent: Some("Mozilla/5.0 (compatible; ExampleMailScanner/2.1)") }
    click: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:21:25.57Z, Spring offers: Click { by: Person, link: "https://shop.example.com/offers?spring=2026", link_key: 36566c39-b071-0681-d5cc-a491de150fc8, user_agent: Some("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0.3112.90 Safari/537.36") }
    complaint-by-ses: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:00:01.402Z, Spring offers: Complaint { sub_type: Some("OnAccountSuppressionList"), feedback_type: None, user_agent: None }
    complaint: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T10:05:02.669Z, Spring offers: Complaint { sub_type: None, feedback_type: Some("abuse"), user_agent: Some("Amazon SES Mailbox Simulator") }
    delivery-delay: Nothing
    delivery: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:00:03.133Z, Spring offers: Delivery
    open-by-machine: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:00:05.12Z, Spring offers: Open { by: Machine, user_agent: Some("Mozilla/5.0 (compatible; ExampleMailScanner/2.1)") }
    open: c1a7e0d4 accepted 2026-03-02T09:00:00.645Z, at 2026-03-02T09:20:19.652Z, Spring offers: Open { by: Person, user_agent: Some("Mozilla/5.0 (iPhone; CPU iPhone OS 10_3_3 like Mac OS X) AppleWebKit/603.3.8 (KHTML, like Gecko) Mobile/14G60") }
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

fn bounce(bounce_type: &str, sub_type: &str) -> Kind {
    event_with(|event| {
        event["detail"]["bounce"]["bounceType"] = json!(bounce_type);
        event["detail"]["bounce"]["bounceSubType"] = json!(sub_type);
    })
    .kind
}

fn complaint(sub_type: Option<&str>, feedback_type: Option<&str>) -> Kind {
    let [sub_type, feedback_type] = [sub_type, feedback_type].map(|text| text.map(str::to_owned));
    Kind::Complaint { sub_type, feedback_type, user_agent: None }
}

/// SES's sub-types from its documentation, and unknown ones: the meaning of each, what the guard counts it
/// as, and the reason for which the address is suppressed.
#[test]
fn every_bounce_and_complaint_means_one_thing() {
    let mut all = String::new();
    let bounces = [
        ("Permanent", "General"),
        ("Permanent", "NoEmail"),
        ("Permanent", "Suppressed"),
        ("Permanent", "OnAccountSuppressionList"),
        ("Permanent", "OnTenantSuppressionList"),
        ("Permanent", "EmailValidationSuppressed"),
        ("Permanent", "UnsubscribedRecipient"),
        ("Transient", "SuppressedForAWhile"),
        ("Permanent", ""),
        ("Transient", "General"),
        ("Transient", "MailboxFull"),
        ("Transient", "MessageTooLarge"),
        ("Transient", "ContentRejected"),
        ("Transient", "AttachmentRejected"),
        ("Transient", "CustomTimeoutExceeded"),
        ("Undetermined", "Undetermined"),
        ("", ""),
    ];
    let bounces = bounces.map(|(kind, sub_type)| (format!("{kind}/{sub_type}"), bounce(kind, sub_type)));
    let complaints = [
        (None, None),
        (None, Some("abuse")),
        (None, Some("not-spam")),
        (Some("OnAccountSuppressionList"), None),
        (Some("OnTenantSuppressionList"), Some("abuse")),
        (Some("Other"), None),
    ];
    let complaints = complaints.map(|(sub, kind)| (format!("{sub:?}/{kind:?}"), complaint(sub, kind)));
    for (name, kind) in bounces.into_iter().chain(complaints) {
        let (meaning, feedback, suppression) = (kind.meaning(), kind.feedback(), kind.suppression());
        let dash = |text: Option<&'static str>| text.unwrap_or("-");
        writeln!(all, "{name}: {meaning:?}, {}, {}", dash(feedback), dash(suppression)).unwrap();
    }
    insta::assert_snapshot!(all, @r#"
    Permanent/General: Bounced, bounced, bounce
    Permanent/NoEmail: Bounced, bounced, bounce
    Permanent/Suppressed: BounceBySes(Global), -, bounce
    Permanent/OnAccountSuppressionList: BounceBySes(Account), -, bounce
    Permanent/OnTenantSuppressionList: BounceBySes(Tenant), -, bounce
    Permanent/EmailValidationSuppressed: BounceBySes(Validation), -, bounce
    Permanent/UnsubscribedRecipient: BounceBySes(Subscription), -, unsubscribe
    Transient/SuppressedForAWhile: BounceBySes(Other), -, bounce
    Permanent/: Bounced, bounced, bounce
    Transient/General: SoftBounced("General"), soft_bounced, -
    Transient/MailboxFull: SoftBounced("MailboxFull"), soft_bounced, -
    Transient/MessageTooLarge: ContentRefused, -, -
    Transient/ContentRejected: ContentRefused, -, -
    Transient/AttachmentRejected: ContentRefused, -, -
    Transient/CustomTimeoutExceeded: SoftBounced("other"), soft_bounced, -
    Undetermined/Undetermined: UnclearBounce, -, -
    /: UnclearBounce, -, -
    None/None: Complained, complained, complaint
    None/Some("abuse"): Complained, complained, complaint
    None/Some("not-spam"): NotSpam, -, -
    Some("OnAccountSuppressionList")/None: ComplaintBySes(Account), -, complaint
    Some("OnTenantSuppressionList")/Some("abuse"): ComplaintBySes(Tenant), -, complaint
    Some("Other")/None: Complained, complained, complaint
    "#);
}

#[test]
fn who_opened_is_what_ses_says_and_apples_proxy_is_named() {
    let actor =
        |is_bot: Value, agent: Option<&str>, address: Option<&str>| Actor::of(&is_bot, agent, address);
    for yes in [json!("Likely"), json!("likely"), json!(true)] {
        assert_eq!(actor(yes, Some("Mozilla/5.0"), None), Actor::Machine);
    }
    for no in [json!("Unlikely"), json!("No"), json!(false), json!(null), json!(1), json!({})] {
        assert_eq!(actor(no.clone(), Some("Mozilla/5.0 (X11)"), Some("192.0.2.17")), Actor::Person);
        assert_eq!(actor(no.clone(), Some("Mozilla/5.0"), None), Actor::Apple);
        assert_eq!(actor(no, None, Some("17.58.0.1")), Actor::Apple);
    }
}

#[test]
fn links_that_differ_behind_what_is_stored_of_them_are_two() {
    let click = |link: String| {
        let mut event: Value =
            serde_json::from_str(include_str!("../../../events/ses/eventbridge/click.json")).unwrap();
        event["detail"]["click"]["link"] = json!(link);
        let Ok(Said::Event(event)) = parse(event) else { panic!("not an event") };
        event.kind
    };
    let long = format!("https://example.com/{}", "x".repeat(2000));
    let (one, other) = (click(format!("{long}1")), click(format!("{long}2")));
    assert_eq!(one.details()["link"], other.details()["link"]);
    assert_eq!(one.details()["link"].as_str().unwrap().len(), 1000);
    assert_ne!(one.key(), other.key());
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
    //! Parsing any input returns a value. `fuzz/` does the same for longer.

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
