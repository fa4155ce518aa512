//! Step 5: renders and checks every recipient of the batch and hands it to SES, several at a time.
//!
//! A crash leaves few recipients uncertain, because no send starts beyond the mark that PostgreSQL has
//! committed, and outcomes are noted when the mark moves. Pause and cancel are fast, because no send starts
//! if the campaign's status was read too long ago.

mod bulk;
mod call;
mod files;
mod request;

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::task::yield_now;
use tokio::time::sleep_until;

use super::checkpoint::{self, Seen};
use crate::domain::answer::Answer;
use crate::domain::batch::{Batch, Checkpoint, Limit};
use crate::domain::campaign::CampaignStatus;
use crate::domain::deadline::Deadline;
use crate::domain::ledger::Ledger;
use crate::domain::outcome::Line;
use crate::domain::outcome::epoch_millis;
use crate::domain::pace::{Learned, Pace};
use crate::domain::recipient::Status as RecipientStatus;
use crate::domain::result::BatchCounts;
use crate::domain::send_api::SendApi;
use crate::domain::stop::Stop;
use crate::domain::trouble::{Kind, Trouble};
use crate::lambda::interrupt::Interrupt;
use crate::lambda::metrics::Latencies;
use crate::message::compose::{self, Message, Prepared};
use crate::message::render::Templates;
use crate::ses::Ses;
use crate::store::{Database, DatabaseError};
use bulk::{Entries, Fit};
use call::Call;

pub use bulk::request as bulk_request;
pub use files::Files;
pub use request::Sender;

/// The longest time between two checkpoints, which read the campaign's status and note outcomes.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(1000);
/// How old the campaign's status may be when a send starts: pause and cancel take effect within this time.
const STATUS_VALIDITY: Duration = Duration::from_millis(1800);
/// A request that has no answer by then is uncertain.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of messages in unanswered requests, which limits the memory of a batch with large messages.
const MAX_BYTES_IN_FLIGHT: usize = 4 * 1024 * 1024;
/// The result of sending.
#[derive(Debug)]
pub struct Report {
    /// An outcome for every recipient of the batch, in its order.
    pub lines: Vec<Line>,
    /// Why it stopped early, if it did.
    pub stop: Option<Stop>,
    /// The refusal that each of the last recipients has met, and their number; or the weight of unclear
    /// answers.
    pub refusal: (Option<String>, i32),
    /// The rate at which it ended, in messages per second, if SES throttled and a rate was reserved.
    pub throttled_to: Option<f64>,
    /// What the next batch knows about SES's limits.
    pub learned: Learned,
    /// How long SES took to answer, request by request.
    pub latencies: Latencies,
}

impl Report {
    /// The recipients of the batch by outcome.
    pub fn counts(&self) -> BatchCounts {
        let of = |status| {
            let count = self.lines.iter().filter(|line| line.outcome.status() == status).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        BatchCounts {
            claimed: u32::try_from(self.lines.len()).unwrap_or(u32::MAX),
            sent: of(RecipientStatus::Sent),
            failed: of(RecipientStatus::Failed),
            suppressed: of(RecipientStatus::Suppressed),
            uncertain: of(RecipientStatus::Uncertain),
            deferred: of(RecipientStatus::Pending),
        }
    }
}

/// What sending one batch needs.
pub struct Sending<'a> {
    /// The database, for checkpoints.
    pub database: &'a Database,
    /// The client of SES.
    pub ses: &'a Ses,
    /// The compiled templates.
    pub templates: &'a Templates,
    /// What all messages of the campaign share.
    pub sender: &'a Sender,
    /// The times of the invocation.
    pub deadline: Deadline,
    /// The interrupt, which ends it earlier.
    pub interrupt: &'a Interrupt,
    /// The most requests at a time.
    pub concurrency: usize,
    /// Which call of SES is used.
    pub api: SendApi,
    /// True if SES has accepted nothing of the campaign yet; data that does not fit the template then counts
    /// as a refusal.
    pub first: bool,
    /// What earlier batches have learned of SES's limits.
    pub learned: Learned,
    /// The time of the claim, which read the campaign's status.
    pub claimed_at: Instant,
}

/// A finished call.
struct Landing {
    answers: Vec<(usize, Answer)>,
    bytes: usize,
    started_at: Instant,
}

impl Sending<'_> {
    /// Sends a batch. Returns by `deadline.last_answer` with an outcome for every recipient: requests without
    /// an answer are uncertain, recipients that were not tried are deferred.
    pub async fn run(&self, batch: &Batch) -> Report {
        let mut ledger = Ledger::new(batch, self.first);
        let mut flights = FuturesUnordered::new();
        let mut bytes_in_flight = 0;
        let mut latencies = Latencies::default();
        let mut commit = None;
        let mut status_read_at = self.claimed_at;
        let mut last_checkpoint = self.claimed_at;
        let mut pace = Pace::new(batch.pace, batch.to_send(), self.learned, Instant::now());
        let mut trouble = Trouble::new(&batch.refusal);
        let mut limit = batch.limit.clone();

        loop {
            let now = Instant::now();
            if now >= self.deadline.last_answer {
                break;
            }
            let interrupted = self.interrupt.is_raised();
            if interrupted {
                ledger.stop(Stop::Deadline);
            } else if now >= self.deadline.last_start || pace.is_over(now) {
                ledger.stop(trouble.weigh(pace.turned_away().unwrap_or(Stop::Deadline)));
            }
            if let Some(limit) = too_late(limit.as_ref(), now)
                && !ledger.is_idle()
            {
                ledger.stop(Stop::Halt(limit.reason.clone()));
            }
            let may_start = now < status_read_at + STATUS_VALIDITY
                && pace.allows(now)
                && flights.len() < if trouble.is_careful() { 1 } else { self.concurrency }
                && (bytes_in_flight < MAX_BYTES_IN_FLIGHT || flights.is_empty());
            // One call is started at a time, and is on its way to SES while the next one is rendered.
            let mut started = false;
            let in_bulk =
                self.ses.takes_bulk_calls() && !trouble.is_careful() && self.sender.files().fit_bulk_calls();
            let api = if in_bulk { self.api } else { SendApi::Single };
            if may_start && let Some(call) = self.next_call(batch, &mut ledger, pace.call_size(api)) {
                // Rendering takes time too.
                if too_late(limit.as_ref(), Instant::now()).is_some() {
                    call.indexes().into_iter().rev().for_each(|index| ledger.give_back(index));
                    continue;
                }
                pace.start(now, call.len());
                bytes_in_flight += self.bytes(&call);
                crate::crash_point!("send-before");
                flights.push(self.send(call));
                started = true;
            }
            if ledger.is_idle() && flights.is_empty() && commit.is_none() {
                break;
            }
            let due = now >= last_checkpoint + CHECKPOINT_INTERVAL;
            if commit.is_none() && (ledger.needs_mark() || due) {
                last_checkpoint = now;
                let checkpoint = ledger.checkpoint();
                commit = Some(Box::pin(self.commit(checkpoint, now)));
            }

            let limit_at = limit.as_ref().map(|limit| limit.at);
            let wake = [pace.next(), last_checkpoint + CHECKPOINT_INTERVAL, self.deadline.last_start]
                .into_iter()
                .chain(limit_at)
                .filter(|at| *at > now)
                .fold(self.deadline.last_answer, Instant::min);
            tokio::select! {
                biased;
                Some(landing) = flights.next(), if !flights.is_empty() => {
                    let now = Instant::now();
                    latencies.record(now - landing.started_at);
                    bytes_in_flight -= landing.bytes;
                    self.land(batch, landing, &mut ledger, &mut pace, &mut trouble);
                }
                (read_at, result) = async { commit.as_mut().expect("guarded").await }, if commit.is_some() => {
                    commit = None;
                    match result {
                        Ok(Some(Seen { status, limit: now_limit })) => {
                            status_read_at = read_at;
                            limit = now_limit;
                            ledger.mark_moved();
                            if status != CampaignStatus::Sending {
                                ledger.stop(Stop::Status(status));
                            }
                        }
                        Ok(None) => ledger.stop(Stop::ClaimLost),
                        // Without the checkpoint no further send can start; recording will try PostgreSQL
                        // again.
                        Err(error) => {
                            tracing::error!(%error, batch_id = batch.id, "a checkpoint could not be written");
                            ledger.stop(Stop::Deadline);
                        }
                    }
                }
                () = self.interrupt.raised(), if !interrupted => {}
                () = yield_now(), if started => {}
                () = sleep_until(wake.into()) => {}
            }
        }
        self.log_wholes();
        report(ledger, trouble, &pace, latencies, !flights.is_empty())
    }

    /// Takes the answers of a call.
    fn land(
        &self,
        batch: &Batch,
        landing: Landing,
        ledger: &mut Ledger<'_>,
        pace: &mut Pace,
        trouble: &mut Trouble,
    ) {
        let now = Instant::now();
        crate::crash_point!("send-answered");
        self.log_accepted(batch, &landing.answers);
        if let Some(stop) = trouble.note(Kind::of(&landing.answers), landing.answers.len()) {
            ledger.stop(stop);
        }
        if trouble.gives_up_bulk_calls() {
            self.ses.give_up_bulk_calls("its answers cannot be read");
        }
        for (index, answer) in landing.answers {
            pace.note(&answer, landing.started_at, now);
            ledger.answer(index, answer, SystemTime::now());
        }
        if let Some(stop) = pace.given_up(now) {
            ledger.stop(trouble.weigh(stop));
        }
    }

    /// The next call: one message, or up to `size` of them in a bulk call. Recipients that need no call get
    /// their outcome.
    fn next_call(&self, batch: &Batch, ledger: &mut Ledger<'_>, size: Option<usize>) -> Option<Call> {
        if let Some(message) = self.next_message(batch, ledger, Ledger::next_alone) {
            return Some(Call::single(message));
        }
        let Some(size) = size else {
            return self.next_message(batch, ledger, Ledger::next_recipient).map(Call::single);
        };
        let mut entries = Entries::new(self.sender, size);
        while entries.has_room() {
            let Some((index, message)) = self.next_message(batch, ledger, Ledger::next_recipient) else {
                break;
            };
            match entries.add(self.sender, index, message) {
                Fit::Added => {}
                Fit::NextCall => {
                    ledger.give_back(index);
                    break;
                }
                Fit::NoCall => ledger.answer(
                    index,
                    Answer::Singly("too large for a bulk call".to_owned()),
                    SystemTime::now(),
                ),
            }
        }
        if entries.len() > 0 {
            Some(Call::Bulk(entries))
        } else {
            self.next_message(batch, ledger, Ledger::next_alone).map(Call::single)
        }
    }

    /// The next message of the recipients that `next` returns.
    fn next_message<'l>(
        &self,
        batch: &Batch,
        ledger: &mut Ledger<'l>,
        next: impl Fn(&mut Ledger<'l>) -> Option<usize>,
    ) -> Option<(usize, Message)> {
        loop {
            let index = next(ledger)?;
            let recipient = &batch.recipients[index];
            let link = self.sender.link(recipient.id);
            match compose::prepare(self.templates, recipient, link.as_ref()) {
                Prepared::Outcome(outcome) => ledger.set_outcome(index, outcome),
                Prepared::Message(message) => {
                    ledger.start(index, message.content.subject.clone());
                    return Some((index, message));
                }
            }
        }
    }

    /// The memory of a call, in bytes.
    fn bytes(&self, call: &Call) -> usize {
        call.bytes() + self.sender.files().bytes()
    }

    async fn send(&self, call: Call) -> Landing {
        let (started_at, bytes, indexes) = (Instant::now(), self.bytes(&call), call.indexes());
        let until = (started_at + ANSWER_TIMEOUT).min(self.deadline.last_answer);
        let answers = tokio::time::timeout_at(until.into(), call.send(self.ses, self.sender)).await;
        let answers = answers.unwrap_or_else(|_| {
            let (code, message) = ("timed_out".to_owned(), "SES did not answer in time".to_owned());
            vec![Answer::Uncertain { code, message }; indexes.len()]
        });
        Landing { answers: indexes.into_iter().zip(answers).collect(), bytes, started_at }
    }

    /// Logs the messages that a call's answer accepted in one line, from which `campaign resolve --from-log`
    /// can replay lost outcomes.
    fn log_accepted(&self, batch: &Batch, answers: &[(usize, Answer)]) {
        let mut messages = String::new();
        for (index, answer) in answers {
            if let Answer::Accepted(message_id) = answer {
                let gap = if messages.is_empty() { "" } else { " " };
                let _ = write!(messages, "{gap}{}={message_id}", batch.recipients[*index].id);
            }
        }
        if !messages.is_empty() {
            let (campaign_id, sent_at_ms) = (self.sender.campaign_id(), epoch_millis(SystemTime::now()));
            tracing::info!(%campaign_id, sent_at_ms, messages, "accepted");
        }
    }

    /// One line for those whose emails were read and carried as a whole.
    fn log_wholes(&self) {
        let wholes = self.templates.wholes();
        if wholes > 0 {
            tracing::info!(wholes, "emails of these recipients share nothing with the others'");
        }
    }

    async fn commit(
        &self,
        checkpoint: Checkpoint,
        read_at: Instant,
    ) -> (Instant, Result<Option<Seen>, DatabaseError>) {
        crate::crash_point!("checkpoint-before");
        let result = checkpoint::commit(self.database, &checkpoint, self.deadline.last_answer).await;
        crate::crash_point!("checkpoint-after");
        (read_at, result)
    }
}

/// The limit, if it is over.
fn too_late(limit: Option<&Limit>, now: Instant) -> Option<&Limit> {
    limit.filter(|limit| now >= limit.at)
}

/// The report of a batch. With `cut_off`, requests that SES has not answered yet leave their recipients `uncertain`.
fn report(
    mut ledger: Ledger<'_>,
    mut trouble: Trouble,
    pace: &Pace,
    latencies: Latencies,
    cut_off: bool,
) -> Report {
    if let Some(reason) = ledger.set_aside() {
        ledger.stop(trouble.weigh(Stop::Intercepted(reason)));
    }
    let (lines, stop, refusal) = ledger.close(cut_off);
    let refusal = match trouble.carried() {
        Some((reason, weight)) if trouble.is_grave() || refusal.0.is_none() => (Some(reason), weight),
        _ => refusal,
    };
    let (throttled_to, learned) = (pace.throttled_to(), pace.learned());
    Report { lines, stop, refusal, throttled_to, learned, latencies }
}
