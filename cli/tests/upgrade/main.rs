//! A database of yesterday and a function of today, and the other way round.

#[path = "../../../tests/support/mod.rs"]
mod support;

mod interrupted;
mod mismatch;
mod one_mailbox;
mod previous_release;
mod rights;
mod shapes;

use std::process::{Command, Output, Stdio};

/// Runs `campaign migrate` on a database.
fn migrate(database_url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_campaign"))
        .arg("migrate")
        .args(arguments)
        .env("DATABASE_URL", database_url)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("campaign starts")
}

/// What a migration that succeeds says.
fn migrated(database_url: &str, arguments: &[&str]) -> String {
    let output = migrate(database_url, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
