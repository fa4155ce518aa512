//! The built `send-batch`, over the Lambda Runtime API, against a real PostgreSQL and an SES endpoint.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod alive;
mod bulk;
mod crashes;
mod defaults;
mod mime;
mod outcomes;
mod rate;
mod results;
mod senders;
mod tables;
mod together;
