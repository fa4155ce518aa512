//! Parses one SES event: from a record's body to what it proves and reports. It is pure.
//!
//! <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>

use aws_sdk_sesv2::primitives::{DateTime, DateTimeFormat};
use serde_json::Value;
use uuid::Uuid;

use super::kind::{Actor, Kind, hash};
use super::unsubscribe_link::{is_of, without_tokens};
use crate::message::render::one_line;

/// The longest text that is taken from an event, in characters: a diagnostic code, a user agent, a link.
const MAX_TEXT: usize = 1000;
/// The most destinations of an email that are looked at; a campaign's emails have one.
const MAX_DESTINATIONS: usize = 10;

/// The content of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// An event of a recipient.
    Event(Box<Event>),
    /// An event of an email that no campaign sent: it has no tags of a campaign.
    OtherSender,
    /// No event of a recipient: a delay, a subscription, a notice of SES or SNS about itself.
    Nothing,
}

/// One event of one recipient's email.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The tag `campaign_id`.
    pub campaign_id: Uuid,
    /// The tag `recipient_id`.
    pub recipient_id: Uuid,
    /// The tag `organization_id`, if there is one.
    pub organization_id: Option<Uuid>,
    /// The addresses that the email was sent to, one per line; `None` if the event names none.
    pub destination: Option<String>,
    /// SES's message id.
    pub message_id: String,
    /// When SES accepted the message.
    pub accepted_at: DateTime,
    /// When this happened.
    pub occurred_at: DateTime,
    /// The subject as the recipient sees it. `None` if the event has none, or only one in encoded words (RFC
    /// 2047); it is then rendered again.
    pub subject: Option<String>,
    /// What happened.
    pub kind: Kind,
}

/// A record that is not an event of SES, or a damaged one. The message says what is wrong and shows only the
/// wrong value of the record.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnEvent(String);

impl NotAnEvent {
    pub(super) fn new(problem: impl Into<String>) -> NotAnEvent {
        NotAnEvent(problem.into())
    }
}

/// The deepest wrapping is an SNS message that carries an EventBridge event.
const MAX_WRAPPINGS: usize = 3;

/// Reads the body of a record: an SES event as EventBridge has it, in an SNS notification, or bare.
///
/// # Errors
/// [`NotAnEvent`] when the body is not JSON, not of SES, or an event of a campaign that lacks its message id or
/// its time.
pub fn parse_text(body: &str) -> Result<Said, NotAnEvent> {
    // SES's first message to a topic that becomes an event destination.
    if body.starts_with("Successfully validated SNS topic") {
        return Ok(Said::Nothing);
    }
    let body =
        serde_json::from_str(body).map_err(|error| NotAnEvent(format!("the body is not JSON: {error}")))?;
    parse(body)
}

/// As [`parse_text`], for a body that is parsed JSON already.
///
/// # Errors
/// As [`parse_text`].
pub fn parse(body: Value) -> Result<Said, NotAnEvent> {
    let mut body = body;
    let mut of_ses = false;
    for _ in 0..MAX_WRAPPINGS {
        if let Some(kind) = body["eventType"].as_str().or_else(|| body["notificationType"].as_str()) {
            return event(kind, &body);
        }
        if body["Type"].is_string() && body["Message"].is_string() {
            let Some(message) = body["Message"].as_str().filter(|_| body["Type"] == "Notification") else {
                return Err(NotAnEvent(format!("it is an SNS message of the type {}", shown(&body["Type"]))));
            };
            if message.starts_with("Successfully validated SNS topic") {
                return Ok(Said::Nothing);
            }
            body = serde_json::from_str(message).map_err(|error| {
                NotAnEvent(format!("the SNS notification's Message is not JSON: {error}"))
            })?;
        } else if body["detail"].is_object() {
            if body["source"] != "aws.ses" {
                return Err(NotAnEvent(format!(
                    "source is {}: expected \"aws.ses\"",
                    shown(&body["source"])
                )));
            }
            of_ses = true;
            body = body["detail"].take();
        } else {
            break;
        }
    }
    // SES also reports on itself (advice, account status), in events without an email.
    if of_ses && body["mail"].is_null() {
        return Ok(Said::Nothing);
    }
    Err(NotAnEvent("it has neither eventType nor notificationType".to_owned()))
}

/// Reads an SES event of this type.
fn event(kind: &str, body: &Value) -> Result<Said, NotAnEvent> {
    // The fields of a type are under its name in camel case, those of "Rendering Failure" under "failure".
    let name = match kind {
        "Send" => "send",
        "Delivery" => "delivery",
        "Bounce" => "bounce",
        "Complaint" => "complaint",
        "Open" => "open",
        "Click" => "click",
        "Reject" => "reject",
        "Rendering Failure" | "RenderingFailure" => "failure",
        // DeliveryDelay, Subscription, AmazonSnsSubscriptionSucceeded, and types that SES may add.
        _ => return Ok(Said::Nothing),
    };
    let (mail, details) = (&body["mail"], &body[name]);
    let tag = |name: &str| mail["tags"][name][0].as_str().and_then(|id| Uuid::try_parse(id).ok());
    let (Some(campaign_id), Some(recipient_id)) = (tag("campaign_id"), tag("recipient_id")) else {
        return Ok(Said::OtherSender);
    };
    // A tag of that name whose value is not an id was not set by this package.
    let organization_id = match &mail["tags"]["organization_id"][0] {
        Value::Null => None,
        _ => match tag("organization_id") {
            Some(id) => Some(id),
            None => return Ok(Said::OtherSender),
        },
    };
    let message_id = text(&mail["messageId"]).ok_or_else(|| {
        NotAnEvent(format!("mail.messageId is {}: expected a text", shown(&mail["messageId"])))
    })?;
    let accepted_at = time(&mail["timestamp"]).ok_or_else(|| {
        NotAnEvent(format!("mail.timestamp is {}: expected a time (RFC 3339)", shown(&mail["timestamp"])))
    })?;
    Ok(Said::Event(Box::new(Event {
        campaign_id,
        recipient_id,
        organization_id,
        destination: destination(mail),
        message_id,
        accepted_at,
        occurred_at: time(&details["timestamp"]).unwrap_or(accepted_at),
        subject: subject(mail),
        kind: read_kind(name, details, recipient_id),
    })))
}

fn read_kind(name: &str, details: &Value, recipient_id: Uuid) -> Kind {
    let optional = |field: &str| text(&details[field]);
    let required = |field: &str| optional(field).unwrap_or_default();
    let by = || {
        let raw = |field: &str| details[field].as_str();
        Actor::of(&details["isBotEvent"], raw("userAgent"), raw("ipAddress"))
    };
    match name {
        "delivery" => Kind::Delivery,
        "bounce" => Kind::Bounce {
            bounce_type: required("bounceType"),
            sub_type: required("bounceSubType"),
            diagnostic_code: text(&details["bouncedRecipients"][0]["diagnosticCode"]),
        },
        "complaint" => Kind::Complaint {
            sub_type: optional("complaintSubType"),
            feedback_type: optional("complaintFeedbackType"),
            user_agent: optional("userAgent"),
        },
        "open" => Kind::Open { by: by(), user_agent: optional("userAgent") },
        "click" => {
            let link = details["link"].as_str().unwrap_or_default();
            if is_of(link, recipient_id) {
                return Kind::UnsubscribeClick;
            }
            let (link, link_key) = (required("link"), hash(link));
            Kind::Click { by: by(), link, link_key, user_agent: optional("userAgent") }
        }
        "reject" => Kind::Reject { reason: required("reason") },
        "failure" => Kind::RenderingFailure { message: required("errorMessage") },
        _ => Kind::Send,
    }
}

/// The addresses of `mail.destination`, each without a display name.
fn destination(mail: &Value) -> Option<String> {
    let addresses = mail["destination"].as_array()?.iter().filter_map(Value::as_str);
    let bare = |address: &str| match address.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((_, bare)) => bare.to_owned(),
        None => address.to_owned(),
    };
    let addresses: Vec<String> =
        addresses.take(MAX_DESTINATIONS).map(|address| clean(&bare(address), MAX_TEXT)).collect();
    (!addresses.is_empty()).then(|| addresses.join("\n"))
}

/// The subject from the headers, if the recipient sees it in this form.
fn subject(mail: &Value) -> Option<String> {
    let header = || {
        let headers = mail["headers"].as_array()?;
        let of_subject = |header: &&Value| {
            header["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("subject"))
        };
        headers.iter().find(of_subject)?["value"].as_str()
    };
    let subject = mail["commonHeaders"]["subject"].as_str().or_else(header)?;
    (!subject.contains("=?")).then(|| clean(&without_tokens(&one_line(subject)), MAX_TEXT))
}

/// A text of an event, in the form in which it may be stored.
fn text(value: &Value) -> Option<String> {
    value.as_str().map(|text| clean(&without_tokens(text), MAX_TEXT))
}

/// The first `length` characters of a text, with spaces in place of control characters (PostgreSQL does not
/// store NUL).
fn clean(text: &str, length: usize) -> String {
    text.chars().take(length).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A value as shown in an error message: its first 80 characters.
fn shown(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

fn time(value: &Value) -> Option<DateTime> {
    DateTime::from_str(value.as_str()?, DateTimeFormat::DateTimeWithOffset).ok()
}

#[cfg(test)]
mod tests;
