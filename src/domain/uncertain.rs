//! The policy for uncertain recipients that SES never reports on.

use std::time::Duration;

/// What happens to a recipient that stays `uncertain`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UncertainPolicy {
    /// Nothing happens until a person decides (`campaign resolve`), so nobody gets an email twice.
    #[default]
    Hold,
    /// It is sent again after this time, if later events of the campaign have arrived and none of this
    /// recipient, and SES has reported on nearly all recipients that were sent to around the same time.
    Resend {
        /// The time, which should be far longer than SES's events usually take.
        after: Duration,
    },
}
