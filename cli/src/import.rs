//! `campaign import`: recipients from a file or a query, all of them or none.

mod json;
pub mod mapping;
mod reader;
pub mod row;
mod session;
mod source;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::conflict::repeated;
use super::csv_file::{ReadError, parse_delimiter};
use super::failure::{Exit, Failure};
use super::output::shown;
use super::{connect, format, id, output, soon, terminal};
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::store::Database;
use campaign_sender::store::settings::DatabaseAccess;
use mapping::Mapping;
use reader::{Chunk, Format, Manner};
use session::{Campaign, Import as Transaction};

pub use session::Refused;
pub use source::Source;

/// Add recipients to a campaign, from CSV, NDJSON or a query
///
/// The columns email, name, customer_id, customer_ref and contact_id become fields of the recipient; the
/// members of a column `variables` (a JSON object) and every other column become its variables. A mailbox is
/// imported once per campaign, whatever the spelling of its address. If a row is refused, nothing is
/// imported, unless --skip-bad is given.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["file", "query"]))]
pub struct Import {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Uuid,
    /// A file, or - for standard input
    file: Option<PathBuf>,
    /// Take the rows of the SELECT in this file
    #[arg(long, value_name = "FILE.sql")]
    query: Option<PathBuf>,
    /// Run the query on this database [default: the campaign's own]
    #[arg(long, value_name = "URL", env = "IMPORT_FROM_URL", hide_env_values = true, requires = "query")]
    from: Option<String>,
    /// Take a field or variable from a column with another name, or by its number (#3); may be given several
    /// times
    #[arg(long = "map", value_name = "FIELD=COLUMN", value_parser = mapping::parse_pair)]
    map: Vec<(String, String)>,
    /// Leave a column out, by its name or number (#3); may be given several times
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// The format of the file [default: detected]
    #[arg(long, value_enum, value_name = "FORM", conflicts_with = "query")]
    format: Option<Format>,
    /// The delimiter of CSV: a character, or tab [default: detected]
    #[arg(long, value_name = "CHARACTER", value_parser = parse_delimiter, conflicts_with = "query")]
    delimiter: Option<u8>,
    /// Import the good rows and skip the others
    #[arg(long)]
    skip_bad: bool,
    /// Write the refused rows to this file as CSV: line, reason, detail, email
    #[arg(long, value_name = "FILE.csv")]
    refused: Option<PathBuf>,
    /// Check everything, and import nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

const USAGE: &str =
    "campaign import [OPTIONS] CAMPAIGN FILE|-\n       campaign import [OPTIONS] CAMPAIGN --query FILE.sql";

const EXAMPLES: &str = "\
Examples:
  campaign import 5f0c2c1e-… people.csv --map email=E-Mail --map name='Full name' --ignore Notes
  campaign import 5f0c2c1e-… people.csv --skip-bad --refused refused.csv
  zcat people.ndjson.gz | campaign import 5f0c2c1e-… -
  campaign import 5f0c2c1e-… --query newsletter.sql --from postgres://reader@crm.example.com/crm";

/// Brings a campaign's total up to date with recipients that were added or moved.
pub const COUNT: &str = include_str!("import/count.sql");

/// The number of rows that were read, and the columns and rows that could not be named.
struct Read {
    rows: u64,
    unnameable: Vec<String>,
    nameless: BTreeSet<usize>,
}

/// The rows after their checks.
struct Settled {
    /// Rows that are recipients now; or would be, if nothing is kept.
    good: u64,
    refused: Vec<Refused>,
    /// The import is to be committed.
    is_kept: bool,
}

impl Import {
    pub async fn run(self) -> Result<(), Failure> {
        let work = self.import();
        // The transaction is rolled back when its connection ends.
        tokio::select! {
            done = Box::pin(work) => done,
            _ = tokio::signal::ctrl_c() => {
                Err(Failure::new(Exit::Declined, "interrupted: nothing was imported"))
            }
        }
    }

    async fn import(&self) -> Result<(), Failure> {
        let started_at = Instant::now();
        let access = DatabaseAccess::from_env()?;
        let database = connect(access.clone()).await?;
        let campaign = open_campaign(&database, self.campaign).await?;
        let client = database.session().await?;
        let source = match &self.query {
            Some(query) => {
                let access = self.from.clone().map(source::from_url).transpose()?.unwrap_or(access);
                Source::query(query.clone(), access).await?
            }
            None => Source::file(self.file.as_deref().unwrap_or(Path::new("-")))?,
        };
        let mut report = self.refused.as_deref().map(create).transpose()?;
        let place = source.place.clone();
        let line = if source.is_query { "row" } else { "line" };

        let transaction = Transaction::begin(&database, &client, &campaign).await?;
        let bar = progress_bar(source.length);
        let read = self.load(&transaction, source, &bar).await?;
        let settled = repeated(&client, async || {
            let settled = self.settle(&transaction, line, read.rows, &bar).await?;
            if let Some((file, path)) = &mut report {
                let written = transaction.report(file).await?;
                written.map_err(|error| cannot_create(path, &error))?;
            }
            // The last lock is taken last, because invocations wait for it.
            let counted = if settled.is_kept { Some(transaction.count().await?) } else { None };
            Ok((settled, counted))
        });
        let (settled, counted) = settled.await?;
        if settled.is_kept {
            transaction.commit().await?;
        }
        bar.finish_and_clear();
        let refused: i64 = settled.refused.iter().map(|refused| refused.count).sum();
        if self.json {
            output::write_json(&self.as_json(&read, &settled, counted.map(|(total, _)| total)));
        } else {
            self.describe(&campaign, &read, &settled, &place, started_at);
        }
        if refused > 0 && !self.skip_bad {
            return Err(all_or_none(refused, read.rows));
        }
        match counted {
            _ if self.json => {}
            Some((total, status)) => self.describe_campaign(status, total, settled.good),
            None => println!("Nothing was imported: that was a dry run."),
        }
        Ok(())
    }

    fn describe_campaign(&self, status: CampaignStatus, total: i64, imported: u64) {
        let status_in_words = if status == CampaignStatus::Draft { "a draft" } else { status.as_str() };
        let recipients = format::counted(total, "recipient");
        println!("The campaign is {status_in_words} and has {recipients}.");
        if status == CampaignStatus::Sent && imported > 0 {
            println!("It is sending again when it is started: campaign send start {}", self.campaign);
        }
    }

    /// Streams the rows to PostgreSQL while another thread reads them.
    async fn load(
        &self,
        transaction: &Transaction<'_>,
        source: Source,
        bar: &ProgressBar,
    ) -> Result<Read, Failure> {
        let manner = Manner {
            format: if source.is_query { Some(Format::Ndjson) } else { self.format },
            mapping: Mapping { from: self.map.clone(), ignored: self.ignore.clone() },
            delimiter: self.delimiter,
            backslashes_doubled: source.is_query,
        };
        let (place, input) = (source.place, source.input);
        let (chunks, mut received) = mpsc::channel::<Result<Chunk, ReadError>>(8);
        std::thread::spawn(move || {
            let deliver = |chunk| chunks.blocking_send(Ok(chunk)).is_ok();
            if let Err(error) = reader::read(input, &manner, deliver) {
                let _ = chunks.blocking_send(Err(error));
            }
        });
        let mut rows = transaction.rows().await?;
        let (mut read, mut unnameable, mut nameless) = (0, Vec::new(), BTreeSet::new());
        while let Some(chunk) = received.recv().await {
            let Chunk { copy, rows: more, bytes_read, unnameable: names, nameless: numbers } =
                chunk.map_err(|error| read_failure(&place, error))?;
            rows.send(copy).await?;
            read += more;
            unnameable.extend(names);
            nameless.extend(numbers);
            bar.set_position(bytes_read);
            bar.set_message(format::counted(read, "row"));
        }
        rows.finish().await?;
        Ok(Read { rows: read, unnameable, nameless })
    }

    /// Decides for each row whether it is imported, and makes recipients of the good rows, unless rows are refused and
    /// may not be skipped.
    async fn settle(
        &self,
        transaction: &Transaction<'_>,
        line: &str,
        rows: u64,
        bar: &ProgressBar,
    ) -> Result<Settled, Failure> {
        bar.set_message(format!("{} read, checking them", format::counted(rows, "row")));
        let (good, refused) = transaction.judge(line).await?;
        let may_keep = |refused| (refused == 0 || self.skip_bad) && !self.dry_run;
        let good = if may_keep(refused) {
            bar.set_message(format!("{} read, writing recipients", format::counted(rows, "row")));
            transaction.insert_good(good).await?
        } else {
            good - transaction.mark_known().await?
        };
        let refused = transaction.refused().await?;
        // Rows that the campaign has already are only known now.
        let is_kept = may_keep(refused.iter().map(|refused| refused.count.unsigned_abs()).sum());
        Ok(Settled { good, refused, is_kept })
    }

    /// The result for a machine; `total`: the recipients of the campaign after the import, if it was made.
    fn as_json(&self, read: &Read, settled: &Settled, total: Option<i64>) -> serde_json::Value {
        serde_json::json!({
            "campaignId": self.campaign,
            "rows": read.rows,
            "imported": if total.is_some() { settled.good } else { 0 },
            "good": settled.good,
            "refused": refused_as_json(&settled.refused),
            "recipients": total,
            "dryRun": self.dry_run,
        })
    }

    fn describe(
        &self,
        campaign: &Campaign,
        read: &Read,
        settled: &Settled,
        place: &str,
        started_at: Instant,
    ) {
        let verb = if settled.is_kept { "imported" } else { "good" };
        println!(
            "\"{}\": {} of {} {verb} in {}",
            shown(&campaign.name),
            format::count(settled.good),
            format::counted(read.rows, "row"),
            format::duration(started_at.elapsed()),
        );
        say_refused(&settled.refused, place);
        match &self.refused {
            Some(path) if !settled.refused.is_empty() => {
                println!("The refused rows are in {}.", path.display());
            }
            _ => {}
        }
        for name in &read.unnameable {
            println!(
                "No template can name the variable \"{}\": rename it with --map NAME={column}, or leave it out with --ignore {column}.",
                shown(name),
                column = mapping::quoted(name),
            );
        }
        for number in &read.nameless {
            println!(
                "Column {number} has values and no name, and is left out: take it with --map NAME='#{number}', or leave it out with --ignore '#{number}'."
            );
        }
    }
}

/// The refused rows by reason, with the first of each.
pub fn say_refused(refused: &[Refused], place: &str) {
    let width = refused.iter().map(|refused| refused.reason.len()).fold(12, usize::max);
    for Refused { reason, count, first_line, detail } in refused {
        let (count, detail) = (format::count(*count), shown(detail));
        println!("  {count:>7}  {reason:<width$}  for example {place}{first_line}: {detail}");
    }
}

/// The refused rows by reason, with the first of each, for a machine.
pub fn refused_as_json(refused: &[Refused]) -> serde_json::Value {
    let refused = refused.iter().map(|Refused { reason, count, first_line, detail }| {
        serde_json::json!({"reason": reason, "count": count, "firstLine": first_line, "detail": detail})
    });
    refused.collect()
}

/// The error that nothing was imported, because rows are refused.
pub fn all_or_none(refused: i64, rows: u64) -> Failure {
    let verb = if refused == 1 { "is" } else { "are" };
    let message = format!(
        "{} of {} {verb} refused, so nothing was imported: correct them, or give --skip-bad",
        format::count(refused),
        format::counted(rows, "row")
    );
    Failure::new(Exit::Data, message)
}

/// The campaign, if it may get recipients.
async fn open_campaign(database: &Database, id: Uuid) -> Result<Campaign, Failure> {
    let sql = "SELECT organization_id, name, status FROM campaigns WHERE id = $1";
    let rows = database.query(sql, &[(&id, Type::UUID)], soon()).await?;
    let row = rows
        .first()
        .ok_or_else(|| Failure::new(Exit::Data, format!("there is no campaign {id} in this database")))?;
    let status = CampaignStatus::of(row.get(2));
    if status.is_final() {
        let message = format!("campaign {id} is {status}, and sends to nobody any more: create another one");
        return Err(Failure::new(Exit::Data, message));
    }
    Ok(Campaign { id, organization_id: row.get(0), name: row.get(1) })
}

pub fn create(path: &Path) -> Result<(File, &Path), Failure> {
    let file = File::create(path).map_err(|error| cannot_create(path, &error))?;
    Ok((file, path))
}

pub fn cannot_create(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::CannotCreate, format!("--refused {}: {error}", path.display()))
}

pub fn read_failure(place: &str, error: ReadError) -> Failure {
    match error {
        ReadError::At(line, problem) => Failure::new(Exit::Data, format!("{place}{line}: {problem}")),
        ReadError::Io(error) => {
            let place = place.trim_end_matches(", row ").trim_end_matches(':');
            Failure::new(Exit::NoInput, format!("{place}: {error}"))
        }
    }
}

/// If the input's length is unknown, the bar only shows that the command is running.
fn progress_bar(length: Option<u64>) -> ProgressBar {
    let bar = terminal::bar(length, "{elapsed}  ");
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
