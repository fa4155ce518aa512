//! Who has had what: the state of a batch while it is sent. Pure; the clock and the network are elsewhere.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::{SAME_REFUSALS, Stop};
use crate::batch::checkpoint::Checkpoint;
use crate::batch::claim::Batch;
use crate::batch::record::Line;
use crate::outcome::{Entry, Outcome};
use crate::ses::Answer;

/// Sends that may start while the mark is on its way, at most: a bulk call.
const MAX_AHEAD: usize = 50;

/// The state of one batch.
pub struct Ledger<'a> {
    batch: &'a Batch,
    outcomes: Vec<Option<Outcome>>,
    subjects: Vec<Option<String>>,
    /// Recipients up to here (exclusive) have been started or settled.
    next: usize,
    /// Recipients up to here (exclusive) may be handed to SES; PostgreSQL knows it.
    marked: usize,
    /// The mark that is on its way to PostgreSQL.
    moving: usize,
    /// Recipients that SES certainly did not accept, to be tried again.
    again: VecDeque<usize>,
    /// Of these, those that are to be sent singly.
    alone: VecDeque<usize>,
    /// Outcomes that no checkpoint has noted yet.
    unnoted: Vec<usize>,
    checkpoints: i32,
    refusal: (Option<String>, i32),
    /// The recipients of this batch that have met it.
    alike: Vec<usize>,
    first: bool,
    stop: Option<Stop>,
}

impl<'a> Ledger<'a> {
    pub fn new(batch: &'a Batch, first: bool) -> Self {
        let size = batch.recipients.len();
        let marked = batch.step.min(size);
        Ledger {
            batch,
            outcomes: vec![None; size],
            subjects: vec![None; size],
            next: 0,
            marked,
            moving: marked,
            again: VecDeque::new(),
            alone: VecDeque::new(),
            unnoted: Vec::new(),
            checkpoints: 0,
            refusal: if first { batch.refusal.clone() } else { (None, 0) },
            alike: Vec::new(),
            first,
            stop: None,
        }
    }

    /// The next recipient to hand to SES, if one may be.
    pub fn next(&mut self) -> Option<usize> {
        if self.stop.is_some() {
            return None;
        }
        if let Some(index) = self.again.pop_front() {
            return Some(index);
        }
        (self.next < self.marked).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// The next recipient to send singly, if there is one.
    pub fn next_alone(&mut self) -> Option<usize> {
        self.alone.pop_front().filter(|_| self.stop.is_none())
    }

    /// Nothing more is to be started, now or after a checkpoint.
    pub fn is_idle(&self) -> bool {
        let again = !self.again.is_empty() || !self.alone.is_empty();
        self.stop.is_some() || !again && self.next == self.batch.recipients.len()
    }

    /// Stops; the first reason stays, but a cause for all recipients outweighs any other.
    pub fn stop(&mut self, stop: Stop) {
        let outweighs = matches!(stop, Stop::Halt(_)) && !matches!(self.stop, Some(Stop::Halt(_)));
        if self.stop.is_none() || outweighs {
            self.stop = Some(stop);
        }
    }

    /// A message is on its way to SES.
    pub fn start(&mut self, index: usize, subject: String) {
        self.subjects[index] = Some(subject);
    }

    /// A recipient has its outcome.
    pub fn settle(&mut self, index: usize, outcome: Outcome) {
        if let Outcome::Failed { code, error } = &outcome
            && code == "render"
        {
            self.refused(index, format!("{code}: {error}"));
        }
        self.outcomes[index] = Some(outcome);
        self.unnoted.push(index);
    }

    /// SES has answered, or has not.
    pub fn answer(&mut self, index: usize, answer: Answer) {
        let recipient = &self.batch.recipients[index];
        match answer {
            Answer::Accepted(message_id) => {
                self.first = false;
                self.refusal = (None, 0);
                self.settle(index, Outcome::Sent { message_id, at: SystemTime::now() });
            }
            Answer::Refused { code, message } => {
                self.refused(index, format!("{code}: {}", message.replace(recipient.email.trim(), "…")));
                self.settle(index, Outcome::Failed { code, error: message });
            }
            Answer::Uncertain { code, message } => {
                self.settle(index, Outcome::Uncertain { code, error: message });
            }
            Answer::Throttled(_) | Answer::NotSent(_) => self.again.push_back(index),
            Answer::Singly(_) => self.alone.push_back(index),
            Answer::QuotaExhausted(message) => {
                self.again.push_back(index);
                self.stop(Stop::QuotaExhausted(message));
            }
            Answer::Halt(reason) => {
                self.again.push_back(index);
                self.stop(Stop::Halt(reason));
            }
        }
    }

    /// Counts the same refusal of all recipients of a campaign from its first on.
    fn refused(&mut self, index: usize, refusal: String) {
        if !self.first {
            return;
        }
        if self.refusal.0.as_ref() != Some(&refusal) {
            self.refusal = (Some(refusal), 0);
            self.alike.clear();
        }
        self.refusal.1 += 1;
        self.alike.push(index);
        if let (Some(refusal), SAME_REFUSALS..) = &self.refusal {
            let reason = format!("each of the first {SAME_REFUSALS} recipients was refused: {refusal}");
            self.stop(Stop::Halt(reason));
        }
    }

    /// Sending will soon reach the mark.
    pub fn needs_mark(&self) -> bool {
        let ahead = (self.batch.step / 8).min(MAX_AHEAD);
        self.stop.is_none() && self.moving < self.batch.recipients.len() && self.next + ahead >= self.moving
    }

    /// The next checkpoint: what is not noted yet, and a mark moved on where sending will soon reach it. From then
    /// on a crash leaves in doubt what is under way now, and at most one step.
    pub fn checkpoint(&mut self) -> Checkpoint {
        if self.needs_mark() {
            self.moving = (self.next + self.batch.step).min(self.batch.recipients.len());
        }
        self.checkpoints += 1;
        Checkpoint {
            batch_id: self.batch.id,
            token: self.batch.token,
            number: self.checkpoints,
            mark: self.batch.recipients[self.moving - 1].position,
            outcomes: std::mem::take(&mut self.unnoted)
                .into_iter()
                .filter_map(|index| {
                    Some(Entry {
                        recipient_id: self.batch.recipients[index].id,
                        outcome: self.outcomes[index].clone()?,
                    })
                })
                .collect(),
        }
    }

    /// PostgreSQL knows the mark that was on its way.
    pub fn mark_moved(&mut self) {
        self.marked = self.moving;
    }

    /// An outcome for every recipient, why sending stopped early, and the refusal that all have met. With `cut_off`,
    /// what SES has not answered yet is in doubt. Where all of the first were refused alike, the cause is not theirs:
    /// they are deferred, so that nothing of them is lost when it is mended.
    pub fn close(mut self, cut_off: bool) -> (Vec<Line>, Option<Stop>, (Option<String>, i32)) {
        if self.refusal.1 >= SAME_REFUSALS {
            for index in std::mem::take(&mut self.alike) {
                self.outcomes[index] = Some(Outcome::Deferred);
            }
            self.refusal = (None, 0);
        }
        for index in self.again.drain(..).chain(self.alone.drain(..)) {
            self.outcomes[index] = Some(Outcome::Deferred);
        }
        let lines = self.batch.recipients.iter().zip(self.outcomes).zip(self.subjects).enumerate();
        let lines = lines.map(|(index, ((recipient, outcome), subject))| {
            let outcome = outcome.unwrap_or_else(|| {
                if cut_off && index < self.next {
                    Outcome::Uncertain {
                        code: "timed_out".to_owned(),
                        error: "SES had not answered when the invocation's time was up".to_owned(),
                    }
                } else {
                    Outcome::Deferred
                }
            });
            Line { recipient_id: recipient.id, outcome, subject }
        });
        (lines.collect(), self.stop, self.refusal)
    }
}
