//! Why a batch ends before every recipient has an outcome.

use super::campaign::CampaignStatus;

/// The number of recipients in a row whose equal refusals halt a campaign.
pub const SAME_REFUSALS: i32 = 20;

/// Why sending stopped before every recipient had an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No time is left for more.
    Deadline,
    /// SES throttles for longer than the batch waits.
    Throttled,
    /// The daily quota is used up.
    QuotaExhausted(String),
    /// SES cannot be reached.
    Unreachable(String),
    /// Something other than SES answers, for longer than the batch waits.
    Intercepted(String),
    /// Several answers in a row left recipients uncertain; how many batches in a row have stopped for this.
    Uncertain(String, u32),
    /// A cause that holds for every recipient.
    Halt(String),
    /// The campaign is not `sending` any more.
    Status(CampaignStatus),
    /// Another invocation has taken the batch over.
    ClaimLost,
}
