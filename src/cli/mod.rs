//! The command line `campaign`: one file for each command.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::doc_markdown,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::naive_bytecount,
    clippy::struct_excessive_bools,
    reason = "figures are for people, doc comments are help texts, flags are flags, and pages are small"
)]

mod completions;
#[cfg(feature = "local")]
mod demo;
mod failure;
mod format;
mod import;
mod migrate;
mod preview;
mod report;
mod resolve;
mod retry_failed;
mod send;
mod send_test;
mod status;
mod suppressions;

#[cfg(feature = "local")]
use std::env;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use crate::config::DatabaseAccess;
#[cfg(feature = "local")]
use crate::config::{self, DatabaseUrl};
use crate::database::Database;
use failure::{Exit, Failure};

/// Email campaigns from PostgreSQL through Amazon SES: the operator's and the developer's commands.
#[derive(Parser)]
#[command(name = "campaign", version, max_term_width = 100, after_help = EXIT_STATUSES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Migrate(migrate::Migrate),
    Preview(preview::Preview),
    Resolve(resolve::Resolve),
    Suppressions(suppressions::Suppressions),
    Import(import::Import),
    Send(send::Send),
    Status(status::Status),
    Report(report::Report),
    RetryFailed(retry_failed::RetryFailed),
    #[cfg(feature = "local")]
    Demo(demo::Demo),
    Completions(completions::Completions),
    Man(completions::Man),
}

const EXIT_STATUSES: &str = "\
Environment:
  DATABASE_URL         postgres://USER:PASSWORD@HOST:PORT/DATABASE, with ?sslmode=verify-full for TLS
  DATABASE_IAM_AUTH    true: with a token of the AWS credentials in use in place of the password
  DATABASE_SECRET_ARN  instead of both: a Secrets Manager secret of RDS's own form
  RUST_LOG             log filter; logs go to standard error
  send run needs what the function needs, AWS_* among it

Exit statuses:
   0  done
   1  declined or interrupted; what was recorded stays, and the command can be given again
  64  wrong usage: an argument is missing or malformed
  65  wrong data: what the arguments or a file say does not fit the tables
  66  a file cannot be read
  69  PostgreSQL cannot be reached
  70  a defect, or a statement that PostgreSQL refused
  73  a file cannot be written
  75  the campaign stopped before its end: it is paused, halted or cancelled
  77  the database role lacks a right
  78  wrong configuration: a variable, the AWS setup, or tables that are not migrated";

/// Parses the arguments, runs the command, and says in one line on standard error what went wrong, if anything.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let in_terminal = io::stderr().is_terminal();
    start_logging(if in_terminal && cli.command.shows_progress() {
        "warn"
    } else {
        "warn,campaign_sender=info"
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(Exit::Software, error).report(),
    };
    match runtime.block_on(cli.command.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl Command {
    /// Log lines below warnings would disturb it.
    fn shows_progress(&self) -> bool {
        matches!(self, Command::Send(command) if command.shows_progress())
    }

    async fn run(self) -> Result<(), Failure> {
        match self {
            Command::Migrate(command) => command.run().await,
            Command::Preview(command) => command.run().await,
            Command::Resolve(command) => command.run().await,
            Command::Suppressions(command) => command.run().await,
            Command::Import(command) => command.run().await,
            Command::Send(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Report(command) => command.run().await,
            Command::Completions(command) => {
                command.run(Cli::command());
                Ok(())
            }
            Command::Man(command) => command.run(Cli::command()),
            Command::RetryFailed(command) => command.run().await,
            #[cfg(feature = "local")]
            Command::Demo(command) => command.run().await,
        }
    }
}

/// Logs go to standard error, for standard output is the command's own: plain in a terminal, else JSON lines.
fn start_logging(unless_told: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(unless_told));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if io::stderr().is_terminal() {
        logs.with_target(false).init();
    } else {
        logs.json().flatten_event(true).init();
    }
}

#[cfg(feature = "local")]
fn database_url() -> Result<DatabaseUrl, Failure> {
    let value = env::var("DATABASE_URL").ok().filter(|value| !value.trim().is_empty());
    Ok(config::database_url(value)?)
}

/// A database that answers: a person at a terminal is told at once when it cannot be reached.
async fn connect(access: impl Into<DatabaseAccess>) -> Result<Database, Failure> {
    let database = Database::new(&access.into()).map_err(|error| Failure::new(Exit::Config, error))?;
    database.run_script("").await?;
    Ok(database)
}

/// When a statement that is run now is given up.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}
