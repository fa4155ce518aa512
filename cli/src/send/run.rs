//! `campaign send run`: sends a campaign from this machine with the function's code, without Step Functions.

mod lane;
mod progress;
mod signals;

use std::time::Duration;

use futures_util::future::join_all;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{connect, format, id, output, soon};
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::domain::event::MAX_BATCH_SIZE;
use campaign_sender::lambda::environment::Settings;
use campaign_sender::lambda::interrupt::Interrupt;
use campaign_sender::send_batch::Handler;
use campaign_sender::send_batch::load;
use campaign_sender::ses::Ses;
use campaign_sender::store::Database;
use clap::value_parser;
use lane::{End, Lanes, Stop};
use progress::Progress;

/// Send a campaign from this machine to its end, without Step Functions
///
/// It needs the same environment as the function and does the same: any number of these commands and of
/// functions may work on one campaign. Ctrl-C ends it cleanly: what SES has accepted is recorded, the rest
/// stays pending. A second Ctrl-C ends it at once; recipients that were under way are then uncertain, as
/// after a crash, and are not sent to again.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Uuid,
    /// Batches at a time; they share SES's rate, so more of them help only where answers are slow
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=16))]
    lanes: u16,
    /// Recipients per batch [default: BATCH_SIZE, or 500]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(MAX_BATCH_SIZE)))]
    batch_size: Option<u32>,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campaign send run 5f0c2c1e-…
  campaign send run 5f0c2c1e-… --lanes 4 2>run.log   # JSON lines, which campaign resolve --from-log reads";

impl Run {
    pub async fn run(self) -> Result<(), Failure> {
        let settings = Settings { metrics: None, ..Settings::from_env()? };
        let database = connect(settings.database.clone()).await?;
        self.check(&database).await?;
        if Ses::from_env().await.region().is_empty() {
            let message =
                "AWS_REGION is not set: expected the region of Amazon SES, for example eu-central-1";
            return Err(Failure::new(Exit::Config, message));
        }
        let (raise, interrupt) = Interrupt::channel();
        let handler = Handler::new(settings)
            .map_err(|error| Failure::new(Exit::Config, error))?
            .interruptible(interrupt.clone());
        let progress = Progress::start(database, self.campaign);
        let lanes = Lanes::new(&handler, self.campaign, self.batch_size, interrupt, &raise, &progress);
        let work = join_all((0..self.lanes).map(|_| lanes.run()));
        let worked = tokio::select! {
            ends = Box::pin(work) => ends.into_iter().collect::<Result<Vec<_>, _>>().map(drop),
            () = signals::second(&raise, &progress) => {
                let message = "ended at once: what was under way is taken over by the next run, within a minute or so";
                Err(Failure::new(Exit::Declined, message))
            }
            () = progress.follow() => Ok(()),
        };
        progress.finish();
        worked?;
        self.report(&lanes, &progress)
    }

    /// A campaign that cannot be sent is reported before anything is claimed.
    async fn check(&self, database: &Database) -> Result<(), Failure> {
        let sql = "SELECT status, status_reason FROM campaigns WHERE id = $1";
        let rows = database.query(sql, &[(&self.campaign, Type::UUID)], soon()).await?;
        let id = self.campaign;
        let row = rows
            .first()
            .ok_or_else(|| Failure::new(Exit::Data, format!("there is no campaign {id} in this database")))?;
        let reason: Option<String> = row.get("status_reason");
        let because = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        match CampaignStatus::of(row.get("status")) {
            CampaignStatus::Draft => {
                let message =
                    format!("campaign {id} is a draft: start it first, with campaign send start {id}");
                Err(Failure::new(Exit::Data, message))
            }
            CampaignStatus::Paused => {
                let message = format!(
                    "campaign {id} is paused{because}: correct the cause, then campaign send resume {id}"
                );
                Err(Failure::new(Exit::Stopped, message))
            }
            CampaignStatus::Scheduled
            | CampaignStatus::Sending
            | CampaignStatus::Sent
            | CampaignStatus::Cancelled
            | CampaignStatus::Failed => Ok(()),
        }
    }

    fn report(&self, lanes: &Lanes<'_>, progress: &Progress) -> Result<(), Failure> {
        let (at_end, took) = (lanes.progress(), progress.elapsed());
        let id = self.campaign;
        if self.json {
            let end = lanes.end();
            output::write_json(&serde_json::json!({
                "campaignId": id,
                "end": end.as_str(),
                "reason": end.reason(),
                "sent": lanes.sent(),
                "batches": lanes.batches(),
                "seconds": took.as_secs_f64(),
                "progress": at_end,
            }));
        } else {
            self.describe(lanes, took);
        }
        match lanes.end() {
            End::Done => Ok(()),
            End::Interrupted => {
                let message = format!("interrupted, and all is recorded; go on with campaign send run {id}");
                Err(Failure::new(Exit::Declined, message))
            }
            End::Stopped { how, reason } => {
                let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                let advice = match how {
                    Stop::Cancelled => "it sends to nobody any more".to_owned(),
                    Stop::Paused | Stop::Halted => {
                        format!("campaign status {id} says what to do; then campaign send resume {id}")
                    }
                };
                let message = format!("campaign {id} is {}{because}; {advice}", how.as_str());
                Err(Failure::new(Exit::Stopped, message))
            }
        }
    }

    fn describe(&self, lanes: &Lanes<'_>, took: Duration) {
        let at_end = lanes.progress();
        let sent = format::counted(lanes.sent(), "email");
        println!(
            "{sent} sent in {}, by {}.",
            format::duration(took),
            format::counted(lanes.batches(), "batch")
        );
        println!("The campaign: {}.", format::progress(&at_end));
        if lanes.end() == End::Done && at_end.failed + at_end.uncertain > 0 {
            println!("Why some failed or are uncertain: campaign status {}", self.campaign);
        }
    }
}

/// The number of recipients that have an outcome, recorded or noted, and the number of all recipients.
pub async fn with_outcome(database: &Database, campaign: Uuid) -> Option<(u64, u64)> {
    let sql = include_str!("run/with_outcome.sql");
    let rows = database.query(sql, &[(&campaign, Type::UUID)], soon()).await.ok()?;
    let row = rows.first()?;
    let progress = load::progress(row);
    let noted: i64 = row.get("noted");
    let total = u64::try_from(progress.total).unwrap_or_default();
    let with_outcome =
        u64::try_from(i64::from(progress.total - progress.remaining) + noted).unwrap_or_default();
    Some((with_outcome.min(total), total))
}
