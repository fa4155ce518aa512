//! `campaign suppressions import`: addresses from a CSV file, by streaming, all of them or none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures_util::SinkExt as _;
use jiff::Timestamp;
use tokio_postgres::{Client, CopyInSink};
use uuid::Uuid;

use super::super::conflict::repeated;
use super::super::csv_file::{self, CsvFile, Line, ReadError, parse_delimiter};
use super::super::failure::{Exit, Failure};
use super::super::formula;
use super::super::import::{self, Refused, Source, row};
use super::super::output;
use super::columns::{self, Columns};
use super::{Reason, Whose, Written};
use campaign_sender::domain::address;
use campaign_sender::store::Database;

/// The number of bytes that are handed to PostgreSQL at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// Add the addresses of a CSV file, for example another tool's export
///
/// The first line names the columns: one with the address (`email`, `Email Address`, `E-Mail`, or by --map),
/// and optionally `reason`, `created_at` and `organization_id`, as `export` writes them. A reason is bounce,
/// unsubscribe, complaint or manual, or the name that SES and other tools use; with --reason, any other text
/// means that reason. A time without a zone is UTC. If a row is refused, nothing is imported, unless
/// --skip-bad is given. A reason is only replaced by a stronger one: complaint and manual, then unsubscribe,
/// then bounce. Importing a file again changes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  campaign suppressions import --organization 6c1e… --reason unsubscribe old-system.csv
  campaign suppressions import --organization 6c1e… --reason bounce bounces.csv --map email=Recipient --skip-bad
  campaign suppressions import --account-wide - < addresses.csv")]
pub(super) struct Import {
    #[command(flatten)]
    whose: Whose,
    /// The reason of addresses without a reason in the file [default: manual]
    #[arg(long, value_enum)]
    reason: Option<Reason>,
    /// Take a field from a column with another name, or by its number (#3); may be given several times
    #[arg(long = "map", value_name = "FIELD=COLUMN", value_parser = columns::parse_pair)]
    map: Vec<(String, String)>,
    /// Leave a column out, by its name or number (#3); may be given several times
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// The delimiter: a character, or tab [default: detected]
    #[arg(long, value_name = "CHARACTER", value_parser = parse_delimiter)]
    delimiter: Option<u8>,
    /// Import the good rows and skip the others
    #[arg(long)]
    skip_bad: bool,
    /// Write the refused rows to this file as CSV: line, reason, detail, email
    #[arg(long, value_name = "FILE.csv")]
    refused: Option<PathBuf>,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
    /// The file, or - for standard input
    file: PathBuf,
}

/// A good row.
struct Suppression {
    organization_id: Uuid,
    email: String,
    reason: Reason,
    at: Option<SystemTime>,
}

/// A stable code, and a text for a person.
type Refusal = (&'static str, String);

impl Import {
    pub(super) async fn run(self, database: &Database) -> Result<(), Failure> {
        let work = self.import(database);
        // The transaction is rolled back when its connection ends.
        tokio::select! {
            done = Box::pin(work) => done,
            _ = tokio::signal::ctrl_c() => {
                Err(Failure::new(Exit::Declined, "interrupted: nothing was imported"))
            }
        }
    }

    async fn import(&self, database: &Database) -> Result<(), Failure> {
        let source = Source::file(&self.file)?;
        let place = source.place.clone();
        let failure = |error: ReadError| import::read_failure(&place, error);
        let (head, rest) = csv_file::decoded(source.input).map_err(failure)?;
        let find = |columns: &[String]| Columns::find(columns, &self.map, &self.ignore);
        let mut file =
            CsvFile::open(head, rest, self.delimiter, &|columns| find(columns).is_ok()).map_err(failure)?;
        let wrong = |problem: String| failure(ReadError::At(file.header_line, problem));
        let columns = find(&file.columns).map_err(wrong)?;
        if columns.organization_id.is_none() && self.whose.organization_id().is_none() {
            let missing =
                "it has no column organization_id: name one with --organization ID, or --account-wide";
            return Err(wrong(missing.to_owned()));
        }
        file.expect_addresses(columns.email);
        let mut report = self.refused.as_deref().map(Report::create).transpose()?;

        let client = database.session().await?;
        database.begin(&client).await?;
        client.batch_execute(include_str!("read.sql")).await?;
        let mut rows: std::pin::Pin<Box<CopyInSink<Cursor<Vec<u8>>>>> =
            Box::pin(client.copy_in("COPY pg_temp.read FROM STDIN").await?);
        let (mut copy, mut read, mut refused) = (Vec::new(), 0_u64, BTreeMap::new());
        while let Some(Line { number, fields }) = file.next().map_err(failure)? {
            read += 1;
            let (email, row) = match fields {
                Ok(fields) => {
                    let email = formula::plain(fields[columns.email].trim()).to_owned();
                    let row = self.read(&columns, &email, &fields);
                    (email, row)
                }
                Err(problem) => (String::new(), Err(("unreadable", problem))),
            };
            match row {
                Ok(row) => row.copy(&mut copy),
                Err((reason, detail)) => {
                    if let Some(report) = &mut report {
                        report.row(number, reason, &detail, &email)?;
                    }
                    let first = || Refused {
                        reason: reason.to_owned(),
                        count: 0,
                        first_line: i64::try_from(number).unwrap_or(i64::MAX),
                        detail,
                    };
                    refused.entry(reason).or_insert_with(first).count += 1;
                }
            }
            if copy.len() >= CHUNK_BYTES {
                rows.as_mut().send(Cursor::new(std::mem::take(&mut copy))).await?;
            }
        }
        rows.as_mut().send(Cursor::new(copy)).await?;
        rows.as_mut().finish().await?;
        if let Some(report) = report {
            report.finish()?;
        }
        self.write_good(&client, &refused.into_values().collect::<Vec<_>>(), read, &place).await
    }

    /// Writes the good rows, unless rows are refused and may not be skipped, and reports the result.
    async fn write_good(
        &self,
        client: &Client,
        refused: &[Refused],
        read: u64,
        place: &str,
    ) -> Result<(), Failure> {
        let count: i64 = refused.iter().map(|refused| refused.count).sum();
        let good = read.saturating_sub(count.unsigned_abs());
        let held = count > 0 && !self.skip_bad;
        let mut written = Written::default();
        if !held {
            let sql = super::write_sql("pg_temp.read");
            let row = repeated(client, async || Ok(client.query_opt(&sql, &[]).await?)).await?;
            written = Written::from_row(row.as_ref(), good);
            client.batch_execute("COMMIT").await?;
        }
        if self.json {
            let mut result = serde_json::json!({"rows": read, "refused": import::refused_as_json(refused)});
            written.add_to(&mut result);
            output::write_json(&result);
            return if held { Err(import::all_or_none(count, read)) } else { Ok(()) };
        }
        if !held {
            println!("{written}");
        }
        import::say_refused(refused, place);
        match &self.refused {
            Some(path) if count > 0 => println!("The refused rows are in {}.", path.display()),
            _ => {}
        }
        if held { Err(import::all_or_none(count, read)) } else { Ok(()) }
    }

    fn read(&self, columns: &Columns, email: &str, fields: &[&str]) -> Result<Suppression, Refusal> {
        let value =
            |column: Option<usize>| column.map(|at| fields[at].trim()).filter(|value| !value.is_empty());
        // The address itself is not shown, because output may be copied into a ticket.
        if email.is_empty() {
            return Err(("bad_address", "there is none".to_owned()));
        }
        address::sendable(email).map_err(|problem| ("bad_address", problem.to_string()))?;
        if fields.iter().any(|field| field.contains('\0')) {
            return Err(("unreadable", "it holds a NUL character".to_owned()));
        }
        let organization_id = match (self.whose.organization_id(), value(columns.organization_id)) {
            (Some(id), _) => id,
            (None, Some(text)) => columns::organization(text)
                .ok_or_else(|| ("malformed_id", format!("organization_id is {}, not a UUID", cut(text))))?,
            (None, None) => return Err(("malformed_id", "organization_id is empty".to_owned())),
        };
        let reason = match value(columns.reason) {
            Some(text) => columns::reason(text).or(self.reason).ok_or_else(|| {
                let said = cut(text);
                ("unknown_reason", format!("reason is {said}: expected bounce, unsubscribe, complaint or manual; --reason gives the one of all others"))
            })?,
            None => self.reason.unwrap_or(Reason::Manual),
        };
        let at = match value(columns.created_at) {
            Some(text) => Some(columns::time(text).ok_or_else(|| {
                let said = cut(text);
                ("malformed_time", format!("created_at is {said}: expected a time, for example 2026-01-31T08:00:00Z; --ignore created_at takes the present one"))
            })?),
            None => None,
        };
        Ok(Suppression { organization_id, email: email.to_owned(), reason, at })
    }
}

impl Suppression {
    /// The row as a line of `COPY`'s text format with the columns of the temporary table.
    fn copy(&self, copy: &mut Vec<u8>) {
        let at = self.at.and_then(|at| Timestamp::try_from(at).ok()).map(|at| at.to_string());
        row::field(copy, Some(&self.organization_id.to_string()), b'\t');
        row::field(copy, Some(&self.email), b'\t');
        row::field(copy, Some(self.reason.as_str()), b'\t');
        row::field(copy, at.as_deref(), b'\n');
    }
}

/// A value as a message shows it.
fn cut(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    format!("{shown:?}")
}

/// The file of `--refused`.
struct Report<'a> {
    file: csv::Writer<File>,
    path: &'a Path,
}

impl Report<'_> {
    fn create(path: &Path) -> Result<Report<'_>, Failure> {
        let (file, path) = import::create(path)?;
        let mut report = Report { file: csv::Writer::from_writer(file), path };
        report.write(&["line", "reason", "detail", "email"])?;
        Ok(report)
    }

    fn row(&mut self, line: u64, reason: &str, detail: &str, email: &str) -> Result<(), Failure> {
        let (detail, email) = (formula::in_file(detail), formula::in_file(email));
        self.write(&[&line.to_string(), reason, &detail, &email])
    }

    fn write(&mut self, fields: &[&str]) -> Result<(), Failure> {
        let written = self.file.write_record(fields).map_err(std::io::Error::from);
        written.map_err(|error| import::cannot_create(self.path, &error))
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|error| import::cannot_create(self.path, &error))
    }
}
