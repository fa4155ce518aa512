//! The built `send-batch`, over the Lambda Runtime API, against a real PostgreSQL and an SES endpoint.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod alive;
mod answers;
mod bulk;
mod crashes;
mod late;
mod memory;
mod mime;
mod outcomes;
mod poison;
mod rate;
mod refusals;
mod results;
mod senders;
mod tables;
mod timeline;
mod together;
