//! The events that SES publishes for an accepted message, in the forms in which they reach a Lambda function.

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    check::bare_address,
    message::{Message, iso},
    suppression::SuppressionReason,
};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";
const SIMULATOR: &str = "simulator.amazonses.com";
/// The test file for antivirus software: SES accepts a message with it and then rejects the message.
/// <https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html>
const EICAR: &str = "EICAR-STANDARD-ANTIVIRUS-TEST-FILE";
/// The time from the delivery to an out-of-office reply.
const REPLY_DELAY: Duration = Duration::from_secs(2);

/// The fate of a message.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Delivered,
    /// Delivered, and an automatic reply came back.
    Answered,
    Complained,
    /// SES did not try: the address is on the account's suppression list for a complaint.
    ComplainedBefore,
    /// With this bounce subtype.
    Bounced(&'static str),
    /// SES found malware in it.
    Rejected,
}

/// One event, before the parts that all have in common.
struct Happening {
    detail_type: &'static str,
    event_type: &'static str,
    /// The field of `detail` that holds `body`.
    key: &'static str,
    body: Value,
}

/// The events of a message in EventBridge's form, in the order in which they happen.
///
/// The mailbox simulator's addresses, `+label` or not, have the events that the simulator gives them; an address
/// on the account's suppression list bounces, or is complained of, as the list says; a message that holds the EICAR test
/// file is rejected; all others are delivered. One message always has the same events
/// with the same ids.
pub fn events(message: &Message) -> Vec<Value> {
    let address = message.recipients().next().unwrap_or_default();
    let happenings = match fate(message, address) {
        Fate::Delivered => vec![sent(), delivered(message)],
        Fate::Answered => vec![sent(), delivered(message), answered(message)],
        Fate::Complained => vec![sent(), delivered(message), complained(message)],
        Fate::ComplainedBefore => vec![sent(), complained_before(message)],
        Fate::Bounced(subtype) => vec![sent(), bounced(message, subtype)],
        Fate::Rejected => vec![sent(), rejected()],
    };
    let mail = mail(message);
    let arn = |set| format!("arn:aws:ses:{REGION}:{ACCOUNT}:configuration-set/{set}");
    let resources: Vec<String> = message.configuration_set.iter().map(arn).collect();
    let event = |(index, happening): (usize, Happening)| {
        let mut detail = json!({ "eventType": happening.event_type, "mail": mail });
        detail[happening.key] = happening.body;
        json!({
            "version": "0",
            "id": event_id(message, index),
            "detail-type": happening.detail_type,
            "source": "aws.ses",
            "account": ACCOUNT,
            "time": iso(message.received),
            "region": REGION,
            "resources": resources,
            "detail": detail,
        })
    };
    happenings.into_iter().enumerate().map(event).collect()
}

/// The event as SES publishes it to an SNS topic: its `detail`, as text in SNS's envelope.
pub fn in_sns(event: &Value) -> Value {
    json!({
        "Type": "Notification",
        "MessageId": event["id"],
        "TopicArn": format!("arn:aws:sns:{REGION}:{ACCOUNT}:ses-events"),
        "Subject": "Amazon SES Email Event Notification",
        "Message": event["detail"].to_string(),
        "Timestamp": event["time"],
        "SignatureVersion": "1",
    })
}

/// The event that Lambda gets for a batch of SQS messages with these bodies. The nth record's message id is
/// `message-n`, from 0.
pub fn in_sqs_batch(bodies: &[Value]) -> Value {
    let record = |(index, body): (usize, &Value)| {
        json!({
            "messageId": format!("message-{index}"),
            "receiptHandle": format!("receipt-{index}"),
            "body": body.to_string(),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1700000000000",
                "SenderId": ACCOUNT,
                "ApproximateFirstReceiveTimestamp": "1700000000000",
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:ses-events"),
            "awsRegion": REGION,
        })
    };
    json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() })
}

fn fate(message: &Message, address: &str) -> Fate {
    let (local, domain) = address.rsplit_once('@').unwrap_or_default();
    let box_name = local.split('+').next().unwrap_or_default().to_ascii_lowercase();
    match box_name.as_str() {
        _ if [&message.html, &message.text].into_iter().flatten().any(|part| part.contains(EICAR)) => {
            Fate::Rejected
        }
        _ if message.suppressed == Some(SuppressionReason::Bounce) => {
            Fate::Bounced("OnAccountSuppressionList")
        }
        _ if message.suppressed == Some(SuppressionReason::Complaint) => Fate::ComplainedBefore,
        _ if !domain.eq_ignore_ascii_case(SIMULATOR) => Fate::Delivered,
        "bounce" => Fate::Bounced("General"),
        "complaint" => Fate::Complained,
        "ooto" => Fate::Answered,
        // The simulator treats the address as one on the global suppression list.
        "suppressionlist" => Fate::Bounced("Suppressed"),
        _ => Fate::Delivered,
    }
}

fn sent() -> Happening {
    Happening { detail_type: "Email Sent", event_type: "Send", key: "send", body: json!({}) }
}

fn delivered(message: &Message) -> Happening {
    let body = json!({
        "timestamp": iso(message.received),
        "processingTimeMillis": 500,
        "recipients": bare_recipients(message),
        "smtpResponse": "250 2.6.0 Message received",
        "reportingMTA": "a8-1.smtp-out.amazonses.com",
    });
    Happening { detail_type: "Email Delivered", event_type: "Delivery", key: "delivery", body }
}

fn complained(message: &Message) -> Happening {
    let recipients: Vec<Value> =
        message.recipients().map(|address| json!({ "emailAddress": address })).collect();
    let body = json!({
        "complainedRecipients": recipients,
        "complaintSubType": null,
        "complaintFeedbackType": "abuse",
        "timestamp": iso(message.received),
        "arrivalDate": iso(message.received),
        "feedbackId": message.id,
        "userAgent": "Amazon SES Mailbox Simulator",
    });
    Happening { detail_type: "Email Complaint Received", event_type: "Complaint", key: "complaint", body }
}

/// The complaint that SES makes itself has neither a feedback type nor a user agent.
fn complained_before(message: &Message) -> Happening {
    let mut complaint = complained(message);
    complaint.body["complaintSubType"] = json!("OnAccountSuppressionList");
    for of_a_provider in ["complaintFeedbackType", "userAgent", "arrivalDate"] {
        complaint.body.as_object_mut().map(|body| body.remove(of_a_provider));
    }
    complaint
}

/// SES reports an automatic reply as a transient bounce.
fn answered(message: &Message) -> Happening {
    let mut bounce = bounced(message, "General");
    bounce.body["bounceType"] = json!("Transient");
    bounce.body["timestamp"] = json!(iso(message.received + REPLY_DELAY));
    for recipient in bounce.body["bouncedRecipients"].as_array_mut().into_iter().flatten() {
        *recipient = json!({ "emailAddress": recipient["emailAddress"] });
    }
    bounce
}

fn rejected() -> Happening {
    let body = json!({ "reason": "Bad content" });
    Happening { detail_type: "Email Rejected", event_type: "Reject", key: "reject", body }
}

fn bounced(message: &Message, subtype: &str) -> Happening {
    let recipient = |address| {
        json!({
            "emailAddress": address,
            "action": "failed",
            "status": "5.1.1",
            "diagnosticCode": "smtp; 550 5.1.1 user unknown",
        })
    };
    let body = json!({
        "bounceType": "Permanent",
        "bounceSubType": subtype,
        "bouncedRecipients": message.recipients().map(recipient).collect::<Vec<_>>(),
        "timestamp": iso(message.received),
        "feedbackId": message.id,
        "reportingMTA": "dns; a8-1.smtp-out.amazonses.com",
    });
    Happening { detail_type: "Email Bounced", event_type: "Bounce", key: "bounce", body }
}

fn mail(message: &Message) -> Value {
    let header = |name: &str, value: String| json!({ "name": name, "value": value });
    let mut headers = vec![
        header("From", message.from.clone()),
        header("To", message.to.join(", ")),
        header("Subject", message.subject.clone()),
    ];
    headers.extend(message.headers.iter().map(|h| header(&h.name, h.value.clone())));
    json!({
        "timestamp": iso(message.received),
        "source": message.from,
        "sourceArn": format!("arn:aws:ses:{REGION}:{ACCOUNT}:identity/{}", bare_address(&message.from)),
        "sendingAccountId": ACCOUNT,
        "messageId": message.id,
        "destination": bare_recipients(message),
        "headersTruncated": false,
        "headers": headers,
        "commonHeaders": {
            "from": [message.from],
            "to": message.to,
            "messageId": message.id,
            "subject": message.subject,
        },
        "tags": tags(message),
    })
}

/// The message's tags and those that SES adds itself, each with an array of values.
fn tags(message: &Message) -> Map<String, Value> {
    let domain = bare_address(&message.from).rsplit_once('@').unwrap_or_default().1;
    let mut tags = Map::from_iter([
        ("ses:source-ip".into(), json!(["127.0.0.1"])),
        ("ses:from-domain".into(), json!([domain])),
        ("ses:caller-identity".into(), json!(["local"])),
    ]);
    if let Some(set) = &message.configuration_set {
        tags.insert("ses:configuration-set".into(), json!([set]));
    }
    tags.extend(message.tags.iter().map(|tag| (tag.name.clone(), json!([tag.value]))));
    tags
}

fn bare_recipients(message: &Message) -> Vec<&str> {
    message.recipients().collect()
}

/// An id that is always the same for the n-th event of a message.
fn event_id(message: &Message, index: usize) -> Uuid {
    let base = message.id.get(17..53).and_then(|uuid| Uuid::parse_str(uuid).ok()).unwrap_or_default();
    Uuid::from_u128(base.as_u128() ^ (index as u128))
}
