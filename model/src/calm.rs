//! A world without further faults: leases end, invocations run one after the other and get answers, SES
//! accepts everything.

use campaign_sender::domain::recipient::Status;

use crate::guards::{Guard, Removed};
use crate::tables::{Campaign, Row};
use crate::world::{Answer, Attempt, Bounds, Phase, Sending, Step, World};

/// More steps than a calm world of three recipients can need.
const PATIENCE: usize = 200;

/// Returns true if the campaign becomes `sent` with an outcome for everybody, from a world without running
/// invocations. (A running invocation ends in another world, which is checked too.) A person resumes a paused
/// campaign.
pub fn ends(world: &World, removed: &Removed) -> bool {
    let mut w = world.clone();
    if w.tables.campaign == Campaign::Cancelled {
        return true;
    }
    if w.tables.campaign == Campaign::Paused {
        w.tables.campaign = Campaign::Sending;
    }
    w.late.clear();
    for r in &mut w.tables.recipients {
        if r.row == Row::Inserting {
            r.row = Row::Visible;
        }
    }
    let bounds = Bounds { recipients: 3, lanes: 1, lives: u8::MAX, faults: 0, orders: 0 };
    let model = Sending { bounds, removed: removed.clone() };
    w.lives = 100;
    for _ in 0..PATIENCE {
        let everybody =
            w.tables.recipients.iter().all(|r| r.row == Row::Absent || r.status != Status::Pending);
        if w.invocations.is_empty() && w.tables.campaign == Campaign::Sent && everybody {
            return true;
        }
        let step = next(&w, removed);
        w = model.after(&w, &step);
        for b in &mut w.tables.batches {
            if w.invocations.iter().all(|i| b.token != Some(i.token)) {
                b.lease_holds = false;
            }
        }
    }
    false
}

fn next(w: &World, removed: &Removed) -> Step {
    let Some(i) = w.invocations.first() else {
        return Step::Begin { unrecorded: (!w.unrecorded.is_empty()).then_some(0), again: false };
    };
    if i.phase == Phase::Claim && !removed.keeps(Guard::ReadCommitted) && i.snapshot.is_none() {
        return Step::Snapshot(0);
    }
    if i.phase == Phase::Send && !i.stopped {
        if let Some(index) = i.members.iter().position(|m| m.1 == Attempt::UnderWay) {
            return Step::Answered { at: 0, index, answer: Answer::Accepted };
        }
        let marked = usize::from(i.marked);
        if let Some(index) = i.members.iter().take(marked).position(|m| m.1 == Attempt::Untried) {
            return Step::HandOver { at: 0, index };
        }
        if marked < i.members.len() {
            return Step::Checkpoint(0);
        }
    }
    Step::Statement { at: 0, small: false }
}
