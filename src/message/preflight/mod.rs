//! Checks of a campaign before it is sent. Pure: [`campaign`] checks its templates, [`message`] the message
//! of a recipient, and [`findings`] counts the findings.
//!
//! Errors stop a campaign. Warnings are for a person to judge.

mod addresses;
pub mod campaign;
pub mod findings;
pub mod link;
pub mod message;
mod page;
mod placeholder;
mod style;

pub use findings::{Finding, Findings, Severity};
