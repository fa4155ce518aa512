//! The way to Amazon SES, API version 2.

mod account;
mod answer;
mod classify;
mod client;
mod error_code;
mod mailbox;
mod text;
mod wording;

pub use account::Quota;
pub use answer::Answer;
pub use classify::{classify, classify_bulk, no_bulk_calls};
pub use client::Ses;
pub use client::reading_client;
pub use mailbox::{InvalidMailbox, Mailbox, mailbox_shape};
