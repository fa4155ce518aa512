//! `campaign retry-failed`: sends again to failed recipients with the given codes.

use clap::builder::NonEmptyStringValueParser;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::conflict::repeated;
use super::failure::{Exit, Failure};
use super::{campaign_and_words, connect, format, id, output, patiently, soon};
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::store::Database;
use campaign_sender::store::settings::DatabaseAccess;

/// Put failed recipients of chosen error codes back to `pending`, behind all others, to be sent to again
///
/// It changes only recipients that are `failed` now, and none whose email SES accepted or may have accepted.
/// A campaign that was `sent` is `sending` again.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub struct RetryFailed {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Option<Uuid>,
    /// The error codes, as `campaign status` shows them
    #[arg(long = "code", value_name = "CODE", required = true, num_args = 1.., value_parser = NonEmptyStringValueParser::new())]
    codes: Vec<String>,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

const USAGE: &str = "campaign retry-failed [OPTIONS] CAMPAIGN --code CODE...";

const EXAMPLES: &str = "\
Examples:
  campaign retry-failed 5f0c2c1e-… --code render --dry-run
  campaign retry-failed 5f0c2c1e-… --code MessageRejected --code BadRequestException";

/// Codes of recipients whose message SES accepted or may have accepted: sending again might be a second
/// email.
const HELD: [(&str, &str); 3] = [
    ("rejected", "SES had accepted those emails, and found malware in them"),
    ("rendering_failure", "SES had accepted those emails"),
    ("resolved", "SES may have accepted those emails: a person decided that they failed"),
];

impl RetryFailed {
    pub async fn run(self) -> Result<(), Failure> {
        let (campaign, codes) = campaign_and_words(self.campaign, self.codes, "--code CODE")?;
        Retry { campaign, codes, dry_run: self.dry_run, json: self.json }.run().await
    }
}

/// The work to do.
struct Retry {
    campaign: Uuid,
    codes: Vec<String>,
    dry_run: bool,
    json: bool,
}

impl Retry {
    async fn run(self) -> Result<(), Failure> {
        if let Some((code, why)) =
            HELD.iter().find(|(code, _)| self.codes.iter().any(|chosen| chosen == code))
        {
            return Err(Failure::new(Exit::Data, format!("--code {code}: {why}, so none is sent again")));
        }
        let database = connect(DatabaseAccess::from_env()?).await?;
        let (name, status) = self.campaign(&database).await?;
        let failed = self.failed(&database).await?;
        let chosen: Vec<_> = failed.iter().filter(|(code, _)| self.codes.contains(code)).collect();
        if let Some(unknown) = self.codes.iter().find(|code| failed.iter().all(|(known, _)| known != *code)) {
            return Err(Failure::new(Exit::Data, nobody_failed_with(unknown, &name, &failed)));
        }
        let total: i64 = chosen.iter().map(|(_, count)| count).sum();
        if self.json {
            let (status, again) = if self.dry_run { (status, total) } else { self.retry(&database).await? };
            let by_code: serde_json::Map<String, serde_json::Value> =
                chosen.iter().map(|(code, count)| (code.clone(), (*count).into())).collect();
            output::write_json(&serde_json::json!({
                "campaignId": self.campaign,
                "recipients": again,
                "byCode": by_code,
                "status": status.as_str(),
                "dryRun": self.dry_run,
            }));
            return Ok(());
        }
        if self.dry_run {
            println!("\"{name}\": {} would be pending again", recipients(total));
        } else {
            let (status, again) = self.retry(&database).await?;
            let verb = if again == 1 { "is" } else { "are" };
            println!("\"{name}\": {} {verb} pending again", recipients(again));
            describe(&chosen);
            let when = if status == CampaignStatus::Sending {
                "the next invocation of send-batch sends to them"
            } else {
                "they are sent to when it is sending again"
            };
            println!("The campaign is {status}: {when}.");
            return Ok(());
        }
        describe(&chosen);
        println!("The campaign is {status}. Nothing was changed: that was a dry run.");
        Ok(())
    }

    /// Its name and status.
    async fn campaign(&self, database: &Database) -> Result<(String, CampaignStatus), Failure> {
        let sql = "SELECT name, status FROM campaigns WHERE id = $1";
        let rows = database.query(sql, &[(&self.campaign, Type::UUID)], soon()).await?;
        let row = rows.first().ok_or_else(|| {
            Failure::new(Exit::Data, format!("there is no campaign {} in this database", self.campaign))
        })?;
        let status = CampaignStatus::of(row.get("status"));
        if status.is_final() {
            let message = format!("campaign {} is {status}, and sends to nobody any more", self.campaign);
            return Err(Failure::new(Exit::Data, message));
        }
        Ok((row.get("name"), status))
    }

    /// Its failed recipients by code.
    async fn failed(&self, database: &Database) -> Result<Vec<(String, i64)>, Failure> {
        let sql = "SELECT coalesce(error_code, '') AS code, count(*) AS count FROM campaign_recipients
                    WHERE campaign_id = $1 AND status = 'failed' GROUP BY 1 ORDER BY 2 DESC, 1";
        let rows = database.query(sql, &[(&self.campaign, Type::UUID)], patiently()).await?;
        Ok(rows.iter().map(|row| (row.get("code"), row.get("count"))).collect())
    }

    /// Returns the campaign's status and how many are pending again.
    async fn retry(&self, database: &Database) -> Result<(CampaignStatus, i64), Failure> {
        // One transaction, which takes its locks in the order of all others: recipients, cursor, campaign.
        let session = database.session().await?;
        database.begin(&session).await?;
        let (status, again) = repeated(&session, async || Ok(self.retry_once(&session).await?)).await?;
        session.batch_execute("COMMIT").await?;
        tracing::info!(campaign_id = %self.campaign, codes = ?self.codes, recipients = again, "failed recipients are pending again");
        Ok((status, again))
    }

    async fn retry_once(&self, session: &Client) -> Result<(CampaignStatus, i64), tokio_postgres::Error> {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.campaign, Type::UUID), (&self.codes, Type::TEXT_ARRAY)];
        let again = session.query_typed(include_str!("retry_failed/retry.sql"), &parameters).await?;
        let again: i64 = again.first().map_or(0, |row| row.get(0));
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.campaign, Type::UUID), (&again, Type::INT8)];
        session.query_typed(include_str!("retry_failed/recount.sql"), &parameters[..1]).await?;
        session.query_typed(super::import::COUNT, &parameters[..1]).await?;
        let status = session.query_typed(include_str!("retry_failed/reopen.sql"), &parameters).await?;
        Ok((status.first().map_or(CampaignStatus::Failed, |row| CampaignStatus::of(row.get(0))), again))
    }
}

fn recipients(count: i64) -> String {
    format::counted(count, "recipient")
}

fn describe(chosen: &[&(String, i64)]) {
    for (code, count) in chosen {
        println!("  {:>7}  {code}", format::count(*count));
    }
}

fn nobody_failed_with(code: &str, name: &str, failed: &[(String, i64)]) -> String {
    if failed.is_empty() {
        return format!("nobody of \"{name}\" has failed");
    }
    let known: Vec<String> =
        failed.iter().map(|(code, count)| format!("{code} ({})", format::count(*count))).collect();
    format!("--code {code}: nobody of \"{name}\" failed with that; there are {}", known.join(", "))
}
