//! Which call of SES is used, and for how many recipients at once.

/// Recipients of one bulk call (Amazon SES API v2, `SendBulkEmail`: 50 destinations).
pub const MAX_ENTRIES: usize = 50;
/// A bulk call carries what the rate allows in this time, in seconds: SES limits a call's recipients by the rate per
/// second, and takes them all at once.
const CALL_SECONDS: f64 = 0.1;
/// The smallest bulk call. A smaller one would not be worth the number of recipients that become uncertain at
/// once.
const WORTHWHILE: usize = 10;

/// Which call of SES is used: `SEND_API`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendApi {
    /// Bulk calls at 100 messages per second and above, and if the rate is unknown; single calls below.
    Auto,
    /// `SendBulkEmail` for all that fit in.
    Bulk,
    /// `SendEmail`.
    Single,
}

impl SendApi {
    /// How many recipients a bulk call may have at a rate per second (if it is known), if SES takes at most
    /// `burst` messages at one instant; `None`: the next call is a single one.
    pub fn call_size(self, per_second: Option<f64>, burst: f64) -> Option<usize> {
        let most = per_second.map_or(f64::INFINITY, |rate| (rate * CALL_SECONDS).round()).min(burst).max(1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive")]
        let size = (most as usize).min(MAX_ENTRIES);
        match self {
            SendApi::Auto => Some(size).filter(|size| *size >= WORTHWHILE),
            SendApi::Bulk => Some(size),
            SendApi::Single => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_call_has_no_more_recipients_than_a_tenth_of_a_second_sends() {
        for (per_second, bulk, auto) in
            [(1.0, 1, None), (14.0, 1, None), (100.0, 10, Some(10)), (1000.0, 50, Some(50))]
        {
            assert_eq!(SendApi::Bulk.call_size(Some(per_second), 1000.0), Some(bulk));
            assert_eq!(SendApi::Auto.call_size(Some(per_second), 1000.0), auto);
            assert_eq!(SendApi::Single.call_size(Some(per_second), 1000.0), None);
        }
        for (burst, bulk, auto) in
            [(1000.0, 50, Some(50)), (20.5, 20, Some(20)), (9.0, 9, None), (0.1, 1, None)]
        {
            assert_eq!(SendApi::Bulk.call_size(None, burst), Some(bulk));
            assert_eq!(SendApi::Auto.call_size(None, burst), auto);
        }
    }
}
