//! The tables of the model, and the statements that change them. Each function is one statement of the
//! package, and its comment names that statement. Each is atomic, as the statement is under its locks at READ
//! COMMITTED.

use campaign_sender::domain::recipient::Status;

use crate::guards::{Guard, Removed};

/// A position before every recipient's.
pub const BEFORE_ALL: i16 = -1;
/// The number of recipients by which the mark moves at a time in a checked world.
pub const STEP: usize = 1;

/// The `status` of the campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Campaign {
    Sending,
    Paused,
    Cancelled,
    Sent,
}

impl Campaign {
    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Campaign::Sending => "sending",
            Campaign::Paused => "paused",
            Campaign::Cancelled => "cancelled",
            Campaign::Sent => "sent",
        }
    }
}

/// The state of the recipient's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    Absent,
    /// The transaction that writes it is open: the row is invisible, and its foreign key holds KEY SHARE on
    /// the campaign.
    Inserting,
    Visible,
}

/// The `error_code`, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    None,
    /// SES refused the message.
    Refused,
    /// SES accepted the message and found malware in it.
    Rejected,
    /// A person decided that it failed.
    Resolved,
    /// There was no clear answer, or the invocation was lost.
    Uncertain,
}

/// The outcome of one attempt. A message is named by its number among those of the recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    Sent(u8),
    Refused,
    Uncertain,
    Deferred,
}

impl Outcome {
    /// The status that the row gets.
    pub fn status(self) -> Status {
        match self {
            Outcome::Sent(_) => Status::Sent,
            Outcome::Refused => Status::Failed,
            Outcome::Uncertain => Status::Uncertain,
            Outcome::Deferred => Status::Pending,
        }
    }
}

/// A recipient's row, and facts of the world about it ("The world: …"), which no statement can see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recipient {
    pub row: Row,
    pub position: i16,
    pub status: Status,
    pub message: Option<u8>,
    pub code: Code,
    pub activities: u8,
    /// The world: the number of decisions to send again.
    pub decisions: u8,
    /// The world: messages that SES accepted, and those of them that were claimed after the last decision.
    pub accepted: u8,
    pub accepted_since: u8,
    /// The world: requests on their way to SES whose answers nobody waits for, each with the decisions before it.
    pub astray: Vec<u8>,
    /// The world: `PostgreSQL` was told that a message was accepted, or a person said so.
    pub told: bool,
    pub told_by_person: bool,
    /// The world: the recipient has been `uncertain`; SES's events show that none is missing.
    pub was_uncertain: bool,
    pub proved: bool,
}

/// A row of `campaign_batches`, with its notes. Its number is its index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    pub first: i16,
    pub last: i16,
    pub claimed_through: i16,
    pub closed_through: i16,
    pub token: Option<u8>,
    pub lease_holds: bool,
    pub handed_through: Option<i16>,
    pub handed_by: Option<u8>,
    pub closed: bool,
    pub claimed_count: Option<u8>,
    pub notes: Vec<(u8, Outcome)>,
    /// The world: the recipients that the claim returned, by how many of them the mark moves at a time, and those
    /// under way at the last checkpoint.
    pub members: Vec<u8>,
    pub step: u8,
    pub under_way: u8,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tables {
    pub campaign: Campaign,
    pub completed_through: Option<i16>,
    pub sent_count: i8,
    pub failed_count: i8,
    pub uncertain_count: i8,
    pub recipients: Vec<Recipient>,
    pub batches: Vec<Batch>,
    pub next_position: i16,
    /// The world: the campaign became `sent` although a recipient had no outcome; more recipients became
    /// `uncertain` than documented.
    pub forgot: bool,
    pub too_many_uncertain: bool,
}

/// The answer of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    Batch {
        batch: u8,
        members: Vec<u8>,
    },
    Takeover {
        batch: u8,
        notes: Vec<(u8, Outcome)>,
    },
    /// The `verdict`: the campaign's status, or why there is nothing to claim.
    Nothing(&'static str),
}

/// The answer of `complete_campaign`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completion {
    Complete,
    Pending,
    Busy,
    Inserting,
}

impl Completion {
    /// The word of the SQL function.
    fn as_str(self) -> &'static str {
        match self {
            Completion::Complete => "complete",
            Completion::Pending => "pending",
            Completion::Busy => "busy",
            Completion::Inserting => "inserting",
        }
    }
}

/// The parameters of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    pub batch: u8,
    pub token: u8,
    pub outcomes: Vec<(u8, Outcome)>,
    pub whole: bool,
    pub owner_lost: bool,
}

impl Tables {
    fn pending(&self, from: i16, to: i16) -> Vec<u8> {
        let mut found: Vec<u8> = (0..self.recipients.len())
            .filter(|r| {
                let r = &self.recipients[*r];
                r.row == Row::Visible && r.status == Status::Pending && (from..=to).contains(&r.position)
            })
            .map(|r| u8::try_from(r).unwrap_or(u8::MAX))
            .collect();
        found.sort_by_key(|r| self.recipients[usize::from(*r)].position);
        found
    }

    fn last_position(&self) -> i16 {
        self.recipients
            .iter()
            .filter(|r| r.row == Row::Visible)
            .map(|r| r.position)
            .max()
            .unwrap_or(BEFORE_ALL)
    }

    /// `campaign_cursor`.
    fn cursor(&self) -> (i16, i16) {
        self.batches.last().map_or((BEFORE_ALL, BEFORE_ALL), |b| (b.claimed_through, b.closed_through))
    }

    /// `open_batch`.
    fn open_batch(&mut self, first: i16, last: i16, through: (i16, i16), closed: bool) -> usize {
        self.batches.push(Batch {
            first,
            last,
            claimed_through: through.0,
            closed_through: through.1,
            token: None,
            lease_holds: false,
            handed_through: None,
            handed_by: None,
            closed,
            claimed_count: None,
            notes: Vec::new(),
            members: Vec::new(),
            step: 0,
            under_way: 0,
        });
        self.batches.len() - 1
    }

    fn close(&mut self, batch: usize, closed: bool) {
        let b = &mut self.batches[batch];
        (b.token, b.lease_holds, b.handed_by, b.handed_through) = (None, false, None, None);
        b.closed = closed;
        b.notes.clear();
        b.under_way = 0;
    }

    /// Returns true if there is a recipient without an outcome that a completion must not pass over.
    fn unfinished(&self) -> bool {
        self.recipients
            .iter()
            .any(|r| r.row == Row::Inserting || r.row == Row::Visible && r.status == Status::Pending)
    }

    /// `complete_campaign`. `inserting`: a transaction that holds KEY SHARE on the campaign is open.
    fn complete_seen(&mut self, inserting: bool, removed: &Removed) -> Completion {
        if self.batches.iter().any(|b| !b.closed && b.token.is_some() && b.lease_holds) {
            return Completion::Busy;
        }
        if self.batches.iter().any(|b| !b.closed) {
            return Completion::Pending;
        }
        if inserting && removed.keeps(Guard::KeyShare) {
            return Completion::Inserting;
        }
        if removed.keeps(Guard::SweepBeforeSent)
            && let Some(first) = self.pending(BEFORE_ALL, i16::MAX).first()
        {
            let first = self.recipients[usize::from(*first)].position;
            self.open_batch(first, first, (first - 1, first - 1), true);
            return Completion::Pending;
        }
        if self.campaign == Campaign::Sending {
            self.campaign = Campaign::Sent;
            (self.sent_count, self.failed_count, self.uncertain_count) = self.counts();
        }
        self.completed_through = Some(self.last_position());
        Completion::Complete
    }

    /// `complete_campaign`, by itself after a record.
    pub fn complete(&mut self, removed: &Removed) {
        let (was, inserting) = (self.campaign, self.inserting());
        self.complete_seen(inserting, removed);
        self.note_completion(was);
    }

    fn note_completion(&mut self, was: Campaign) {
        if was != Campaign::Sent && self.campaign == Campaign::Sent && self.unfinished() {
            self.forgot = true;
        }
    }

    fn inserting(&self) -> bool {
        self.recipients.iter().any(|r| r.row == Row::Inserting)
    }

    /// `claim_next_batch` with its snapshot. At READ COMMITTED the snapshot shows all that is committed now.
    /// At a stricter level it was taken before the lock: rows that were changed since cannot be changed again
    /// (`PostgreSQL` refuses), and a batch's number is unique, but rows that were added since are not seen.
    pub fn claim(
        &mut self,
        snapshot: Option<&Tables>,
        token: u8,
        size: usize,
        step: usize,
        removed: &Removed,
    ) -> Option<Claim> {
        let was = self.campaign;
        let inserting = self.inserting();
        let Some(snapshot) = snapshot else {
            let claim = self.claim_seen(token, size, step, inserting, removed);
            self.note_completion(was);
            return Some(claim);
        };
        let mut seen = snapshot.clone();
        let claim = seen.claim_seen(token, size, step, inserting, removed);
        let added = seen.batches.len() > snapshot.batches.len();
        let number_taken = added && self.batches.len() > snapshot.batches.len();
        let changed_since = (0..snapshot.batches.len())
            .any(|at| seen.batches[at] != snapshot.batches[at] && self.batches[at] != snapshot.batches[at]);
        let campaign_changed_since =
            seen.campaign_row() != snapshot.campaign_row() && self.campaign_row() != snapshot.campaign_row();
        if number_taken || changed_since || campaign_changed_since {
            return None;
        }
        for at in 0..snapshot.batches.len() {
            if seen.batches[at] != snapshot.batches[at] {
                self.batches[at] = seen.batches[at].clone();
            }
        }
        self.batches.extend_from_slice(&seen.batches[snapshot.batches.len()..]);
        if seen.campaign_row() != snapshot.campaign_row() {
            self.campaign = seen.campaign;
            self.sent_count = seen.sent_count;
            self.failed_count = seen.failed_count;
            self.uncertain_count = seen.uncertain_count;
        }
        self.completed_through = seen.completed_through;
        self.note_completion(was);
        Some(claim)
    }

    fn campaign_row(&self) -> (Campaign, i8, i8, i8) {
        (self.campaign, self.sent_count, self.failed_count, self.uncertain_count)
    }

    fn claim_seen(
        &mut self,
        token: u8,
        size: usize,
        step: usize,
        inserting: bool,
        removed: &Removed,
    ) -> Claim {
        // `begin_sending`
        if let (Campaign::Sent, Some(through)) = (self.campaign, self.completed_through)
            && (self.last_position() > through || !self.pending(BEFORE_ALL, i16::MAX).is_empty())
        {
            self.campaign = Campaign::Sending;
            self.completed_through = None;
        }
        let (mut claimed_through, mut closed_through) = self.cursor();
        let open = |b: &Batch, closed_through: i16| !b.closed && b.first > closed_through;
        let mut closed_by_now = self
            .batches
            .iter()
            .filter(|b| open(b, closed_through))
            .map(|b| b.first - 1)
            .min()
            .unwrap_or(claimed_through);
        if self.campaign != Campaign::Sending {
            let lost = (0..self.batches.len())
                .filter(|at| {
                    let b = &self.batches[*at];
                    !b.closed
                        && b.handed_by.is_some_and(|by| by != token)
                        && (b.token == Some(token) || b.token.is_some() && !b.lease_holds)
                })
                .min_by_key(|at| self.batches[*at].first);
            return lost.map_or(Claim::Nothing(self.campaign.as_str()), |at| self.take_over(at, token));
        }
        let mut swept = false;
        let mut again;
        let (first, last, found, members) = loop {
            let found = (0..self.batches.len())
                .filter(|at| {
                    let b = &self.batches[*at];
                    open(b, closed_through) && (b.token.is_none() || b.token == Some(token) || !b.lease_holds)
                })
                .min_by_key(|at| (self.batches[*at].token != Some(token), self.batches[*at].first));
            again = false;
            let (first, last) = if let Some(at) = found {
                let b = &self.batches[at];
                again = b.handed_by == Some(token) && b.token == Some(token);
                if b.handed_by.is_some_and(|by| by != token) {
                    return self.take_over(at, token);
                }
                (b.first, b.last)
            } else {
                let range = self.pending(claimed_through + 1, i16::MAX);
                let range: Vec<i16> =
                    range.iter().take(size).map(|r| self.recipients[usize::from(*r)].position).collect();
                let (Some(first), Some(last)) = (range.first(), range.last()) else {
                    let completion = self.complete_seen(inserting, removed);
                    if completion != Completion::Pending || swept {
                        return Claim::Nothing(completion.as_str());
                    }
                    swept = true;
                    (claimed_through, closed_through) = self.cursor();
                    closed_by_now = closed_through;
                    continue;
                };
                claimed_through = *last;
                (*first, *last)
            };
            // `read_batch`
            let members = self.pending(first, last);
            let members: Vec<u8> = members.into_iter().take(if again { usize::MAX } else { size }).collect();
            if !members.is_empty() {
                break (first, last, found, members);
            }
            if let Some(at) = found {
                self.close(at, true);
            }
        };
        let last_member = self.recipients[usize::from(members[members.len() - 1])].position;
        let at = match found {
            Some(at) if again => at,
            _ => {
                if let Some(at) = found {
                    self.close(at, true);
                }
                let at = self.open_batch(first, last_member, (claimed_through, closed_by_now), false);
                if !self.pending(last_member + 1, last).is_empty() {
                    self.open_batch(last_member + 1, last, (claimed_through, closed_by_now), false);
                }
                at
            }
        };
        let mark = self.recipients[usize::from(members[step.min(members.len()) - 1])].position;
        let b = &mut self.batches[at];
        (b.token, b.lease_holds, b.handed_by) = (Some(token), true, Some(token));
        b.claimed_count = b.claimed_count.or(u8::try_from(members.len()).ok());
        b.handed_through = b.handed_through.max(Some(mark));
        if !again {
            b.members.clone_from(&members);
            b.step = u8::try_from(step).unwrap_or(u8::MAX);
        }
        Claim::Batch { batch: u8::try_from(at).unwrap_or(u8::MAX), members }
    }

    /// `take_over`.
    fn take_over(&mut self, at: usize, token: u8) -> Claim {
        let b = &mut self.batches[at];
        (b.token, b.lease_holds) = (Some(token), true);
        Claim::Takeover { batch: u8::try_from(at).unwrap_or(u8::MAX), notes: b.notes.clone() }
    }

    /// `send_batch/checkpoint.sql`: answers the campaign's status, or that the claim is lost.
    pub fn checkpoint(
        &mut self,
        batch: u8,
        token: u8,
        mark: i16,
        notes: &[(u8, Outcome)],
        under_way: u8,
        removed: &Removed,
    ) -> Option<Campaign> {
        let b = &mut self.batches[usize::from(batch)];
        if b.token != Some(token) && removed.keeps(Guard::TokenOfBatch) {
            return None;
        }
        b.handed_through = b.handed_through.max(Some(mark));
        b.under_way = under_way;
        if removed.keeps(Guard::OutcomesNoted) {
            for note in notes {
                if !b.notes.iter().any(|(r, _)| *r == note.0) {
                    b.notes.push(*note);
                }
            }
            b.notes.sort_unstable();
        }
        Some(self.campaign)
    }

    /// `send_batch/record.sql`.
    pub fn record(&mut self, record: &Record, removed: &Removed) {
        let at = usize::from(record.batch);
        let attempt = self.batches[at].clone();
        let held = attempt.token == Some(record.token);
        for (recipient, outcome) in &record.outcomes {
            let r = &self.recipients[usize::from(*recipient)];
            let allowed = if removed.keeps(Guard::LifeCycle) {
                r.status.may_become(outcome.status())
            } else {
                outcome.status() != Status::Pending
            };
            let in_range = |b: &Batch| (b.first..=b.last).contains(&r.position);
            let its_attempt = matches!(outcome, Outcome::Sent(_))
                || in_range(&attempt) && (held || !self.batches[at + 1..].iter().any(in_range))
                || !removed.keeps(Guard::EvidenceOfItsAttempt);
            if allowed && its_attempt {
                self.set_outcome(*recipient, *outcome);
            }
            if matches!(outcome, Outcome::Sent(_)) {
                self.recipients[usize::from(*recipient)].told = true;
            }
        }
        let is_takeover = record.owner_lost && held && attempt.handed_by.is_some_and(|by| by != record.token);
        if is_takeover && removed.keeps(Guard::UncertainBelowMark) {
            let uncertain: Vec<u8> = self
                .pending(attempt.first, attempt.handed_through.unwrap_or(BEFORE_ALL))
                .into_iter()
                .filter(|r| record.outcomes.iter().all(|(known, _)| known != r))
                .collect();
            let of_the_claim = uncertain.iter().filter(|r| attempt.members.contains(r)).count();
            if of_the_claim > usize::from(attempt.step) + usize::from(attempt.under_way) {
                self.too_many_uncertain = true;
            }
            for r in uncertain {
                self.set_outcome(r, Outcome::Uncertain);
            }
        }
        let all = attempt.claimed_count.is_none_or(|count| usize::from(count) <= record.outcomes.len());
        let whole = record.whole && (record.owner_lost || all) || !removed.keeps(Guard::WholeBatches);
        if held && (is_takeover || !record.owner_lost) && whole {
            let reopen =
                record.owner_lost || record.outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Deferred);
            self.close(at, !reopen);
        }
    }

    fn set_outcome(&mut self, recipient: u8, outcome: Outcome) {
        let status = outcome.status();
        self.become_status(recipient, status);
        let r = &mut self.recipients[usize::from(recipient)];
        match outcome {
            Outcome::Sent(message) => {
                r.message = Some(message);
                r.code = Code::None;
                r.activities += 1;
            }
            Outcome::Refused => r.code = Code::Refused,
            Outcome::Uncertain => r.code = Code::Uncertain,
            Outcome::Deferred => {}
        }
    }

    fn become_status(&mut self, recipient: u8, status: Status) {
        let r = &mut self.recipients[usize::from(recipient)];
        let previous = std::mem::replace(&mut r.status, status);
        if status == Status::Uncertain {
            (r.was_uncertain, r.proved) = (true, false);
        }
        for (status, by) in [(previous, -1), (status, 1)] {
            match status {
                Status::Sent => self.sent_count += by,
                Status::Failed => self.failed_count += by,
                Status::Uncertain => self.uncertain_count += by,
                Status::Pending | Status::Suppressed => {}
            }
        }
    }

    /// The counters, counted from the rows.
    pub fn counts(&self) -> (i8, i8, i8) {
        let count = |status| {
            let rows = self.recipients.iter().filter(|r| r.row == Row::Visible && r.status == status);
            i8::try_from(rows.count()).unwrap_or(i8::MAX)
        };
        (count(Status::Sent), count(Status::Failed), count(Status::Uncertain))
    }

    /// `ses_events/record.sql`: a Send or a Reject event of one message.
    pub fn event(&mut self, recipient: u8, message: u8, rejected: bool) {
        let r = &self.recipients[usize::from(recipient)];
        if r.row != Row::Visible || r.message.is_some_and(|known| known != message) {
            return;
        }
        let status = if rejected { Status::Failed } else { Status::Sent };
        if r.status.may_become(status) {
            if rejected {
                self.become_status(recipient, status);
                self.recipients[usize::from(recipient)].code = Code::Rejected;
            } else {
                self.set_outcome(recipient, Outcome::Sent(message));
            }
        }
        if !rejected {
            self.recipients[usize::from(recipient)].told = true;
        }
    }

    /// Sorts recipients by their positions.
    fn in_order(&self, mut recipients: Vec<u8>) -> Vec<u8> {
        recipients.sort_by_key(|r| self.recipients[usize::from(*r)].position);
        recipients
    }

    fn pending_again(&mut self, recipient: u8) {
        self.become_status(recipient, Status::Pending);
        let r = &mut self.recipients[usize::from(recipient)];
        r.position = self.next_position;
        r.code = Code::None;
        self.next_position += 1;
        if self.campaign == Campaign::Sent {
            self.campaign = Campaign::Sending;
        }
    }

    /// Returns true if `resolve/by_hand.sql` changes this recipient for a person who has seen it `uncertain`.
    pub fn may_resolve(&self, recipient: u8, removed: &Removed) -> bool {
        let r = &self.recipients[usize::from(recipient)];
        r.status == Status::Uncertain || r.was_uncertain && !removed.keeps(Guard::DecisionOfUncertain)
    }

    /// `resolve/by_hand.sql`.
    pub fn resolve(&mut self, recipient: u8, decision: Status) {
        match decision {
            Status::Pending => {
                let r = &mut self.recipients[usize::from(recipient)];
                if r.message.is_some() && r.status == Status::Uncertain {
                    return;
                }
                r.decisions += 1;
                r.accepted_since = 0;
                self.pending_again(recipient);
            }
            Status::Sent => {
                self.become_status(recipient, Status::Sent);
                let r = &mut self.recipients[usize::from(recipient)];
                r.code = Code::None;
                r.activities += 1;
                r.told_by_person = true;
            }
            _ => {
                self.become_status(recipient, Status::Failed);
                self.recipients[usize::from(recipient)].code = Code::Resolved;
            }
        }
    }

    /// Returns the recipients that `retry_failed/retry.sql` takes.
    pub fn retried(&self, removed: &Removed) -> Vec<u8> {
        (0u8..)
            .zip(&self.recipients)
            .filter(|(_, r)| {
                r.status == Status::Failed
                    && r.message.is_none()
                    && (r.code == Code::Refused || !removed.keeps(Guard::RetryOfRefusals))
            })
            .map(|(r, _)| r)
            .collect()
    }

    /// `retry_failed/*.sql`. This is no decision on a second email, because no first one was accepted.
    pub fn retry(&mut self, removed: &Removed) {
        for r in self.in_order(self.retried(removed)) {
            self.pending_again(r);
        }
    }

    /// Returns the recipients that `send_batch/resend_unreported.sql` sends to again.
    pub fn unreported(&self, removed: &Removed) -> Vec<u8> {
        (0u8..)
            .zip(&self.recipients)
            .filter(|(_, r)| {
                r.status == Status::Uncertain
                    && r.message.is_none()
                    && (r.proved || !removed.keeps(Guard::ProvingEvent))
            })
            .map(|(r, _)| r)
            .collect()
    }

    /// `send_batch/resend_unreported.sql`.
    pub fn resend(&mut self, removed: &Removed) {
        for r in self.in_order(self.unreported(removed)) {
            self.pending_again(r);
        }
    }
}
