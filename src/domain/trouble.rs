//! A circuit breaker: it stops a campaign when answers are not SES's or cannot be understood. It is pure.
//!
//! A call whose recipients are uncertain weighs as much as four calls that SES answered clearly. After the
//! first such call, calls are made one at a time, each for one recipient, until SES answers clearly. A batch
//! that begins with a carried weight begins in this way. A batch stops when the weight reaches `STOP`; the
//! weight is carried from batch to batch, and the campaign halts when it reaches `HALT`.

use super::answer::Answer;
use super::halt;
use super::stop::Stop;

/// The weight of one uncertain call. A call that SES answers clearly subtracts 1.
const UNCERTAIN_WEIGHT: i32 = 4;
/// The weight at which a batch stops: five uncertain calls in a row.
const STOP: i32 = 20;
/// The weight at which the campaign halts: five more batches that began with an uncertain call, or twenty
/// batches that got only answers that are not SES's.
const HALT: i32 = 40;
/// After this number of unreadable answers to bulk calls in one batch, no more bulk calls are made.
const UNREADABLE_BULK_CALLS: u32 = 2;
/// The form of the weight in the column in which equal refusals are counted (`campaign_cursors.refusal`).
const PREFIX: &str = "no clear answer: ";

/// The carried refusals, if the column has these and not a weight.
pub fn same_refusals(carried: &(Option<String>, i32)) -> (Option<String>, i32) {
    let is_weight = carried.0.as_deref().is_some_and(|text| text.starts_with(PREFIX));
    if is_weight { (None, 0) } else { carried.clone() }
}

/// The result of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// SES answered, whatever it said.
    Clear,
    /// Most of its recipients are uncertain, for this reason.
    Uncertain(&'a str, &'a str),
    /// Something other than SES answered.
    Intercepted,
    /// No request was made.
    NotSent,
}

impl Kind<'_> {
    /// Classifies a call by the answers for its recipients.
    pub fn of(answers: &[(usize, Answer)]) -> Kind<'_> {
        let uncertain = || {
            answers.iter().filter_map(|(_, answer)| match answer {
                Answer::Uncertain { code, message } => Some(Kind::Uncertain(code, message)),
                _ => None,
            })
        };
        if 2 * uncertain().count() > answers.len() {
            return uncertain().next().unwrap_or(Kind::Clear);
        }
        match answers.first() {
            Some((_, Answer::Intercepted(_))) => Kind::Intercepted,
            Some((_, Answer::NotSent(_))) | None => Kind::NotSent,
            Some(_) => Kind::Clear,
        }
    }
}

/// The weight of one batch.
#[derive(Debug)]
pub struct Trouble {
    /// The weight that was carried here.
    began: i32,
    weight: i32,
    /// The largest weight that this batch can reach.
    most: i32,
    careful: bool,
    unreadable_bulk_calls: u32,
    reason: String,
}

impl Trouble {
    /// The weight that an earlier batch carried on, if it is one.
    pub fn new(carried: &(Option<String>, i32)) -> Trouble {
        let reason = carried.0.as_deref().and_then(|text| text.strip_prefix(PREFIX));
        let weight = reason.map_or(0, |_| carried.1.clamp(0, HALT));
        let most = if weight < STOP { STOP } else { weight + UNCERTAIN_WEIGHT };
        Trouble {
            began: weight,
            weight,
            most,
            careful: weight > 0,
            unreadable_bulk_calls: 0,
            reason: reason.unwrap_or_default().to_owned(),
        }
    }

    /// True if only one call is made at a time, for one recipient.
    pub fn is_careful(&self) -> bool {
        self.careful
    }

    /// True if the answers to bulk calls cannot be read; those to single calls may be readable.
    pub fn gives_up_bulk_calls(&self) -> bool {
        self.unreadable_bulk_calls >= UNREADABLE_BULK_CALLS
    }

    /// Notes a call with this number of recipients; returns why the batch stops, if it does.
    pub fn note(&mut self, call: Kind<'_>, recipients: usize) -> Option<Stop> {
        match call {
            Kind::Clear => {
                self.careful = false;
                self.weight = (self.weight - 1).max(0);
                None
            }
            Kind::NotSent => None,
            Kind::Intercepted => {
                self.careful = true;
                None
            }
            Kind::Uncertain(code, message) => {
                self.careful = true;
                self.unreadable_bulk_calls += u32::from(recipients > 1 && code == "unreadable_answer");
                self.weight = (self.weight + UNCERTAIN_WEIGHT).min(self.most);
                self.reason = if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") };
                (self.weight >= STOP).then(|| self.stop(Stop::Uncertain(self.reason.clone(), self.steps())))
            }
        }
    }

    /// Why the batch stops, if it stops because of the pace: a batch that met only something other than SES
    /// counts too.
    pub fn weigh(&mut self, stop: Stop) -> Stop {
        if let Stop::Intercepted(reason) = &stop {
            self.reason.clone_from(reason);
            self.weight = self.weight.max(STOP).max(self.began + 1);
        }
        self.stop(stop)
    }

    fn stop(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Intercepted(_) if self.weight >= HALT => Stop::Halt(halt::not_ses(&self.reason)),
            Stop::Uncertain(..) if self.weight >= HALT => Stop::Halt(halt::no_clear_answer(&self.reason)),
            stop => stop,
        }
    }

    /// The number of batches in a row that have stopped for this.
    fn steps(&self) -> u32 {
        u32::try_from((self.weight - STOP) / UNCERTAIN_WEIGHT + 1).unwrap_or(1)
    }

    /// What the next batch starts with. If the campaign continues after such a halt, it begins with one call.
    pub fn carried(&self) -> Option<(String, i32)> {
        let weight = if self.weight >= HALT { STOP } else { self.weight };
        (weight > 0).then(|| (format!("{PREFIX}{}", self.reason), weight))
    }

    /// Returns true if the next batch begins with one call.
    pub fn is_grave(&self) -> bool {
        self.weight >= STOP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNCERTAIN: Kind<'_> = Kind::Uncertain("http_502", "<html>");

    fn next(trouble: &Trouble) -> Trouble {
        let carried = trouble.carried();
        Trouble::new(&carried.map_or((None, 0), |(text, weight)| (Some(text), weight)))
    }

    #[test]
    fn five_uncertain_calls_stop_a_batch_and_five_batches_more_halt() {
        let mut trouble = Trouble::new(&(None, 0));
        for _ in 0..4 {
            assert_eq!(trouble.note(UNCERTAIN, 1), None);
            assert!(trouble.is_careful());
        }
        // Also where many were under way when it began.
        for _ in 0..50 {
            assert_eq!(trouble.note(UNCERTAIN, 1), Some(Stop::Uncertain("http_502: <html>".into(), 1)));
        }
        for n in 2..=5 {
            trouble = next(&trouble);
            assert!(trouble.is_careful());
            assert_eq!(trouble.note(UNCERTAIN, 1), Some(Stop::Uncertain("http_502: <html>".into(), n)));
        }
        trouble = next(&trouble);
        let halt = "SES repeatedly gave no clear answer: http_502: <html>";
        assert_eq!(trouble.note(UNCERTAIN, 1), Some(Stop::Halt(halt.into())));
        // Somebody goes on: it begins with one call.
        trouble = next(&trouble);
        assert!(trouble.is_careful());
        assert_eq!(trouble.note(UNCERTAIN, 1), Some(Stop::Uncertain("http_502: <html>".into(), 2)));
    }

    #[test]
    fn clear_answers_outweigh_one_uncertain_in_five_and_not_one_in_two() {
        for (every, stops) in [(2, true), (4, true), (5, false), (100, false)] {
            let mut trouble = Trouble::new(&(None, 0));
            let stopped = (1..=1000).any(|n| {
                let call = if n % every == 0 { UNCERTAIN } else { Kind::Clear };
                trouble.note(call, 1).is_some()
            });
            assert_eq!(stopped, stops, "one in {every}");
        }
    }

    #[test]
    fn a_clear_answer_ends_the_care() {
        let mut trouble = Trouble::new(&(None, 0));
        trouble.note(Kind::Intercepted, 1);
        trouble.note(Kind::NotSent, 1);
        assert!(trouble.is_careful());
        assert_eq!(trouble.note(Kind::Clear, 1), None);
        assert!(!trouble.is_careful() && trouble.carried().is_none());
    }

    #[test]
    fn what_is_not_ses_halts_after_twenty_batches() {
        let mut trouble = Trouble::new(&(None, 0));
        let mut batches = 1;
        while trouble.weigh(Stop::Intercepted("http_403".into())) == Stop::Intercepted("http_403".into()) {
            trouble = next(&trouble);
            assert!(trouble.is_careful());
            batches += 1;
        }
        assert_eq!(batches, 21);
        assert_eq!(Trouble::new(&(Some("MessageRejected: no".into()), 19)).carried(), None);
    }

    #[test]
    fn bulk_calls_that_cannot_be_read_are_given_up_where_single_ones_can() {
        let mut trouble = Trouble::new(&(None, 0));
        let unreadable = Kind::Uncertain("unreadable_answer", "x");
        trouble.note(unreadable, 50);
        trouble.note(unreadable, 1);
        trouble.note(Kind::Uncertain("connection_lost", "x"), 50);
        assert!(!trouble.gives_up_bulk_calls());
        trouble.note(unreadable, 50);
        assert!(trouble.gives_up_bulk_calls());
    }

    #[test]
    fn a_call_is_what_most_of_its_answers_are() {
        let uncertain = || Answer::Uncertain { code: "unreadable_answer".into(), message: "x".into() };
        let of = |answers: Vec<Answer>| {
            let answers: Vec<_> = answers.into_iter().enumerate().collect();
            matches!(Kind::of(&answers), Kind::Uncertain("unreadable_answer", "x"))
        };
        assert!(of(vec![uncertain()]) && of(vec![Answer::Accepted("1".into()), uncertain(), uncertain()]));
        assert!(!of(vec![Answer::Accepted("1".into()), uncertain()]));
    }
}
