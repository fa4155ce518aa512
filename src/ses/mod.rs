//! Access to Amazon SES, API version 2.

mod account;
mod classify;
mod client;
mod error_code;
mod text;
mod wording;

pub use account::Quota;
pub use classify::{classify, classify_bulk, no_bulk_calls};
pub use client::Ses;
pub use client::reading_client;
