//! A schedule in plain words.

use std::fmt::Write as _;

use campaign_sender::domain::recipient::Status;

use crate::tables::{Campaign, Outcome, Record, Row, Tables};
use crate::world::{Answer, Attempt, Invocation, Late, Phase, Sending, Step, World};

fn name(recipient: u8) -> char {
    char::from(b'A' + recipient)
}

fn names(recipients: impl Iterator<Item = u8>) -> String {
    let names: Vec<String> = recipients.map(|r| name(r).to_string()).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

fn outcomes(outcomes: &[(u8, Outcome)]) -> String {
    if outcomes.is_empty() {
        return "nothing".to_owned();
    }
    let each = outcomes.iter().map(|(r, outcome)| {
        let outcome = match outcome {
            Outcome::Sent(_) => "sent",
            Outcome::Refused => "refused",
            Outcome::Uncertain => "uncertain",
            Outcome::Deferred => "not tried",
        };
        format!("{} {outcome}", name(*r))
    });
    each.collect::<Vec<_>>().join(", ")
}

fn record(record: &Record) -> String {
    let batch = record.batch + 1;
    let what = outcomes(&record.outcomes);
    if record.owner_lost {
        return format!("the record of batch {batch}, taken over: {what}; the rest up to the mark uncertain");
    }
    let part = if record.whole { "" } else { ", a part of its outcomes" };
    format!("the record of batch {batch}{part}: {what}")
}

fn statement(late: &Late) -> String {
    match late {
        Late::Claim { token } => format!("the claim of invocation {token}"),
        Late::Checkpoint { batch, mark, notes, .. } => {
            format!("the checkpoint of batch {}: mark {mark}, noted: {}", batch + 1, outcomes(notes))
        }
        Late::Record(of) => record(of),
        Late::Complete => "complete_campaign".to_owned(),
    }
}

fn next_statement(i: &Invocation) -> String {
    match &i.phase {
        Phase::RecordUnrecorded(unrecorded) => record(unrecorded),
        Phase::Claim => "its claim".to_owned(),
        Phase::Takeover(of) => record(of),
        Phase::Send => {
            let done = i.members.iter().map(|(r, attempt, _)| match attempt {
                Attempt::Known(outcome) => (*r, *outcome),
                Attempt::Untried | Attempt::UnderWay => (*r, Outcome::Deferred),
            });
            format!("the record of batch {}: {}", i.batch + 1, outcomes(&done.collect::<Vec<_>>()))
        }
        Phase::Complete => "complete_campaign".to_owned(),
    }
}

fn claimed(w: &World, token: u8) -> String {
    match w.invocations.iter().find(|i| i.token == token).map(|i| (&i.phase, i)) {
        None => "there is nothing to claim, and it ends".to_owned(),
        Some((Phase::Takeover(of), _)) => {
            format!("it takes over batch {}, whose notes are: {}", of.batch + 1, outcomes(&of.outcomes))
        }
        Some((Phase::Send, i)) => {
            format!("it gets batch {} with {}", i.batch + 1, names(i.members.iter().map(|(r, _, _)| *r)))
        }
        Some(_) => "PostgreSQL refuses it (a conflict), and it is to be repeated".to_owned(),
    }
}

/// A step from one world to the next.
#[allow(clippy::too_many_lines, reason = "one list of all that can happen")]
pub fn step(before: &World, step: &Step, after: &World) -> String {
    let who = |at: usize| format!("invocation {}", before.invocations[at].token);
    match step {
        Step::Begin { unrecorded: None, .. } => format!("invocation {} begins", after.lives),
        Step::Begin { unrecorded: Some(unrecorded), again } => {
            let kept = if *again { " (the same outcomes are handed on once more later)" } else { "" };
            format!("invocation {} begins with unrecorded outcomes{kept}: {}", after.lives, record(&before.unrecorded[*unrecorded]))
        }
        Step::Snapshot(at) => {
            format!("{}: its claim takes its snapshot and waits for the cursor's lock", who(*at))
        }
        Step::Statement { at, small } => {
            let i = &before.invocations[*at];
            let one = if *small { " (the quota leaves one)" } else { "" };
            match i.phase {
                Phase::Claim => format!("{} claims{one}: {}", who(*at), claimed(after, i.token)),
                _ => format!("{}: PostgreSQL runs {}", who(*at), next_statement(i)),
            }
        }
        Step::Checkpoint(at) => {
            let i = &before.invocations[*at];
            let end = after.invocations.iter().find(|other| other.token == i.token);
            let end = if end.is_some_and(|i| i.stopped) { "; the invocation is told to stop" } else { "" };
            format!("{} commits a checkpoint: the mark moves on, and what is known is noted{end}", who(*at))
        }
        Step::Cut { at, checkpoint } => {
            let what = if *checkpoint {
                "its checkpoint".to_owned()
            } else {
                next_statement(&before.invocations[*at])
            };
            format!("{}: the connection breaks during {what}; PostgreSQL may run it later", who(*at))
        }
        Step::RunLate(which) => {
            format!("PostgreSQL runs a statement that came over a broken connection: {}", statement(&before.late[*which]))
        }
        Step::GiveUp { at, cut } => {
            let unrecorded = after.unrecorded.len() > before.unrecorded.len();
            let what = match (unrecorded, cut) {
                (false, _) => "with an error",
                (true, false) => "and hands on what is unrecorded",
                (true, true) => "and hands on what was accepted, because there is no room for the rest",
            };
            format!("{} cannot reach PostgreSQL, ends {what}", who(*at))
        }
        Step::Crash(at) => format!("{} crashes", who(*at)),
        Step::HandOver { at, index } => {
            let r = before.invocations[*at].members[*index].0;
            format!("{} hands {} to SES", who(*at), name(r))
        }
        Step::Answered { at, index, answer } => {
            let r = name(before.invocations[*at].members[*index].0);
            let again = matches!(answer, Answer::None)
                && after.invocations[*at].members[*index].1 == Attempt::UnderWay;
            match answer {
                Answer::Accepted => format!("SES accepts the message of {} to {r} and says so", who(*at)),
                Answer::Refused => format!("SES refuses the message of {} to {r}", who(*at)),
                Answer::Throttled => {
                    format!("SES takes no more of {} for now: {r} is not accepted, the batch ends", who(*at))
                }
                Answer::None if again => format!(
                    "{} gets no answer about {r}, and the SDK repeats the request; SES may take both",
                    who(*at)
                ),
                Answer::None => {
                    format!("{} gets no answer about {r}; SES may still take the message", who(*at))
                }
            }
        }
        Step::AcceptAstray { recipient, .. } => {
            format!("SES accepts a message to {}, and its answer is lost", name(*recipient))
        }
        Step::Event { recipient, message, rejected } => {
            let kind = if *rejected { "Reject" } else { "Send" };
            format!("the event {kind} of message {} to {} is recorded", message + 1, name(*recipient))
        }
        Step::LeaseEnds(at) => {
            let b = &before.tables.batches[usize::from(*at)];
            let alive = before.invocations.iter().any(|i| Some(i.token) == b.token);
            let early = if alive { " (a clock jumps, or its owner was frozen: it is alive)" } else { "" };
            format!("the lease of batch {} ends{early}", at + 1)
        }
        Step::Insert { recipient, position } => {
            format!("a transaction adds {} at position {position}, and stays open", name(*recipient))
        }
        Step::CommitInsert(recipient) => {
            format!("the transaction that added {} commits", name(*recipient))
        }
        Step::Pause => "a person pauses the campaign".to_owned(),
        Step::Resume => "a person sets the campaign to `sending` again".to_owned(),
        Step::Cancel => "a person cancels the campaign".to_owned(),
        Step::Resolve { recipient, decision } => {
            let decision = match decision {
                Status::Pending => "resend",
                Status::Sent => "sent",
                _ => "failed",
            };
            format!(
                "a person, who has seen {0} uncertain, decides: resolve {0} as {decision}",
                name(*recipient)
            )
        }
        Step::Retry => {
            format!(
                "a person runs retry-failed: {} are pending again",
                names(
                    (0u8..)
                        .zip(&before.tables.recipients)
                        .zip(&after.tables.recipients)
                        .filter(|((_, old), new)| old.status != new.status)
                        .map(|((r, _), _)| r),
                )
            )
        }
        Step::ProvingEvent => {
            "an event comes that happened long after all recipients became uncertain, and no earlier event is missing"
                .to_owned()
        }
        Step::ResendUnreported => "the policy `resend` makes recipients pending again that SES has not reported on".to_owned(),
    }
}

/// The contents of the tables and of SES, in one line.
pub fn tables(t: &Tables) -> String {
    let mut line = String::new();
    for (r, row) in (0u8..).zip(&t.recipients) {
        if row.row != Row::Absent {
            let open = if row.row == Row::Inserting { ", not committed" } else { "" };
            let _ = write!(
                line,
                "{}@{} {}{open} (accepted {}, activities {})  ",
                name(r),
                row.position,
                row.status,
                row.accepted,
                row.activities
            );
        }
    }
    let campaign = match t.campaign {
        Campaign::Sending => "sending",
        Campaign::Paused => "paused",
        Campaign::Cancelled => "cancelled",
        Campaign::Sent => "sent",
    };
    let _ = write!(line, "campaign {campaign}");
    line
}

/// A schedule, step by step.
pub fn print(promise: &str, path: Vec<(World, Option<Step>)>, model: &Sending) {
    println!("Violated: {promise}\n");
    let mut number = 0;
    let mut last = String::new();
    for (world, action) in path {
        if number == 0 {
            let policy = if world.resends { ", the policy is `resend`" } else { "" };
            last = tables(&world.tables);
            println!("      at first: {last}{policy}");
        }
        if let Some(action) = action {
            number += 1;
            let after = model.after(&world, &action);
            println!("{number:>4}  {}", step(&world, &action, &after));
            let now = tables(&after.tables);
            if now != last {
                println!("          {now}");
            }
            last = now;
        }
    }
}
