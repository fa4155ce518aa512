//! Step 3: every recipient of the batch is rendered, checked and handed to SES, some at a time.
//!
//! What keeps a crash small: no send starts beyond the high-water mark that PostgreSQL holds, and what is known
//! is noted there as it moves. What makes pause and cancel fast: no send starts when the campaign's status was
//! last read too long ago.

mod compose;
mod ledger;
mod pace;

use std::time::{Duration, SystemTime};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::checkpoint::{self, Checkpoint};
use super::claim::Batch;
use super::record::Line;
use super::render::Templates;
use crate::database::{Database, DatabaseError};
use crate::deadline::Deadline;
use crate::metrics::Latencies;
use crate::outcome::epoch_millis;
use crate::ses::{Answer, Ses};
use compose::Prepared;
use ledger::Ledger;
use pace::Pace;

pub use compose::Sender;

/// How often the campaign's status is read and outcomes are noted, at least.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(1000);
/// How old the campaign's status may be when a send starts: pause and cancel take effect within this time.
const STATUS_VALIDITY: Duration = Duration::from_millis(1800);
/// A request that has no answer by then is in doubt.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// As many recipients, the first of a campaign, that meet the same refusal halt it.
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
    /// A cause that holds for every recipient.
    Halt(String),
    /// The campaign is not `sending` any more.
    Status(String),
    /// Another invocation has taken the batch over.
    ClaimLost,
}

/// What sending came to.
#[derive(Debug)]
pub struct Report {
    /// An outcome for every recipient of the batch, in its order.
    pub lines: Vec<Line>,
    /// Why it stopped early, if it did.
    pub stop: Option<Stop>,
    /// The refusal that every recipient of the campaign has met so far, and how many have.
    pub refusal: (Option<String>, i32),
    /// Whether SES has said 'too fast'.
    pub throttled: bool,
    /// How long SES took to answer, request by request.
    pub latencies: Latencies,
}

/// What sending one batch needs.
pub struct Sending<'a> {
    /// The way to PostgreSQL, for checkpoints.
    pub database: &'a Database,
    /// The way to SES.
    pub ses: &'a Ses,
    /// The compiled templates.
    pub templates: &'a Templates,
    /// What all messages of the campaign share.
    pub sender: &'a Sender,
    /// The time there is.
    pub deadline: Deadline,
    /// Requests at a time.
    pub concurrency: usize,
    /// Nothing of the campaign was ever accepted: the same refusal for all of the first halts it.
    pub first: bool,
    /// When the claim was made, and with it the campaign's status was read.
    pub claimed_at: Instant,
}

impl Sending<'_> {
    /// Sends a batch. Returns by `deadline.last_answer`, with an outcome for every recipient: what has no answer
    /// by then is in doubt, what was not tried is deferred.
    pub async fn run(&self, batch: &Batch) -> Report {
        let mut ledger = Ledger::new(batch, self.first);
        let mut flights = FuturesUnordered::new();
        let mut latencies = Latencies::default();
        let mut commit = None;
        let mut status_read_at = self.claimed_at;
        let mut last_checkpoint = self.claimed_at;
        let mut pace = Pace::new(batch.pace, Instant::now());

        loop {
            let now = Instant::now();
            if now >= self.deadline.last_answer {
                break;
            }
            if now >= self.deadline.last_start {
                ledger.stop(Stop::Deadline);
            }
            let may_start = now < status_read_at + STATUS_VALIDITY;
            while may_start && pace.allows(now) && flights.len() < self.concurrency {
                let Some(index) = ledger.next() else { break };
                match compose::prepare(self.templates, self.sender, &batch.recipients[index]) {
                    Prepared::Outcome(outcome) => ledger.settle(index, outcome),
                    Prepared::Message(message) => {
                        pace.start(now);
                        ledger.start(index, message.subject.clone());
                        crate::crash_point!("send-before");
                        flights.push(self.send(index, *message));
                    }
                }
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

            let wake = [pace.next(), last_checkpoint + CHECKPOINT_INTERVAL, self.deadline.last_start]
                .into_iter()
                .filter(|at| *at > now)
                .fold(self.deadline.last_answer, Instant::min);
            tokio::select! {
                biased;
                Some((index, answer, latency)) = flights.next(), if !flights.is_empty() => {
                    latencies.record(latency);
                    crate::crash_point!("send-answered");
                    if let Answer::Accepted(message_id) = &answer {
                        self.log_accepted(batch.recipients[index].id, message_id);
                    }
                    pace.note(&answer, Instant::now());
                    ledger.answer(index, answer);
                    if let Some(stop) = pace.given_up(Instant::now()) {
                        ledger.stop(stop);
                    }
                }
                (read_at, result) = async { commit.as_mut().expect("guarded").await }, if commit.is_some() => {
                    commit = None;
                    match result {
                        Ok(Some(status)) => {
                            status_read_at = read_at;
                            ledger.mark_moved();
                            if status != "sending" {
                                ledger.stop(Stop::Status(status));
                            }
                        }
                        Ok(None) => ledger.stop(Stop::ClaimLost),
                        // No send can start any more without PostgreSQL's word; recording will try again.
                        Err(error) => {
                            tracing::error!(%error, batch_id = batch.id, "a checkpoint could not be written");
                            ledger.stop(Stop::Deadline);
                        }
                    }
                }
                () = sleep_until(wake) => {}
            }
        }
        let throttled = pace.was_throttled();
        Report { throttled, latencies, ..ledger.report(!flights.is_empty()) }
    }

    async fn send(&self, index: usize, message: compose::Message) -> (usize, Answer, Duration) {
        let started_at = Instant::now();
        let until = (started_at + ANSWER_TIMEOUT).min(self.deadline.last_answer);
        let answer = tokio::time::timeout_at(until, self.ses.send(message.request, &message.address)).await;
        let answer = answer.unwrap_or_else(|_| Answer::Uncertain {
            code: "timed_out".to_owned(),
            message: "SES did not answer in time".to_owned(),
        });
        (index, answer, started_at.elapsed())
    }

    /// One line for each accepted message, from which `campaign resolve --from-log` can replay what was lost.
    fn log_accepted(&self, recipient_id: Uuid, message_id: &str) {
        tracing::info!(
            campaign_id = %self.sender.campaign_id(),
            %recipient_id,
            message_id,
            sent_at_ms = epoch_millis(SystemTime::now()),
            "accepted"
        );
    }

    async fn commit(
        &self,
        checkpoint: Checkpoint,
        read_at: Instant,
    ) -> (Instant, Result<Option<String>, DatabaseError>) {
        crate::crash_point!("checkpoint-before");
        let result = checkpoint::commit(self.database, &checkpoint, self.deadline.last_answer).await;
        crate::crash_point!("checkpoint-after");
        (read_at, result)
    }
}
