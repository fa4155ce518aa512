//! Everything that can happen, step by step: invocations, SES, `PostgreSQL`'s late statements, people, and faults.

use campaign_sender::domain::recipient::Status;
use stateright::{Model, Property, Representative};

use crate::calm;
use crate::guards::{Guard, Removed};
use crate::tables::{Batch, Campaign, Claim, Code, Outcome, Recipient, Record, Row, STEP, Tables};

/// The size of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// The number of recipients. If there are three, the last may also be added while the campaign is sent.
    pub recipients: u8,
    /// The number of invocations at one time, and in all.
    pub lanes: usize,
    pub lives: u8,
    /// The number of faults, of all kinds together.
    pub faults: u8,
    /// The number of actions by people, of all kinds together.
    pub orders: u8,
}

/// The step at which an invocation is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    RecordUnrecorded(Record),
    Claim,
    Takeover(Record),
    Send,
    Complete,
}

/// The state of one recipient of a batch in the invocation's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attempt {
    Untried,
    UnderWay,
    Known(Outcome),
}

/// A living invocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Invocation {
    pub token: u8,
    pub phase: Phase,
    pub batch: u8,
    /// The recipients of its batch, their attempts, and the number of decisions to send again when they were
    /// claimed.
    pub members: Vec<(u8, Attempt, u8)>,
    pub marked: u8,
    /// The members whose outcomes are noted.
    pub noted: u8,
    pub stopped: bool,
    /// One of its statements was cut off, so it may give up without another fault.
    pub cut: bool,
    /// At a stricter level than READ COMMITTED: the snapshot of its claim.
    pub snapshot: Option<Box<Tables>>,
}

/// A statement that was sent over a connection that broke: `PostgreSQL` may run it at any time, or never.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Late {
    Claim { token: u8 },
    Checkpoint { batch: u8, token: u8, mark: i16, notes: Vec<(u8, Outcome)>, under_way: u8 },
    Record(Record),
    Complete,
}

/// The whole world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub tables: Tables,
    pub invocations: Vec<Invocation>,
    pub late: Vec<Late>,
    pub unrecorded: Vec<Record>,
    pub lives: u8,
    pub faults: u8,
    pub orders: u8,
    /// The operator's policy is `resend`.
    pub resends: bool,
}

/// The answer of SES to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Accepted,
    Refused,
    /// SES is asked too fast, or the quota is used up: the message is not accepted, and the batch ends.
    Throttled,
    /// No answer in time, or a broken connection: the request may still be at SES, or on its way.
    None,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An invocation begins, possibly with unrecorded outcomes of an earlier one, which the orchestrator may
    /// hand on twice.
    Begin {
        unrecorded: Option<usize>,
        again: bool,
    },
    /// At a stricter level than READ COMMITTED: the claim takes its snapshot and waits for the lock.
    Snapshot(usize),
    /// The invocation's next statement runs and is answered. `small`: the quota leaves one recipient to a claim.
    Statement {
        at: usize,
        small: bool,
    },
    Checkpoint(usize),
    /// The invocation's next statement, or a checkpoint, is sent, and its connection breaks.
    Cut {
        at: usize,
        checkpoint: bool,
    },
    /// `PostgreSQL` runs a statement whose connection broke.
    RunLate(usize),
    /// `PostgreSQL` stays away: the invocation ends with an error, or answers its unrecorded outcomes. These
    /// may be cut to the accepted ones.
    GiveUp {
        at: usize,
        cut: bool,
    },
    Crash(usize),
    HandOver {
        at: usize,
        index: usize,
    },
    Answered {
        at: usize,
        index: usize,
        answer: Answer,
    },
    /// SES accepts a request whose answer nobody waits for.
    AcceptAstray {
        recipient: u8,
        which: usize,
    },
    Event {
        recipient: u8,
        message: u8,
        rejected: bool,
    },
    LeaseEnds(u8),
    Insert {
        recipient: u8,
        position: i16,
    },
    CommitInsert(u8),
    Pause,
    Resume,
    Cancel,
    Resolve {
        recipient: u8,
        decision: Status,
    },
    Retry,
    /// An event comes that happened long after the last recipient became `uncertain`, and no earlier one is
    /// missing.
    ProvingEvent,
    ResendUnreported,
}

/// The checked model: its size, and the guards that are left out.
#[derive(Clone, Debug)]
pub struct Sending {
    pub bounds: Bounds,
    pub removed: Removed,
}

const BATCH_SIZE: usize = 2;

impl World {
    /// A campaign with `visible` recipients, and `absent` ones that may be added later.
    pub fn new(visible: u8, absent: u8, resends: bool) -> World {
        let recipients = (0..visible + absent)
            .map(|r| Recipient {
                row: if r < visible { Row::Visible } else { Row::Absent },
                position: 10 * (i16::from(r) + 1),
                status: Status::Pending,
                message: None,
                code: Code::None,
                activities: 0,
                decisions: 0,
                accepted: 0,
                accepted_since: 0,
                astray: Vec::new(),
                told: false,
                told_by_person: false,
                was_uncertain: false,
                proved: false,
            })
            .collect();
        World {
            tables: Tables {
                campaign: Campaign::Sending,
                completed_through: None,
                sent_count: 0,
                failed_count: 0,
                uncertain_count: 0,
                recipients,
                batches: Vec::new(),
                next_position: 40,
                forgot: false,
                too_many_uncertain: false,
            },
            invocations: Vec::new(),
            late: Vec::new(),
            unrecorded: Vec::new(),
            lives: 0,
            faults: 0,
            orders: 0,
            resends,
        }
    }

    fn accept(&mut self, recipient: u8, decisions: u8) -> u8 {
        let r = &mut self.tables.recipients[usize::from(recipient)];
        let message = r.accepted;
        r.accepted += 1;
        if decisions == r.decisions {
            r.accepted_since += 1;
        }
        message
    }

    /// The request of this member stays under way, and nobody waits for its answer.
    fn leave_astray(&mut self, at: usize, index: usize) {
        let (recipient, _, decisions) = self.invocations[at].members[index];
        let astray = &mut self.tables.recipients[usize::from(recipient)].astray;
        astray.push(decisions);
        astray.sort_unstable();
    }

    /// An invocation begins; its token is the number of lives.
    pub fn begin(&mut self, unrecorded: Option<Record>) {
        self.lives += 1;
        self.invocations.push(Invocation {
            token: self.lives,
            phase: unrecorded.map_or(Phase::Claim, Phase::RecordUnrecorded),
            batch: 0,
            members: Vec::new(),
            marked: 0,
            noted: 0,
            stopped: false,
            cut: false,
            snapshot: None,
        });
    }

    fn end(&mut self, at: usize) {
        self.invocations.remove(at);
    }

    /// The next statement of an invocation, if its step is a statement.
    pub fn statement(&self, at: usize) -> Option<Late> {
        let i = &self.invocations[at];
        match &i.phase {
            Phase::RecordUnrecorded(record) | Phase::Takeover(record) => Some(Late::Record(record.clone())),
            Phase::Claim => Some(Late::Claim { token: i.token }),
            Phase::Complete => Some(Late::Complete),
            Phase::Send => {
                let under_way = i.members.iter().any(|m| m.1 == Attempt::UnderWay);
                let untried = i.members.iter().any(|m| m.1 == Attempt::Untried);
                (!under_way && (i.stopped || !untried)).then(|| {
                    let outcomes = i
                        .members
                        .iter()
                        .map(|(r, attempt, _)| match attempt {
                            Attempt::Known(outcome) => (*r, *outcome),
                            Attempt::Untried | Attempt::UnderWay => (*r, Outcome::Deferred),
                        })
                        .collect();
                    let (batch, token) = (i.batch, i.token);
                    Late::Record(Record { batch, token, outcomes, whole: true, owner_lost: false })
                })
            }
        }
    }

    /// The next checkpoint of an invocation, if sending has reached the mark.
    pub fn checkpoint(&self, at: usize) -> Option<Late> {
        let i = &self.invocations[at];
        let marked = usize::from(i.marked);
        let reached = i.members.iter().take(marked).all(|m| m.1 != Attempt::Untried);
        if i.phase != Phase::Send || i.stopped || marked >= i.members.len() || !reached {
            return None;
        }
        let next = i.members[marked].0;
        let notes = i.members.iter().enumerate().filter_map(|(index, (r, attempt, _))| match attempt {
            Attempt::Known(outcome) if i.noted & (1 << index) == 0 => Some((*r, *outcome)),
            _ => None,
        });
        let under_way = i.members.iter().filter(|m| m.1 == Attempt::UnderWay).count();
        Some(Late::Checkpoint {
            batch: i.batch,
            token: i.token,
            mark: self.tables.recipients[usize::from(next)].position,
            notes: notes.collect(),
            under_way: u8::try_from(under_way).unwrap_or(u8::MAX),
        })
    }

    /// Runs a statement and answers it.
    pub fn run(&mut self, at: usize, size: usize, step: usize, removed: &Removed) {
        self.invocations[at].cut = false;
        match self.statement(at) {
            None => {}
            Some(Late::Record(record)) => {
                self.tables.record(&record, removed);
                match self.invocations[at].phase {
                    Phase::RecordUnrecorded(_) | Phase::Takeover(_) => {
                        self.invocations[at].phase = Phase::Claim;
                    }
                    _ => self.after_record(at, &record),
                }
            }
            Some(Late::Claim { token }) => {
                let snapshot = self.invocations[at].snapshot.take();
                match self.tables.claim(snapshot.as_deref(), token, size, step, removed) {
                    // PostgreSQL has refused it, and it is repeated.
                    None => {}
                    Some(Claim::Nothing(_)) => self.end(at),
                    Some(Claim::Takeover { batch, notes }) => {
                        self.invocations[at].phase = Phase::Takeover(Record {
                            batch,
                            token,
                            outcomes: notes,
                            whole: true,
                            owner_lost: true,
                        });
                    }
                    Some(Claim::Batch { batch, members }) => {
                        let decisions = |r: u8| self.tables.recipients[usize::from(r)].decisions;
                        let members = members.iter().map(|r| (*r, Attempt::Untried, decisions(*r))).collect();
                        let i = &mut self.invocations[at];
                        i.marked = u8::try_from(step).unwrap_or(u8::MAX);
                        (i.phase, i.batch, i.members) = (Phase::Send, batch, members);
                    }
                }
            }
            Some(Late::Complete) => {
                self.tables.complete(removed);
                self.end(at);
            }
            Some(Late::Checkpoint { .. }) => {}
        }
    }

    /// Chooses the step after a record. If no recipient is left by the counters, it is the completion
    /// (`close.rs`).
    fn after_record(&mut self, at: usize, record: &Record) {
        let deferred = record.outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Deferred);
        let t = &self.tables;
        let total = t.recipients.iter().filter(|r| r.row == Row::Visible).count();
        let with_outcome = t.sent_count + t.failed_count + t.uncertain_count;
        let none_left = usize::try_from(with_outcome).is_ok_and(|with_outcome| with_outcome >= total);
        if t.campaign == Campaign::Sending && !deferred && none_left {
            let i = &mut self.invocations[at];
            (i.phase, i.batch, i.marked, i.noted, i.stopped) = (Phase::Complete, 0, 0, 0, false);
            i.members.clear();
        } else {
            self.end(at);
        }
    }

    fn run_checkpoint(&mut self, at: usize, removed: &Removed) {
        let Some(Late::Checkpoint { batch, token, mark, notes, under_way }) = self.checkpoint(at) else {
            return;
        };
        let status = self.tables.checkpoint(batch, token, mark, &notes, under_way, removed);
        let i = &mut self.invocations[at];
        i.cut = false;
        if status.is_some() {
            i.marked += 1;
            for (index, (r, _, _)) in i.members.iter().enumerate() {
                if notes.iter().any(|(noted, _)| noted == r) {
                    i.noted |= 1 << index;
                }
            }
        }
        i.stopped |= status != Some(Campaign::Sending);
    }

    fn run_late(&mut self, which: usize, removed: &Removed) {
        match self.late.remove(which) {
            Late::Claim { token } => {
                self.tables.claim(None, token, BATCH_SIZE, STEP, removed);
            }
            Late::Checkpoint { batch, token, mark, notes, under_way } => {
                self.tables.checkpoint(batch, token, mark, &notes, under_way, removed);
            }
            Late::Record(record) => self.tables.record(&record, removed),
            Late::Complete => self.tables.complete(removed),
        }
    }

    fn give_up(&mut self, at: usize, cut: bool) {
        let unrecorded = match (&self.invocations[at].phase, self.statement(at)) {
            (Phase::RecordUnrecorded(unrecorded), _) => Some(unrecorded.clone()),
            (Phase::Send, Some(Late::Record(record))) => Some(record),
            _ => None,
        };
        if let Some(mut unrecorded) = unrecorded {
            if cut {
                unrecorded.outcomes.retain(|(_, outcome)| matches!(outcome, Outcome::Sent(_)));
                unrecorded.whole = false;
            }
            self.unrecorded.push(unrecorded);
            self.unrecorded.sort_unstable();
        }
        self.end(at);
    }

    fn crash(&mut self, at: usize) {
        for index in 0..self.invocations[at].members.len() {
            if self.invocations[at].members[index].1 == Attempt::UnderWay {
                self.leave_astray(at, index);
            }
        }
        self.end(at);
    }

    /// Returns true if the owner of a batch is alive.
    fn owner_lives(&self, batch: &Batch) -> bool {
        self.invocations.iter().any(|i| Some(i.token) == batch.token)
    }

    /// Returns true if no event is missing that would have come before an event of now: SES has accepted no
    /// message of an `uncertain` recipient.
    fn may_prove(&self) -> bool {
        let uncertain = |r: &Recipient| r.row == Row::Visible && r.status == Status::Uncertain;
        self.tables.recipients.iter().any(|r| uncertain(r) && !r.proved)
            && (0u8..).zip(&self.tables.recipients).filter(|(_, r)| uncertain(r)).all(|(at, r)| {
                r.accepted_since == 0 && !self.invocations.iter().any(|i| i.members.iter().any(|m| m.0 == at))
            })
    }

    fn prove(&mut self) {
        for r in &mut self.tables.recipients {
            if r.row == Row::Visible && r.status == Status::Uncertain {
                r.proved = true;
                r.astray.clear();
            }
        }
    }
}

impl Sending {
    /// The steps that may come next.
    #[allow(clippy::too_many_lines, reason = "one list of all that can happen")]
    fn steps(&self, w: &World, steps: &mut Vec<Step>) {
        let (bounds, removed) = (&self.bounds, &self.removed);
        let fault = w.faults < bounds.faults;
        let order = w.orders < bounds.orders;
        if w.invocations.len() < bounds.lanes && w.lives < bounds.lives {
            steps.push(Step::Begin { unrecorded: None, again: false });
            for unrecorded in 0..w.unrecorded.len() {
                steps.push(Step::Begin { unrecorded: Some(unrecorded), again: false });
                if fault {
                    steps.push(Step::Begin { unrecorded: Some(unrecorded), again: true });
                }
            }
        }
        for (at, i) in w.invocations.iter().enumerate() {
            let is_claim = i.phase == Phase::Claim;
            if w.statement(at).is_some() {
                if is_claim && !removed.keeps(Guard::ReadCommitted) && i.snapshot.is_none() {
                    steps.push(Step::Snapshot(at));
                } else {
                    steps.push(Step::Statement { at, small: false });
                    if is_claim && fault {
                        steps.push(Step::Statement { at, small: true });
                    }
                }
                if fault {
                    steps.push(Step::Cut { at, checkpoint: false });
                }
                if fault || i.cut {
                    steps.push(Step::GiveUp { at, cut: false });
                    let unrecorded = matches!(i.phase, Phase::Send);
                    let all_sent = i.members.iter().all(|m| matches!(m.1, Attempt::Known(Outcome::Sent(_))));
                    if unrecorded && !all_sent {
                        steps.push(Step::GiveUp { at, cut: true });
                    }
                }
            }
            if w.checkpoint(at).is_some() {
                steps.push(Step::Checkpoint(at));
                if fault {
                    steps.push(Step::Cut { at, checkpoint: true });
                }
            }
            if fault {
                steps.push(Step::Crash(at));
            }
            let marked = usize::from(i.marked);
            if i.phase == Phase::Send {
                for (index, (_, attempt, _)) in i.members.iter().enumerate() {
                    match attempt {
                        Attempt::Untried
                            if !i.stopped
                                && (index < marked || !removed.keeps(Guard::MarkBeforeHandOver)) =>
                        {
                            steps.push(Step::HandOver { at, index });
                        }
                        Attempt::UnderWay => {
                            steps.push(Step::Answered { at, index, answer: Answer::Accepted });
                            if fault {
                                for answer in [Answer::Refused, Answer::Throttled, Answer::None] {
                                    steps.push(Step::Answered { at, index, answer });
                                }
                            }
                        }
                        Attempt::Untried | Attempt::Known(_) => {}
                    }
                }
            }
        }
        steps.extend((0..w.late.len()).map(Step::RunLate));
        for (at, b) in (0u8..).zip(&w.tables.batches) {
            if !b.closed && b.token.is_some() && b.lease_holds && (fault || !w.owner_lives(b)) {
                steps.push(Step::LeaseEnds(at));
            }
        }
        for (recipient, r) in (0u8..).zip(&w.tables.recipients) {
            steps.extend((0..r.astray.len()).map(|which| Step::AcceptAstray { recipient, which }));
            match r.row {
                Row::Absent => {
                    let positions = [5, 15, 30].into_iter();
                    steps.extend(positions.map(|position| Step::Insert { recipient, position }));
                }
                Row::Inserting => steps.push(Step::CommitInsert(recipient)),
                Row::Visible => {}
            }
            for message in 0..r.accepted {
                if r.status != Status::Sent {
                    steps.push(Step::Event { recipient, message, rejected: false });
                    if fault {
                        steps.push(Step::Event { recipient, message, rejected: true });
                    }
                }
            }
            if order && w.tables.may_resolve(recipient, removed) {
                steps.extend(
                    [Status::Pending, Status::Sent, Status::Failed]
                        .map(|decision| Step::Resolve { recipient, decision }),
                );
            }
        }
        match w.tables.campaign {
            Campaign::Sending if order => steps.extend([Step::Pause, Step::Cancel]),
            Campaign::Paused => steps.push(Step::Resume),
            _ => {}
        }
        if order && w.tables.campaign != Campaign::Cancelled && !w.tables.retried(removed).is_empty() {
            steps.push(Step::Retry);
        }
        if w.resends {
            if w.may_prove() {
                steps.push(Step::ProvingEvent);
            }
            let goes_on = matches!(w.tables.campaign, Campaign::Sending | Campaign::Sent);
            if goes_on && !w.tables.unreported(removed).is_empty() && w.tables.next_position < 42 {
                steps.push(Step::ResendUnreported);
            }
        }
    }

    /// Returns true if this step counts as a fault.
    pub fn is_fault(w: &World, step: &Step) -> bool {
        match step {
            Step::Begin { again, .. } => *again,
            Step::Statement { small, .. } => *small,
            Step::Cut { .. } | Step::Crash(_) => true,
            Step::GiveUp { at, .. } => !w.invocations[*at].cut,
            Step::Answered { answer, .. } => *answer != Answer::Accepted,
            Step::Event { rejected, .. } => *rejected,
            Step::LeaseEnds(at) => w.owner_lives(&w.tables.batches[usize::from(*at)]),
            _ => false,
        }
    }

    /// The world after a step.
    pub fn after(&self, last: &World, step: &Step) -> World {
        let mut w = last.clone();
        w.faults += u8::from(Sending::is_fault(&w, step));
        match step {
            Step::Begin { unrecorded, again } => {
                let unrecorded = unrecorded
                    .map(|at| if *again { w.unrecorded[at].clone() } else { w.unrecorded.remove(at) });
                w.begin(unrecorded);
            }
            Step::Snapshot(at) => w.invocations[*at].snapshot = Some(Box::new(w.tables.clone())),
            Step::Statement { at, small } => {
                w.run(*at, if *small { 1 } else { BATCH_SIZE }, STEP, &self.removed);
            }
            Step::Checkpoint(at) => w.run_checkpoint(*at, &self.removed),
            Step::Cut { at, checkpoint } => {
                let cut = if *checkpoint { w.checkpoint(*at) } else { w.statement(*at) };
                w.late.extend(cut);
                w.late.sort_unstable();
                w.late.dedup();
                w.invocations[*at].cut = true;
            }
            Step::RunLate(which) => w.run_late(*which, &self.removed),
            Step::GiveUp { at, cut } => w.give_up(*at, *cut),
            Step::Crash(at) => w.crash(*at),
            Step::HandOver { at, index } => {
                w.invocations[*at].members[*index].1 = Attempt::UnderWay;
            }
            Step::Answered { at, index, answer } => self.answered(&mut w, *at, *index, *answer),
            Step::AcceptAstray { recipient, which } => {
                let decisions = w.tables.recipients[usize::from(*recipient)].astray.remove(*which);
                w.accept(*recipient, decisions);
            }
            Step::Event { recipient, message, rejected } => {
                w.tables.event(*recipient, *message, *rejected);
            }
            Step::LeaseEnds(at) => w.tables.batches[usize::from(*at)].lease_holds = false,
            Step::Insert { recipient, position } => {
                let r = &mut w.tables.recipients[usize::from(*recipient)];
                (r.row, r.position) = (Row::Inserting, *position);
            }
            Step::CommitInsert(recipient) => {
                w.tables.recipients[usize::from(*recipient)].row = Row::Visible;
            }
            Step::Pause => w.order(|t| t.campaign = Campaign::Paused),
            Step::Resume => w.tables.campaign = Campaign::Sending,
            Step::Cancel => w.order(|t| t.campaign = Campaign::Cancelled),
            Step::Resolve { recipient, decision } => {
                w.order(|t| t.resolve(*recipient, *decision));
            }
            Step::Retry => w.order(|t| t.retry(&self.removed)),
            Step::ProvingEvent => w.prove(),
            Step::ResendUnreported => w.tables.resend(&self.removed),
        }
        w
    }

    fn answered(&self, w: &mut World, at: usize, index: usize, answer: Answer) {
        let (recipient, _, decisions) = w.invocations[at].members[index];
        let attempt = match answer {
            Answer::Accepted => Attempt::Known(Outcome::Sent(w.accept(recipient, decisions))),
            Answer::Refused => Attempt::Known(Outcome::Refused),
            Answer::Throttled => {
                w.invocations[at].stopped = true;
                Attempt::Untried
            }
            Answer::None => {
                w.leave_astray(at, index);
                // With retries, the SDK makes the request again.
                if self.removed.keeps(Guard::RetriesOff) {
                    Attempt::Known(Outcome::Uncertain)
                } else {
                    Attempt::UnderWay
                }
            }
        };
        w.invocations[at].members[index].1 = attempt;
    }
}

impl World {
    fn order(&mut self, change: impl FnOnce(&mut Tables)) {
        self.orders += 1;
        change(&mut self.tables);
    }
}

impl Model for Sending {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let all = self.bounds.recipients;
        let mut worlds = vec![World::new(all, 0, false), World::new(all, 0, true)];
        if all > 2 {
            worlds.push(World::new(all - 1, 1, false));
        }
        worlds
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps(world, steps);
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let next = self.after(last, &step);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("nobody gets two emails without a decision", |_, w| {
                w.tables.recipients.iter().all(|r| r.accepted_since <= 1)
            }),
            Property::<Self>::always("nobody is forgotten", |_, w| !w.tables.forgot),
            Property::<Self>::always(
                "one email_sent for each recipient that is sent, and for nobody else",
                |_, w| w.tables.recipients.iter().all(|r| r.activities == u8::from(r.status == Status::Sent)),
            ),
            Property::<Self>::always("sent is who is known to be accepted", |_, w| {
                w.tables.recipients.iter().all(|r| {
                    let sent = r.status == Status::Sent;
                    (!r.told || sent) && (!sent || r.accepted > 0 || r.told_by_person)
                })
            }),
            Property::<Self>::always("who is recorded as refused was not accepted", |_, w| {
                w.tables
                    .recipients
                    .iter()
                    .all(|r| r.status != Status::Failed || r.code != Code::Refused || r.accepted_since == 0)
            }),
            Property::<Self>::always("the counters equal the rows", |_, w| {
                (w.tables.sent_count, w.tables.failed_count, w.tables.uncertain_count) == w.tables.counts()
            }),
            Property::<Self>::always("no more uncertain than documented", |_, w| {
                !w.tables.too_many_uncertain
            }),
            Property::<Self>::always("a campaign whose world calms down ends", |model, w| {
                !w.invocations.is_empty() || calm::ends(w, &model.removed)
            }),
        ]
    }
}

impl Representative for World {
    /// Invocations differ only by their tokens. This renames the tokens in the order in which they appear in
    /// the tables.
    fn representative(&self) -> World {
        let mut w = self.clone();
        let mut order: Vec<u8> = Vec::new();
        let note = |order: &mut Vec<u8>, token: u8| {
            if !order.contains(&token) {
                order.push(token);
            }
        };
        for b in &w.tables.batches {
            b.token.into_iter().chain(b.handed_by).for_each(|token| note(&mut order, token));
        }
        for late in &w.late {
            match late {
                Late::Claim { token } | Late::Checkpoint { token, .. } => note(&mut order, *token),
                Late::Record(record) => note(&mut order, record.token),
                Late::Complete => {}
            }
        }
        w.unrecorded.iter().for_each(|unrecorded| note(&mut order, unrecorded.token));
        let mut living: Vec<&Invocation> = w.invocations.iter().collect();
        living.sort_by(|a, b| (&a.phase, &a.members).cmp(&(&b.phase, &b.members)));
        living.iter().for_each(|i| note(&mut order, i.token));
        let name = |token: u8| {
            let at = order.iter().position(|known| *known == token).unwrap_or(order.len());
            u8::try_from(at).unwrap_or(u8::MAX)
        };
        let rename = |record: &mut Record| record.token = name(record.token);
        for b in &mut w.tables.batches {
            (b.token, b.handed_by) = (b.token.map(name), b.handed_by.map(name));
        }
        for late in &mut w.late {
            match late {
                Late::Claim { token } | Late::Checkpoint { token, .. } => *token = name(*token),
                Late::Record(record) => rename(record),
                Late::Complete => {}
            }
        }
        w.unrecorded.iter_mut().for_each(rename);
        for i in &mut w.invocations {
            i.token = name(i.token);
            if let Phase::RecordUnrecorded(record) | Phase::Takeover(record) = &mut i.phase {
                rename(record);
            }
        }
        w.invocations.sort_by_key(|i| i.token);
        w.late.sort_unstable();
        w.unrecorded.sort_unstable();
        w
    }
}
