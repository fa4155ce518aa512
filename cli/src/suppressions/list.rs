//! `campaign suppressions list`: the number of suppressions, and the newest ones.

use console::style;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::output::{self, shown};
use super::super::{format, soon};
use super::{Reason, Whose, organization_name};
use campaign_sender::store::Database;

/// Show how many addresses there are by reason, and the newest
#[derive(clap::Args)]
#[command(after_help = "Examples:
  campaign suppressions list --organization 6c1e…
  campaign suppressions list --email ada@example.com")]
pub(super) struct List {
    #[command(flatten)]
    whose: Whose,
    /// Only this address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Only those with this reason
    #[arg(long, value_enum)]
    reason: Option<Reason>,
    /// The number of addresses to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, database: &Database) -> Result<(), Failure> {
        let (whose, limit) = (self.whose.organization_id(), i64::from(self.limit));
        let reason = self.reason.map(Reason::as_str);
        let filter: [(&(dyn ToSql + Sync), Type); 3] =
            [(&whose, Type::UUID), (&self.email, Type::TEXT), (&reason, Type::TEXT)];
        let counts = database.query(include_str!("count.sql"), &filter, soon()).await?;
        if counts.is_empty() && !self.json {
            println!("No such address is suppressed.");
            return Ok(());
        }
        let [whose, email, reason] = filter;
        let parameters = [whose, email, reason, (&limit as &(dyn ToSql + Sync), Type::INT8)];
        let rows = database.query(include_str!("newest.sql"), &parameters, soon()).await?;
        if self.json {
            output::write_json(&as_json(&counts, &rows));
            return Ok(());
        }
        for row in &counts {
            println!("{:>10}  {}", format::count(row.get::<_, i64>("count")), row.get::<_, String>("reason"));
        }
        println!();
        let emails: Vec<String> = rows.iter().map(|row| shown(row.get("email")).into_owned()).collect();
        let width = emails.iter().map(|email| email.chars().count()).max().unwrap_or(0);
        for (row, email) in rows.iter().zip(&emails) {
            let reason: String = row.get("reason");
            let (since, id): (String, Uuid) = (row.get("since"), row.get("organization_id"));
            let organization = organization_name(id);
            println!("{email:<width$}  {reason:<11}  {since}  {}", style(organization).dim());
        }
        Ok(())
    }
}

/// The result for a machine. The nil UUID stands for all organizations, as in the table.
fn as_json(counts: &[Row], newest: &[Row]) -> serde_json::Value {
    let text = |row: &Row, column| row.get::<_, String>(column);
    let counts = counts.iter().map(|row| (text(row, "reason"), row.get::<_, i64>("count").into()));
    let newest = newest.iter().map(|row| {
        serde_json::json!({
            "email": text(row, "email"),
            "reason": text(row, "reason"),
            "createdAt": text(row, "created_at"),
            "organizationId": row.get::<_, Uuid>("organization_id"),
        })
    });
    serde_json::json!({
        "byReason": counts.collect::<serde_json::Map<_, _>>(),
        "newest": newest.collect::<Vec<_>>(),
    })
}
