//! `campaign status`: the state of campaigns, for people and machines.

mod advice;
mod gather;
mod now;
mod text;

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::value_parser;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::{connect, id, output};
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::domain::recipient;
use campaign_sender::domain::result::Progress;
use campaign_sender::store::Database;
use campaign_sender::store::settings::DatabaseAccess;

/// List campaigns, or show one of them in detail
///
/// For one campaign it shows progress, rate, remaining time, outcomes by code with an example, open batches,
/// why nothing is being sent, and what to do next. Addresses are masked unless --show-addresses is given.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Status {
    /// The campaign's id [default: list campaigns, active ones first, then those sent last]
    #[arg(value_parser = id)]
    campaign: Option<Uuid>,
    /// Refresh the output until the campaign ends or you press Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Seconds between two refreshes with --watch
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// JSON for machines, one object on one line for each refresh; docs/cli.md documents the names
    #[arg(long)]
    json: bool,
    /// Show whole addresses
    #[arg(long, requires = "campaign")]
    show_addresses: bool,
    /// Only campaigns with one of these statuses, separated by commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',', conflicts_with = "campaign", value_parser = statuses())]
    status: Vec<CampaignStatus>,
    /// Only campaigns of this organization
    #[arg(long, value_name = "ID", conflicts_with = "campaign", value_parser = id)]
    organization: Option<Uuid>,
    /// The number of campaigns to list
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "campaign")]
    limit: u32,
}

/// The statuses of campaigns, as an argument.
fn statuses() -> impl clap::builder::TypedValueParser<Value = CampaignStatus> {
    PossibleValuesParser::new(CampaignStatus::ALL.map(CampaignStatus::as_str))
        .map(|status| CampaignStatus::of(&status))
}

/// Writes a status as the column has it.
fn as_text<S: Serializer>(status: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(status)
}

const EXAMPLES: &str = "\
Examples:
  campaign status
  campaign status --status sending,paused --organization 0a77c3d2-…
  campaign status 5f0c2c1e-… --watch
  campaign status 5f0c2c1e-… --json | jq .progress.remaining";

/// A campaign in the list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    pub campaign_id: Uuid,
    pub name: String,
    #[serde(serialize_with = "as_text")]
    pub status: CampaignStatus,
    pub status_reason: Option<String>,
    pub progress: Progress,
    /// Sent emails that SES rejected after accepting them.
    pub rejected: i64,
    pub scheduled_at: Option<String>,
    /// After this time nothing is sent.
    pub send_before: Option<String>,
    /// How long it has been due, if no invocation has begun to send it.
    pub overdue_seconds: Option<f64>,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
}

/// Recipients with the same status and error code.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    #[serde(serialize_with = "as_text")]
    pub status: recipient::Status,
    pub code: Option<String>,
    pub count: i64,
    /// For uncertain recipients: for how long the oldest of them has been uncertain.
    pub oldest_seconds: Option<f64>,
    pub example: Example,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    pub recipient_id: Uuid,
    pub email: String,
    pub error: Option<String>,
}

/// A batch that is not closed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lane {
    pub batch_id: i64,
    /// 1, 2, 3, … within the campaign.
    pub number: i64,
    /// `working`, `lost` (its lease ended without a record) or `open` (free for the next claim).
    pub state: &'static str,
    pub first_position: i64,
    pub last_position: i64,
    pub pending: i64,
    /// Outcomes that are noted and not recorded yet.
    pub noted: i64,
    /// The time until the lease ends; negative if it has ended.
    pub lease_seconds: Option<f64>,
}

/// Why nothing is claimed, and for how long.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryHold {
    pub reason: String,
    pub seconds: f64,
}

/// A campaign in detail.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    #[serde(flatten)]
    pub overview: Overview,
    /// Emails accepted in the last minute, per second.
    pub per_second_now: Option<f64>,
    /// Emails accepted per second since the start.
    pub per_second_mean: Option<f64>,
    /// The remaining time at the present rate.
    pub seconds_left: Option<u64>,
    /// The time since SES's last event of this campaign.
    pub last_event_seconds: Option<f64>,
    /// Nothing is claimed, because the database may have lost data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_hold: Option<HistoryHold>,
    /// For a campaign that is sending or due: why nothing is being sent, or that an invocation is working.
    pub now: Option<now::Now>,
    pub outcomes: Vec<Outcome>,
    pub lanes: Vec<Lane>,
    /// What a person may do.
    pub advice: Vec<String>,
}

/// One campaign with its addresses masked; `None` if there is no such campaign.
pub async fn detail(database: &Database, id: Uuid) -> Result<Option<Detail>, Failure> {
    gather::detail(database, id, false).await
}

impl Status {
    pub async fn run(self) -> Result<(), Failure> {
        let database = connect(DatabaseAccess::from_env()?).await?;
        let watch = async {
            let mut screen = Screen::default();
            loop {
                let started_at = Instant::now();
                let (picture, at_end) = self.look(&database).await?;
                if self.json {
                    output::write(picture.as_bytes());
                    output::flush();
                } else {
                    screen.show(&picture, self.watch);
                }
                if !self.watch || at_end || output::is_closed() {
                    return Ok(());
                }
                // Reading a campaign of millions takes a while, so the interval grows with the time that it
                // took.
                tokio::time::sleep(Duration::from_secs(self.interval).max(started_at.elapsed() * 5)).await;
            }
        };
        tokio::select! {
            outcome = Box::pin(watch) => outcome,
            _ = tokio::signal::ctrl_c(), if self.watch => Ok(()),
        }
    }

    fn table(&self, campaigns: &[Overview]) -> String {
        match campaigns {
            [] if self.status.is_empty() && self.organization.is_none() => {
                "There are no campaigns yet: campaign send create --help\n".to_owned()
            }
            [] => "No campaign is like that.\n".to_owned(),
            campaigns => text::table(campaigns, text::width()),
        }
    }

    /// The output, and whether it is final.
    async fn look(&self, database: &Database) -> Result<(String, bool), Failure> {
        let Some(id) = self.campaign else {
            let campaigns = gather::overviews(database, &self.status, self.organization, self.limit).await?;
            let picture = if self.json { json(&campaigns)? } else { self.table(&campaigns) };
            return Ok((picture, false));
        };
        let detail = gather::detail(database, id, self.show_addresses)
            .await?
            .ok_or_else(|| Failure::new(Exit::Data, format!("there is no campaign {id} in this database")))?;
        let status = detail.overview.status;
        let at_end = status == CampaignStatus::Sent || status.is_final();
        let picture = if self.json { json(&detail)? } else { text::detail(&detail, text::width()) };
        Ok((picture, at_end))
    }
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(Exit::Software, error))?;
    Ok(text + "\n")
}

/// Standard output, on which each output replaces the one before if it is a terminal.
#[derive(Default)]
struct Screen {
    lines: usize,
}

impl Screen {
    fn show(&mut self, picture: &str, again: bool) {
        let back = match self.lines {
            lines if lines > 0 && again && io::stdout().is_terminal() => format!("\x1b[{lines}A\x1b[J"),
            _ => String::new(),
        };
        // A line that the terminal wraps takes more than one row.
        self.lines = text::rows_of(picture, text::width());
        output::print_picture(&back, picture);
    }
}
