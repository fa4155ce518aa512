//! One invocation of `send-batch`, from its event to its result. The one module that knows the order of steps:
//! pay what is owed, load, claim, send, record, answer.

pub mod attachments;
pub mod checkpoint;
pub mod claim;
pub mod complete;
pub mod doubt;
pub mod load;
pub mod pay;
pub mod record;
pub mod refused;
pub mod send;

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt as _;
use tokio::sync::OnceCell;
use tracing::Instrument as _;
use uuid::Uuid;

use self::claim::{Claim, History, Wish};
use self::complete::Completion;
use self::load::Loaded;
use self::record::{Closing, Record, Recorded, Statement};
use self::send::{Files, Report, Sender, Sending};
use crate::domain::batch::Batch;
use crate::domain::campaign::Campaign;
use crate::domain::campaign::Source;
use crate::domain::deadline::Deadline;
use crate::domain::doubt::UncertainPolicy;
use crate::domain::event::Event;
use crate::domain::outcome::Line;
use crate::domain::outcome::{Debt, Entry};
use crate::domain::pace::Learned;
use crate::domain::recipient::Status as RecipientStatus;
use crate::domain::result::{Activities, BatchCounts, BatchResult, Next, Progress, Status};
use crate::domain::stop::Stop;
use crate::domain::verdict::{AWAY_WAIT, Verdict};
use crate::lambda::Failure;
use crate::lambda::environment::Settings;
use crate::lambda::interrupt::Interrupt;
use crate::lambda::metrics::{BatchMetrics, Metrics};
use crate::message::attachment::examine_attachments;
use crate::message::link::Links;
use crate::message::preflight::campaign::examine_campaign;
use crate::message::preflight::{Finding, Severity};
use crate::message::render::{InvalidTemplate, Templates};
use crate::ses::Ses;
use crate::store::activities::{TableError, plan, refusal};
use crate::store::keys::KeyStore;
use crate::store::{Database, DatabaseError};

/// Campaigns that a tick looks at before it answers that nothing is due. What it cannot work on costs it a third of its
/// time at most, too.
const MAX_CANDIDATES: usize = 200;
/// Lost batches that one invocation settles before it sends one itself.
const MAX_TAKEOVERS: usize = 20;

/// Parts in which activities that were refused are tried again, when a campaign goes on.
const MAX_REFUSED_PARTS: usize = 64;

/// The activities that are written.
const ACTIONS: [&str; 1] = ["email_sent"];

/// What lives as long as the process: connections, and what was compiled for the last campaign.
pub struct Handler {
    settings: Settings,
    metrics: Metrics,
    database: Database,
    ses: OnceCell<Ses>,
    /// Learned with the first campaign, and again when PostgreSQL says that the activities table has changed.
    record_statement: RefCell<Option<Rc<Statement>>>,
    templates: RefCell<Option<(Source, Rc<Templates>)>>,
    /// The files of the last campaign that had any, by what names them.
    files: RefCell<Option<(String, Files, Vec<Finding>)>>,
    learned: Cell<Learned>,
    history: History,
    keys: KeyStore,
    interrupt: Interrupt,
}

/// What one invocation is about.
struct Invocation {
    token: Uuid,
    deadline: Deadline,
    started_at: Instant,
    batch_size: u32,
    /// The event named no campaign.
    due: bool,
}

/// A campaign's templates, or why they do not compile.
type Compiled = Result<Rc<Templates>, InvalidTemplate>;
/// What each email of a campaign is made of, its links to unsubscribe too; or why it cannot be sent.
type Ready = Result<(Rc<Templates>, Option<Links>), String>;

impl Handler {
    /// Prepares an instance; nothing is connected or fetched yet.
    ///
    /// # Errors
    /// When the database's URL cannot be read, in one line.
    pub fn new(settings: Settings) -> Result<Handler, String> {
        let database = Database::new(&settings.database)?;
        Ok(Handler {
            metrics: Metrics::new(settings.metrics.clone()),
            history: History::new(settings.history_hold),
            keys: KeyStore::new(&settings.unsubscribe),
            settings,
            database,
            ses: OnceCell::new(),
            record_statement: RefCell::new(None),
            templates: RefCell::new(None),
            files: RefCell::new(None),
            learned: Cell::new(Learned::NOTHING),
            interrupt: Interrupt::never(),
        })
    }

    /// The same, whose batches end early when `interrupt` is raised.
    #[must_use]
    pub fn interruptible(self, interrupt: Interrupt) -> Handler {
        Handler { interrupt, ..self }
    }

    /// Handles one event; `deadline_ms` is the invocation's deadline in milliseconds since 1970.
    ///
    /// # Errors
    /// `InvalidEvent`, `UnknownCampaign`, `CampaignNotReady`, `UnusableActivitiesTable`, `DatabaseUnavailable`,
    /// `DatabaseRefused`, `UnsubscribeSecretUnavailable`: nothing was claimed then, or nothing was sent of what was claimed.
    pub async fn handle(&self, event: &serde_json::Value, deadline_ms: u64) -> Result<BatchResult, Failure> {
        let started_at = Instant::now();
        let fallback = self.settings.fallback_timeout;
        let deadline = Deadline::new(deadline_ms, SystemTime::now(), started_at, fallback);
        let event = Event::parse(event).map_err(|error| Failure::new("InvalidEvent", error))?;
        let (campaign_id, batch_size, unrecorded) = match event {
            Event::Due => (None, None, None),
            Event::Batch { campaign_id, batch_size, unrecorded } => {
                (Some(campaign_id), batch_size, unrecorded)
            }
        };
        let invocation = Invocation {
            token: Uuid::new_v4(),
            deadline,
            started_at,
            batch_size: batch_size.unwrap_or(self.settings.batch_size),
            due: campaign_id.is_none(),
        };
        if let UncertainPolicy::Resend { after } = self.settings.uncertain {
            let settled =
                doubt::settle_silent_doubt(&self.database, campaign_id, after, deadline.last_start).await;
            if let Err(error) = settled {
                return invocation.owe(campaign_id, unrecorded, error.into());
            }
        }
        let Some(id) = campaign_id else { return self.most_due(&invocation).await };
        let campaign = match self.load(Some(id), &[], &invocation).await {
            Ok(Loaded { campaign: Some(campaign), .. }) => campaign,
            Ok(_) => return Err(Failure::new("UnknownCampaign", format!("there is no campaign {id}"))),
            Err(error) => return invocation.owe(campaign_id, unrecorded, error),
        };
        let result = self.run_in_span(&campaign, unrecorded, &invocation).await?;
        result.ok_or_else(|| Failure::new("UnknownCampaign", format!("there is no campaign {id}")))
    }

    /// Works on the campaign that is most due. Nothing that one campaign holds keeps the others from their turn: one
    /// that others work on is passed over; so is one that cannot be read or worked on, with a line in the log, and it
    /// is left alone for a while.
    async fn most_due(&self, invocation: &Invocation) -> Result<BatchResult, Failure> {
        let time = invocation.deadline.last_start.saturating_duration_since(invocation.started_at);
        let look_until = invocation.started_at + time / 3;
        let mut passed_over = Vec::new();
        // When the most due campaign cannot be read, all that are due are tried one by one.
        let mut one_by_one: Option<std::vec::IntoIter<Uuid>> = None;
        while passed_over.len() < MAX_CANDIDATES && Instant::now() < look_until {
            let named = match one_by_one.as_mut().map(Iterator::next) {
                Some(None) => break,
                Some(named) => named,
                None => None,
            };
            let campaign = match (self.load(named, &passed_over, invocation).await, named) {
                (Ok(Loaded { campaign, resting, .. }), _) => {
                    if passed_over.is_empty() && !resting.is_empty() {
                        let campaigns: Vec<String> = resting.iter().map(Uuid::to_string).collect();
                        tracing::warn!(
                            campaigns = campaigns.join(" "),
                            "campaigns are due and left alone for a while, because earlier invocations that worked on them did not come back or failed"
                        );
                    }
                    match campaign {
                        Some(campaign) => campaign,
                        None if named.is_some() => continue,
                        None => break,
                    }
                }
                (Err(TableError::Database(DatabaseError::Refused(error))), None) => {
                    tracing::error!(%error, "a campaign that is due cannot be read; the others are tried one by one");
                    let due = load::due(&self.database, &passed_over, invocation.deadline.last_start).await?;
                    one_by_one = Some(due.into_iter());
                    continue;
                }
                (Err(TableError::Database(DatabaseError::Refused(error))), Some(id)) => {
                    self.pass_over(id, &DatabaseError::Refused(error).to_string(), invocation).await;
                    passed_over.push(id);
                    continue;
                }
                (Err(error), _) => return invocation.owe(None, None, error),
            };
            let run = AssertUnwindSafe(self.run_in_span(&campaign, None, invocation)).catch_unwind().await;
            match run {
                Ok(Ok(Some(result))) => return Ok(result),
                Ok(Ok(None)) => {
                    if campaign.attempted {
                        self.forget_attempt(campaign.id, invocation).await;
                    }
                }
                Ok(Err(failure)) if failure.kind == "DatabaseUnavailable" => return Err(failure),
                Ok(Err(failure)) => {
                    self.pass_over(
                        campaign.id,
                        &format!("{}: {}", failure.kind, failure.message),
                        invocation,
                    )
                    .await;
                }
                Err(_) => self.pass_over(campaign.id, "the function panicked", invocation).await,
            }
            passed_over.push(campaign.id);
        }
        self.report_oldest_doubt(invocation.deadline.last_start).await;
        Ok(BatchResult::idle())
    }

    /// A campaign that cannot be worked on: invocations that are not about it leave it alone for a while.
    async fn pass_over(&self, id: Uuid, reason: &str, invocation: &Invocation) {
        tracing::error!(campaign_id = %id, reason, "a campaign that is due cannot be worked on; it is passed over and tried again later");
        if let Err(error) = load::note_attempt(&self.database, id, invocation.deadline.last_start).await {
            tracing::warn!(%error, "that could not be noted");
        }
    }

    async fn forget_attempt(&self, id: Uuid, invocation: &Invocation) {
        if let Err(error) = load::forget_attempt(&self.database, id, invocation.deadline.last_start).await {
            tracing::warn!(%error, campaign_id = %id, "an attempt could not be taken back");
        }
    }

    async fn run_in_span(
        &self,
        campaign: &Campaign,
        unrecorded: Option<Debt>,
        invocation: &Invocation,
    ) -> Result<Option<BatchResult>, Failure> {
        let span = tracing::info_span!("batch", campaign_id = %campaign.id, organization_id = %campaign.organization_id);
        let result = self.run(campaign, unrecorded, invocation).instrument(span).await?;
        let result = result.map(BatchResult::bounded);
        if let Some(result) = &result {
            if result.status == Status::Halted {
                self.metrics.halted(campaign.id, campaign.organization_id);
            }
            // A claim forgets the attempt itself.
            if campaign.attempted && result.batch.claimed == 0 {
                self.forget_attempt(campaign.id, invocation).await;
            }
        }
        Ok(result)
    }

    /// A tick that finds nothing to do has the time to look how long emails have been in doubt, and campaigns due.
    async fn report_oldest_doubt(&self, until: Instant) {
        if !self.metrics.are_on() {
            return;
        }
        match doubt::oldest(&self.database, until).await {
            Ok(age) => self.metrics.oldest_uncertain(age),
            Err(error) => tracing::warn!(%error, "the age of what is in doubt could not be read"),
        }
        match doubt::oldest_due(&self.database, until).await {
            Ok(age) => self.metrics.oldest_due(age),
            Err(error) => tracing::warn!(%error, "how long campaigns have been due could not be read"),
        }
    }

    /// Loads the campaign and, the first time, learns how the activities table is written.
    async fn load(
        &self,
        id: Option<Uuid>,
        passed_over: &[Uuid],
        invocation: &Invocation,
    ) -> Result<Loaded, TableError> {
        let table = &self.settings.activities_table;
        let unknown = self.record_statement.borrow().is_none().then_some(table.as_str());
        let until = invocation.deadline.last_start;
        let loaded = load::load(&self.database, id, passed_over, unknown, until).await?;
        if let Some(catalogue) = &loaded.catalogue {
            let table = plan::learn_from(&self.database, table, catalogue, &ACTIONS, &[], until).await?;
            *self.record_statement.borrow_mut() = Some(Rc::new(Statement::new(&table)));
        }
        Ok(loaded)
    }

    /// Works on one campaign. `None`: another invocation is at it, and this one may look for another campaign.
    async fn run(
        &self,
        campaign: &Campaign,
        unrecorded: Option<Debt>,
        invocation: &Invocation,
    ) -> Result<Option<BatchResult>, Failure> {
        let compiled = self.compile(&campaign.source);
        let templates = compiled.as_ref().ok().map(Rc::as_ref);
        if let Some(debt) = unrecorded
            && let Err(error) = self.pay(campaign, templates, &debt, invocation).await
        {
            return invocation.owe(Some(campaign.id), Some(debt), error).map(Some);
        }
        if campaign.status == "draft" || campaign.unscheduled {
            let problem = match campaign.status.as_str() {
                "draft" => "is a draft: set its status to 'sending', or to 'scheduled' with a time",
                _ => "is scheduled without a time: set its scheduled_at",
            };
            return Err(Failure::new("CampaignNotReady", format!("campaign {} {problem}", campaign.id)));
        }
        let links = self.links_for(campaign).await?;
        let ready = compiled.as_ref().map(Rc::clone).map_err(ToString::to_string);
        let ready: Ready = ready.and_then(|ready| Ok((ready, links?)));
        if campaign.sendable
            && let Err(reason) = &ready
        {
            return self.halt(campaign, reason, invocation).await.map(Some);
        }
        if campaign.sendable
            && let Some(error) = preflight(campaign)
        {
            return self.halt(campaign, &error, invocation).await.map(Some);
        }
        if campaign.sendable
            && let Some(error) = self.examine_files(campaign, invocation).await?
        {
            return self.halt(campaign, &error, invocation).await.map(Some);
        }
        if campaign.resumed_in_doubt {
            self.settle_refused(campaign, templates, invocation).await?;
        }
        let ses = self.ses.get_or_init(Ses::from_env).await;
        let time = invocation.deadline.last_start.saturating_duration_since(Instant::now());
        let quota = ses.quota(time / 2).await;
        let left_today = quota.left_today.unwrap_or(u32::MAX);
        let wish = Wish {
            campaign_id: campaign.id,
            token: invocation.token,
            size: invocation.batch_size.min(left_today.max(1)),
            alone: invocation.due,
            region: ses.region(),
            per_second: [quota.per_second, self.settings.max_send_rate]
                .into_iter()
                .flatten()
                .reduce(f64::min),
            catch_up: self.learned.get().catch_up(),
            deadline: invocation.deadline,
            templates_hash: &campaign.templates_hash,
            history: &self.history,
        };
        if left_today == 0 && campaign.sendable {
            let verdict = Verdict::quota_exhausted("the daily sending quota is used up");
            return Ok(Some(self.answer(campaign, verdict, invocation).await));
        }
        self.claim(campaign, (&compiled, &ready), (ses, &wish), invocation).await
    }

    /// Claims a batch and sends it; the batches of lost invocations that stand before it are settled first. `None`:
    /// another invocation is at it, and this one may look for another campaign.
    async fn claim(
        &self,
        campaign: &Campaign,
        (compiled, ready): (&Compiled, &Ready),
        (ses, wish): (&Ses, &Wish<'_>),
        invocation: &Invocation,
    ) -> Result<Option<BatchResult>, Failure> {
        let templates = compiled.as_ref().ok().map(Rc::as_ref);
        for _ in 0..MAX_TAKEOVERS {
            let claimed_at = Instant::now();
            crate::crash_point!("claim-before");
            let claim = claim::claim(&self.database, wish).await?;
            crate::crash_point!("claim-after");
            match claim {
                Claim::Batch(batch) => {
                    let (templates, links) = match ready {
                        Ok((templates, links)) => (templates, links.as_ref()),
                        // It became `sending` a moment ago.
                        Err(reason) => return self.halt(campaign, reason, invocation).await.map(Some),
                    };
                    let result = self
                        .send_and_record(campaign, (templates, links), ses, batch, claimed_at, invocation)
                        .await;
                    return Ok(Some(result));
                }
                Claim::Takeover { batch_id, noted } => {
                    tracing::warn!(
                        batch_id,
                        noted = noted.len(),
                        "taking over the batch of a lost invocation"
                    );
                    let token = invocation.token;
                    let closing = Closing { batch_id, token, whole: true, reopen: true, doubt: true };
                    let recorded = self.settle(campaign, templates, noted, closing, invocation).await?;
                    if let Some(reason) = recorded.as_ref().and_then(discarded) {
                        return self.halt(campaign, &reason, invocation).await.map(Some);
                    }
                    crate::crash_point!("takeover-after");
                }
                Claim::Busy(_) if invocation.due => return Ok(None),
                Claim::Busy(lease) => {
                    return Ok(Some(self.answer(campaign, Verdict::busy(lease), invocation).await));
                }
                Claim::Locked(reason) => {
                    tracing::warn!(reason, "another transaction holds a lock on the campaign");
                    if invocation.due {
                        return Ok(None);
                    }
                    return Ok(Some(self.answer(campaign, Verdict::locked(&reason), invocation).await));
                }
                // Of all campaigns alike, so a tick looks for no other.
                Claim::HistoryChanged { hold, reason } => {
                    tracing::error!(
                        reason,
                        hold_seconds = hold.as_secs(),
                        "the database's history has changed"
                    );
                    self.metrics.history_changed();
                    let verdict = Verdict::history_changed(hold, &reason);
                    return Ok(Some(self.answer(campaign, verdict, invocation).await));
                }
                Claim::RateReserved(_) if invocation.due => return Ok(None),
                Claim::RateReserved(reserved) => {
                    let verdict = Verdict::rate_reserved(reserved);
                    return Ok(Some(self.answer(campaign, verdict, invocation).await));
                }
                Claim::TooLate(reason) => {
                    tracing::error!(reason, "the campaign is halted");
                    let paused = self.stopped(campaign, "paused", invocation).await?;
                    return Ok(Some(BatchResult { status: Status::Halted, reason: Some(reason), ..paused }));
                }
                Claim::Scheduled(due) => {
                    let verdict = Verdict::wait(due, "the campaign is scheduled for later");
                    return Ok(Some(self.answer(campaign, verdict, invocation).await));
                }
                Claim::Complete => return self.stopped(campaign, "sent", invocation).await.map(Some),
                Claim::Stopped { .. } if invocation.due => return Ok(None),
                Claim::Stopped { status, under_way: Some(lease) } => {
                    let verdict = Verdict::under_way(&status, lease);
                    return Ok(Some(self.answer(campaign, verdict, invocation).await));
                }
                Claim::Stopped { status, under_way: None } => {
                    return self.stopped(campaign, &status, invocation).await.map(Some);
                }
            }
        }
        Ok(Some(self.answer(campaign, Verdict::more(), invocation).await))
    }

    /// The templates of a campaign, compiled once as long as they stay the same.
    fn compile(&self, source: &Source) -> Compiled {
        if let Some((known, templates)) = self.templates.borrow().as_ref()
            && known == source
        {
            return Ok(Rc::clone(templates));
        }
        let templates = Rc::new(Templates::compile(source.clone())?);
        *self.templates.borrow_mut() = Some((source.clone(), Rc::clone(&templates)));
        Ok(templates)
    }

    /// Reads the files that go with each email, once as long as they stay the same; why none can be sent, if that is so.
    async fn examine_files(
        &self,
        campaign: &Campaign,
        invocation: &Invocation,
    ) -> Result<Option<String>, Failure> {
        let html = campaign.source.html.as_deref();
        let Some(name) = &campaign.attachments else {
            // A link by cid: would show nothing.
            let findings = examine_attachments(&[], html.filter(|_| campaign.progress.sent == 0));
            return Ok(first_error(&findings));
        };
        let known = self.files.borrow().as_ref().is_some_and(|(known, ..)| known == name);
        if !known {
            // One campaign's files at a time are in memory.
            self.files.replace(None);
            let until = invocation.deadline.last_start;
            let files = attachments::load(&self.database, campaign.id, until).await?;
            let findings = examine_attachments(&files, html);
            self.files.replace(Some((name.clone(), Files::new(&files), findings)));
        }
        Ok(self.files.borrow().as_ref().and_then(|(.., findings)| first_error(findings)))
    }

    /// The files of a campaign, as [`Handler::examine_files`] has read them.
    fn files(&self, campaign: &Campaign) -> Files {
        let files = self.files.borrow();
        let known = files.as_ref().filter(|(known, ..)| Some(known) == campaign.attachments.as_ref());
        known.map(|(_, files, _)| files.clone()).unwrap_or_default()
    }

    /// What makes the links to unsubscribe; a campaign that is not transactional cannot do without.
    /// The inner error is the reason for which a campaign halts.
    async fn links_for(&self, campaign: &Campaign) -> Result<Result<Option<Links>, String>, Failure> {
        let keys = match self.keys.current().await {
            Err(error) if !campaign.source.transactional => {
                return Err(Failure::new("UnsubscribeSecretUnavailable", error));
            }
            keys => keys.ok().flatten(),
        };
        Ok(match Links::with_keys(&self.settings.unsubscribe, keys) {
            Ok(links) => Ok(Some(links)),
            Err(_) if campaign.source.transactional => Ok(None),
            Err(reason) => Err(reason),
        })
    }

    /// Records what an earlier invocation sent. Paying twice changes nothing.
    async fn pay(
        &self,
        campaign: &Campaign,
        templates: Option<&Templates>,
        debt: &Debt,
        invocation: &Invocation,
    ) -> Result<(), TableError> {
        let reopen = debt.outcomes.iter().any(|entry| entry.outcome.status() == RecipientStatus::Pending);
        let closing = Closing {
            batch_id: debt.batch_id,
            token: debt.claim_token,
            whole: debt.whole,
            reopen,
            doubt: false,
        };
        self.settle(campaign, templates, debt.outcomes.clone(), closing, invocation).await?;
        tracing::info!(outcomes = debt.outcomes.len(), "recorded what was owed");
        Ok(())
    }

    /// Makes emails `sent` that SES accepted and whose activities the table refused, each with its activity: a person
    /// has set the campaign to `sending` again. What is refused again stays in doubt and halts nothing, for it may be
    /// refused for its own sake; a table that takes no activity halts the next batch.
    async fn settle_refused(
        &self,
        campaign: &Campaign,
        templates: Option<&Templates>,
        invocation: &Invocation,
    ) -> Result<(), TableError> {
        let (until, subject) = (invocation.deadline.last_start, &campaign.source.subject);
        let entries = refused::entries(&self.database, campaign.id, until).await?;
        if entries.is_empty() {
            return Ok(());
        }
        let lines = pay::lines(&self.database, campaign.id, templates, subject, entries, until).await?;
        let statement = self.statement(until).await?;
        let (mut parts, mut written) = (vec![lines.as_slice()], 0);
        for _ in 0..MAX_REFUSED_PARTS {
            let Some(part) = parts.pop() else { break };
            let record = Record { lines: part, ..Record::nothing(campaign.id) };
            match record::record_whole(&self.database, &statement, &record, until).await {
                Ok(recorded) => written += recorded.map_or(0, |recorded| recorded.activities),
                Err(DatabaseError::Refused(_)) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(DatabaseError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        tracing::info!(written, of = lines.len(), "recorded emails whose activities had been refused");
        Ok(())
    }

    /// Records outcomes that are known only in their short form.
    async fn settle(
        &self,
        campaign: &Campaign,
        templates: Option<&Templates>,
        entries: Vec<Entry>,
        closing: Closing,
        invocation: &Invocation,
    ) -> Result<Option<Recorded>, TableError> {
        let (until, subject) = (invocation.deadline.last_start, &campaign.source.subject);
        let lines = pay::lines(&self.database, campaign.id, templates, subject, entries, until).await?;
        let record = Record { closing: Some(closing), lines: &lines, ..Record::nothing(campaign.id) };
        self.record(&record, until).await
    }

    async fn record(&self, record: &Record<'_>, until: Instant) -> Result<Option<Recorded>, TableError> {
        let recorded = self.record_once(record, until).await?;
        // A row that another statement changed at the same moment looks as if its change had been discarded. A second
        // record of the same outcomes changes nothing else, and sees what is there.
        match recorded {
            Some(recorded) if recorded.discarded > 0 => self.record_once(record, until).await,
            recorded => Ok(recorded),
        }
    }

    /// Records, whatever the activities table has become since it was learned: where PostgreSQL refuses, its shape
    /// is learned again once, and what is refused all the same is recorded apart.
    async fn record_once(&self, record: &Record<'_>, until: Instant) -> Result<Option<Recorded>, TableError> {
        let mut statement = self.statement(until).await?;
        let mut outcome = record::record_whole(&self.database, &statement, record, until).await;
        if outcome.as_ref().is_err_and(refusal::may_be_of_the_shape) {
            *self.record_statement.borrow_mut() = None;
            let learned = self.statement(until).await?;
            if learned != statement {
                tracing::warn!("the activities table has changed, and was learned again");
                statement = learned;
                outcome = record::record_whole(&self.database, &statement, record, until).await;
            }
        }
        match outcome {
            Err(error @ DatabaseError::Refused(_)) => {
                Ok(record::record_apart(&self.database, &statement, record, error, until).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn statement(&self, until: Instant) -> Result<Rc<Statement>, TableError> {
        if let Some(known) = self.record_statement.borrow().as_ref() {
            return Ok(Rc::clone(known));
        }
        let table = &self.settings.activities_table;
        let table = plan::learn(&self.database, table, &ACTIONS, &[], until).await?;
        let statement = Rc::new(Statement::new(&table));
        *self.record_statement.borrow_mut() = Some(Rc::clone(&statement));
        Ok(statement)
    }

    async fn send_and_record(
        &self,
        campaign: &Campaign,
        (templates, links): (&Templates, Option<&Links>),
        ses: &Ses,
        batch: Batch,
        claimed_at: Instant,
        invocation: &Invocation,
    ) -> BatchResult {
        let sender = Sender::new(campaign, self.settings.configuration_set.as_deref(), links)
            .with_files(self.files(campaign));
        let sending = Sending {
            database: &self.database,
            ses,
            templates,
            sender: &sender,
            deadline: invocation.deadline,
            interrupt: &self.interrupt,
            concurrency: self.settings.concurrency,
            api: self.settings.send_api,
            first: campaign.progress.sent == 0,
            learned: self.learned.get(),
            claimed_at,
        };
        let Report { lines, stop, refusal, throttled_to, learned, latencies } = sending.run(&batch).await;
        self.learned.set(learned);
        let counts = count(&lines);
        ses.spend(counts.sent);
        let halt = match &stop {
            Some(Stop::Halt(reason)) => Some(reason.as_str()),
            _ => None,
        };
        let closing = Closing {
            batch_id: batch.id,
            token: batch.token,
            whole: true,
            reopen: counts.deferred > 0,
            doubt: false,
        };
        crate::crash_point!("record-before");
        let until = invocation.deadline.last_record;
        let record = Record {
            campaign_id: campaign.id,
            closing: Some(closing),
            lines: &lines,
            refused: &[],
            halt,
            refusal: (refusal.0.as_deref(), refusal.1),
            throttled: throttled_to.map(|per_second| (ses.region(), per_second)),
        };
        let recording_at = Instant::now();
        let recorded = self.record(&record, until).await;
        self.metrics.batch(&BatchMetrics {
            campaign_id: campaign.id,
            organization_id: campaign.organization_id,
            counts,
            send_latency: &latencies,
            record_latency: recording_at.elapsed(),
            duration: invocation.started_at.elapsed(),
        });
        crate::crash_point!("record-after");
        let recorded = match recorded {
            Ok(Some(recorded)) => recorded,
            Ok(None) => {
                return self.answer(campaign, Verdict::of_status("cancelled", None), invocation).await;
            }
            Err(error) => return invocation.unrecorded(campaign, &batch, counts, lines, &error),
        };
        if let Some(reason) = discarded(&recorded) {
            let activities = Activities::written(recorded.activities);
            return match self.halt(campaign, &reason, invocation).await {
                Ok(halted) => {
                    BatchResult { batch: counts, activities, progress: recorded.progress, ..halted }
                }
                Err(failure) => {
                    let verdict = Verdict::halted(format!("{reason} ({})", failure.message));
                    invocation.result(campaign.id, verdict, counts, activities, recorded.progress)
                }
            };
        }
        let counts = BatchCounts {
            sent: counts.sent - recorded.refused,
            uncertain: counts.uncertain + recorded.refused,
            ..counts
        };
        let verdict = self.verdict(campaign.id, counts, stop.as_ref(), &recorded, invocation).await;
        tracing::info!(
            sent = counts.sent,
            failed = counts.failed,
            suppressed = counts.suppressed,
            uncertain = counts.uncertain,
            deferred = counts.deferred,
            duration_ms = u64::try_from(invocation.started_at.elapsed().as_millis()).unwrap_or(u64::MAX),
            status = ?verdict.status,
            reason = verdict.reason,
            "batch recorded"
        );
        let activities = Activities::written(recorded.activities);
        invocation.result(campaign.id, verdict, counts, activities, recorded.progress)
    }

    async fn verdict(
        &self,
        campaign_id: Uuid,
        counts: BatchCounts,
        stop: Option<&Stop>,
        recorded: &Recorded,
        invocation: &Invocation,
    ) -> Verdict {
        let refused = recorded.halted.clone().map(Stop::Halt);
        let stop = refused.as_ref().or(stop);
        let verdict = Verdict::of_batch(stop, &recorded.status, recorded.status_reason.clone());
        if verdict.status != Status::Continue || counts.deferred > 0 || recorded.progress.remaining > 0 {
            return verdict;
        }
        // By the counters nobody is left; the recipients themselves have the last word.
        match complete::complete(&self.database, campaign_id, invocation.deadline.last_record).await {
            Ok(Completion::Complete) => Verdict::done(),
            Ok(Completion::Busy) => Verdict::busy(Duration::from_secs(1)),
            Ok(Completion::Pending) | Err(_) => verdict,
        }
    }

    /// A cause that would fail every recipient: the campaign is paused, with the reason.
    async fn halt(
        &self,
        campaign: &Campaign,
        reason: &str,
        invocation: &Invocation,
    ) -> Result<BatchResult, Failure> {
        let until = invocation.deadline.last_start;
        let record = Record { halt: Some(reason), ..Record::nothing(campaign.id) };
        self.record(&record, until).await?;
        tracing::error!(reason, "the campaign is halted");
        Ok(self.answer(campaign, Verdict::halted(reason), invocation).await)
    }

    /// The campaign's status does not allow sending; its counters are read once more, for they may have changed.
    async fn stopped(
        &self,
        campaign: &Campaign,
        status: &str,
        invocation: &Invocation,
    ) -> Result<BatchResult, Failure> {
        let until = invocation.deadline.last_start;
        let loaded = load::load(&self.database, Some(campaign.id), &[], None, until).await?;
        let campaign = loaded.campaign.unwrap_or_else(|| campaign.clone());
        let verdict = Verdict::of_status(status, campaign.status_reason.clone());
        Ok(self.answer(&campaign, verdict, invocation).await)
    }

    /// An answer without a batch. Where sending has not started, the recipients are counted for it, if PostgreSQL
    /// does so in time.
    async fn answer(&self, campaign: &Campaign, verdict: Verdict, invocation: &Invocation) -> BatchResult {
        let mut progress = campaign.progress;
        if progress.total == 0 && verdict.status != Status::Done {
            let counted = load::count(&self.database, campaign.id, invocation.deadline.last_start).await;
            progress = counted.unwrap_or(progress);
        }
        let (batch, activities) = (BatchCounts::default(), Activities::written(0));
        invocation.result(campaign.id, verdict, batch, activities, progress)
    }
}

impl Invocation {
    fn result(
        &self,
        campaign_id: Uuid,
        verdict: Verdict,
        batch: BatchCounts,
        activities: Activities,
        progress: Progress,
    ) -> BatchResult {
        let goes_on = matches!(verdict.status, Status::Continue | Status::Wait);
        BatchResult {
            campaign_id: Some(campaign_id),
            status: verdict.status,
            wait_seconds: verdict.wait.as_secs() + u64::from(verdict.wait.subsec_nanos() > 0),
            batch,
            activities,
            progress,
            reason: verdict.reason,
            next: goes_on.then_some(Next { campaign_id, batch_size: self.batch_size, unrecorded: None }),
        }
    }

    /// Sent, and not recorded: the next invocation is given what is owed.
    fn unrecorded(
        &self,
        campaign: &Campaign,
        batch: &Batch,
        counts: BatchCounts,
        lines: Vec<Line>,
        error: &TableError,
    ) -> BatchResult {
        let entries =
            lines.into_iter().map(|line| Entry { recipient_id: line.recipient_id, outcome: line.outcome });
        let debt = Debt::of_batch(campaign.id, batch.id, batch.token, entries);
        tracing::error!(%error, owed = debt.outcomes.len(), whole = debt.whole, "the batch could not be recorded");
        let verdict = Verdict::wait(AWAY_WAIT, "the batch is sent and not recorded yet");
        let activities = Activities { success: false, count: 0, error: Some(error.to_string()) };
        let mut result = self.result(campaign.id, verdict, counts, activities, campaign.progress);
        result.next = result.next.map(|next| Next { unrecorded: Some(debt), ..next });
        result
    }

    /// PostgreSQL failed before anything was sent. Where something is owed, the answer hands it on.
    fn owe(
        &self,
        campaign_id: Option<Uuid>,
        debt: Option<Debt>,
        error: TableError,
    ) -> Result<BatchResult, Failure> {
        let failure = Failure::from(error);
        let (Some(campaign_id), Some(debt)) = (campaign_id, debt) else { return Err(failure) };
        tracing::error!(error = failure.message, "what is owed could not be recorded");
        let verdict = Verdict::wait(AWAY_WAIT, "an earlier batch is sent and not recorded yet");
        let activities = Activities { success: false, count: 0, error: Some(failure.message) };
        let mut result =
            self.result(campaign_id, verdict, BatchCounts::default(), activities, Progress::default());
        result.next = result.next.map(|next| Next { unrecorded: Some(debt), ..next });
        Ok(result.bounded())
    }
}

/// Why a campaign cannot go on whose outcomes PostgreSQL took and did not keep, if that is so.
fn discarded(recorded: &Recorded) -> Option<String> {
    if recorded.discarded > 0 {
        return Some(format!(
            "PostgreSQL did not keep the outcomes of {} recipients, without an error: a trigger on campaign_recipients discards updates. Nobody of this batch is sent to again; remove the trigger, then set the status to 'sending'",
            recorded.discarded
        ));
    }
    (recorded.gone > 0).then(|| {
        format!(
            "{} emails have no recipient any more: their rows were deleted while they were sent, so these emails have no activity in the timeline",
            recorded.gone
        )
    })
}

/// What would be wrong for every recipient, as far as the campaign alone shows it: its links before the first batch, its
/// mailboxes before each.
fn preflight(campaign: &Campaign) -> Option<String> {
    let html = campaign.source.html.as_deref().filter(|_| campaign.progress.sent == 0);
    let findings = examine_campaign(&campaign.from_address, &campaign.reply_to, html);
    first_error(&findings)
}

fn first_error(findings: &[Finding]) -> Option<String> {
    findings.iter().find(|finding| finding.severity == Severity::Error).map(|finding| finding.text.clone())
}

fn count(lines: &[Line]) -> BatchCounts {
    let of = |status| {
        let count = lines.iter().filter(|line| line.outcome.status() == status).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    BatchCounts {
        claimed: u32::try_from(lines.len()).unwrap_or(u32::MAX),
        sent: of(RecipientStatus::Sent),
        failed: of(RecipientStatus::Failed),
        suppressed: of(RecipientStatus::Suppressed),
        uncertain: of(RecipientStatus::Uncertain),
        deferred: of(RecipientStatus::Pending),
    }
}
