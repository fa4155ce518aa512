//! Sends email campaigns from PostgreSQL through Amazon SES: nobody twice, nobody forgotten, every sent email in
//! the timeline.
//!
//! [`handler`] knows the order of the steps of a batch; [`batch`] has the steps; what they decide is in pure
//! functions ([`lifecycle`], [`ses::classify`], [`batch::render`], [`deadline`], [`verdict`]).

pub mod activities;
pub mod aws;
pub mod batch;
pub mod config;
pub mod database;
pub mod deadline;
pub mod event;
pub mod handler;
pub mod interrupt;
pub mod lambda;
pub mod lifecycle;
pub mod metrics;
pub mod outcome;
pub mod preflight;
pub mod result;
pub mod ses;
pub mod ses_events;
pub mod telemetry;
pub mod unsubscribe;
pub mod verdict;

/// A named place at which tests end the process (feature `failpoints`); nothing in any other build.
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name, |_| std::process::abort());
    };
}
pub(crate) use crash_point;
