//! The changes of a campaign's status that a person may make.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _};
use std::time::SystemTime;

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::output::{self, shown};
use super::super::terminal::confirm;
use super::super::{connect, format, id, patiently, preview, soon};
use super::settle::settle_refused;
use super::time::{self, Time};
use campaign_sender::domain::campaign::{CampaignStatus, Source};
use campaign_sender::message::render::Templates;
use campaign_sender::send_batch::load;
use campaign_sender::store::Database;
use campaign_sender::store::settings::DatabaseAccess;

/// Start a campaign at a time
#[derive(clap::Args)]
#[command(after_help = "Examples:
  campaign send schedule 5f0c2c1e-… --at '2030-03-20 08:00 Europe/Oslo'
  campaign send schedule 5f0c2c1e-… --at 2030-03-20T08:00:00+01:00")]
pub struct Schedule {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Uuid,
    /// The time: a date, a time of day and a zone (an offset from UTC, UTC, or a name such as Europe/Oslo)
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    at: Time,
    #[command(flatten)]
    before: Before,
    #[command(flatten)]
    check: Check,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

/// Start a campaign now: send-batch sends it from its next tick on, or `campaign send run` from this machine
///
/// It is rendered for all its recipients first, as `campaign preview --check` does: errors stop it, warnings are shown.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  campaign send start 5f0c2c1e-…")]
pub struct Start {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Uuid,
    /// Do not ask where the time is over for which it was scheduled
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    before: Before,
    #[command(flatten)]
    check: Check,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

/// A time that a campaign must not be sent after.
#[derive(clap::Args)]
struct Before {
    /// Send nothing after this time: the campaign is paused then, and the recipients that are left stay pending
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    before: Option<Time>,
}

impl Before {
    fn to_sql(&self) -> Option<String> {
        self.before.as_ref().map(Time::to_sql)
    }
}

/// The option to start a campaign without checking it.
#[derive(clap::Args)]
struct Check {
    /// Do not render it for all recipients first; recipients whose data does not fit then fail during sending
    #[arg(long)]
    unchecked: bool,
}

impl Check {
    async fn run(&self, campaign: Uuid) -> Result<(), Failure> {
        if self.unchecked { Ok(()) } else { preview::check_all(campaign).await }
    }
}

/// Pause a campaign, or all campaigns; sending stops within two seconds
#[derive(clap::Args)]
#[command(after_help = "Examples:
  campaign send pause 5f0c2c1e-… --why 'the coupon is wrong'
  campaign send pause --all --why 'the database was restored'")]
pub struct Pause {
    /// The campaign's id
    #[arg(value_parser = id, required_unless_present = "all")]
    campaign: Option<Uuid>,
    /// Every campaign that is sending or scheduled
    #[arg(long, conflicts_with = "campaign")]
    all: bool,
    /// Why, as `campaign status` shows it
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

/// Resume a paused campaign; one whose time has not come yet is scheduled again
#[derive(clap::Args)]
#[command(after_help = "Examples:
  campaign send resume 5f0c2c1e-…
  campaign send resume 5f0c2c1e-… --before '2030-03-21 18:00 Europe/Oslo'
  campaign send resume --all")]
pub struct Resume {
    /// The campaign's id
    #[arg(value_parser = id, required_unless_present = "all")]
    campaign: Option<Uuid>,
    /// Every campaign that `pause --all` has paused, or the functions because the database may have lost something
    #[arg(long, conflicts_with_all = ["campaign", "before"])]
    all: bool,
    #[command(flatten)]
    before: Before,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

/// Cancel a campaign for good; sending stops within two seconds
#[derive(clap::Args)]
#[command(after_help = "Example:\n  campaign send cancel 5f0c2c1e-… --yes --why 'wrong list'")]
pub struct Cancel {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Uuid,
    /// Why, as `campaign status` shows it
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

impl Schedule {
    pub async fn run(self) -> Result<(), Failure> {
        let case = Case::open(self.campaign).await?;
        case.check_templates()?;
        let (at, before) = (self.at.to_sql(), self.before.to_sql());
        let change = Change {
            from: &[CampaignStatus::Draft, CampaignStatus::Scheduled],
            to: CampaignStatus::Scheduled,
            at: Some(&at),
            before: before.as_deref(),
            why: None,
        };
        case.allows(&change)?;
        let times = case.times().await?;
        self.is_to_come(times.now)?;
        if let Some(send_before) = times.limit(&self.before).filter(|limit| *limit <= self.at.timestamp()) {
            let message = format!(
                "--at: {} is not before send_before, {}, after which nothing is sent: give --before a later time",
                self.at,
                time::shown(send_before)
            );
            return Err(Failure::new(Exit::Data, message));
        }
        self.check.run(self.campaign).await?;
        let status = case.change(&change).await?;
        if self.json {
            output::write_json(&case.as_json(status));
            return Ok(());
        }
        println!("\"{}\" is scheduled for {}.", case.name(), self.at);
        if case.recipients().await? == 0 {
            println!("It has no recipients yet: add some with campaign import {} FILE", self.campaign);
        }
        Ok(())
    }
}

impl Schedule {
    /// A time in the past would start the campaign at once, which is not what `schedule` is for. PostgreSQL's
    /// clock decides, as it does for campaigns that are due.
    fn is_to_come(&self, now: Timestamp) -> Result<(), Failure> {
        if self.at.timestamp() > now {
            return Ok(());
        }
        if io::stdin().is_terminal() {
            return confirm(
                &format!("{} is in the past, so the campaign would be sent at once. Go on?", self.at),
                "nothing was changed",
            );
        }
        let message =
            format!("--at: {} is in the past; campaign send start {} sends it now", self.at, self.campaign);
        Err(Failure::new(Exit::Usage, message))
    }
}

impl Start {
    pub async fn run(self) -> Result<(), Failure> {
        let case = Case::open(self.campaign).await?;
        case.check_templates()?;
        let recipients = case.recipients().await?;
        if recipients == 0 {
            let message = format!(
                "campaign {} has no recipients, and would be sent at once: add some with campaign import",
                self.campaign
            );
            return Err(Failure::new(Exit::Data, message));
        }
        let before = self.before.to_sql();
        let change = Change {
            from: &[CampaignStatus::Draft, CampaignStatus::Scheduled, CampaignStatus::Sent],
            to: CampaignStatus::Sending,
            at: None,
            before: before.as_deref(),
            why: None,
        };
        case.allows(&change)?;
        let times = case.times().await?;
        if let Some(limit) = times.limit(&self.before).filter(|limit| *limit <= times.now) {
            return Err(Failure::new(Exit::Data, too_late(self.campaign, limit, "start")));
        }
        self.is_not_overdue(&case, &times)?;
        self.check.run(self.campaign).await?;
        let status = case.change(&change).await?;
        if self.json {
            output::write_json(&case.as_json(status));
            return Ok(());
        }
        println!("\"{}\" is sending to {}.", case.name(), format::counted(recipients, "recipient"));
        Ok(())
    }
}

impl Start {
    /// A campaign whose time is over may not be wanted any more, such as one that a restored database still has.
    fn is_not_overdue(&self, case: &Case, times: &Times) -> Result<(), Failure> {
        let overdue = times.scheduled_at.filter(|at| case.status != CampaignStatus::Sent && *at < times.now);
        let Some(scheduled_at) = overdue.filter(|_| !self.yes) else { return Ok(()) };
        let fact = format!(
            "campaign {} was scheduled for {}, which is in the past",
            self.campaign,
            time::shown(scheduled_at)
        );
        if io::stdin().is_terminal() {
            return confirm(&format!("{fact}. Send it now?"), "nothing was changed");
        }
        Err(Failure::new(Exit::Usage, format!("{fact}: give --yes to send it now")))
    }
}

/// Why a campaign is not sent whose `send_before` is over, and what to do.
fn too_late(campaign: Uuid, limit: Timestamp, command: &str) -> String {
    format!(
        "send_before of campaign {campaign} is over: nothing is sent after {}; give it a later time with campaign send {command} {campaign} --before TIME",
        time::shown(limit)
    )
}

impl Pause {
    pub async fn run(self) -> Result<(), Failure> {
        let why = self.why.as_deref();
        let Some(campaign) = self.campaign else { return pause_all(why, self.json).await };
        let case = Case::open(campaign).await?;
        let status = case
            .change(&Change {
                from: &[CampaignStatus::Sending, CampaignStatus::Scheduled],
                to: CampaignStatus::Paused,
                at: None,
                before: None,
                why,
            })
            .await?;
        if self.json {
            output::write_json(&case.as_json(status));
            return Ok(());
        }
        println!("\"{}\" is paused: within two seconds no more is sent.", case.name());
        Ok(())
    }
}

impl Resume {
    pub async fn run(self) -> Result<(), Failure> {
        let Some(campaign) = self.campaign else { return resume_all(self.json).await };
        let resumed = resume(campaign, &self.before, self.json).await?;
        if self.json {
            output::write_json(&resumed);
        }
        Ok(())
    }
}

/// Returns the result for a machine; a person reads it at once, unless `json` is set.
async fn resume(campaign: Uuid, before: &Before, json: bool) -> Result<serde_json::Value, Failure> {
    let case = Case::open(campaign).await?;
    case.check_templates()?;
    let send_before = before.to_sql();
    let change = Change {
        from: &[CampaignStatus::Paused],
        to: CampaignStatus::Sending,
        at: None,
        before: send_before.as_deref(),
        why: None,
    };
    case.allows(&change)?;
    let settled = settle_refused(&case.database, case.id, &case.source).await?;
    if settled > 0 && !json {
        let emails = format::counted(settled, "email");
        println!(
            "{emails} that SES had accepted became sent: their activities were refused, and are written now."
        );
    }
    let status = case.change(&change).await?;
    if !json {
        println!("\"{}\" is {status} again.", case.name());
    }
    let times = case.times().await?;
    if let Some(limit) = times.send_before.filter(|limit| *limit <= times.now) {
        eprintln!("The next batch pauses it again: {}", too_late(campaign, limit, "resume"));
    }
    let mut resumed = case.as_json(status);
    resumed["settled"] = settled.into();
    Ok(resumed)
}

async fn pause_all(why: Option<&str>, json: bool) -> Result<(), Failure> {
    let database = connect(DatabaseAccess::from_env()?).await?;
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    let paused = database.query(include_str!("pause_all.sql"), &[(&why, Type::TEXT)], soon()).await?;
    if json {
        let paused = paused.iter().map(|row| result(row.get("id"), CampaignStatus::Paused));
        output::write_json(&serde_json::json!({"campaigns": paused.collect::<Vec<_>>()}));
    } else {
        println!("{} paused: within two seconds no more is sent.", format::counted(paused.len(), "campaign"));
    }
    Ok(())
}

/// The campaigns are resumed one after the other. The first that cannot be resumed ends the command, which
/// can be repeated.
async fn resume_all(json: bool) -> Result<(), Failure> {
    let database = connect(DatabaseAccess::from_env()?).await?;
    let paused = database.query(include_str!("paused_with_all.sql"), &[], soon()).await?;
    if paused.is_empty() && !json {
        println!("Nothing to resume: no campaign was paused with all others, or because of the database.");
    }
    let mut resumed = Vec::new();
    for row in paused {
        resumed.push(resume(row.get("id"), &Before { before: None }, json).await?);
    }
    if json {
        output::write_json(&serde_json::json!({"campaigns": resumed}));
    }
    Ok(())
}

impl Cancel {
    pub async fn run(self) -> Result<(), Failure> {
        let case = Case::open(self.campaign).await?;
        let change = Change {
            from: &[
                CampaignStatus::Draft,
                CampaignStatus::Scheduled,
                CampaignStatus::Sending,
                CampaignStatus::Paused,
            ],
            to: CampaignStatus::Cancelled,
            at: None,
            before: None,
            why: self.why.as_deref(),
        };
        case.allows(&change)?;
        if !self.yes {
            confirm(
                &format!("A cancelled campaign cannot be resumed. Cancel \"{}\"?", case.name()),
                "nothing was changed",
            )?;
        }
        let status = case.change(&change).await?;
        if self.json {
            output::write_json(&case.as_json(status));
            return Ok(());
        }
        println!("\"{}\" is cancelled: within two seconds no more is sent.", case.name());
        Ok(())
    }
}

/// The campaign after the change, for a machine.
fn result(campaign: Uuid, status: CampaignStatus) -> serde_json::Value {
    serde_json::json!({"campaignId": campaign, "status": status.as_str()})
}

/// A change from one of several statuses to another.
struct Change<'a> {
    from: &'a [CampaignStatus],
    to: CampaignStatus,
    /// `scheduled_at`.
    at: Option<&'a str>,
    /// `send_before`.
    before: Option<&'a str>,
    /// `status_reason`.
    why: Option<&'a str>,
}

struct Case {
    database: Database,
    id: Uuid,
    status: CampaignStatus,
    source: Source,
}

/// The times of a campaign, and PostgreSQL's clock, which decides.
struct Times {
    now: Timestamp,
    scheduled_at: Option<Timestamp>,
    send_before: Option<Timestamp>,
}

impl Times {
    /// After what nothing is sent: as it is given now, or as the campaign has it.
    fn limit(&self, before: &Before) -> Option<Timestamp> {
        before.before.as_ref().map(Time::timestamp).or(self.send_before)
    }
}

impl Case {
    async fn times(&self) -> Result<Times, Failure> {
        // `infinity` is no time that is ever over.
        let sql = "SELECT now(), nullif(scheduled_at, 'infinity'), nullif(send_before, 'infinity') FROM campaigns WHERE id = $1";
        let rows = self.database.query(sql, &[(&self.id, Type::UUID)], soon()).await?;
        let row = rows.first().ok_or_else(|| self.gone())?;
        let time = |column| {
            row.try_get::<_, Option<SystemTime>>(column)
                .ok()
                .flatten()
                .and_then(|at| Timestamp::try_from(at).ok())
        };
        Ok(Times { now: time(0).unwrap_or_default(), scheduled_at: time(1), send_before: time(2) })
    }

    fn gone(&self) -> Failure {
        Failure::new(Exit::Data, format!("campaign {} is gone", self.id))
    }

    async fn open(id: Uuid) -> Result<Case, Failure> {
        let database = connect(DatabaseAccess::from_env()?).await?;
        let loaded = load::load(&database, Some(id), &[], None, soon()).await?;
        let campaign = loaded
            .campaign
            .ok_or_else(|| Failure::new(Exit::Data, format!("there is no campaign {id} in this database")))?;
        Ok(Case { database, id, status: campaign.status, source: campaign.source })
    }

    /// The result for a machine.
    fn as_json(&self, status: CampaignStatus) -> serde_json::Value {
        result(self.id, status)
    }

    fn name(&self) -> Cow<'_, str> {
        shown(&self.source.campaign_name)
    }

    /// The number of recipients. Counting millions takes a while, so it is not done when a campaign is
    /// stopped.
    async fn recipients(&self) -> Result<usize, Failure> {
        let sql = "SELECT count(*) FROM campaign_recipients WHERE campaign_id = $1";
        let counted = self.database.query(sql, &[(&self.id, Type::UUID)], patiently()).await?;
        let recipients: i64 = counted.first().map_or(0, |row| row.get(0));
        Ok(usize::try_from(recipients).unwrap_or_default())
    }

    fn check_templates(&self) -> Result<(), Failure> {
        match Templates::compile(self.source.clone()) {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::new(Exit::Data, format!("campaign {}: {error}", self.id))),
        }
    }

    fn allows(&self, change: &Change<'_>) -> Result<(), Failure> {
        if change.from.contains(&self.status) {
            return Ok(());
        }
        Err(self.not_from(self.status, change))
    }

    fn not_from(&self, status: CampaignStatus, change: &Change<'_>) -> Failure {
        let advice = match (status, change.to) {
            (CampaignStatus::Paused, CampaignStatus::Sending | CampaignStatus::Scheduled) => {
                format!("; go on with campaign send resume {}", self.id)
            }
            (CampaignStatus::Draft, _) => format!("; start it with campaign send start {}", self.id),
            _ => String::new(),
        };
        let from = change.from.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
        let message =
            format!("campaign {} is {status}: only what is {from} can become {}{advice}", self.id, change.to);
        Failure::new(Exit::Data, message)
    }

    /// Changes the status, and returns the new one.
    async fn change(&self, change: &Change<'_>) -> Result<CampaignStatus, Failure> {
        self.allows(change)?;
        let from: Vec<&str> = change.from.iter().map(|status| status.as_str()).collect();
        let to = change.to.as_str();
        let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
            (&self.id, Type::UUID),
            (&from, Type::TEXT_ARRAY),
            (&to, Type::TEXT),
            (&change.at, Type::TEXT),
            (&change.why, Type::TEXT),
            (&change.before, Type::TEXT),
        ];
        let rows = self.database.query(include_str!("change.sql"), &parameters, soon()).await?;
        let row = rows.first().ok_or_else(|| self.gone())?;
        let status = CampaignStatus::of(row.get("status"));
        if row.get("changed") { Ok(status) } else { Err(self.not_from(status, change)) }
    }
}
