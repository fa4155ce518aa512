//! Decides what the orchestrator does next, from the result of this invocation. Pure.

use std::time::Duration;

use crate::domain::campaign::CampaignStatus;
use crate::domain::cause::Cause;
use crate::domain::result::Status;
use crate::domain::stop::Stop;

/// The wait if PostgreSQL or SES cannot be reached: long enough for a failover to proceed.
pub const AWAY_WAIT: Duration = Duration::from_secs(5);
/// The wait after SES throttled for longer than an invocation waits.
const THROTTLED_WAIT: Duration = Duration::from_secs(2);
/// SES's daily quota is a rolling window of 24 hours, so a little of it comes back all the time.
const QUOTA_WAIT: Duration = Duration::from_secs(900);
/// The longest wait for what another invocation holds: it may be done long before its lease ends.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// A status with its wait and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub status: Status,
    /// How long to wait first.
    pub wait: Duration,
    /// The reason, if the status needs one.
    pub reason: Option<String>,
    /// The same as a cause, of a wait.
    pub cause: Option<Cause>,
}

impl Verdict {
    fn plain(status: Status) -> Verdict {
        Verdict { status, wait: Duration::ZERO, reason: None, cause: None }
    }

    /// Every recipient has an outcome.
    pub fn done() -> Verdict {
        Verdict::plain(Status::Done)
    }

    /// More to send now.
    pub fn more() -> Verdict {
        Verdict::plain(Status::Continue)
    }

    /// More to send, after `wait`.
    pub fn wait(wait: Duration, cause: Cause, reason: impl Into<String>) -> Verdict {
        Verdict { status: Status::Wait, wait, reason: Some(reason.into()), cause: Some(cause) }
    }

    /// The campaign is paused for a cause that would fail every recipient.
    pub fn halted(reason: impl Into<String>) -> Verdict {
        Verdict { reason: Some(reason.into()), ..Verdict::plain(Status::Halted) }
    }

    /// Others hold the rest, for at most `lease`.
    pub fn busy(lease: Duration) -> Verdict {
        let wait = lease.clamp(Duration::from_secs(1), BUSY_WAIT);
        Verdict::wait(wait, Cause::Busy, "another invocation or an open import holds the rest")
    }

    /// A transaction that has added recipients is still open.
    pub fn open_import(wait: Duration) -> Verdict {
        Verdict { cause: Some(Cause::OpenImport), ..Verdict::busy(wait) }
    }

    /// A person has stopped the campaign, and other invocations hold batches of it for at most `lease`;
    /// `paused` or `cancelled` is answered when nothing is under way any more.
    pub fn under_way(status: CampaignStatus, lease: Duration) -> Verdict {
        let wait = lease.clamp(Duration::from_secs(1), BUSY_WAIT);
        Verdict::wait(
            wait,
            Cause::Busy,
            format!("the campaign is {status}, and another invocation is still sending a batch of it"),
        )
    }

    /// Another transaction holds a lock on the campaign.
    pub fn locked(reason: &str) -> Verdict {
        Verdict::wait(
            AWAY_WAIT,
            Cause::Locked,
            format!("another transaction holds a lock on the campaign: {reason}"),
        )
    }

    /// Others have reserved the sending rate for this time.
    pub fn rate_reserved(reserved: Duration) -> Verdict {
        let wait = reserved.clamp(Duration::from_secs(1), Duration::from_secs(60));
        Verdict::wait(wait, Cause::RateReserved, "other invocations have reserved the account's sending rate")
    }

    /// The database may have lost data, so nothing is sent for this time; `reason` says what was noticed.
    pub fn history_changed(hold: Duration, reason: &str) -> Verdict {
        let reason = format!("{reason}. Nothing is sent until SES's events had time to come");
        Verdict::wait(hold.max(Duration::from_secs(1)), Cause::HistoryChanged, reason)
    }

    /// The account's daily quota is used up.
    pub fn quota_exhausted(message: &str) -> Verdict {
        Verdict::wait(QUOTA_WAIT, Cause::QuotaExhausted, format!("SES: {message}"))
    }

    /// The campaign's own status does not allow sending.
    pub fn of_status(status: CampaignStatus, reason: Option<String>) -> Verdict {
        match status {
            CampaignStatus::Sent => Verdict::done(),
            // (The campaign was `sending` again when its status was read.)
            CampaignStatus::Sending => Verdict::more(),
            CampaignStatus::Paused => Verdict { reason, ..Verdict::plain(Status::Paused) },
            CampaignStatus::Failed => Verdict {
                reason: reason.or_else(|| Some("the campaign's status is failed".to_owned())),
                ..Verdict::plain(Status::Cancelled)
            },
            CampaignStatus::Draft | CampaignStatus::Scheduled => Verdict {
                reason: Some(format!("the campaign was set back to {status}")),
                ..Verdict::plain(Status::Paused)
            },
            CampaignStatus::Cancelled => Verdict { reason, ..Verdict::plain(Status::Cancelled) },
        }
    }

    /// A batch is recorded, with recipients left or with a reason to stop; `status` is the campaign's.
    pub fn of_batch(stop: Option<&Stop>, status: CampaignStatus, status_reason: Option<String>) -> Verdict {
        match stop {
            Some(Stop::Halt(reason)) => Verdict::halted(reason),
            _ if status != CampaignStatus::Sending => Verdict::of_status(status, status_reason),
            None | Some(Stop::Deadline | Stop::ClaimLost | Stop::Status(_)) => Verdict::more(),
            Some(Stop::Throttled) => Verdict::wait(
                THROTTLED_WAIT,
                Cause::Throttled,
                "SES says that the maximum sending rate is exceeded",
            ),
            Some(Stop::QuotaExhausted(message)) => Verdict::quota_exhausted(message),
            Some(Stop::Unreachable(cause)) => {
                Verdict::wait(AWAY_WAIT, Cause::SesUnreachable, format!("SES could not be reached: {cause}"))
            }
            Some(Stop::Intercepted(answer)) => Verdict::wait(
                AWAY_WAIT,
                Cause::NotSes,
                format!("an answer came from something other than SES: {answer}"),
            ),
            // Each attempt may leave a recipient uncertain, so the wait grows each time.
            Some(Stop::Uncertain(answer, times)) => Verdict::wait(
                AWAY_WAIT * *times,
                Cause::UnclearAnswers,
                format!("SES did not answer clearly: {answer}"),
            ),
        }
    }
}
