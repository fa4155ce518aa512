//! The life of a recipient: one enum, and one total function of what may follow what.
//!
//! `recipient_may_become` in `migrations/` is the same function for the statements that change a recipient's
//! status; no status is set without it.

use std::fmt;

/// What became of one recipient: the `status` of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// No outcome yet, and certainly not accepted by SES.
    Pending,
    /// SES accepted the message. Final.
    Sent,
    /// Certainly not accepted, and not worth another try by itself.
    Failed,
    /// On the organization's suppression list. Final for this campaign.
    Suppressed,
    /// SES may or may not have accepted the message; only its events can tell.
    Uncertain,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 5] =
        [Status::Pending, Status::Sent, Status::Failed, Status::Suppressed, Status::Uncertain];

    /// Whether what is known now may turn this status into `next`.
    ///
    /// Nothing becomes less than `sent`. What is in doubt is settled by evidence only, and by a decision
    /// (`campaign resolve`, or the policy for doubt without a word) where there is none: only that, and `campaign
    /// retry-failed`, leads back to `pending`.
    pub fn may_become(self, next: Status) -> bool {
        use Status::{Failed, Pending, Sent, Suppressed, Uncertain};
        match (self, next) {
            (Pending, Sent | Failed | Suppressed | Uncertain) => true,
            (Uncertain, Sent | Failed) => true,
            // A refusal that was believed, and then SES's own word that the message was sent.
            (Failed, Sent) => true,
            (Pending | Uncertain | Failed, Pending)
            | (Uncertain, Suppressed | Uncertain)
            | (Failed, Failed | Suppressed | Uncertain)
            | (Sent | Suppressed, _) => false,
        }
    }

    /// The text of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Sent => "sent",
            Status::Failed => "failed",
            Status::Suppressed => "suppressed",
            Status::Uncertain => "uncertain",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
