//! When the next send may start. The pace follows the reserved rate exactly, and a lower rate while SES
//! throttles. It is pure: the time is an argument.
//!
//! It uses the generic cell rate algorithm, with a rate and a burst that decrease when SES throttles a call
//! and increase again while it accepts (additive increase, multiplicative decrease). SES does not state how
//! much it takes at one instant, so each process learns it and keeps it from batch to batch. If the rate is
//! unknown, the process learns that too.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::send_api::{MAX_ENTRIES, SendApi};
use super::stop::Stop;

/// The pause after a throttled call or a failed connection: the first, and the longest.
const HOLD: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The batch is given back if nothing is accepted for this long because of throttling or failed connections.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much longer than its reserved time a throttled batch continues.
const GRACE: Duration = Duration::from_millis(250);
/// The largest burst, in seconds of the rate: this much unused time may be caught up.
pub const BURST_SECONDS: f64 = 0.25;
/// The part of the rate, and of the burst, that is left after a throttled call.
const DECREASE: (f64, f64) = (0.8, 0.5);
/// The part of the rate, and of the burst, that comes back with each second of accepted messages.
const INCREASE: (f64, f64) = (0.05, 0.002);
/// The part by which a learned rate grows with each second of accepted messages.
const GROWTH: f64 = 0.2;

/// What a process has learned of SES's limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// The part of the largest burst that SES takes.
    burst: f64,
    /// Messages per second, if the rate is unknown: what SES accepted before it throttled.
    per_second: Option<f64>,
}

impl Learned {
    /// Nothing yet.
    pub const NOTHING: Learned = Learned { burst: 1.0, per_second: None };

    /// How much time may be caught up, in seconds.
    pub fn catch_up(&self) -> f64 {
        self.burst * BURST_SECONDS
    }
}

/// The pace of one batch.
#[derive(Debug)]
pub struct Pace {
    /// When the next send may start.
    next: Instant,
    /// Messages per second, as reserved; `None`: the rate is unknown.
    reserved: Option<f64>,
    /// The end of the batch's reserved time; the following time is reserved for others.
    ends_at: Option<Instant>,
    /// Messages per second, as used now; `None`: no limit.
    per_second: Option<f64>,
    learned: Learned,
    hold: Duration,
    /// The time of the last refusal that counted; calls that were sent before it may be refused for the same
    /// cause.
    turned_away_at: Option<Instant>,
    /// Messages that were accepted since the last refusal, or since the batch began.
    accepted_since: (u32, Instant),
    last_accepted: Instant,
    any_accepted: bool,
    held_for: Option<Stop>,
    throttled: bool,
}

impl Pace {
    /// A pace for `count` messages that starts at an instant with a rate per second, if that is known.
    pub fn new(pace: Option<(Instant, f64)>, count: usize, learned: Learned, now: Instant) -> Pace {
        let (start, reserved) = pace.unzip();
        let start = start.unwrap_or(now);
        let begun = start.max(now);
        Pace {
            next: start,
            reserved,
            ends_at: reserved
                .map(|per_second| begun + Duration::from_secs_f64(seconds(count, per_second)) + GRACE),
            per_second: reserved.or(learned.per_second),
            learned,
            hold: HOLD.0,
            turned_away_at: None,
            accepted_since: (0, begun),
            last_accepted: begun,
            any_accepted: false,
            held_for: None,
            throttled: false,
        }
    }

    /// Returns true if a send may start now.
    pub fn allows(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// When the next send may start.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Notes that `count` sends start at once.
    pub fn start(&mut self, now: Instant, count: usize) {
        if let Some(per_second) = self.per_second {
            let taken = seconds(count, per_second);
            let catch_up = (self.burst() / per_second - taken).max(0.0);
            let earliest = now.checked_sub(Duration::from_secs_f64(catch_up)).unwrap_or(now);
            self.next = self.next.max(earliest) + Duration::from_secs_f64(taken);
        }
    }

    /// Messages that SES takes at one instant, as far as is known.
    fn burst(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "it is 50")]
        let largest = self.per_second.map_or(MAX_ENTRIES as f64, |per_second| per_second * BURST_SECONDS);
        (self.learned.burst * largest).max(1.0)
    }

    /// The most recipients of the next bulk call; `None`: the next call is a single send.
    pub fn call_size(&self, api: SendApi) -> Option<usize> {
        api.call_size(self.per_second, self.burst())
    }

    /// Notes SES's answer for one message of a call that was started at `started_at`.
    pub fn note(&mut self, answer: &Answer, started_at: Instant, now: Instant) {
        match answer {
            Answer::Accepted(_) => {
                self.last_accepted = now;
                self.any_accepted = true;
                self.accepted_since.0 += 1;
                self.hold = HOLD.0;
                self.held_for = None;
                self.increase();
            }
            Answer::Throttled(_) => {
                self.throttled = true;
                if self.hold_back(Stop::Throttled, started_at, now) {
                    self.decrease(now);
                }
            }
            Answer::NotSent(reason) => {
                self.hold_back(Stop::Unreachable(reason.clone()), started_at, now);
            }
            Answer::Intercepted(reason) => {
                self.hold_back(Stop::Intercepted(reason.clone()), started_at, now);
            }
            // It is sent once more, singly, and takes its place in the pace then.
            Answer::Singly(_) => {
                let given_back = self.per_second.map_or(0.0, |per_second| seconds(1, per_second));
                self.next = self.next.checked_sub(Duration::from_secs_f64(given_back)).unwrap_or(self.next);
            }
            Answer::QuotaExhausted(_)
            | Answer::Refused { .. }
            | Answer::Halt(_)
            | Answer::Uncertain { .. } => {}
        }
    }

    /// Pauses sending. Overlapping refusals count once; returns whether this one counted.
    fn hold_back(&mut self, reason: Stop, started_at: Instant, now: Instant) -> bool {
        self.held_for = Some(reason);
        if self.turned_away_at.is_some_and(|at| started_at <= at) {
            return false;
        }
        self.next = self.next.max(now + self.hold);
        self.hold = (self.hold * 2).min(HOLD.1);
        self.turned_away_at = Some(now);
        true
    }

    /// Lowers the rate and the burst. An unknown rate becomes what SES accepted since the last refusal.
    fn decrease(&mut self, now: Instant) {
        let (accepted, since) = std::mem::replace(&mut self.accepted_since, (0, now));
        let time = now.saturating_duration_since(since).as_secs_f64().max(0.001);
        let taken = (accepted > 0 && self.reserved.is_none()).then(|| f64::from(accepted) / time);
        let per_second = [self.per_second, taken].into_iter().flatten().reduce(f64::min);
        self.per_second = per_second.map(|per_second| (per_second * DECREASE.0).max(self.lowest()));
        self.learned.burst *= DECREASE.1;
    }

    /// Notes one accepted message.
    fn increase(&mut self) {
        let Some(per_second) = self.per_second else { return };
        self.per_second = Some(match self.reserved {
            Some(reserved) => (per_second + INCREASE.0 * reserved / per_second).min(reserved),
            None => per_second + GROWTH,
        });
        self.learned.burst = (self.learned.burst + INCREASE.1 / per_second).min(1.0);
    }

    fn lowest(&self) -> f64 {
        self.reserved.map_or(1.0, |per_second| per_second.min(1.0))
    }

    /// The reason to give the batch back, if nothing was accepted for too long.
    pub fn given_up(&self, now: Instant) -> Option<Stop> {
        self.held_for.clone().filter(|_| now >= self.last_accepted + PATIENCE)
    }

    /// Returns true if SES has throttled, and the remaining recipients would be sent in the time that is
    /// reserved for others.
    pub fn is_over(&self, now: Instant) -> bool {
        self.throttled && self.ends_at.is_some_and(|at| now >= at)
    }

    /// The reason why nothing of the batch was accepted, if every attempt was turned away.
    pub fn turned_away(&self) -> Option<Stop> {
        self.held_for.clone().filter(|_| !self.any_accepted)
    }

    /// The rate at which the batch ended, in messages per second, if SES throttled it and a rate was
    /// reserved.
    pub fn throttled_to(&self) -> Option<f64> {
        self.per_second.filter(|_| self.throttled && self.reserved.is_some())
    }

    /// What the next batch of this process starts with.
    pub fn learned(&self) -> Learned {
        let per_second = if self.reserved.is_none() { self.per_second } else { self.learned.per_second };
        Learned { per_second, ..self.learned }
    }
}

/// How long `count` messages take, in seconds.
fn seconds(count: usize, per_second: f64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a call has 50 recipients at most")]
    let count = count as f64;
    count / per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(per_second: Option<f64>, now: Instant) -> Pace {
        Pace::new(per_second.map(|per_second| (now, per_second)), 100, Learned::NOTHING, now)
    }

    fn accepted() -> Answer {
        Answer::Accepted(String::new())
    }

    fn throttled() -> Answer {
        Answer::Throttled(String::new())
    }

    /// The number of sends that start within a time, if each starts as soon as it may.
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

    /// Sends to an SES with a token bucket for a number of seconds, as fast as the pace allows, and returns
    /// how many messages were accepted and how many were refused.
    fn against_a_bucket(
        pace: &mut Pace,
        start: Instant,
        per_second: f64,
        burst: f64,
        seconds: u32,
    ) -> (u32, u32) {
        let (mut now, mut tokens, mut refilled_at) = (start, burst, start);
        let (mut taken, mut refused) = (0, 0);
        while now < start + SECOND * seconds {
            let size = pace.call_size(SendApi::Auto).unwrap_or(1);
            #[allow(clippy::cast_possible_truncation, reason = "a call has 50 recipients at most")]
            let count = size as u32;
            now = now.max(pace.next());
            pace.start(now, size);
            tokens = burst.min(tokens + (now - refilled_at).as_secs_f64() * per_second);
            refilled_at = now;
            let fits = tokens >= f64::from(count);
            if fits {
                tokens -= f64::from(count);
                taken += count;
            } else {
                refused += count;
            }
            for _ in 0..count {
                pace.note(&if fits { accepted() } else { throttled() }, now, now + Duration::from_millis(2));
            }
        }
        (taken, refused)
    }

    #[test]
    fn the_reserved_rate_is_kept_exactly() {
        let now = Instant::now();
        for rate in [14.0, 100.0, 5000.0] {
            let sent = f64::from(sends(&mut pace(Some(rate), now), now, 10 * SECOND));
            assert!((sent - 10.0 * rate).abs() <= 1.0, "{sent} in 10 s at {rate}/s");
        }
    }

    #[test]
    fn a_reservation_that_starts_later_waits_and_a_late_start_catches_up_a_little() {
        let now = Instant::now();
        assert!(!Pace::new(Some((now + SECOND, 10.0)), 100, Learned::NOTHING, now).allows(now));
        let mut late = pace(Some(100.0), now);
        assert_eq!(sends(&mut late, now + 10 * SECOND, SECOND), 124);
    }

    #[test]
    fn too_fast_slows_down_at_once_and_acceptance_brings_the_rate_back() {
        let now = Instant::now();
        let mut pace = pace(Some(100.0), now);
        for _ in 0..50 {
            pace.note(&throttled(), now, now);
        }
        assert!(!pace.allows(now + Duration::from_millis(99)));
        assert_eq!(pace.throttled_to(), Some(80.0));
        assert_eq!(sends(&mut pace, now + HOLD.0, SECOND), 80);
        for _ in 0..500 {
            pace.note(&accepted(), now, now);
        }
        assert_eq!(pace.throttled_to(), Some(100.0));
    }

    #[test]
    fn each_refusal_counts_but_those_of_calls_that_were_under_way_together() {
        let now = Instant::now();
        let mut pace = pace(Some(100.0), now);
        let mut rates = Vec::new();
        for n in 1..=4 {
            let started_at = now + n * SECOND;
            pace.start(started_at, 10);
            // This holds also if the answer arrives before the next call's turn.
            pace.note(&throttled(), started_at, started_at + Duration::from_millis(1));
            pace.note(&throttled(), started_at, started_at + Duration::from_millis(50));
            rates.push(pace.throttled_to().unwrap().round());
        }
        assert_eq!(rates, [80.0, 64.0, 51.0, 41.0]);
    }

    #[test]
    fn calls_become_as_small_as_what_ses_takes_at_one_instant() {
        let now = Instant::now();
        for (rate, burst) in [(1000.0, 100.0), (1000.0, 20.0), (100.0, 5.0), (100.0, 1.0), (14.0, 1.0)] {
            let mut pace = pace(Some(0.995 * rate), now);
            let (_, learning) = against_a_bucket(&mut pace, now, rate, burst, 30);
            let then = now + 30 * SECOND;
            let (taken, refused) = against_a_bucket(&mut pace, then, rate, burst, 60);
            let (taken, refused, wanted) = (f64::from(taken), f64::from(refused), rate * 60.0);
            let of = format!(
                "{rate}/s, bucket {burst}: {taken} of {wanted}, {refused} refused, {learning} before"
            );
            assert!(taken > 0.95 * wanted && refused < 0.005 * wanted, "{of}");
        }
    }

    #[test]
    fn a_rate_that_nobody_says_is_learned_and_kept() {
        let now = Instant::now();
        let mut first = pace(None, now);
        assert!(against_a_bucket(&mut first, now, 100.0, 1.0, 20).1 > 0);
        let learned = first.learned();
        let mut next = Pace::new(None, 100, learned, now);
        let (taken, refused) = against_a_bucket(&mut next, now, 100.0, 100.0, 60);
        assert!(taken > 5000 && refused < 300, "{taken} taken, {refused} refused, {learned:?}");
        assert_eq!(first.throttled_to(), None);
    }

    #[test]
    fn a_batch_that_was_slowed_down_ends_when_the_time_of_others_begins() {
        let now = Instant::now();
        let mut pace = pace(Some(100.0), now);
        assert!(!pace.is_over(now + 10 * SECOND));
        pace.note(&throttled(), now, now);
        assert!(!pace.is_over(now + SECOND) && pace.is_over(now + SECOND + GRACE));
    }

    #[test]
    fn patience_ends_when_nothing_is_accepted() {
        let now = Instant::now();
        let mut pace = pace(None, now);
        pace.note(&Answer::NotSent("refused".into()), now, now);
        assert_eq!(pace.given_up(now + PATIENCE / 2), None);
        assert_eq!(pace.turned_away(), Some(Stop::Unreachable("refused".into())));
        assert_eq!(pace.given_up(now + PATIENCE), Some(Stop::Unreachable("refused".into())));
        pace.note(&accepted(), now, now + PATIENCE);
        assert_eq!(pace.given_up(now + PATIENCE * 2), None);
        pace.note(&throttled(), now, now + PATIENCE * 2);
        assert_eq!(pace.turned_away(), None);
    }
}
