//! Random orders of what happens to a batch, compared with what is known of each recipient.

use proptest::prelude::*;
use uuid::Uuid;

use super::super::batch::Recipient;
use super::*;

/// The knowledge about a recipient.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    /// It was never started, or its message was certainly not accepted.
    Free,
    /// Its message is on its way.
    Flying,
    /// Its outcome is known.
    Done(Outcome),
}

#[derive(Clone, Debug)]
enum Event {
    Start,
    /// An answer about one of those that are on their way: by its number, and the kind of the answer.
    Answer(usize, u8),
    GiveBack(usize),
    Checkpoint,
    Commit,
    Stop,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Start),
        6 => (any::<usize>(), prop_oneof![9 => 0u8..3, 6 => 3u8..6, 6 => Just(6), 1 => 7u8..9])
            .prop_map(|(which, kind)| Event::Answer(which, kind)),
        1 => any::<usize>().prop_map(Event::GiveBack),
        2 => Just(Event::Checkpoint),
        3 => Just(Event::Commit),
        1 => Just(Event::Stop),
    ]
}

fn batch(size: i64, step: usize) -> Batch {
    let recipient = |n: i64| Recipient {
        position: n * 10,
        id: Uuid::from_u128(n.unsigned_abs().into()),
        email: format!("r{n}@example.com"),
        name: None,
        variables: None,
        variables_bytes: 0,
        suppressed: false,
    };
    Batch {
        id: 1,
        token: Uuid::nil(),
        step,
        pace: None,
        refusal: (None, 0),
        limit: None,
        recipients: (1..=size).map(recipient).collect(),
    }
}

/// An answer of a kind, and what is known after it. No two refusals are alike, so none halts the campaign.
fn answer(index: usize, kind: u8) -> (Answer, Known) {
    let (at, text) = (SystemTime::UNIX_EPOCH, || "words".to_owned());
    let message = "x".repeat(index + 1);
    match kind {
        0 => (Answer::Accepted(message.clone()), Known::Done(Outcome::Sent { message_id: message, at })),
        1 => {
            let outcome = Outcome::Failed { code: "no".to_owned(), error: message.clone() };
            (Answer::Refused { code: "no".to_owned(), message }, Known::Done(outcome))
        }
        2 => {
            let outcome = Outcome::Uncertain { code: "timed_out".to_owned(), error: message.clone() };
            (Answer::Uncertain { code: "timed_out".to_owned(), message }, Known::Done(outcome))
        }
        3 => (Answer::Throttled(text()), Known::Free),
        4 => (Answer::NotSent(text()), Known::Free),
        5 => (Answer::Singly(text()), Known::Free),
        6 => (Answer::Intercepted(text()), Known::Free),
        7 => (Answer::QuotaExhausted(text()), Known::Free),
        _ => (Answer::Halt(text()), Known::Free),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn nobody_is_started_twice_or_beyond_the_mark_and_each_outcome_is_what_is_known(
        (size, step) in (1i64..24, 1usize..10),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let batch = batch(size, step);
        let mut known = vec![Known::Free; batch.recipients.len()];
        let (mut noted, mut turned_away) = (vec![false; known.len()], vec![0; known.len()]);
        let mut ledger = Ledger::new(&batch, false);
        let mut mark = batch.recipients[step.min(known.len()) - 1].position;
        let mut moving = None;
        let mut stopped = false;
        let one_of = |known: &[Known], which: usize| {
            let flying: Vec<usize> = (0..known.len()).filter(|index| known[*index] == Known::Flying).collect();
            (!flying.is_empty()).then(|| flying[which % flying.len()])
        };
        for event in events {
            match event {
                Event::Start => {
                    if let Some(index) = ledger.next_alone().or_else(|| ledger.next_recipient()) {
                        prop_assert!(!stopped, "{index} is started after a stop");
                        prop_assert_eq!(&known[index], &Known::Free, "{} is started", index);
                        prop_assert!(batch.recipients[index].position <= mark, "{index} is beyond the mark");
                        prop_assert!(turned_away[index] < MAX_INTERCEPTIONS, "{index} is turned away for ever");
                        ledger.start(index, String::new());
                        known[index] = Known::Flying;
                    }
                }
                Event::Answer(which, kind) => {
                    if let Some(index) = one_of(&known, which) {
                        let (answer, after) = answer(index, kind);
                        stopped |= kind >= 7;
                        turned_away[index] += u8::from(kind == 6);
                        ledger.answer(index, answer, SystemTime::UNIX_EPOCH);
                        known[index] = after;
                    }
                }
                Event::GiveBack(which) => {
                    if let Some(index) = one_of(&known, which) {
                        ledger.give_back(index);
                        known[index] = Known::Free;
                    }
                }
                Event::Checkpoint if moving.is_none() => {
                    let checkpoint = ledger.checkpoint();
                    for Entry { recipient_id, outcome } in checkpoint.outcomes {
                        let index = batch.recipients.iter().position(|r| r.id == recipient_id).unwrap();
                        prop_assert_eq!(Known::Done(outcome), known[index].clone());
                        prop_assert!(!std::mem::replace(&mut noted[index], true), "{index} is noted twice");
                    }
                    let has_outcome = |index: &usize| matches!(known[*index], Known::Done(_));
                    prop_assert!((0..known.len()).filter(has_outcome).all(|index| noted[index]), "one is not noted");
                    moving = Some(checkpoint.mark);
                }
                Event::Commit => {
                    if let Some(moved) = moving.take() {
                        prop_assert!(moved >= mark, "the mark moves back");
                        ledger.mark_moved();
                        mark = moved;
                    }
                }
                Event::Checkpoint => {}
                Event::Stop => {
                    ledger.stop(Stop::Deadline);
                    stopped = true;
                }
            }
        }
        let set_aside = turned_away.contains(&MAX_INTERCEPTIONS);
        prop_assert_eq!(ledger.set_aside().is_some(), set_aside);
        let cut_off = known.contains(&Known::Flying);
        let (lines, stop, _) = ledger.close(cut_off);
        prop_assert_eq!(stop.is_some(), stopped);
        for (index, line) in lines.into_iter().enumerate() {
            match &known[index] {
                Known::Done(outcome) => prop_assert_eq!(&line.outcome, outcome),
                Known::Free => prop_assert_eq!(&line.outcome, &Outcome::Deferred, "{} was not accepted", index),
                Known::Flying => {
                    prop_assert_eq!(line.outcome.status(), crate::domain::recipient::Status::Uncertain);
                }
            }
        }
    }
}

/// Every recipient gets its outcome if SES answers, whatever it turned away before.
#[test]
fn a_batch_ends_with_an_outcome_for_each() {
    for (size, step) in [(1, 1), (2, 1), (7, 3), (23, 8), (100, 16)] {
        let batch = batch(size, step);
        let mut ledger = Ledger::new(&batch, false);
        let (mut accepted, mut tries) = (0, 0);
        while !ledger.is_idle() {
            tries += 1;
            assert!(tries < 1000, "{size}, {step}: it does not end");
            match ledger.next_alone().or_else(|| ledger.next_recipient()) {
                Some(index) => {
                    // Each of the first tries is turned away.
                    let kind = if tries <= 3 { 3 + u8::try_from(tries).unwrap() } else { 0 };
                    ledger.answer(index, answer(index, kind).0, SystemTime::UNIX_EPOCH);
                    accepted += i64::from(kind == 0);
                }
                None => {
                    assert!(ledger.needs_mark());
                    ledger.checkpoint();
                    ledger.mark_moved();
                }
            }
        }
        assert_eq!(accepted, size);
    }
}
