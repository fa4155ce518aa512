//! One invocation of `send-batch`, from its event to its result.
//!
//! `Handler::work_on` is the order of the steps: load, record what is unrecorded, prepare, claim, send,
//! record, answer. Each step is a file of its own and returns what the next one needs, or the `Exit` by
//! which the invocation ends.

pub mod answer;
pub mod attachments;
pub mod begin;
mod candidates;
pub mod checkpoint;
pub mod claim;
mod close;
pub mod complete;
mod exit;
mod invocation;
pub mod last_invocation;
pub mod lines;
pub mod load;
mod next_batch;
mod prepare;
pub mod record;
mod recorder;
pub mod refused;
pub mod send;
pub mod uncertain;
mod unrecorded;

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::sync::OnceCell;
use tracing::Instrument as _;

use self::answer::Answer;
use self::candidates::Candidates;
use self::claim::{History, Wish};
use self::exit::Exit;
use self::invocation::Invocation;
use self::prepare::{Material, Preparation};
use self::record::Record;
use self::recorder::Recorder;
use self::send::{Report, Sender, Sending};
use crate::domain::batch::Batch;
use crate::domain::campaign::{Campaign, CampaignStatus};
use crate::domain::cause::Cause;
use crate::domain::error_kind::ErrorKind;
use crate::domain::pace::Learned;
use crate::domain::result::{BatchResult, Status};
use crate::domain::uncertain::UncertainPolicy;
use crate::domain::verdict::Verdict;
use crate::lambda::Failure;
use crate::lambda::environment::Settings;
use crate::lambda::interrupt::Interrupt;
use crate::lambda::metrics::Metrics;
use crate::ses::{Quota, Ses};

use crate::store::Database;

/// The state of the process: connections, and what was prepared for the last campaign.
pub struct Handler {
    settings: Settings,
    metrics: Metrics,
    recorder: Recorder,
    preparation: Preparation,
    history: History,
    ses: OnceCell<Ses>,
    learned: Cell<Learned>,
    interrupt: Interrupt,
}

impl Handler {
    /// Prepares an instance; nothing is connected or fetched yet.
    ///
    /// # Errors
    /// When the database's URL cannot be read, in one line.
    pub fn new(settings: Settings) -> Result<Handler, String> {
        let database = Database::new(&settings.database)?;
        Ok(Handler {
            metrics: Metrics::new(settings.metrics.clone()),
            recorder: Recorder::new(database, settings.activities_table.clone()),
            preparation: Preparation::new(&settings.unsubscribe),
            history: History::new(settings.history_hold),
            settings,
            ses: OnceCell::new(),
            learned: Cell::new(Learned::NOTHING),
            interrupt: Interrupt::never(),
        })
    }

    /// The same handler, whose batches end early when `interrupt` is raised.
    #[must_use]
    pub fn interruptible(self, interrupt: Interrupt) -> Handler {
        Handler { interrupt, ..self }
    }

    /// Handles one event; `deadline_ms` is the invocation's deadline in milliseconds since 1970.
    ///
    /// # Errors
    /// Each [`ErrorKind`]: nothing was claimed then, or nothing was sent of what was claimed.
    pub async fn handle(&self, event: &serde_json::Value, deadline_ms: u64) -> Result<BatchResult, Failure> {
        let invocation = Invocation::new(event, deadline_ms, &self.settings)?;
        let Some(id) = invocation.campaign_id else { return self.most_due(&invocation).await };
        let still_unrecorded = |failure: Failure| match invocation.unrecorded.clone() {
            Some(unrecorded) => {
                Ok(Answer::still_unrecorded(unrecorded, failure).into_result(id, invocation.batch_size))
            }
            None => Err(failure),
        };
        if let Err(failure) = self.apply_uncertain_policy(&invocation).await {
            return still_unrecorded(failure);
        }
        let unknown = || Failure::new(ErrorKind::UnknownCampaign, format!("there is no campaign {id}"));
        match begin::load(&self.recorder, Some(id), &[], invocation.deadline.last_start).await {
            Ok(loaded) => {
                let campaign = loaded.campaign.ok_or_else(unknown)?;
                self.attend(&campaign, &invocation).await?.ok_or_else(unknown)
            }
            Err(error) => still_unrecorded(error.into()),
        }
    }

    /// Works on the campaign that is most due and that no other invocation works on.
    async fn most_due(&self, invocation: &Invocation) -> Result<BatchResult, Failure> {
        self.apply_uncertain_policy(invocation).await?;
        let mut candidates = Candidates::new(&self.recorder, invocation);
        while let Some(campaign) = candidates.next().await? {
            match AssertUnwindSafe(self.attend(&campaign, invocation)).catch_unwind().await {
                Ok(Ok(Some(result))) => return Ok(result),
                Ok(Ok(None)) => {}
                Ok(Err(failure)) if failure.kind == ErrorKind::DatabaseUnavailable => return Err(failure),
                Ok(Err(Failure { kind, message })) => {
                    candidates.give_up(campaign.id, &format!("{kind}: {message}")).await;
                }
                Err(_) => {
                    let reason = "the function panicked";
                    candidates.give_up(campaign.id, reason).await;
                    self.note(&campaign, Cause::Panicked, reason, invocation).await;
                }
            }
        }
        self.report_ages(invocation.deadline.last_start).await;
        Ok(BatchResult::idle())
    }

    /// Works on one campaign and makes the result. `None`: other invocations work on it, and this one may
    /// look for another campaign.
    async fn attend(
        &self,
        campaign: &Campaign,
        invocation: &Invocation,
    ) -> Result<Option<BatchResult>, Failure> {
        let span = tracing::info_span!("batch", campaign_id = %campaign.id, organization_id = %campaign.organization_id);
        let work = async {
            let worked = self.work_on(campaign, invocation).await;
            self.finish(campaign, worked, invocation).await
        };
        let result = work.instrument(span).await;
        let until = invocation.deadline.last_record;
        if let Err(failure) = &result {
            last_invocation::of_failure(self.recorder.database(), campaign.id, failure, until).await;
        }
        let result = result?;
        if let Some(result) = &result {
            last_invocation::of_result(self.recorder.database(), result, until).await;
        }
        // (A claim forgets the attempt itself.)
        let claimed = result.as_ref().is_some_and(|result| result.batch.claimed > 0);
        if campaign.attempted && !claimed {
            self.forget_attempt(campaign, invocation).await;
        }
        Ok(result)
    }

    /// The order of the steps.
    async fn work_on(&self, campaign: &Campaign, invocation: &Invocation) -> Result<Answer, Exit> {
        let until = invocation.deadline.last_start;
        let compiled = self.preparation.compile(&campaign.source);
        let templates = compiled.as_ref().ok().map(Rc::as_ref);
        unrecorded::record(&self.recorder, campaign, templates, invocation.unrecorded.as_ref(), until)
            .await?;
        let material = self
            .preparation
            .prepare(self.recorder.database(), campaign, &compiled, invocation.deadline.last_start)
            .await?;
        unrecorded::retry_refused(&self.recorder, campaign, templates, until).await?;

        let ses = self.ses.get_or_init(Ses::from_env).await;
        let quota = ses.quota(until.saturating_duration_since(Instant::now()) / 2).await;
        let wish = self.wish(campaign, ses, quota, invocation)?;
        let (batch, claimed_at) =
            next_batch::next_batch(&self.recorder, &self.metrics, campaign, templates, &wish).await?;
        // (A campaign that became `sending` a moment ago was not halted before.)
        let material = material.map_err(Exit::halt)?;

        let report = self.send(campaign, &material, ses, &batch, claimed_at, invocation).await;
        let times = (invocation.started_at, invocation.deadline.last_record);
        close::close(&self.recorder, &self.metrics, campaign, &batch, report, ses.region(), times).await
    }

    /// The request for the claim.
    fn wish<'a>(
        &'a self,
        campaign: &'a Campaign,
        ses: &'a Ses,
        quota: Quota,
        invocation: &Invocation,
    ) -> Result<Wish<'a>, Exit> {
        let left_today = quota.left_today.unwrap_or(u32::MAX);
        if left_today == 0 && campaign.sendable {
            return Err(Exit::Verdict(Verdict::quota_exhausted("the daily sending quota is used up")));
        }
        let rates = [quota.per_second, self.settings.max_send_rate];
        Ok(Wish {
            campaign_id: campaign.id,
            token: invocation.token,
            size: invocation.batch_size.min(left_today.max(1)),
            alone: invocation.takes_any_campaign(),
            region: ses.region(),
            per_second: rates.into_iter().flatten().reduce(f64::min),
            catch_up: self.learned.get().catch_up(),
            deadline: invocation.deadline,
            templates_hash: &campaign.templates_hash,
            history: &self.history,
        })
    }

    async fn send(
        &self,
        campaign: &Campaign,
        material: &Material,
        ses: &Ses,
        batch: &Batch,
        claimed_at: Instant,
        invocation: &Invocation,
    ) -> Report {
        let configuration_set = self.settings.configuration_set.as_deref();
        let sending = Sending {
            database: self.recorder.database(),
            ses,
            templates: &material.templates,
            sender: &Sender::new(campaign, configuration_set, material.links.as_ref())
                .with_files(material.files.clone()),
            deadline: invocation.deadline,
            interrupt: &self.interrupt,
            concurrency: self.settings.concurrency,
            api: self.settings.send_api,
            first: campaign.progress.sent == 0,
            learned: self.learned.get(),
            claimed_at,
        };
        let report = sending.run(batch).await;
        self.learned.set(report.learned);
        ses.spend(report.counts().sent);
        report
    }

    /// Makes the result from the end of the work on a campaign.
    async fn finish(
        &self,
        campaign: &Campaign,
        worked: Result<Answer, Exit>,
        invocation: &Invocation,
    ) -> Result<Option<BatchResult>, Failure> {
        let until = invocation.deadline.last_start;
        let answer = match worked {
            Ok(answer) => answer,
            Err(Exit::Unrecorded(answer)) => *answer,
            Err(Exit::AnotherCampaign { note }) => {
                if let Some((cause, reason)) = note {
                    self.note(campaign, cause, &reason, invocation).await;
                }
                return Ok(None);
            }
            Err(Exit::Failure(failure)) => return Err(failure),
            Err(Exit::Verdict(verdict)) => self.without_batch(campaign, verdict, until).await,
            Err(Exit::Status(status)) => self.stopped(campaign, status, until).await?,
            Err(Exit::Paused(reason)) => {
                tracing::error!(reason, "the campaign is halted");
                let stopped = self.stopped(campaign, CampaignStatus::Paused, until).await?;
                Answer { verdict: Verdict::halted(reason), ..stopped }
            }
            Err(Exit::Halt { reason, batch }) => {
                let halted = self.halt(campaign, &reason, until).await;
                match (halted, batch) {
                    (Ok(()), None) => self.without_batch(campaign, Verdict::halted(reason), until).await,
                    (Ok(()), Some(batch)) => *batch,
                    (Err(failure), None) => return Err(failure),
                    (Err(Failure { message, .. }), Some(batch)) => {
                        Answer { verdict: Verdict::halted(format!("{reason} ({message})")), ..*batch }
                    }
                }
            }
        };
        if answer.verdict.status == Status::Halted {
            self.metrics.halted(campaign.id, campaign.organization_id);
        }
        Ok(Some(answer.into_result(campaign.id, invocation.batch_size)))
    }

    /// An answer without a batch. If sending has not started, the recipients are counted for it, if there is
    /// time.
    async fn without_batch(&self, campaign: &Campaign, verdict: Verdict, until: Instant) -> Answer {
        let mut progress = campaign.progress;
        if progress.total == 0 && verdict.status != Status::Done {
            progress = load::count(self.recorder.database(), campaign.id, until).await.unwrap_or(progress);
        }
        Answer::without_batch(verdict, progress)
    }

    /// The campaign's status does not allow sending. Its counters are read again, because they may have
    /// changed.
    async fn stopped(
        &self,
        campaign: &Campaign,
        status: CampaignStatus,
        until: Instant,
    ) -> Result<Answer, Failure> {
        let loaded = load::load(self.recorder.database(), Some(campaign.id), &[], None, until).await?;
        let campaign = loaded.campaign.unwrap_or_else(|| campaign.clone());
        let verdict = Verdict::of_status(status, campaign.status_reason.clone());
        Ok(self.without_batch(&campaign, verdict, until).await)
    }

    /// Notes why nothing was sent, for `campaign status`.
    async fn note(&self, campaign: &Campaign, cause: Cause, reason: &str, invocation: &Invocation) {
        let until = invocation.deadline.last_record;
        last_invocation::passed_over(self.recorder.database(), campaign.id, cause, reason, until).await;
    }

    /// Pauses a campaign for a cause that would fail every recipient.
    async fn halt(&self, campaign: &Campaign, reason: &str, until: Instant) -> Result<(), Failure> {
        let record = Record { halt: Some(reason), ..Record::nothing(campaign.id) };
        self.recorder.record(&record, until).await?;
        tracing::error!(reason, "the campaign is halted");
        Ok(())
    }

    /// Sends again to recipients that SES never reported on, if the policy says so.
    async fn apply_uncertain_policy(&self, invocation: &Invocation) -> Result<(), Failure> {
        let UncertainPolicy::Resend { after } = self.settings.uncertain else { return Ok(()) };
        let until = invocation.deadline.last_start;
        uncertain::resend_unreported(self.recorder.database(), invocation.campaign_id, after, until).await?;
        Ok(())
    }

    async fn forget_attempt(&self, campaign: &Campaign, invocation: &Invocation) {
        let forgotten =
            load::forget_attempt(self.recorder.database(), campaign.id, invocation.deadline.last_start).await;
        if let Err(error) = forgotten {
            tracing::warn!(%error, campaign_id = %campaign.id, "a noted attempt could not be removed");
        }
    }

    /// Writes metrics of how long recipients have been uncertain and campaigns due; a tick that finds nothing
    /// due has time for this.
    async fn report_ages(&self, until: Instant) {
        if !self.metrics.are_on() {
            return;
        }
        match uncertain::oldest(self.recorder.database(), until).await {
            Ok(age) => self.metrics.oldest_uncertain(age),
            Err(error) => tracing::warn!(%error, "the age of what is uncertain could not be read"),
        }
        match uncertain::oldest_due(self.recorder.database(), until).await {
            Ok(age) => self.metrics.oldest_due(age),
            Err(error) => tracing::warn!(%error, "how long campaigns have been due could not be read"),
        }
    }
}
