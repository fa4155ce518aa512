//! What can be known of a campaign before it is sent. Pure: [`campaign`] looks at its templates as they stand,
//! [`message`] at what a recipient would get, and [`findings`] counts what they found.
//!
//! Errors stop a campaign. Warnings are for a person to judge.

pub mod campaign;
pub mod findings;
pub mod link;
pub mod message;
mod style;

pub use findings::{Finding, Findings, Severity};
