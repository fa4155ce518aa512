//! The answer of an invocation, and the one place that makes the batch result.

use uuid::Uuid;

use crate::domain::cause::Cause;
use crate::domain::outcome::Unrecorded;
use crate::domain::result::{Activities, BatchCounts, BatchResult, Next, Progress, Status};
use crate::domain::verdict::{AWAY_WAIT, Verdict};
use crate::lambda::Failure;

/// An invocation's answer on one campaign.
#[derive(Debug)]
pub struct Answer {
    /// What the orchestrator does next, and why.
    pub verdict: Verdict,
    /// The recipients of the batch by outcome.
    pub batch: BatchCounts,
    /// The activities of the batch.
    pub activities: Activities,
    /// The counters of the campaign.
    pub progress: Progress,
    /// What was sent and could not be recorded: the next invocation records it first.
    pub unrecorded: Option<Unrecorded>,
}

impl Answer {
    /// The answer of an invocation that sent nothing.
    pub fn without_batch(verdict: Verdict, progress: Progress) -> Answer {
        let (batch, activities) = (BatchCounts::default(), Activities::written(0));
        Answer { verdict, batch, activities, progress, unrecorded: None }
    }

    /// The answer if this failure prevented recording what an earlier invocation sent; it hands that on again.
    pub fn still_unrecorded(unrecorded: Unrecorded, failure: Failure) -> Answer {
        tracing::error!(error = failure.message, "what is owed could not be recorded");
        let verdict =
            Verdict::wait(AWAY_WAIT, Cause::Unrecorded, "an earlier batch is sent and not recorded yet");
        let activities = Activities { success: false, count: 0, error: Some(failure.message) };
        Answer {
            activities,
            unrecorded: Some(unrecorded),
            ..Answer::without_batch(verdict, Progress::default())
        }
    }

    /// The batch result.
    pub fn into_result(self, campaign_id: Uuid, batch_size: u32) -> BatchResult {
        let Answer { verdict, batch, activities, progress, unrecorded } = self;
        let goes_on = matches!(verdict.status, Status::Continue | Status::Wait);
        let result = BatchResult {
            campaign_id: Some(campaign_id),
            status: verdict.status,
            wait_seconds: verdict.wait.as_secs() + u64::from(verdict.wait.subsec_nanos() > 0),
            batch,
            activities,
            progress,
            cause: verdict.cause,
            reason: verdict.reason,
            next: goes_on.then_some(Next { campaign_id, batch_size, unrecorded }),
        };
        result.bounded()
    }
}
