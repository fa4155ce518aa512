//! `campaign prune`: deletes what ended campaigns leave behind.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::failure::Failure;
use super::{connect, format, output, patiently, terminal};
use campaign_sender::store::settings::DatabaseAccess;

/// Delete what campaigns that ended long ago leave behind
///
/// It deletes the batches and SES's events of campaigns that are sent or cancelled, and transient bounces and
/// reservations of the rate of that age. With --recipients it also deletes the recipients of these campaigns;
/// their counters stay. Activities are never deleted, because the timeline is the CRM's.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  campaign prune --older-than 180d
  campaign prune --older-than 400d --recipients --yes")]
pub struct Prune {
    /// The least age of ended campaigns in days (180d); 30d or more
    #[arg(long, value_name = "AGE", value_parser = days)]
    older_than: i32,
    /// Delete the recipients, too; only the activities then show who got an email
    #[arg(long)]
    recipients: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

/// An age in days. SES's events of an email may arrive for weeks and need its recipient.
fn days(text: &str) -> Result<i32, String> {
    let days = text.trim().strip_suffix('d').and_then(|days| days.parse().ok());
    days.filter(|days| (30..=36_500).contains(days))
        .ok_or_else(|| "expected days from 30d on, for example 180d".to_owned())
}

impl Prune {
    pub async fn run(self) -> Result<(), Failure> {
        if !self.yes {
            let what = if self.recipients { "batches, events and recipients" } else { "batches and events" };
            let age = self.older_than;
            let question = format!("Delete the {what} of campaigns that ended {age} days ago or earlier?");
            terminal::confirm(&question, "nothing was deleted")?;
        }
        let database = connect(DatabaseAccess::from_env()?).await?;
        let age: [(&(dyn ToSql + Sync), Type); 1] = [(&self.older_than, Type::INT4)];
        let campaigns = database.query(include_str!("prune/candidates.sql"), &age, patiently()).await?;
        let mut deleted = [0_i64; 3];
        // Each campaign is one transaction, so no lock is held for long, and an interrupted command keeps its
        // progress.
        for campaign in &campaigns {
            let id: Uuid = campaign.get("id");
            let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                [(&id, Type::UUID), (&self.recipients, Type::BOOL)];
            let rows = database.query(include_str!("prune/campaign.sql"), &parameters, patiently()).await?;
            for row in rows {
                for (sum, column) in deleted.iter_mut().zip(["batches", "events", "recipients"]) {
                    *sum += row.get::<_, i64>(column);
                }
            }
        }
        let rows = database.query(include_str!("prune/rest.sql"), &age, patiently()).await?;
        let rest: i64 = rows.first().map_or(0, |row| row.get("rest"));
        let [batches, events, recipients] = deleted;
        if self.json {
            output::write_json(&serde_json::json!({
                "olderThanDays": self.older_than,
                "campaigns": campaigns.len(),
                "batches": batches,
                "events": events,
                "recipients": recipients,
                "bouncesAndReservations": rest,
            }));
            return Ok(());
        }
        println!(
            "{} ended {} days ago or earlier. Deleted: {}, {}, {}, and {} of transient bounces and rate reservations.",
            format::counted(campaigns.len(), "campaign"),
            self.older_than,
            format::counted(batches, "batch"),
            format::counted(events, "event"),
            format::counted(recipients, "recipient"),
            format::counted(rest, "row"),
        );
        Ok(())
    }
}
