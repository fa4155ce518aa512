//! What an invocation answers, and the one place that makes a batch result of it.

use uuid::Uuid;

use crate::domain::cause::Cause;
use crate::domain::outcome::Debt;
use crate::domain::result::{Activities, BatchCounts, BatchResult, Next, Progress, Status};
use crate::domain::verdict::{AWAY_WAIT, Verdict};
use crate::lambda::Failure;

/// What an invocation has to say of one campaign.
#[derive(Debug)]
pub struct Answer {
    /// What the orchestrator is to do, and why.
    pub verdict: Verdict,
    /// What became of the batch.
    pub batch: BatchCounts,
    /// Whether its activities were written.
    pub activities: Activities,
    /// Where the campaign stands.
    pub progress: Progress,
    /// What was sent and could not be recorded: the next invocation records it first.
    pub debt: Option<Debt>,
}

impl Answer {
    /// The answer of an invocation that sent nothing.
    pub fn without_batch(verdict: Verdict, progress: Progress) -> Answer {
        let (batch, activities) = (BatchCounts::default(), Activities::written(0));
        Answer { verdict, batch, activities, progress, debt: None }
    }

    /// What an earlier invocation sent could not be recorded, because of this failure.
    pub fn owing(debt: Debt, failure: Failure) -> Answer {
        tracing::error!(error = failure.message, "what is owed could not be recorded");
        let verdict =
            Verdict::wait(AWAY_WAIT, Cause::Unrecorded, "an earlier batch is sent and not recorded yet");
        let activities = Activities { success: false, count: 0, error: Some(failure.message) };
        Answer { activities, debt: Some(debt), ..Answer::without_batch(verdict, Progress::default()) }
    }

    /// The batch result.
    pub fn into_result(self, campaign_id: Uuid, batch_size: u32) -> BatchResult {
        let Answer { verdict, batch, activities, progress, debt } = self;
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
            next: goes_on.then_some(Next { campaign_id, batch_size, unrecorded: debt }),
        };
        result.bounded()
    }
}
