//! How an invocation's work on a campaign ends before the last step.

use super::answer::Answer;
use crate::domain::campaign::CampaignStatus;
use crate::domain::cause::Cause;
use crate::domain::verdict::Verdict;
use crate::lambda::Failure;
use crate::store::DatabaseError;
use crate::store::activities::TableError;

/// Why a step skips the next ones.
#[derive(Debug)]
pub enum Exit {
    /// Nothing is sent now; the answer says what the orchestrator does.
    Verdict(Verdict),
    /// The campaign has this status by now, and its counters may have changed since it was loaded.
    Status(CampaignStatus),
    /// A cause that would fail every recipient: the campaign is paused.
    Halt {
        /// The cause, and what to do about it.
        reason: String,
        /// The answer on a batch that was sent all the same.
        batch: Option<Box<Answer>>,
    },
    /// The claim has paused the campaign for this reason.
    Paused(String),
    /// Other invocations work on this campaign, and this invocation is a tick.
    AnotherCampaign {
        /// What `campaign status` shows, unless the tables show that others work on it.
        note: Option<(Cause, String)>,
    },
    /// What an earlier invocation sent could not be recorded; the answer hands it on.
    Unrecorded(Box<Answer>),
    /// The invocation fails.
    Failure(Failure),
}

impl Exit {
    /// The campaign is paused before anything of it is sent.
    pub fn halt(reason: impl Into<String>) -> Exit {
        Exit::Halt { reason: reason.into(), batch: None }
    }
}

impl From<Failure> for Exit {
    fn from(failure: Failure) -> Exit {
        Exit::Failure(failure)
    }
}

impl From<DatabaseError> for Exit {
    fn from(error: DatabaseError) -> Exit {
        Exit::Failure(error.into())
    }
}

impl From<TableError> for Exit {
    fn from(error: TableError) -> Exit {
        Exit::Failure(error.into())
    }
}
