//! `campaign suppressions`: imports, exports and lists addresses that get no email.

mod columns;
mod export;
mod import;
mod list;
mod pull_ses;

use std::fmt;

use clap::{Args, Subcommand, ValueEnum};
use tokio_postgres::Row;
use uuid::Uuid;

use super::failure::Failure;
use super::{connect, id};
use campaign_sender::store::Database;
use campaign_sender::store::settings::DatabaseAccess;

/// Import, export and list addresses that get no email, or read SES's own list
#[derive(Args)]
#[command(
    after_help = "Examples:\n  campaign suppressions list --email ada@example.com\n  campaign suppressions import --organization 0a77… --reason unsubscribe gone.csv\n  campaign suppressions pull-ses"
)]
pub struct Suppressions {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Import(import::Import),
    Export(export::Export),
    List(list::List),
    PullSes(pull_ses::PullSes),
}

impl Suppressions {
    pub async fn run(self) -> Result<(), Failure> {
        let database = connect(DatabaseAccess::from_env()?).await?;
        match self.command {
            Command::Import(command) => command.run(&database).await,
            Command::Export(command) => command.run(&database).await,
            Command::List(command) => command.run(&database).await,
            Command::PullSes(command) => command.run(&database).await,
        }
    }
}

/// The scope of suppressions.
#[derive(Args, Clone, Copy)]
#[group(multiple = false)]
struct Whose {
    /// Suppressions of this organization
    #[arg(long, value_name = "ID", value_parser = id)]
    organization: Option<Uuid>,
    /// Suppressions that apply to all organizations
    #[arg(long)]
    account_wide: bool,
}

impl Whose {
    /// The column `organization_id`: the nil UUID stands for all organizations. `None`: none was named.
    fn organization_id(self) -> Option<Uuid> {
        if self.account_wide { Some(Uuid::nil()) } else { self.organization }
    }
}

/// The column `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Reason {
    Bounce,
    Unsubscribe,
    Complaint,
    Manual,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Reason::Bounce => "bounce",
            Reason::Unsubscribe => "unsubscribe",
            Reason::Complaint => "complaint",
            Reason::Manual => "manual",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The organization as people read it.
fn organization_name(id: Uuid) -> String {
    if id.is_nil() { "all organizations".to_owned() } else { id.to_string() }
}

/// Addresses to write, column by column.
#[derive(Default)]
struct Chunk {
    organization_ids: Vec<Uuid>,
    emails: Vec<String>,
    reasons: Vec<&'static str>,
    created_at: Vec<Option<std::time::SystemTime>>,
}

/// The result of writing addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    added: u64,
    strengthened: u64,
    known: u64,
}

/// The statement that adds the addresses of these rows.
fn write_sql(rows: &str) -> String {
    include_str!("suppressions/write.sql").replace("{rows}", rows)
}

impl Written {
    /// Reads the result of [`write_sql`] for this number of addresses.
    fn from_row(row: Option<&Row>, addresses: u64) -> Written {
        let count = |name| row.map_or(0, |row| row.get::<_, i64>(name).unsigned_abs());
        let (added, strengthened) = (count("added"), count("strengthened"));
        Written { added, strengthened, known: addresses.saturating_sub(added + strengthened) }
    }
}

impl Written {
    /// Adds the counts to a result for a machine.
    fn add_to(self, result: &mut serde_json::Value) {
        result["added"] = self.added.into();
        result["strengthened"] = self.strengthened.into();
        result["known"] = self.known.into();
    }
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Written) {
        self.added += other.added;
        self.strengthened += other.strengthened;
        self.known += other.known;
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [added, stronger, known] = [self.added, self.strengthened, self.known].map(super::format::count);
        write!(f, "{added} added, {stronger} with a stronger reason now, {known} known already")
    }
}

impl Chunk {
    fn push(
        &mut self,
        organization_id: Uuid,
        email: String,
        reason: Reason,
        at: Option<std::time::SystemTime>,
    ) {
        self.organization_ids.push(organization_id);
        self.emails.push(email);
        self.reasons.push(reason.as_str());
        self.created_at.push(at);
    }

    fn len(&self) -> usize {
        self.emails.len()
    }

    /// Writes the addresses and empties the chunk. A reason is only replaced by a stronger one, so writing them
    /// again changes nothing.
    async fn write(&mut self, database: &Database) -> Result<Written, Failure> {
        use tokio_postgres::types::{ToSql, Type};
        let chunk = std::mem::take(self);
        let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
            (&chunk.organization_ids, Type::UUID_ARRAY),
            (&chunk.emails, Type::TEXT_ARRAY),
            (&chunk.reasons, Type::TEXT_ARRAY),
            (&chunk.created_at, Type::TIMESTAMPTZ_ARRAY),
        ];
        let sql = write_sql("unnest($1, $2, $3, $4)");
        let rows = database.query(&sql, &parameters, super::soon()).await?;
        Ok(Written::from_row(rows.first(), chunk.emails.len() as u64))
    }
}
