//! What happened to an email, and the consequences. Pure.
//!
//! <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::domain::recipient::Status;

/// The actions of SES's events, in addition to `email_sent`.
pub const ACTIONS: [&str; 6] = [
    "email_delivered",
    "email_bounced",
    "email_complained",
    "email_rejected",
    "email_opened",
    "email_clicked",
];

/// The name under which a timeline shows that Apple loaded an email's images.
const APPLE: &str = "Apple Mail Privacy Protection";

/// What happened to an email, with SES's details.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields have SES's own names")]
pub enum Kind {
    Send,
    Delivery,
    Bounce {
        bounce_type: String,
        sub_type: String,
        diagnostic_code: Option<String>,
    },
    Complaint {
        sub_type: Option<String>,
        feedback_type: Option<String>,
        user_agent: Option<String>,
    },
    Open {
        by: Actor,
        user_agent: Option<String>,
    },
    /// `link` may be cut in length; `link_key` is a hash of all of it.
    Click {
        by: Actor,
        link: String,
        link_key: Uuid,
        user_agent: Option<String>,
    },
    /// A click on the email's own link to unsubscribe, which the function `unsubscribe` records.
    UnsubscribeClick,
    Reject {
        reason: String,
    },
    RenderingFailure {
        message: String,
    },
}

/// Who or what opened an email or followed a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person, as far as SES can tell.
    Person,
    /// A machine, according to SES: `isBotEvent` is `Likely`.
    Machine,
    /// Apple's Mail Privacy Protection, which loads the images of every email, read or not.
    Apple,
}

impl Actor {
    /// Decides by SES's `isBotEvent`, the user agent and the IP address. Apple's proxies name themselves
    /// `Mozilla/5.0` and nothing more; 17.0.0.0/8 is Apple's network.
    pub fn of(is_bot_event: &Value, user_agent: Option<&str>, ip_address: Option<&str>) -> Actor {
        let is_bot = match is_bot_event {
            Value::Bool(is_bot) => *is_bot,
            Value::String(is_bot) => {
                ["likely", "true", "yes"].iter().any(|yes| is_bot.eq_ignore_ascii_case(yes))
            }
            _ => false,
        };
        let is_apple = user_agent.is_some_and(|agent| agent.trim() == "Mozilla/5.0")
            || ip_address.is_some_and(|address| address.starts_with("17."));
        match (is_bot, is_apple) {
            (true, _) => Actor::Machine,
            (false, true) => Actor::Apple,
            (false, false) => Actor::Person,
        }
    }
}

/// The meaning of an event for the recipient, its address and the sender. Every rule about events uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// SES accepted the message.
    Accepted,
    /// The recipient's mail server accepted the message.
    Delivered,
    /// The recipient's mail server says that the address does not work.
    Bounced,
    /// The recipient's mail server refused the message for now, or sent an automatic reply; with SES's
    /// sub-type.
    SoftBounced(&'static str),
    /// The recipient's mail server refused the message's content, which says nothing about the address.
    ContentRefused,
    /// A bounce that SES cannot classify.
    UnclearBounce,
    /// SES did not try, because of one of its own lists; no mail server has bounced the message.
    BounceBySes(SuppressedBy),
    /// The recipient complained.
    Complained,
    /// The recipient reports that the email is not spam.
    NotSpam,
    /// SES did not try, because the address is on one of its lists because of an earlier complaint.
    ComplaintBySes(SuppressedBy),
    /// The email was opened.
    Opened(Actor),
    /// A link was followed.
    Clicked(Actor),
    /// SES rejected the message after it had accepted it.
    Rejected,
}

/// Why SES itself did not send to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuppressedBy {
    /// The account's suppression list.
    Account,
    /// The suppression list of the account's tenant.
    Tenant,
    /// The suppression list of all of SES.
    Global,
    /// SES's validation of addresses before sending.
    Validation,
    /// SES's own management of subscriptions.
    Subscription,
    /// A reason that this version does not know.
    Other,
}

impl SuppressedBy {
    /// Reads a `bounceSubType` or `complaintSubType`. `None`: SES did not make the event itself.
    fn read(sub_type: &str) -> Option<SuppressedBy> {
        Some(match sub_type {
            "OnAccountSuppressionList" => SuppressedBy::Account,
            "OnTenantSuppressionList" => SuppressedBy::Tenant,
            "Suppressed" => SuppressedBy::Global,
            "EmailValidationSuppressed" => SuppressedBy::Validation,
            "UnsubscribedRecipient" => SuppressedBy::Subscription,
            other if other.to_ascii_lowercase().contains("suppress") => SuppressedBy::Other,
            _ => return None,
        })
    }

    /// The name in the timeline.
    pub fn as_str(self) -> &'static str {
        match self {
            SuppressedBy::Account => "account suppression list",
            SuppressedBy::Tenant => "tenant suppression list",
            SuppressedBy::Global => "global suppression list",
            SuppressedBy::Validation => "email validation",
            SuppressedBy::Subscription => "subscription preferences",
            SuppressedBy::Other => "Amazon SES",
        }
    }
}

impl Kind {
    /// The meaning of this event.
    pub fn meaning(&self) -> Meaning {
        match self {
            Kind::Send | Kind::UnsubscribeClick => Meaning::Accepted,
            Kind::Delivery => Meaning::Delivered,
            Kind::Bounce { bounce_type, sub_type, .. } => bounce(bounce_type, sub_type),
            Kind::Complaint { sub_type, feedback_type, .. } => {
                match (sub_type.as_deref().and_then(SuppressedBy::read), feedback_type.as_deref()) {
                    (Some(by), _) => Meaning::ComplaintBySes(by),
                    (None, Some("not-spam")) => Meaning::NotSpam,
                    (None, _) => Meaning::Complained,
                }
            }
            Kind::Open { by, .. } => Meaning::Opened(*by),
            Kind::Click { by, .. } => Meaning::Clicked(*by),
            Kind::Reject { .. } | Kind::RenderingFailure { .. } => Meaning::Rejected,
        }
    }

    /// The status that it proves. Every event after SES's acceptance proves that the email was sent.
    pub fn status(&self) -> Status {
        match self.meaning() {
            Meaning::Rejected => Status::Failed,
            _ => Status::Sent,
        }
    }

    /// Why the email was not sent: an error code, and SES's message.
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
            Kind::Reject { .. } | Kind::RenderingFailure { .. } => Some("email_rejected"),
            Kind::Open { .. } => Some("email_opened"),
            Kind::Click { .. } => Some("email_clicked"),
            Kind::Send | Kind::UnsubscribeClick => None,
        }
    }

    /// The kind of the event within its recipient and action; only the first event of each kind is an
    /// activity. There are a handful of kinds, and two for each link of the email.
    pub fn key(&self) -> Uuid {
        match self {
            Kind::Click { link_key, by, .. } => hash(&format!("{by:?} {link_key}")),
            _ => hash(&format!("{:?}", self.meaning())),
        }
    }

    /// What made the event, if neither a person nor the recipient's mail server did: `ses`, `machine` or
    /// `apple`.
    pub fn made_by(&self) -> Option<&'static str> {
        match self.meaning() {
            Meaning::BounceBySes(_) | Meaning::ComplaintBySes(_) | Meaning::Rejected => Some("ses"),
            Meaning::Opened(Actor::Machine) | Meaning::Clicked(Actor::Machine) => Some("machine"),
            Meaning::Opened(Actor::Apple) | Meaning::Clicked(Actor::Apple) => Some("apple"),
            _ => None,
        }
    }

    /// The description of its activity: the text before the recipient's name or address, and the text after
    /// it.
    pub fn wording(&self) -> (String, String) {
        let words = |before: &str, after: &str| (before.to_owned(), after.to_owned());
        match (self, self.meaning()) {
            (Kind::Delivery, _) => words("Email delivered to ", ""),
            (Kind::Bounce { bounce_type, sub_type, .. }, meaning) => {
                let after = match meaning {
                    Meaning::BounceBySes(by) => format!(": not sent by Amazon SES itself ({})", by.as_str()),
                    _ => String::new(),
                };
                (format!("Email bounced ({bounce_type}/{sub_type}) for "), after)
            }
            (Kind::Complaint { .. }, Meaning::ComplaintBySes(by)) => (
                "Email withheld from ".to_owned(),
                format!(": not sent by Amazon SES itself after an earlier complaint ({})", by.as_str()),
            ),
            (Kind::Complaint { feedback_type: Some(kind), .. }, _) => {
                (format!("Email reported as {kind} by "), String::new())
            }
            (Kind::Complaint { .. }, _) => words("Email complained of by ", ""),
            (Kind::Open { by: Actor::Person, .. }, _) => words("Email opened by ", ""),
            (Kind::Open { by: Actor::Machine, .. }, _) => words("Email opened by a machine for ", ""),
            (Kind::Open { by: Actor::Apple, .. }, _) => words("Images loaded by Apple Mail for ", ""),
            (Kind::Click { by: Actor::Machine, link, .. }, _) => {
                ("Link followed by a machine for ".to_owned(), format!(": {link}"))
            }
            (Kind::Click { link, .. }, _) => ("Link clicked by ".to_owned(), format!(": {link}")),
            (Kind::Reject { reason: why } | Kind::RenderingFailure { message: why }, _) => {
                ("Email rejected by Amazon SES for ".to_owned(), format!(": {why}"))
            }
            (Kind::Send | Kind::UnsubscribeClick, _) => words("", ""),
        }
    }

    /// The metadata of its activity in addition to that of `email_sent`.
    pub fn details(&self) -> Map<String, Value> {
        let fields = match self {
            Kind::Bounce { bounce_type, sub_type, diagnostic_code } => {
                json!({"bounceType": bounce_type, "bounceSubType": sub_type, "diagnosticCode": diagnostic_code})
            }
            Kind::Complaint { sub_type, feedback_type, user_agent } => json!({
                "complaintSubType": sub_type, "complaintFeedbackType": feedback_type, "userAgent": user_agent
            }),
            Kind::Open { user_agent, .. } => json!({"userAgent": user_agent}),
            Kind::Click { link, user_agent, .. } => json!({"link": link, "userAgent": user_agent}),
            Kind::Reject { reason } => json!({"reason": reason}),
            Kind::RenderingFailure { message } => json!({"errorMessage": message}),
            Kind::Send | Kind::Delivery | Kind::UnsubscribeClick => Value::Null,
        };
        let Value::Object(mut fields) = fields else { return Map::new() };
        match self.meaning() {
            Meaning::BounceBySes(by) | Meaning::ComplaintBySes(by) => {
                fields.insert("suppressedBy".to_owned(), by.as_str().into());
            }
            Meaning::Opened(Actor::Machine) | Meaning::Clicked(Actor::Machine) => {
                fields.insert("automated".to_owned(), true.into());
            }
            Meaning::Opened(Actor::Apple) | Meaning::Clicked(Actor::Apple) => {
                fields.insert("privacyProxy".to_owned(), APPLE.into());
            }
            _ => {}
        }
        fields.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    /// What the statement counts it as: `accepted`, `delivered`, `bounced`, `soft_bounced`, `complained` or
    /// `rejected`. Events that SES made itself do not count against the sender.
    pub fn feedback(&self) -> Option<&'static str> {
        match self.meaning() {
            Meaning::Accepted => matches!(self, Kind::Send).then_some("accepted"),
            Meaning::Delivered => Some("delivered"),
            Meaning::Bounced => Some("bounced"),
            Meaning::SoftBounced(_) => Some("soft_bounced"),
            Meaning::Complained => Some("complained"),
            Meaning::Rejected => Some("rejected"),
            Meaning::ContentRefused
            | Meaning::UnclearBounce
            | Meaning::BounceBySes(_)
            | Meaning::NotSpam
            | Meaning::ComplaintBySes(_)
            | Meaning::Opened(_)
            | Meaning::Clicked(_) => None,
        }
    }

    /// The reason for which the address is suppressed, if it is.
    pub fn suppression(&self) -> Option<&'static str> {
        match self.meaning() {
            Meaning::BounceBySes(SuppressedBy::Subscription) => Some("unsubscribe"),
            Meaning::Bounced | Meaning::BounceBySes(_) => Some("bounce"),
            Meaning::Complained | Meaning::ComplaintBySes(_) => Some("complaint"),
            Meaning::Accepted
            | Meaning::Delivered
            | Meaning::SoftBounced(_)
            | Meaning::ContentRefused
            | Meaning::UnclearBounce
            | Meaning::NotSpam
            | Meaning::Opened(_)
            | Meaning::Clicked(_)
            | Meaning::Rejected => None,
        }
    }
}

fn bounce(bounce_type: &str, sub_type: &str) -> Meaning {
    if let Some(by) = SuppressedBy::read(sub_type) {
        return Meaning::BounceBySes(by);
    }
    match (bounce_type, sub_type) {
        ("Permanent", _) => Meaning::Bounced,
        ("Transient", "MessageTooLarge" | "ContentRejected" | "AttachmentRejected") => {
            Meaning::ContentRefused
        }
        ("Transient", "General") => Meaning::SoftBounced("General"),
        ("Transient", "MailboxFull") => Meaning::SoftBounced("MailboxFull"),
        ("Transient", _) => Meaning::SoftBounced("other"),
        _ => Meaning::UnclearBounce,
    }
}

/// The first 16 bytes of a text's SHA-256.
pub(super) fn hash(text: &str) -> Uuid {
    let digest = digest(&SHA256, text.as_bytes());
    Uuid::from_slice(&digest.as_ref()[..16]).unwrap_or_default()
}
