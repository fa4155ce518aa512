//! `campaign suppressions import`: addresses from a CSV file, by streaming.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_sdk_sesv2::primitives::{DateTime, DateTimeFormat};
use clap::ValueEnum as _;
use csv::StringRecord;
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::format;
use super::{Chunk, Reason, Whose, Written};
use crate::batch::address;
use crate::database::Database;

/// Addresses that are written with one statement.
const CHUNK: usize = 5000;

/// Add the addresses of a CSV file
///
/// The first line names the columns: `email`, and if you like `reason` (bounce, unsubscribe, complaint, manual),
/// `created_at` (RFC 3339) and `organization_id`, as `export` writes them. A reason is only replaced by a stronger
/// one: complaint and manual, then unsubscribe, then bounce. Importing a file again changes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  campaign suppressions import --organization 6c1e… --reason unsubscribe old-system.csv
  campaign suppressions import --account-wide - < addresses.csv")]
pub(super) struct Import {
    #[command(flatten)]
    whose: Whose,
    /// The reason of addresses that the file gives none
    #[arg(long, value_enum, default_value_t = Reason::Manual)]
    reason: Reason,
    /// Pass over lines that cannot be used, and say how many there were
    #[arg(long)]
    skip_bad: bool,
    /// The file, or - for standard input
    file: PathBuf,
}

impl Import {
    pub(super) async fn run(self, database: &Database) -> Result<(), Failure> {
        let input = open(&self.file).map_err(|error| self.unreadable(error))?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(input);
        let columns = reader.headers().map_err(|error| self.unreadable(error)).and_then(|headers| {
            Columns::find(headers).ok_or_else(|| self.wrong(1, "it has no column email in its first line"))
        })?;
        if columns.organization_id.is_none() && self.whose.organization_id().is_none() {
            let missing =
                "it has no column organization_id: name one with --organization ID, or --account-wide";
            return Err(self.wrong(1, missing));
        }
        let (mut chunk, mut written, mut bad) = (Chunk::default(), Written::default(), 0);
        let mut record = StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {}
                Err(error) => return Err(self.unreadable(error)),
            }
            let line = record.position().map_or(0, csv::Position::line);
            match self.read(&columns, &record) {
                Ok((organization_id, email, reason, at)) => chunk.push(organization_id, email, reason, at),
                Err(_) if self.skip_bad => bad += 1,
                Err(problem) => {
                    written += chunk.write(database).await?;
                    let before = written.added + written.strengthened + written.known;
                    let advice = format!(
                        "{problem} ({} before it are in; mend the line and import the file again, or use --skip-bad)",
                        format::count(before)
                    );
                    return Err(self.wrong(line, &advice));
                }
            }
            if chunk.len() == CHUNK {
                written += chunk.write(database).await?;
            }
        }
        written += chunk.write(database).await?;
        println!("{written}");
        if bad > 0 {
            println!("{} passed over, for they could not be used", format::counted(bad, "line"));
        }
        Ok(())
    }

    fn read(
        &self,
        columns: &Columns,
        record: &StringRecord,
    ) -> Result<(Uuid, String, Reason, Option<SystemTime>), String> {
        let value = |column: Option<usize>| record.get(column?).filter(|value| !value.is_empty());
        let email = value(Some(columns.email)).ok_or("email is empty")?;
        // The address itself is not repeated: what people see may end in a ticket.
        address::sendable(email).map_err(|problem| format!("email is not an address: {problem}"))?;
        let organization_id = match value(columns.organization_id) {
            Some(id) => {
                Uuid::try_parse(id).map_err(|_| format!("organization_id is {id:?}: expected a UUID"))?
            }
            None => self.whose.organization_id().ok_or("organization_id is empty")?,
        };
        let reason = match value(columns.reason) {
            Some(reason) => Reason::from_str(reason, true).map_err(|_| {
                format!("reason is {reason:?}: expected bounce, unsubscribe, complaint or manual")
            })?,
            None => self.reason,
        };
        let at = match value(columns.created_at) {
            Some(at) => Some(time(at).ok_or_else(|| {
                format!("created_at is {at:?}: expected a time such as 2026-01-31T08:00:00Z")
            })?),
            None => None,
        };
        Ok((self.whose.organization_id().unwrap_or(organization_id), email.to_owned(), reason, at))
    }

    fn unreadable(&self, error: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::NoInput, format!("{}: {error}", self.file.display()))
    }

    fn wrong(&self, line: u64, problem: &str) -> Failure {
        Failure::new(Exit::Data, format!("{}:{line}: {problem}", self.file.display()))
    }
}

/// Where the columns are.
struct Columns {
    email: usize,
    reason: Option<usize>,
    created_at: Option<usize>,
    organization_id: Option<usize>,
}

impl Columns {
    /// By their names, whatever the letter case; spreadsheets begin a file with a byte order mark.
    fn find(headers: &StringRecord) -> Option<Columns> {
        let find = |name: &str| {
            headers.iter().position(|h| h.trim_start_matches('\u{feff}').trim().eq_ignore_ascii_case(name))
        };
        Some(Columns {
            email: find("email")?,
            reason: find("reason"),
            created_at: find("created_at"),
            organization_id: find("organization_id"),
        })
    }
}

fn open(file: &Path) -> io::Result<Box<dyn Read>> {
    Ok(if file == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(file)?) })
}

fn time(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).ok()?).ok()
}
