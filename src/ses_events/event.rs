//! What one SES event says. Pure: a record's body goes in, and what it proves and tells comes out.
//!
//! <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>

use aws_sdk_sesv2::primitives::{DateTime, DateTimeFormat};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::batch::render::one_line;
use crate::lifecycle::Status;

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Something of a recipient.
    Event(Box<Event>),
    /// Something of an email that no campaign sent: it has not the tags of one.
    OtherSender,
    /// Nothing of any recipient: a delay, a subscription, a notice of SES or SNS about itself.
    Nothing,
}

/// One event of one recipient's email.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The tag `campaign_id`.
    pub campaign_id: Uuid,
    /// The tag `recipient_id`.
    pub recipient_id: Uuid,
    /// SES's message id.
    pub message_id: String,
    /// When SES accepted the message.
    pub accepted_at: DateTime,
    /// When this happened.
    pub occurred_at: DateTime,
    /// The subject as the recipient sees it. `None` where the event has none, or only one in the encoded words
    /// of RFC 2047: it is then rendered again.
    pub subject: Option<String>,
    /// What happened.
    pub kind: Kind,
}

/// What happened to an email, with what SES tells of it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields have SES's own names")]
pub enum Kind {
    Send,
    Delivery,
    Bounce { bounce_type: String, sub_type: String, diagnostic_code: Option<String>, feedback_id: String },
    Complaint { feedback_type: Option<String>, user_agent: Option<String>, feedback_id: String },
    Open { user_agent: Option<String> },
    Click { link: String, user_agent: Option<String> },
    Reject { reason: String },
    RenderingFailure { message: String },
}

/// A record that is no event of SES, or a damaged one. The message says what is wrong, with no more of the record
/// than the value that is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnEvent(String);

impl NotAnEvent {
    pub(super) fn new(problem: impl Into<String>) -> NotAnEvent {
        NotAnEvent(problem.into())
    }
}

/// An SNS message that carries an EventBridge event is the deepest there is.
const MAX_WRAPPINGS: usize = 3;

/// Reads the body of a record: an SES event as EventBridge has it, in an SNS notification, or bare.
///
/// # Errors
/// [`NotAnEvent`] when the body is not JSON, not of SES, or an event of a campaign that lacks its message id or
/// its time.
pub fn parse_text(body: &str) -> Result<Said, NotAnEvent> {
    // What SES says to a topic when it becomes an event destination.
    if body.starts_with("Successfully validated SNS topic") {
        return Ok(Said::Nothing);
    }
    let body =
        serde_json::from_str(body).map_err(|error| NotAnEvent(format!("the body is not JSON: {error}")))?;
    parse(body)
}

/// As [`parse_text`], of a body that is JSON already.
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
    // The fields of a type stand under its name in camel case, "Rendering Failure" under "failure".
    let name = match kind {
        "Send" => "send",
        "Delivery" => "delivery",
        "Bounce" => "bounce",
        "Complaint" => "complaint",
        "Open" => "open",
        "Click" => "click",
        "Reject" => "reject",
        "Rendering Failure" | "RenderingFailure" => "failure",
        // DeliveryDelay, Subscription, AmazonSnsSubscriptionSucceeded, and what SES may add.
        _ => return Ok(Said::Nothing),
    };
    let (mail, details) = (&body["mail"], &body[name]);
    let tag = |name: &str| mail["tags"][name][0].as_str().and_then(|id| Uuid::try_parse(id).ok());
    let (Some(campaign_id), Some(recipient_id)) = (tag("campaign_id"), tag("recipient_id")) else {
        return Ok(Said::OtherSender);
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
        message_id,
        accepted_at,
        occurred_at: time(&details["timestamp"]).unwrap_or(accepted_at),
        subject: subject(mail),
        kind: read_kind(name, details),
    })))
}

fn read_kind(name: &str, details: &Value) -> Kind {
    let optional = |field: &str| text(&details[field]);
    let required = |field: &str| optional(field).unwrap_or_default();
    match name {
        "delivery" => Kind::Delivery,
        "bounce" => Kind::Bounce {
            bounce_type: required("bounceType"),
            sub_type: required("bounceSubType"),
            diagnostic_code: text(&details["bouncedRecipients"][0]["diagnosticCode"]),
            feedback_id: required("feedbackId"),
        },
        "complaint" => Kind::Complaint {
            feedback_type: optional("complaintFeedbackType"),
            user_agent: optional("userAgent"),
            feedback_id: required("feedbackId"),
        },
        "open" => Kind::Open { user_agent: optional("userAgent") },
        "click" => Kind::Click { link: required("link"), user_agent: optional("userAgent") },
        "reject" => Kind::Reject { reason: required("reason") },
        "failure" => Kind::RenderingFailure { message: required("errorMessage") },
        _ => Kind::Send,
    }
}

/// The subject from the headers, where that is what the recipient sees.
fn subject(mail: &Value) -> Option<String> {
    let header = || {
        let headers = mail["headers"].as_array()?;
        let of_subject = |header: &&Value| {
            header["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("subject"))
        };
        headers.iter().find(of_subject)?["value"].as_str()
    };
    let subject = mail["commonHeaders"]["subject"].as_str().or_else(header)?;
    (!subject.contains("=?")).then(|| one_line(subject))
}

/// A text as PostgreSQL can hold it, which is any without NUL.
fn text(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.replace('\0', " "))
}

/// A value as it stands in an error message: its first 80 characters.
fn shown(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

fn time(value: &Value) -> Option<DateTime> {
    DateTime::from_str(value.as_str()?, DateTimeFormat::DateTimeWithOffset).ok()
}

impl Kind {
    /// The status that it proves. Whatever befell an email after SES had accepted it proves that it was sent.
    pub fn status(&self) -> Status {
        match self {
            Kind::Reject { .. } | Kind::RenderingFailure { .. } => Status::Failed,
            _ => Status::Sent,
        }
    }

    /// Why the email was not sent: an error code, and SES's words.
    pub fn error(&self) -> Option<(&'static str, &str)> {
        match self {
            Kind::Reject { reason } => Some(("rejected", reason)),
            Kind::RenderingFailure { message } => Some(("rendering_failure", message)),
            _ => None,
        }
    }

    /// The action of its activity.
    pub fn action(&self) -> Option<&'static str> {
        match self {
            Kind::Delivery => Some("email_delivered"),
            Kind::Bounce { .. } => Some("email_bounced"),
            Kind::Complaint { .. } => Some("email_complained"),
            Kind::Open { .. } => Some("email_opened"),
            Kind::Click { .. } => Some("email_clicked"),
            Kind::Send | Kind::Reject { .. } | Kind::RenderingFailure { .. } => None,
        }
    }

    /// What tells it from another event of the same email, type and time.
    pub fn key(&self) -> &str {
        match self {
            Kind::Bounce { feedback_id, .. } | Kind::Complaint { feedback_id, .. } => feedback_id,
            Kind::Click { link, .. } => link,
            _ => "",
        }
    }

    /// The description of its activity: what stands before the recipient's name or address, and after it.
    pub fn wording(&self) -> (String, String) {
        let (before, after) = match self {
            Kind::Delivery => ("Email delivered to ".to_owned(), String::new()),
            Kind::Bounce { bounce_type, sub_type, .. } => {
                (format!("Email bounced ({bounce_type}/{sub_type}) for "), String::new())
            }
            Kind::Complaint { feedback_type: Some(kind), .. } => {
                ("Email reported as ".to_owned() + kind + " by ", String::new())
            }
            Kind::Complaint { .. } => ("Email complained of by ".to_owned(), String::new()),
            Kind::Open { .. } => ("Email opened by ".to_owned(), String::new()),
            Kind::Click { link, .. } => ("Link clicked by ".to_owned(), format!(": {link}")),
            Kind::Send | Kind::Reject { .. } | Kind::RenderingFailure { .. } => Default::default(),
        };
        (before, after)
    }

    /// What the metadata of its activity has beyond that of `email_sent`.
    pub fn details(&self) -> Map<String, Value> {
        let fields = match self {
            Kind::Bounce { bounce_type, sub_type, diagnostic_code, .. } => {
                json!({"bounceType": bounce_type, "bounceSubType": sub_type, "diagnosticCode": diagnostic_code})
            }
            Kind::Complaint { feedback_type, user_agent, .. } => {
                json!({"complaintFeedbackType": feedback_type, "userAgent": user_agent})
            }
            Kind::Open { user_agent } => json!({"userAgent": user_agent}),
            Kind::Click { link, user_agent } => json!({"link": link, "userAgent": user_agent}),
            Kind::Send | Kind::Delivery | Kind::Reject { .. } | Kind::RenderingFailure { .. } => Value::Null,
        };
        let Value::Object(fields) = fields else { return Map::new() };
        fields.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    /// What it says of the address and the sender, if anything: `delivered`, `bounced`, `soft_bounced` or
    /// `complained`.
    ///
    /// A transient bounce for what the message holds says nothing of the address. One that SES itself makes, because
    /// the address stands on the account's own suppression list, is not held against the sender by SES either.
    pub fn feedback(&self) -> Option<&'static str> {
        match self {
            Kind::Delivery => Some("delivered"),
            Kind::Bounce { bounce_type, sub_type, .. } => match (bounce_type.as_str(), sub_type.as_str()) {
                ("Permanent", "OnAccountSuppressionList") => None,
                ("Permanent", _) => Some("bounced"),
                ("Transient", "MessageTooLarge" | "ContentRejected" | "AttachmentRejected") => None,
                ("Transient", _) => Some("soft_bounced"),
                _ => None,
            },
            Kind::Complaint { .. } if self.suppression().is_some() => Some("complained"),
            Kind::Complaint { .. } => None,
            Kind::Send | Kind::Open { .. } | Kind::Click { .. } => None,
            Kind::Reject { .. } | Kind::RenderingFailure { .. } => None,
        }
    }

    /// Why the organization writes to this address no more, if so. A complaint of the type `not-spam` is the
    /// recipient's word that the email was welcome.
    pub fn suppression(&self) -> Option<&'static str> {
        match self {
            Kind::Bounce { bounce_type, .. } if bounce_type == "Permanent" => Some("bounce"),
            Kind::Complaint { feedback_type, .. } if feedback_type.as_deref() != Some("not-spam") => {
                Some("complaint")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
