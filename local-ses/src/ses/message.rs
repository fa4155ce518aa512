use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

use super::attachment::Attachment;
use super::check;
pub use super::request::{FeatureStatus, NameValue};
use super::suppression::SuppressionReason;

/// The operation by which a message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestKind {
    /// `SendEmail`
    Single,
    /// `SendBulkEmail`
    Bulk,
}

/// A message that was accepted, as its recipients would get it.
#[derive(Clone, Debug)]
pub struct Message {
    /// 1 for the first message accepted, then one more for each.
    pub sequence: u64,
    /// The message id in the answer (or in the answer that a rule suppressed).
    pub id: String,
    pub kind: RequestKind,
    pub received: SystemTime,
    pub from: String,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub reply_to: Vec<String>,
    pub feedback_forwarding: Option<String>,
    pub subject: String,
    pub html: Option<Arc<str>>,
    pub text: Option<Arc<str>>,
    /// Headers beyond those that SES writes itself; all of them, for a message sent as `Raw`.
    pub headers: Vec<NameValue>,
    pub tags: Vec<NameValue>,
    pub configuration_set: Option<String>,
    /// The tenant through which it was sent.
    pub tenant: Option<String>,
    /// The request's settings for tracking opens and clicks, which override the configuration set.
    pub open_tracking: Option<FeatureStatus>,
    pub click_tracking: Option<FeatureStatus>,
    /// Its attachments. Empty for a message that was sent as `Raw`.
    pub attachments: Arc<[Attachment]>,
    /// Why the address was on the account's suppression list, if it was: SES accepts, and reports a bounce or a
    /// complaint of its own.
    pub suppressed: Option<SuppressionReason>,
    /// The unchanged message, if it was sent as `Raw`.
    pub raw: Option<Arc<[u8]>>,
}

impl Message {
    /// All addresses, without display names.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        self.to.iter().chain(&self.cc).chain(&self.bcc).map(|address| check::bare_address(address))
    }

    /// The value of the first header of this name, whatever its letter case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str())
    }

    /// The value of the tag of this name.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.name == name).map(|tag| tag.value.as_str())
    }

    /// When it was received, as SES writes times: `2025-01-31T08:00:00.123Z`.
    pub fn received_iso(&self) -> String {
        iso(self.received)
    }
}

/// A message id of SES's form, unique: `0100` and the time in milliseconds, a UUID, and six zeros.
pub(super) fn new_message_id(now: SystemTime) -> String {
    let milliseconds = since_epoch(now).as_millis();
    let mut id = String::with_capacity(60);
    let _ = write!(id, "0100{milliseconds:012x}-{}-000000", Uuid::new_v4().hyphenated());
    id
}

/// The time to the millisecond, always with three digits, which the SDK's own form has not.
pub(super) fn iso(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| format!("{time:.3}")).unwrap_or_default()
}

pub(super) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_has_the_form_of_ses() {
        let id = new_message_id(UNIX_EPOCH + Duration::from_millis(0x18f_3a2b_4c5d));
        assert!(id.starts_with("0100018f3a2b4c5d-") && id.ends_with("-000000"), "{id}");
        assert_eq!(id.len(), 60);
        assert_eq!(iso(UNIX_EPOCH + Duration::from_millis(1_700_000_000_120)), "2023-11-14T22:13:20.120Z");
    }
}
