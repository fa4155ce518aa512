//! The life cycle of a recipient: one enum, and one total function that says which status may follow which.
//!
//! `recipient_may_become` in `migrations/` is the same function, for the statements that record outcomes and
//! events.

use std::fmt;

/// The status of a recipient: the column `status` of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// No outcome yet, and certainly not accepted by SES.
    Pending,
    /// SES accepted the message. Final.
    Sent,
    /// Certainly not accepted, and not tried again automatically.
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

    /// Returns true if new evidence may change this status into `next`.
    ///
    /// A `sent` recipient keeps its status. Evidence settles an `uncertain` recipient, or a decision
    /// (`campaign resolve`, or the policy `resend`). Only a decision, by one of these or by `campaign
    /// retry-failed`, leads back to `pending`.
    pub fn may_become(self, next: Status) -> bool {
        use Status::{Failed, Pending, Sent, Suppressed, Uncertain};
        match (self, next) {
            (Pending, Sent | Failed | Suppressed | Uncertain) => true,
            (Uncertain, Sent | Failed) => true,
            // SES's evidence that the message was sent outweighs an earlier refusal.
            (Failed, Sent) => true,
            (Pending | Uncertain | Failed, Pending)
            | (Uncertain, Suppressed | Uncertain)
            | (Failed, Failed | Suppressed | Uncertain)
            | (Sent | Suppressed, _) => false,
        }
    }

    /// Reads the column. A recipient whose status this release does not know counts as `uncertain`: it is not sent to.
    pub fn of(text: &str) -> Status {
        let known = Status::ALL.into_iter().find(|status| status.as_str() == text);
        known.unwrap_or(Status::Uncertain)
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
