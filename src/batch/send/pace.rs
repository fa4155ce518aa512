//! When the next send may start: the exact rate that was reserved, and less of it while SES says 'too fast'.
//! Pure: time comes in as a value.

use std::time::Duration;

use tokio::time::Instant;

use super::Stop;
use super::call::SendApi;
use crate::ses::Answer;

/// The pause after an answer that says 'too fast', or a connection that was not made: the first, and the longest.
const HOLD: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long nothing may be accepted, for want of rate or connection, before the batch is given back.
const PATIENCE: Duration = Duration::from_secs(10);
/// What may be caught up of time that was not used.
const CATCH_UP: Duration = Duration::from_millis(250);
/// The part of the rate that is left when SES says 'too fast'.
const DECREASE: f64 = 0.8;
/// The part of the rate that comes back with each accepted message.
const INCREASE: f64 = 0.005;

/// The pace of one batch.
#[derive(Debug)]
pub struct Pace {
    /// When the next send may start.
    next: Instant,
    /// Per second, as reserved; `None`: no rate is known, and only [`HOLD`] slows down.
    reserved: Option<f64>,
    /// The part of it that is used now.
    share: f64,
    hold: Duration,
    last_accepted: Instant,
    any_accepted: bool,
    held_for: Option<Stop>,
    throttled: bool,
}

impl Pace {
    /// A pace that starts at an instant with so many messages per second.
    pub fn new(pace: Option<(Instant, f64)>, now: Instant) -> Pace {
        Pace {
            next: pace.map_or(now, |(start, _)| start),
            reserved: pace.map(|(_, per_second)| per_second),
            share: 1.0,
            hold: HOLD.0,
            last_accepted: pace.map_or(now, |(start, _)| start.max(now)),
            any_accepted: false,
            held_for: None,
            throttled: false,
        }
    }

    /// Whether a send may start now.
    pub fn allows(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// When the next send may start.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// So many sends start.
    pub fn start(&mut self, now: Instant, count: usize) {
        if let Some(per_second) = self.reserved {
            let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
            #[allow(clippy::cast_precision_loss, reason = "a call has 50 recipients at most")]
            let taken = count as f64 / (per_second * self.share);
            self.next = self.next.max(earliest) + Duration::from_secs_f64(taken);
        }
    }

    /// How many recipients the next bulk call may have; `None`: it is a single send.
    pub fn call_size(&self, api: SendApi) -> Option<usize> {
        api.call_size(self.reserved.map(|per_second| per_second * self.share))
    }

    /// SES has answered: additive increase, multiplicative decrease.
    pub fn note(&mut self, answer: &Answer, now: Instant) {
        match answer {
            Answer::Accepted(_) => {
                self.last_accepted = now;
                self.any_accepted = true;
                self.hold = HOLD.0;
                self.held_for = None;
                self.share = (self.share + INCREASE).min(1.0);
            }
            Answer::Throttled(_) => {
                self.throttled = true;
                self.hold_back(Stop::Throttled, now);
            }
            Answer::NotSent(reason) => self.hold_back(Stop::Unreachable(reason.clone()), now),
            Answer::QuotaExhausted(_)
            | Answer::Singly(_)
            | Answer::Refused { .. }
            | Answer::Halt(_)
            | Answer::Uncertain { .. } => {}
        }
    }

    /// Of the requests that were under way together, the first to be turned away sets the pause.
    fn hold_back(&mut self, reason: Stop, now: Instant) {
        if self.held_for.is_none() || now >= self.next {
            self.next = self.next.max(now + self.hold);
            self.hold = (self.hold * 2).min(HOLD.1);
            self.share = (self.share * DECREASE).max(0.1);
        }
        self.held_for = Some(reason);
    }

    /// Why the batch is to be given back, if nothing was accepted for too long.
    pub fn given_up(&self, now: Instant) -> Option<Stop> {
        self.held_for.clone().filter(|_| now >= self.last_accepted + PATIENCE)
    }

    /// Why the batch came to nothing, if all that was tried was turned away.
    pub fn turned_away(&self) -> Option<Stop> {
        self.held_for.clone().filter(|_| !self.any_accepted)
    }

    /// Whether SES has said 'too fast' to this batch.
    pub fn was_throttled(&self) -> bool {
        self.throttled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many sends start within a time, if each is asked for as soon as it may be.
    fn sends(pace: &mut Pace, from: Instant, time: Duration) -> u32 {
        let mut count = 0;
        while pace.next() < from + time {
            let now = pace.next().max(from);
            assert!(pace.allows(now));
            pace.start(now, 1);
            count += 1;
        }
        count
    }

    #[test]
    fn the_reserved_rate_is_kept_exactly() {
        let now = Instant::now();
        for rate in [14.0, 100.0, 5000.0] {
            let sent = f64::from(sends(&mut Pace::new(Some((now, rate)), now), now, Duration::from_secs(10)));
            assert!((sent - 10.0 * rate).abs() <= 1.0, "{sent} in 10 s at {rate}/s");
        }
    }

    #[test]
    fn a_reservation_that_starts_later_waits_and_a_late_start_catches_up_a_little() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert!(!Pace::new(Some((now + second, 10.0)), now).allows(now));
        let mut late = Pace::new(Some((now, 100.0)), now);
        assert_eq!(sends(&mut late, now + 10 * second, second), 125);
    }

    #[test]
    fn too_fast_slows_down_at_once_and_acceptance_brings_the_rate_back() {
        let now = Instant::now();
        let mut pace = Pace::new(Some((now, 100.0)), now);
        for _ in 0..50 {
            pace.note(&Answer::Throttled(String::new()), now);
        }
        assert!(pace.was_throttled() && !pace.allows(now + Duration::from_millis(99)));
        let later = now + HOLD.0;
        assert_eq!(sends(&mut pace, later, Duration::from_secs(1)), 80);
        for _ in 0..100 {
            pace.note(&Answer::Accepted(String::new()), later);
        }
        assert!(pace.share >= 1.0);
    }

    #[test]
    fn patience_ends_when_nothing_is_accepted() {
        let now = Instant::now();
        let mut pace = Pace::new(None, now);
        pace.note(&Answer::NotSent("refused".into()), now);
        assert_eq!(pace.given_up(now + PATIENCE / 2), None);
        assert_eq!(pace.turned_away(), Some(Stop::Unreachable("refused".into())));
        assert_eq!(pace.given_up(now + PATIENCE), Some(Stop::Unreachable("refused".into())));
        pace.note(&Answer::Accepted(String::new()), now + PATIENCE);
        assert_eq!(pace.given_up(now + PATIENCE * 2), None);
        pace.note(&Answer::Throttled("too fast".into()), now + PATIENCE * 2);
        assert_eq!(pace.turned_away(), None);
    }
}
