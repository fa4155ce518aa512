//! `campaign resolve`: settles uncertain recipients, by a person's decision, from the log, or from what SES shows.

mod accepted;
mod by_hand;
mod from_log;
mod from_ses;
mod replay;

use std::path::PathBuf;

use clap::ValueEnum;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::{connect, id, soon};
use campaign_sender::domain::campaign::Campaign;
use campaign_sender::domain::recipient::Status;
use campaign_sender::lambda::environment::Settings;
use campaign_sender::message::render::Templates;
use campaign_sender::send_batch::load::{self};
use campaign_sender::store::Database;
use campaign_sender::store::activities::{ActivitiesTable, plan};

/// Settle recipients that are `uncertain`: by your decision, from the function's log, or from what SES shows
///
/// SES may or may not have accepted the email to an uncertain recipient, and it is not sent again
/// automatically. SES's events settle most of these recipients, the log has what the function could not
/// record, and SES shows its messages where Virtual Deliverability Manager is on. This command is for the rest.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["decision", "from_log", "from_ses"]))]
pub struct Resolve {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Uuid,
    /// The new status: `sent` (with its activity), `failed`, or `pending` to be sent again (`resend`)
    #[arg(long = "as", value_enum, value_name = "OUTCOME", requires_all = ["by", "why"])]
    decision: Option<Decision>,
    /// Only this recipient; may be given several times
    #[arg(long = "recipient", value_name = "ID", value_parser = id, conflicts_with = "from_log")]
    recipients: Vec<Uuid>,
    /// The person who decides, for the log
    #[arg(long, value_name = "WHO", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    by: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    why: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Record every message that send-batch logged as accepted: a file of its log lines, or - for standard input
    #[arg(long, value_name = "FILE")]
    from_log: Option<PathBuf>,
    /// Ask SES (Message Insights of Virtual Deliverability Manager), and record what it accepted once you agree
    #[arg(long)]
    from_ses: bool,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campaign resolve 5f0c2c1e-… --as resend --by ada@example.com --why 'SES support: nothing arrived'
  campaign resolve 5f0c2c1e-… --as sent --recipient 77d1… --by ada --why 'the customer has it'
  aws logs tail /aws/lambda/send-batch --since 1d | campaign resolve 5f0c2c1e-… --from-log -
  AWS_REGION=eu-central-1 campaign resolve 5f0c2c1e-… --from-ses";

/// The decision of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Decision {
    Sent,
    Resend,
    Failed,
}

impl Decision {
    /// As the argument has it.
    fn as_str(self) -> &'static str {
        match self {
            Decision::Sent => "sent",
            Decision::Resend => "resend",
            Decision::Failed => "failed",
        }
    }

    fn status(self) -> Status {
        match self {
            Decision::Sent => Status::Sent,
            Decision::Resend => Status::Pending,
            Decision::Failed => Status::Failed,
        }
    }
}

impl Resolve {
    pub async fn run(self) -> Result<(), Failure> {
        let settings = Settings::from_env()?;
        let case = Case::open(&settings, self.campaign).await?;
        if let Some(file) = &self.from_log {
            return from_log::run(&case, file, self.json).await;
        }
        if self.from_ses {
            let order = from_ses::Order { recipients: &self.recipients, yes: self.yes, json: self.json };
            return order.run(&case).await;
        }
        let (Some(decision), Some(by), Some(why)) = (self.decision, self.by, self.why) else {
            return Err(Failure::new(Exit::Usage, "--as needs --by and --why"));
        };
        let (recipients, yes, json) = (self.recipients, self.yes, self.json);
        by_hand::Order { decision, recipients, by, why, yes, json }.run(&case).await
    }
}

/// A campaign, and what recording its outcomes needs.
struct Case {
    database: Database,
    campaign: Campaign,
    /// `None`: they do not compile, and the subject's template is used as the subject.
    templates: Option<Templates>,
    activities: ActivitiesTable,
}

impl Case {
    async fn open(settings: &Settings, id: Uuid) -> Result<Case, Failure> {
        let database = connect(settings.database.clone()).await?;
        let table = settings.activities_table.as_str();
        let loaded = load::load(&database, Some(id), &[], None, soon()).await?;
        let campaign = loaded
            .campaign
            .ok_or_else(|| Failure::new(Exit::Data, format!("there is no campaign {id} in this database")))?;
        let activities = plan::learn(&database, table, &["email_sent"], &[], soon()).await?;
        let templates = Templates::compile(campaign.source.clone()).ok();
        Ok(Case { database, campaign, templates, activities })
    }

    fn name(&self) -> &str {
        &self.campaign.source.campaign_name
    }

    fn subject(&self) -> &str {
        &self.campaign.source.subject
    }
}
