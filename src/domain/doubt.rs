//! What becomes of recipients in doubt that SES never reports on.

use std::time::Duration;

/// What is done about a recipient that stays `uncertain`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UncertainPolicy {
    /// Nothing: nobody gets an email twice, and a person decides (`campaign resolve`).
    #[default]
    Hold,
    /// It is sent again after this time, if the campaign's events that happened since have come without one of it, and
    /// SES has reported on its neighbours.
    Resend {
        /// Far longer than SES's events usually take.
        after: Duration,
    },
}
