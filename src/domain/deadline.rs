//! How an invocation's time is divided, so that sending stops early enough for recording.

use std::time::{Duration, SystemTime};

use std::time::Instant;

/// The longest that Lambda lets an invocation run.
const LONGEST: Duration = Duration::from_secs(900);
/// How much longer than the invocation a claim lives, for the skew between PostgreSQL's clock and Lambda's.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The instants of one invocation, on this process's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// No send starts after this.
    pub last_start: Instant,
    /// A send that has no answer by then is uncertain; recording begins.
    pub last_answer: Instant,
    /// Outcomes that are not recorded by then are handed to the next invocation as `unrecorded`.
    pub last_record: Instant,
    /// The invocation's end.
    pub end: Instant,
}

impl Deadline {
    /// Divides the time from `now` to the invocation's deadline, which is in milliseconds since 1970. A
    /// deadline before `now` means 'unknown' (`cargo lambda watch` sends such a deadline); then the
    /// invocation has the time `fallback`.
    ///
    /// An eighth of the time, 1 to 10 s, is kept for recording, and another eighth, 0.5 to 5 s, for
    /// outstanding answers. Less than 3 s is divided into thirds.
    pub fn new(deadline_ms: u64, now: SystemTime, instant: Instant, fallback: Duration) -> Deadline {
        let remaining = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(deadline_ms))
            .and_then(|deadline| deadline.duration_since(now).ok())
            .filter(|remaining| !remaining.is_zero())
            .unwrap_or(fallback)
            .min(LONGEST);
        let share = |least, most| {
            let least = Duration::from_millis(least).min(remaining / 3);
            (remaining / 8).clamp(least, Duration::from_millis(most))
        };
        let at = |before_end| instant + remaining.saturating_sub(before_end);
        let (recording, answering) = (share(1000, 10_000), share(500, 5000));
        Deadline {
            last_start: at(recording + answering),
            last_answer: at(recording),
            last_record: at(Duration::from_millis(200).min(recording / 2)),
            end: at(Duration::ZERO),
        }
    }

    /// How long a claim made now is valid.
    pub fn lease(&self, now: Instant) -> Duration {
        self.end.saturating_duration_since(now) + LEASE_MARGIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(deadline_ms: u64) -> (f64, f64, f64, f64) {
        let (now, instant) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000), Instant::now());
        let deadline = Deadline::new(deadline_ms, now, instant, Duration::from_secs(60));
        let after = |at: Instant| (at - instant).as_secs_f64();
        (
            after(deadline.last_start),
            after(deadline.last_answer),
            after(deadline.last_record),
            deadline.lease(instant).as_secs_f64(),
        )
    }

    #[test]
    fn recording_has_its_share_of_every_invocation() {
        assert_eq!(seconds(1_000_900_000), (885.0, 890.0, 899.8, 905.0));
        assert_eq!(seconds(1_000_060_000), (47.5, 52.5, 59.8, 65.0));
        assert_eq!(seconds(1_000_003_000), (1.5, 2.0, 2.8, 8.0));
        assert_eq!(seconds(1_000_001_200), (0.4, 0.8, 1.0, 6.2));
        assert_eq!(seconds(1_000_000_120), (0.04, 0.08, 0.1, 5.12));
    }

    #[test]
    fn a_deadline_in_the_past_means_that_it_is_not_known() {
        assert_eq!(seconds(60_000), seconds(1_000_060_000));
        assert_eq!(seconds(1_000_000_000), seconds(1_000_060_000));
    }
}
