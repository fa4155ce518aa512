//! A claimed batch, and its checkpoints.

use std::time::Instant;

use uuid::Uuid;

use super::outcome::Entry;

/// The most bytes of variables of one recipient; a recipient with more fails, because the claim does not
/// return them.
pub const MAX_VARIABLES_BYTES: i32 = 256 * 1024;

/// A claimed batch.
#[derive(Debug)]
pub struct Batch {
    /// Its row.
    pub id: i64,
    /// This invocation's claim.
    pub token: Uuid,
    /// The step: how many recipients the mark moves at a time. It has moved once with the claim.
    pub step: usize,
    /// When its sends may start, and how many per second; `None`: no rate is known.
    pub pace: Option<(Instant, f64)>,
    /// The refusal that every recipient of the campaign has met so far, and how many have.
    pub refusal: (Option<String>, i32),
    /// When sending must end, for the campaign's sake.
    pub limit: Option<Limit>,
    /// The recipients in the order of their positions; none of them had an outcome when they were claimed.
    pub recipients: Vec<Recipient>,
}

/// When the sends of a campaign must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// No send starts at this instant or later.
    pub at: Instant,
    /// Why the campaign is halted then.
    pub reason: String,
}

impl Batch {
    /// The number of recipients for which sends were reserved.
    pub fn to_send(&self) -> usize {
        self.recipients.iter().filter(|recipient| !recipient.suppressed).count()
    }
}

/// One recipient of a claimed batch.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The position, which orders the claims.
    pub position: i64,
    /// Its id, and its email's.
    pub id: Uuid,
    /// The address as the table has it.
    pub email: String,
    /// The name.
    pub name: Option<String>,
    /// JSON; `None` also where there is more than [`MAX_VARIABLES_BYTES`] of it.
    pub variables: Option<String>,
    /// The size of the variables, in bytes.
    pub variables_bytes: i32,
    /// True if the address is suppressed or opted out.
    pub suppressed: bool,
}

/// One checkpoint of a batch.
#[derive(Debug)]
pub struct Checkpoint {
    /// The batch.
    pub batch_id: i64,
    /// The claim under which it is worked on.
    pub token: Uuid,
    /// 1, 2, 3, … within the batch.
    pub number: i32,
    /// Nothing beyond this position is handed to SES before the checkpoint is committed.
    pub mark: i64,
    /// The outcomes since the last checkpoint.
    pub outcomes: Vec<Entry>,
}
