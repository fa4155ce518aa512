//! Why a batch ends before every recipient has an outcome.

use super::campaign::CampaignStatus;

/// As many recipients in a row that meet the same refusal halt a campaign.
pub const SAME_REFUSALS: i32 = 20;

/// Why sending stopped before every recipient had an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No time is left for more.
    Deadline,
    /// SES says 'too fast', for longer than is worth waiting here.
    Throttled,
    /// SES takes no more today.
    QuotaExhausted(String),
    /// SES cannot be reached.
    Unreachable(String),
    /// Something other than SES answers, for longer than is worth waiting here.
    Intercepted(String),
    /// Answers that leave recipients in doubt, one after another; how many batches in a row have stopped so.
    Doubtful(String, u32),
    /// A cause that holds for every recipient.
    Halt(String),
    /// The campaign is not `sending` any more.
    Status(CampaignStatus),
    /// Another invocation has taken the batch over.
    ClaimLost,
}
