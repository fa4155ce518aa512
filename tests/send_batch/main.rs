//! The built `send-batch`, over the Lambda Runtime API, against a real PostgreSQL and an SES endpoint.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod alive;
mod answers;
mod attachments;
mod bulk;
mod crashes;
mod disk;
mod late;
mod memory;
mod mime;
mod outcomes;
mod poison;
mod rate;
mod refusals;
mod results;
mod senders;
mod ses_tenants;
mod tables;
mod timeline;
mod together;
mod tracking;
