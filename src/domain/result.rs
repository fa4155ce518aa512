//! The result of a batch: what an invocation did, and what its orchestrator does next.

use serde::Serialize;
use uuid::Uuid;

use crate::domain::cause::Cause;
use crate::domain::outcome::Unrecorded;

/// What the orchestrator does with the campaign now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// More to send now: invoke again with `next`.
    Continue,
    /// More to send, not before `waitSeconds`.
    Wait,
    /// Every recipient has an outcome.
    Done,
    /// A person paused the campaign.
    Paused,
    /// A person cancelled the campaign.
    Cancelled,
    /// A cause that would fail every recipient; the campaign is now paused.
    Halted,
    /// Nothing is due.
    Idle,
}

/// What one invocation answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResult {
    /// The campaign; null when idle.
    pub campaign_id: Option<Uuid>,
    /// What to do.
    pub status: Status,
    /// Seconds to wait before `next`; 0 unless `status` is `wait`.
    pub wait_seconds: u64,
    /// The recipients of this batch by outcome.
    pub batch: BatchCounts,
    /// The activities of this batch.
    pub activities: Activities,
    /// The counters of the campaign.
    pub progress: Progress,
    /// The reason, if the status needs one.
    pub reason: Option<String>,
    /// The next invocation's event.
    pub next: Option<Next>,
    /// The reason as a cause, of a wait: for `campaign status`, not for the orchestrator.
    #[serde(skip)]
    pub cause: Option<Cause>,
}

/// The recipients of one batch by outcome; `claimed` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are the meaning")]
pub struct BatchCounts {
    pub claimed: u32,
    pub sent: u32,
    pub failed: u32,
    pub suppressed: u32,
    pub uncertain: u32,
    pub deferred: u32,
}

/// The activities of one batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Activities {
    /// False if PostgreSQL could not record what was sent; `next.unrecorded` then carries it.
    pub success: bool,
    /// Emails of this batch that are in the timeline.
    pub count: u32,
    /// PostgreSQL's error.
    pub error: Option<String>,
}

impl Activities {
    /// The activities of this many emails are written.
    pub fn written(count: u32) -> Self {
        Activities { success: true, count, error: None }
    }
}

/// The recipients of a campaign by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are the meaning")]
pub struct Progress {
    pub total: i32,
    pub sent: i32,
    pub failed: i32,
    pub suppressed: i32,
    pub uncertain: i32,
    pub remaining: i32,
}

/// The next invocation's event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// The campaign.
    pub campaign_id: Uuid,
    /// Recipients per batch, as this invocation had it.
    pub batch_size: u32,
    /// What this invocation sent and could not record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<Unrecorded>,
}

/// The longest result, in bytes of JSON: what Step Functions passes from state to state.
pub const MAX_RESULT_BYTES: usize = 256 * 1024;
/// The longest `reason` and `activities.error`, in characters.
const MAX_TEXT: usize = 2000;

impl BatchResult {
    /// Cuts the texts, so that the result stays below [`MAX_RESULT_BYTES`] together with the largest `next`.
    #[must_use]
    pub fn bounded(mut self) -> BatchResult {
        for text in [&mut self.reason, &mut self.activities.error].into_iter().flatten() {
            if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
                text.truncate(end);
            }
        }
        self
    }

    /// Nothing is due.
    pub fn idle() -> Self {
        BatchResult {
            campaign_id: None,
            status: Status::Idle,
            wait_seconds: 0,
            batch: BatchCounts::default(),
            activities: Activities::written(0),
            progress: Progress::default(),
            reason: None,
            next: None,
            cause: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::domain::outcome::{Entry, Outcome};

    #[test]
    fn a_result_fits_whatever_postgresql_and_ses_said() {
        // A control character takes six bytes of JSON.
        let text = "\u{1}".repeat(1_000_000);
        let entry = |n| Entry {
            recipient_id: Uuid::from_u64_pair(n, n),
            outcome: Outcome::Sent { message_id: "m".repeat(60), at: SystemTime::UNIX_EPOCH },
        };
        let id = Uuid::nil();
        let unrecorded = Unrecorded::of_batch(id, 1, id, (0..10_000).map(entry));
        let result = BatchResult {
            campaign_id: Some(id),
            reason: Some(text.clone()),
            activities: Activities { success: false, count: 0, error: Some(text) },
            next: Some(Next { campaign_id: id, batch_size: 10_000, unrecorded: Some(unrecorded) }),
            ..BatchResult::idle()
        };
        let json = serde_json::to_string(&result.bounded()).unwrap();
        assert!(json.len() < MAX_RESULT_BYTES, "{} bytes", json.len());
    }
}
