//! The state of a batch while it is sent: which recipient has which outcome. It is pure and is given the
//! time.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::answer::Answer;
use super::batch::{Batch, Checkpoint};
use super::halt;
use super::outcome::{Entry, Line, Outcome};
use super::stop::{SAME_REFUSALS, Stop};
use super::trouble::same_refusals;

/// How often a recipient is tried if something other than SES turns its request away.
const MAX_INTERCEPTIONS: u8 = 5;
/// The most sends that may start while a checkpoint moves the mark: one bulk call.
const MAX_AHEAD: usize = 50;

/// The state of one batch.
pub struct Ledger<'a> {
    batch: &'a Batch,
    outcomes: Vec<Option<Outcome>>,
    subjects: Vec<Option<String>>,
    /// Recipients up to here (exclusive) have been started or have an outcome.
    next: usize,
    /// Recipients up to here (exclusive) may be handed to SES; PostgreSQL has committed this mark.
    marked: usize,
    /// The mark that a running checkpoint sets.
    moving: usize,
    /// Recipients that SES certainly did not accept, to be tried again.
    again: VecDeque<usize>,
    /// Those of the recipients to be tried again that are sent singly.
    alone: VecDeque<usize>,
    /// How often something other than SES has turned each recipient's request away.
    interceptions: Vec<u8>,
    /// The recipients that were turned away too often for this batch, and the last reason.
    aside: (Vec<usize>, Option<String>),
    /// Outcomes that no checkpoint has noted yet.
    unnoted: Vec<usize>,
    checkpoints: i32,
    /// The refusal that each of the last recipients has met, and their number. The number begins below zero
    /// if a person has resumed the campaign in spite of the refusal.
    refusal: (Option<String>, i32),
    /// The start of that count.
    granted: i32,
    /// The recipients of this batch that have met it.
    alike: Vec<usize>,
    /// The refusals halt the campaign.
    alike_halt: bool,
    first: bool,
    stop: Option<Stop>,
}

impl<'a> Ledger<'a> {
    /// The state after the claim. `first` means that SES has not accepted any email of the campaign yet.
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
            interceptions: vec![0; size],
            aside: (Vec::new(), None),
            unnoted: Vec::new(),
            checkpoints: 0,
            refusal: same_refusals(&batch.refusal),
            alike_halt: false,
            granted: batch.refusal.1.min(0),
            alike: Vec::new(),
            first,
            stop: None,
        }
    }

    /// The next recipient that may be handed to SES.
    pub fn next_recipient(&mut self) -> Option<usize> {
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
        // (After a stop it stays here, for it was certainly not accepted.)
        if self.stop.is_some() { None } else { self.alone.pop_front() }
    }

    /// A message that was started was not sent after all: its recipient is the next one.
    pub fn give_back(&mut self, index: usize) {
        self.again.push_front(index);
    }

    /// The reason why something other than SES turned recipients away too often, if there are such
    /// recipients.
    pub fn set_aside(&self) -> Option<String> {
        self.aside.1.clone()
    }

    /// True if nothing more is to be started, now or after a checkpoint.
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
    pub fn set_outcome(&mut self, index: usize, outcome: Outcome) {
        if let Outcome::Failed { code, error } = &outcome
            && code == "render"
            && self.first
        {
            self.refused(index, format!("{code}: {error}"));
        }
        self.outcomes[index] = Some(outcome);
        self.unnoted.push(index);
    }

    /// Notes the answer of SES, or that there is none, at this time.
    pub fn answer(&mut self, index: usize, answer: Answer, at: SystemTime) {
        let recipient = &self.batch.recipients[index];
        match answer {
            Answer::Accepted(message_id) => {
                self.first = false;
                self.begin_streak(None);
                self.set_outcome(index, Outcome::Sent { message_id, at });
            }
            Answer::Refused { code, message } => {
                let words = without_addresses(&message.replace(recipient.email.trim(), "…"));
                self.refused(index, format!("{code}: {words}"));
                self.set_outcome(index, Outcome::Failed { code, error: message });
            }
            Answer::Uncertain { code, message } => {
                self.set_outcome(index, Outcome::Uncertain { code, error: message });
            }
            Answer::Throttled(_) | Answer::NotSent(_) => self.again.push_back(index),
            Answer::Singly(_) => self.alone.push_back(index),
            Answer::Intercepted(reason) => {
                self.interceptions[index] += 1;
                if self.interceptions[index] < MAX_INTERCEPTIONS {
                    self.alone.push_back(index);
                } else {
                    self.aside.0.push(index);
                    self.aside.1 = Some(reason);
                }
            }
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

    /// Counts recipients that meet the same refusal, one after another.
    fn refused(&mut self, index: usize, refusal: String) {
        if self.refusal.0.as_ref() != Some(&refusal) {
            if self.alike_halt {
                return;
            }
            self.begin_streak(Some(refusal));
        }
        self.refusal.1 += 1;
        self.alike.push(index);
        if let (Some(refusal), SAME_REFUSALS..) = &self.refusal {
            let reason = halt::same_refusal(SAME_REFUSALS - self.granted, self.first, refusal);
            self.stop(Stop::Halt(reason));
            self.alike_halt = true;
        }
    }

    /// Restarts the count, unless the campaign already halts: later answers belong to requests that were sent
    /// before.
    fn begin_streak(&mut self, refusal: Option<String>) {
        if !self.alike_halt {
            (self.refusal, self.granted) = ((refusal, 0), 0);
            self.alike.clear();
        }
    }

    /// True if sending will soon reach the mark.
    pub fn needs_mark(&self) -> bool {
        let ahead = (self.batch.step / 8).min(MAX_AHEAD);
        self.stop.is_none() && self.moving < self.batch.recipients.len() && self.next + ahead >= self.moving
    }

    /// The next checkpoint: the outcomes that are not noted yet, and a new mark if sending will soon reach
    /// the old one. From then on a crash makes the currently unanswered requests and at most one step
    /// uncertain.
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

    /// The checkpoint is committed, and with it its mark.
    pub fn mark_moved(&mut self) {
        self.marked = self.moving;
    }

    /// Returns an outcome for every recipient, why sending stopped early, and the refusal that the last
    /// recipients have met. With `cut_off`, requests that SES has not answered yet are uncertain. If so many
    /// recipients met the same refusal that the campaign halts, the cause is not theirs, and they are
    /// deferred. If it is theirs after all, the campaign must not halt at them for ever: after it is resumed,
    /// at least twice as many refusals are allowed.
    pub fn close(mut self, cut_off: bool) -> (Vec<Line>, Option<Stop>, (Option<String>, i32)) {
        if self.alike_halt {
            for index in std::mem::take(&mut self.alike) {
                self.outcomes[index] = Some(Outcome::Deferred);
            }
            self.refusal.1 = self.granted.saturating_mul(2).saturating_sub(SAME_REFUSALS);
        }
        for index in self.again.drain(..).chain(self.alone.drain(..)).chain(self.aside.0.drain(..)) {
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

/// The text without addresses and request ids, which differ for each recipient.
fn without_addresses(text: &str) -> String {
    let is_own = |word: &str| {
        let id = word.len() >= 16 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        id || word.contains('@')
    };
    let is_around = |c: char| "<>()[]{},.;:'\"".contains(c);
    let words = text.split(' ').map(|word| {
        let own = word.trim_matches(is_around);
        if is_own(own) { word.replace(own, "…") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
