//! The promises hold on any database: whatever its defaults, behind a pooler, and over a network.

#[path = "../support/mod.rs"]
mod support;

mod defaults;
mod locks;
mod pooler;
mod round_trip;
mod schemas;
mod statements;
mod tls;
