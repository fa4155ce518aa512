//! Sends email campaigns from PostgreSQL through Amazon SES: nobody twice, nobody forgotten, every sent email in
//! the timeline.
//!
//! [`domain`] and [`message`] decide and are pure; [`ses`] and [`store`] talk to Amazon SES and PostgreSQL,
//! [`lambda`] to the runtime; [`send_batch`], [`ses_events`] and [`unsubscribe`] are the three functions,
//! each with the order of its steps. No module imports a later one of this list.

pub mod domain;

pub mod message;

pub mod aws;
pub mod ses;
pub mod store;

pub mod lambda;

pub mod send_batch;
pub mod ses_events;
pub mod unsubscribe;

/// A named place at which tests end the process (feature `failpoints`); it does nothing in other builds.
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name, |_| std::process::abort());
    };
}
pub(crate) use crash_point;
