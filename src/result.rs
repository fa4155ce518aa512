//! The batch result: what an invocation did, and what its orchestrator does next.

use serde::Serialize;
use uuid::Uuid;

use crate::outcome::Debt;

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
    /// What became of this batch.
    pub batch: BatchCounts,
    /// Whether its activities were written.
    pub activities: Activities,
    /// Where the campaign stands.
    pub progress: Progress,
    /// Why, where that is not plain.
    pub reason: Option<String>,
    /// The next invocation's event.
    pub next: Option<Next>,
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
    /// False when PostgreSQL could not be reached after sending; `next.unrecorded` then carries what is owed.
    pub success: bool,
    /// Emails of this batch that are in the timeline.
    pub count: u32,
    /// What PostgreSQL said.
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
    pub unrecorded: Option<Debt>,
}

impl BatchResult {
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
        }
    }
}
