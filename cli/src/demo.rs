//! `campaign demo`: a campaign from the tables to the inbox, with the built function and a local Amazon SES.

mod function;
mod links;
mod people;
mod scratch;
mod summary;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use clap::value_parser;
use console::style;
use tokio::time::timeout;

use super::failure::{Exit, Failure};
use super::{database_url, format, interrupted, migrate};
use campaign_sender::domain::event::MAX_BATCH_SIZE;
use function::SendBatch;
use links::Links;
use local_ses::ses::{Effect, Options, Rule, SesEndpoint};
use scratch::Scratch;
use summary::Summary;

/// Send a campaign through a local Amazon SES on this machine, and look at it
///
/// In a database of its own on the server of `DATABASE_URL`, it loads a campaign of real-world recipients and runs
/// the built function send-batch batch after batch, as Lambda and Step Functions do, until every recipient has an
/// outcome.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ./dev demo --keep\n  campaign demo --recipients 20000 --batch-size 1000 --latency 0"
)]
pub struct Demo {
    /// The number of recipients of the campaign
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    recipients: u32,
    /// Recipients per batch; each invocation sends one batch
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=i64::from(MAX_BATCH_SIZE)))]
    batch_size: u32,
    /// How long the local SES takes to answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = value_parser!(u64).range(0..=5000))]
    latency: u64,
    /// Leave the inbox page and the database up until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// The built function [default: send-batch beside this executable]
    #[arg(long, value_name = "PATH", env = "SEND_BATCH")]
    send_batch: Option<PathBuf>,
    /// The directory in which a new directory for the emails is created [default: target/demo, or the
    /// directory for temporary files]
    #[arg(long, value_name = "DIR")]
    emails: Option<PathBuf>,
}

/// The time within which a signal that came is noticed.
const SIGNAL: Duration = Duration::from_millis(100);

/// The campaign when it is sent.
struct Sent {
    summary: Summary,
    ses: SesEndpoint,
    emails: PathBuf,
    /// The URL of the links in the emails.
    _links: Links,
}

impl Demo {
    pub async fn run(self) -> Result<(), Failure> {
        let executable = self.executable()?;
        let server =
            database_url().map_err(|failure| failure.with_advice("run ./dev demo, which starts one"))?;
        let mut interrupted = pin!(interrupted());
        let scratch = Scratch::create(&server).await?;
        // The database is dropped whatever happens, also after Ctrl-C.
        let sent = tokio::select! {
            sent = self.send(&scratch, &executable) => Some(sent),
            () = interrupted.as_mut() => None,
        };
        let outcome = match sent {
            Some(Ok(sent)) => Ok(sent),
            // In a terminal, Ctrl-C ends the function too, which is then no failure of the function's.
            Some(Err(failure)) if timeout(SIGNAL, interrupted.as_mut()).await.is_err() => Err(failure),
            Some(Err(_)) | None => Err(Failure::new(Exit::Declined, "interrupted")),
        };
        if let Ok(sent) = &outcome {
            self.show(&scratch, sent).await;
        }
        scratch.drop().await?;
        outcome?.summary.verify()
    }

    async fn send(&self, scratch: &Scratch, executable: &Path) -> Result<Sent, Failure> {
        let ses = self.start_ses()?;
        migrate::apply(&scratch.database, |_| ()).await?;
        let campaign = people::load(&scratch.database, self.recipients).await?;
        self.introduce(scratch, &ses, executable);

        let links = Links::serve(&scratch.url)?;
        let function = SendBatch::start(executable, &scratch.url, &ses, &links)
            .map_err(|error| Failure::new(Exit::Config, format!("{}: {error}", executable.display())))?;
        let run = function.send(campaign, self.batch_size, self.recipients, scratch, &ses).await?;

        let emails = self.emails_directory(&scratch.name);
        ses.write_eml(&emails).map_err(|error| {
            Failure::new(Exit::CannotCreate, format!("--emails {}: {error}", emails.display()))
        })?;
        let summary = Summary::gather(&scratch.database, campaign, run, &ses).await?;
        Ok(Sent { summary, ses, emails, _links: links })
    }

    /// A local SES that refuses some addresses.
    fn start_ses(&self) -> Result<SesEndpoint, Failure> {
        let ses = SesEndpoint::start(Options::default())
            .map_err(|error| Failure::new(Exit::Software, format!("the local SES did not start: {error}")))?;
        ses.set_latency(Duration::from_millis(self.latency));
        ses.add_rule(Rule::to_containing(
            people::REFUSED_DOMAIN,
            Effect::Refuse {
                code: "MessageRejected".to_owned(),
                message: "Address blacklisted.".to_owned(),
                status: 400,
            },
        ));
        Ok(ses)
    }

    fn introduce(&self, scratch: &Scratch, ses: &SesEndpoint, executable: &Path) {
        let latency = match self.latency {
            0 => "answering at once".to_owned(),
            ms => format!("answering after {ms} ms"),
        };
        println!();
        line("Database", &format!("{} on {}", scratch.name, scratch.server));
        line("Amazon SES", &format!("a local one at {}, {latency}", ses.url()));
        line("Function", &format!("{} over the Lambda Runtime API", relative(executable)));
        println!();
        println!(
            "  Sending {} to {}, {} per batch",
            style(format!("\"{}\"", people::CAMPAIGN_NAME)).bold(),
            format::counted(self.recipients as usize, "recipient"),
            format::count(self.batch_size),
        );
    }

    /// Prints the summary and the places to look at; with `--keep`, waits for Ctrl-C.
    async fn show(&self, scratch: &Scratch, sent: &Sent) {
        println!("{}", sent.summary.to_text(summary::width()));
        line("Emails", &format!("{}/*.eml", relative(&sent.emails)));
        if !self.keep {
            println!("\n  With --keep, an inbox page and the database stay up to look at.\n");
            return;
        }
        // Ctrl-C is listened for before the page's address is shown.
        let interrupted = interrupted();
        line("Inbox", &style(sent.ses.url()).underlined().to_string());
        line("Database", &format!("psql {}", scratch.url_without_password()));
        println!("\n  The links to unsubscribe work: follow one in an email, and look at the timeline.");
        println!("\n  Ctrl-C ends it all and drops the database.");
        interrupted.await;
        println!();
    }

    fn executable(&self) -> Result<PathBuf, Failure> {
        let path = match &self.send_batch {
            Some(path) => path.clone(),
            None => std::env::current_exe().unwrap_or_default().with_file_name("send-batch"),
        };
        if path.is_file() {
            return Ok(path);
        }
        let message = format!(
            "the built function is not at {}: run ./dev demo, or name it in SEND_BATCH",
            path.display()
        );
        Err(Failure::new(Exit::Config, message))
    }

    fn emails_directory(&self, name: &str) -> PathBuf {
        let parent = match &self.emails {
            Some(directory) => directory.clone(),
            None if Path::new("target").is_dir() => PathBuf::from("target/demo"),
            None => std::env::temp_dir(),
        };
        parent.join(name)
    }
}

/// One line of the demo's output: a label and a text.
fn line(label: &str, text: &str) {
    println!("  {}  {text}", style(format!("{label:<10}")).dim());
}

/// The path relative to the working directory, if it lies below it.
fn relative(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
