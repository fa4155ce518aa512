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

#[macro_use]
mod output;

mod check;
mod completions;
mod conflict;
mod csv_file;
mod demo;
#[cfg(test)]
mod examples;
mod failure;
mod format;
mod formula;
mod import;
mod lines;
mod login;
mod migrate;
mod preview;
mod prune;
mod report;
mod resolve;
mod retry_failed;
mod send;
mod send_test;
mod status;
mod suppressions;
mod terminal;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use campaign_sender::store::Database;
use campaign_sender::store::settings::{DatabaseAccess, DatabaseUrl};
use failure::{Exit, Failure};

/// Email campaigns from PostgreSQL through Amazon SES: the operator's and the developer's commands.
#[derive(Parser)]
#[command(name = "campaign", version, max_term_width = 100, after_help = MORE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Send(Box<send::Send>),
    #[command(hide = true)]
    Pause(send::change::Pause),
    #[command(hide = true)]
    Resume(send::change::Resume),
    Import(import::Import),
    Preview(preview::Preview),
    Check(check::Check),
    Status(status::Status),
    Report(report::Report),
    RetryFailed(retry_failed::RetryFailed),
    Resolve(resolve::Resolve),
    Suppressions(suppressions::Suppressions),
    Prune(prune::Prune),
    Migrate(migrate::Migrate),
    Demo(demo::Demo),
    Completions(completions::Completions),
    Man(completions::Man),
}

const MORE: &str = "\
Examples:
  campaign status                         # where campaigns stand
  campaign status 5f0c2c1e-… --watch      # one of them: progress, causes, what to do next
  campaign import 5f0c2c1e-… people.csv --map email=E-Mail
  campaign send --help                    # create, start, pause, resume, cancel, run, send a test

Environment:
  DATABASE_URL         postgres://USER:PASSWORD@HOST:PORT/DATABASE
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

/// Parses the arguments, runs the command, and prints an error, if there is one, in one line on standard
/// error.
fn main() -> ExitCode {
    let json = is_for_machines(env::args_os().skip(1));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if json && error.use_stderr() => return usage(&error).report(json),
        Err(error) => {
            if error.use_stderr() {
                eprint!("{}", lines::block_for_standard_error(&error.render().ansi().to_string()));
                return Exit::Usage.into();
            }
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
    };
    let in_terminal = io::stderr().is_terminal();
    start_logging(if in_terminal && cli.command.shows_progress() {
        "warn,aws_config=error"
    } else {
        "warn,aws_config=error,campaign=info,campaign_sender=info"
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(Exit::Software, error).report(json),
    };
    let outcome = runtime.block_on(cli.command.run());
    let written = output::finish()
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("standard output: {error}")));
    match outcome.and(written) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// Returns true if the result is to be JSON, also where the arguments are wrong.
fn is_for_machines(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// The first paragraph of clap's error, in one line.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let paragraph: Vec<&str> =
        text.lines().take_while(|line| !line.trim().is_empty()).flat_map(str::split_whitespace).collect();
    let paragraph = paragraph.join(" ");
    Failure::new(Exit::Usage, paragraph.strip_prefix("error: ").unwrap_or(&paragraph))
}

impl Command {
    /// Log lines below warnings would disturb the bar.
    fn shows_progress(&self) -> bool {
        matches!(self, Command::Send(command) if command.shows_progress())
    }

    async fn run(self) -> Result<(), Failure> {
        match self {
            Command::Migrate(command) => command.run().await,
            Command::Preview(command) => command.run().await,
            Command::Check(command) => command.run().await,
            Command::Resolve(command) => command.run().await,
            Command::Suppressions(command) => command.run().await,
            Command::Import(command) => command.run().await,
            Command::Send(command) => Box::pin(command.run()).await,
            Command::Pause(command) => command.run().await,
            Command::Resume(command) => command.run().await,
            Command::Prune(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Report(command) => command.run().await,
            Command::Completions(command) => {
                command.run(Cli::command());
                Ok(())
            }
            Command::Man(command) => command.run(Cli::command()),
            Command::RetryFailed(command) => command.run().await,
            Command::Demo(command) => command.run().await,
        }
    }
}

/// Logs go to standard error, because standard output is for the command's results. They are plain in a
/// terminal, else JSON lines. The AWS SDK's warnings about missing configuration are left out, because a
/// value that is missing in the end is an error.
fn start_logging(unless_told: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(unless_told));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| terminal::StandardError);
    // A failed log line must not end the command; the library would print it on standard error and panic.
    let logs = logs.log_internal_errors(false);
    if io::stderr().is_terminal() {
        logs.with_target(false).init();
    } else {
        logs.json().flatten_event(true).init();
    }
}

fn database_url() -> Result<DatabaseUrl, Failure> {
    let value = env::var("DATABASE_URL").ok().filter(|value| !value.trim().is_empty());
    Ok(campaign_sender::store::settings::database_url(value)?)
}

/// An id as an argument.
fn id(text: &str) -> Result<Uuid, String> {
    text.trim().parse().map_err(|_| {
        "expected a UUID, for example 5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35 (campaign status has those of campaigns)".to_owned()
    })
}

/// A campaign and the values of an option that takes several. If the option comes before the campaign's id,
/// the id is among its values: it is the only one that is a UUID.
fn campaign_and_words(
    campaign: Option<Uuid>,
    words: Vec<String>,
    option: &str,
) -> Result<(Uuid, Vec<String>), Failure> {
    let parsed = |word: &String| Uuid::try_parse(word.trim()).ok();
    let campaigns: Vec<Uuid> = campaign.into_iter().chain(words.iter().filter_map(parsed)).collect();
    let words: Vec<String> = words.into_iter().filter(|word| parsed(word).is_none()).collect();
    let problem = match campaigns.as_slice() {
        [campaign] if !words.is_empty() => return Ok((*campaign, words)),
        [] => "the campaign's id is missing",
        [_] => "the option has no value but the campaign's id",
        [_, _, ..] => "there are ids of several campaigns",
    };
    Err(Failure::new(Exit::Usage, format!("{problem}: expected CAMPAIGN {option}")))
}

/// A database that answers. A person at a terminal sees at once if it cannot be reached.
async fn connect(access: impl Into<DatabaseAccess>) -> Result<Database, Failure> {
    let access = access.into();
    let database = Database::new(&access)
        .map_err(|error| Failure::new(Exit::Config, login::with_hint(error, &access)))?;
    match database.run_script("").await {
        Ok(()) => Ok(database),
        Err(error) => Err(login::failure(error, &database, &access)),
    }
}

/// Ctrl-C, listened for from this call on. If the signal cannot be received, this returns at once.
fn interrupted() -> impl Future<Output = ()> {
    let interrupts = signal(SignalKind::interrupt());
    async {
        if let Ok(mut interrupts) = interrupts {
            interrupts.recv().await;
        }
    }
}

/// The time limit of a statement that reads all recipients of a campaign, which may be millions.
fn patiently() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// The time limit of any other statement.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use campaign_sender::domain::campaign::CampaignStatus;

    use super::*;

    fn assert_explained(command: &clap::Command, name: &str) {
        assert!(command.get_about().is_some(), "{name} says nothing of itself");
        let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(more.contains("Example"), "{name} has no example");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name}: {} is not explained", argument.get_id());
        }
        for subcommand in command.get_subcommands() {
            assert_explained(subcommand, &format!("{name} {}", subcommand.get_name()));
        }
    }

    #[test]
    fn every_command_explains_itself_and_its_arguments_and_has_an_example() {
        Cli::command().debug_assert();
        assert_explained(&Cli::command(), "campaign");
    }

    fn without_json(command: &clap::Command, name: &str, found: &mut Vec<String>) {
        for subcommand in command.get_subcommands() {
            without_json(subcommand, &format!("{name} {}", subcommand.get_name()), found);
        }
        let has_own_work = command.get_subcommands().next().is_none();
        if has_own_work && command.get_arguments().all(|argument| argument.get_id() != "json") {
            found.push(name.trim_start().to_owned());
        }
    }

    #[test]
    fn every_command_with_a_result_has_it_for_machines() {
        let mut found = Vec::new();
        without_json(&Cli::command(), "", &mut found);
        // The export is a CSV file, and the others are for people and shells.
        assert_eq!(found, ["suppressions export", "demo", "completions", "man"]);
    }

    /// The files of a directory, and of those below it.
    fn sources(directory: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let files = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
        entries.flat_map(files).collect()
    }

    #[test]
    fn no_status_of_a_campaign_is_compared_as_text() {
        // `sent` and `failed` are also names of counters.
        let names = CampaignStatus::ALL.map(|status| format!("\"{status}\""));
        let names = names.iter().filter(|name| !matches!(name.as_str(), "\"sent\"" | "\"failed\""));
        for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
            if file.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let found: Vec<_> = names.clone().filter(|name| code.contains(name.as_str())).collect();
            assert!(found.is_empty(), "{}: {found:?} instead of CampaignStatus", file.display());
        }
    }

    #[test]
    fn the_exit_statuses_of_the_help_are_those_of_the_documentation_and_of_the_code() {
        let helped: Vec<(u8, &str)> = MORE
            .split("Exit statuses:\n")
            .nth(1)
            .unwrap()
            .lines()
            .filter_map(|line| line.trim().split_once("  "))
            .map(|(status, meaning)| (status.parse().unwrap(), meaning))
            .collect();
        let documented: Vec<(u8, (&str, &str))> = include_str!("../../docs/cli.md")
            .split("## Exit statuses")
            .nth(1)
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
            .filter_map(|(status, rest)| Some((status.parse().ok()?, rest.split_once(" | ")?)))
            .collect();
        let meanings = documented.iter().map(|(status, (_, meaning))| (*status, *meaning));
        assert_eq!(helped, meanings.collect::<Vec<_>>());
        let used = Exit::ALL.map(|exit| (exit as u8, format!("`{}`", exit.code())));
        let codes = documented[1..].iter().map(|(status, (code, _))| (*status, (*code).to_owned()));
        assert_eq!(codes.collect::<Vec<_>>(), used);
    }
}
