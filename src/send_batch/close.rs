//! Step 6: the batch is recorded, and the campaign completed when it was the last one.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::complete::{self, Completion};
use super::exit::Exit;
use super::record::{Closing, Record, Recorded};
use super::recorder::Recorder;
use super::send::Report;
use crate::domain::batch::Batch;
use crate::domain::campaign::{Campaign, CampaignStatus};
use crate::domain::cause::Cause;
use crate::domain::outcome::{Entry, Line, Unrecorded};
use crate::domain::result::{Activities, BatchCounts, Status};
use crate::domain::stop::Stop;
use crate::domain::verdict::{AWAY_WAIT, Verdict};
use crate::lambda::metrics::{BatchMetrics, Metrics};
use crate::store::activities::TableError;

/// Records the outcomes of a batch; `region` is SES's region. If PostgreSQL does not record them by `until`,
/// the answer hands them to the next invocation.
///
/// # Errors
/// [`Exit::Halt`] when PostgreSQL discarded what was recorded; [`Exit::Verdict`] when the campaign was
/// deleted.
pub async fn close(
    writer: &Recorder,
    metrics: &Metrics,
    campaign: &Campaign,
    batch: &Batch,
    report: Report,
    region: &str,
    (started_at, until): (Instant, Instant),
) -> Result<Answer, Exit> {
    let counts = report.counts();
    let Report { lines, stop, refusal, throttled_to, latencies, .. } = report;
    let halt = match &stop {
        Some(Stop::Halt(reason)) => Some(reason.as_str()),
        _ => None,
    };
    let record = Record {
        campaign_id: campaign.id,
        closing: Some(Closing {
            batch_id: batch.id,
            token: batch.token,
            whole: true,
            reopen: counts.deferred > 0,
            owner_lost: false,
        }),
        lines: &lines,
        refused: &[],
        halt,
        refusal: (refusal.0.as_deref(), refusal.1),
        throttled: throttled_to.map(|per_second| (region, per_second)),
    };
    crate::crash_point!("record-before");
    let recording_at = Instant::now();
    let recorded = writer.record(&record, until).await;
    metrics.batch(&BatchMetrics {
        campaign_id: campaign.id,
        organization_id: campaign.organization_id,
        counts,
        send_latency: &latencies,
        record_latency: recording_at.elapsed(),
        duration: started_at.elapsed(),
    });
    crate::crash_point!("record-after");
    let recorded = match recorded {
        Ok(Some(recorded)) => recorded,
        Ok(None) => return Err(Exit::Verdict(Verdict::of_status(CampaignStatus::Cancelled, None))),
        Err(error) => return Ok(unrecorded(campaign, batch, counts, lines, &error)),
    };
    let answer = |verdict, batch| Answer {
        verdict,
        batch,
        activities: Activities::written(recorded.activities),
        progress: recorded.progress,
        unrecorded: None,
    };
    if let Some(reason) = recorded.not_kept() {
        let batch = Some(Box::new(answer(Verdict::halted(reason.clone()), counts)));
        return Err(Exit::Halt { reason, batch });
    }
    let counts = BatchCounts {
        sent: counts.sent - recorded.refused,
        uncertain: counts.uncertain + recorded.refused,
        ..counts
    };
    let verdict = verdict(writer, campaign, counts, stop.as_ref(), &recorded, until).await;
    tracing::info!(
        sent = counts.sent,
        failed = counts.failed,
        suppressed = counts.suppressed,
        uncertain = counts.uncertain,
        deferred = counts.deferred,
        duration_ms = u64::try_from(started_at.elapsed().as_millis()).unwrap_or(u64::MAX),
        status = ?verdict.status,
        reason = verdict.reason,
        "batch recorded"
    );
    Ok(answer(verdict, counts))
}

/// What the orchestrator does next. If no recipient is left by the counters, the recipients themselves are
/// checked.
async fn verdict(
    writer: &Recorder,
    campaign: &Campaign,
    counts: BatchCounts,
    stop: Option<&Stop>,
    recorded: &Recorded,
    until: Instant,
) -> Verdict {
    let refused = recorded.halted.clone().map(Stop::Halt);
    let stop = refused.as_ref().or(stop);
    let verdict = Verdict::of_batch(stop, recorded.status, recorded.status_reason.clone());
    if verdict.status != Status::Continue || counts.deferred > 0 || recorded.progress.remaining > 0 {
        return verdict;
    }
    match complete::complete(writer.database(), campaign.id, until).await {
        Ok(Completion::Complete) => Verdict::done(),
        Ok(Completion::Busy) => Verdict::busy(Duration::from_secs(1)),
        Ok(Completion::OpenImport) => Verdict::open_import(Duration::from_secs(1)),
        Ok(Completion::Pending) | Err(_) => verdict,
    }
}

/// The batch is sent and not recorded: the next invocation gets its outcomes.
fn unrecorded(
    campaign: &Campaign,
    batch: &Batch,
    counts: BatchCounts,
    lines: Vec<Line>,
    error: &TableError,
) -> Answer {
    let entries =
        lines.into_iter().map(|line| Entry { recipient_id: line.recipient_id, outcome: line.outcome });
    let unrecorded = Unrecorded::of_batch(campaign.id, batch.id, batch.token, entries);
    tracing::error!(%error, owed = unrecorded.outcomes.len(), whole = unrecorded.whole, "the batch could not be recorded");
    Answer {
        verdict: Verdict::wait(AWAY_WAIT, Cause::Unrecorded, "the batch is sent and not recorded yet"),
        batch: counts,
        activities: Activities { success: false, count: 0, error: Some(error.to_string()) },
        progress: campaign.progress,
        unrecorded: Some(unrecorded),
    }
}
