//! Step 4: claims the batch that this invocation sends. Batches of lost invocations are taken over first.

use std::time::Instant;

use super::claim::{self, Claim, Wish};
use super::exit::Exit;
use super::record::{Closing, Recorded};
use super::recorder::Recorder;
use super::unrecorded;
use crate::domain::batch::Batch;
use crate::domain::campaign::{Campaign, CampaignStatus};
use crate::domain::cause::Cause;
use crate::domain::verdict::Verdict;
use crate::lambda::metrics::Metrics;
use crate::message::render::Templates;

/// The most lost batches that one invocation takes over before it sends one itself.
const MAX_TAKEOVERS: usize = 20;

/// Claims a batch; returns it with the instant before the claim, at which its lease begins.
///
/// # Errors
/// Says why there is no batch for this invocation.
pub async fn next_batch(
    writer: &Recorder,
    metrics: &Metrics,
    campaign: &Campaign,
    templates: Option<&Templates>,
    wish: &Wish<'_>,
) -> Result<(Batch, Instant), Exit> {
    for _ in 0..MAX_TAKEOVERS {
        let claimed_at = Instant::now();
        crate::crash_point!("claim-before");
        let claim = claim::claim(writer.database(), wish).await?;
        crate::crash_point!("claim-after");
        return match claim {
            Claim::Batch(batch) => Ok((batch, claimed_at)),
            Claim::Takeover { batch_id, noted } => {
                tracing::warn!(batch_id, noted = noted.len(), "taking over the batch of a lost invocation");
                let token = wish.token;
                let closing = Closing { batch_id, token, whole: true, reopen: true, owner_lost: true };
                let until = wish.deadline.last_start;
                let recorded =
                    unrecorded::record_entries(writer, campaign, templates, noted, closing, until).await?;
                if let Some(reason) = recorded.as_ref().and_then(Recorded::not_kept) {
                    return Err(Exit::halt(reason));
                }
                crate::crash_point!("takeover-after");
                continue;
            }
            Claim::HistoryChanged { hold, reason } => {
                tracing::error!(reason, hold_seconds = hold.as_secs(), "the database's history has changed");
                metrics.history_changed();
                // The hold applies to all campaigns, so a tick looks for no other.
                Err(Exit::Verdict(Verdict::history_changed(hold, &reason)))
            }
            Claim::Locked(reason) => {
                tracing::warn!(reason, "another transaction holds a lock on the campaign");
                Err(elsewhere(wish, Verdict::locked(&reason), true))
            }
            Claim::OpenImport(wait) => Err(elsewhere(wish, Verdict::open_import(wait), true)),
            Claim::Busy(lease) => Err(elsewhere(wish, Verdict::busy(lease), false)),
            Claim::RateReserved(reserved) => Err(elsewhere(wish, Verdict::rate_reserved(reserved), false)),
            Claim::Stopped { status, under_way: Some(lease) } => {
                Err(elsewhere(wish, Verdict::under_way(status, lease), false))
            }
            Claim::Stopped { status: _, under_way: None } if wish.alone => {
                Err(Exit::AnotherCampaign { note: None })
            }
            Claim::Stopped { status, under_way: None } => Err(Exit::Status(status)),
            Claim::TooLate(reason) => Err(Exit::Paused(reason)),
            Claim::Scheduled(due) => Err(Exit::Verdict(Verdict::wait(
                due,
                Cause::Scheduled,
                "the campaign is scheduled for later",
            ))),
            Claim::Complete => Err(Exit::Status(CampaignStatus::Sent)),
        };
    }
    Err(Exit::Verdict(Verdict::more()))
}

/// A tick looks for another campaign, while an invocation that names the campaign gets this answer. `noted`:
/// the reason is noted.
fn elsewhere(wish: &Wish<'_>, verdict: Verdict, noted: bool) -> Exit {
    if !wish.alone {
        return Exit::Verdict(verdict);
    }
    let note = verdict.cause.zip(verdict.reason).filter(|_| noted);
    Exit::AnotherCampaign { note }
}
