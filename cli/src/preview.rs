//! `campaign preview`: shows and checks what a recipient gets, before sending.

mod dns;
mod dry_run;
mod file;
mod identity;
mod inbox;
mod rehearsal;
mod sample;
mod show;

use std::path::PathBuf;

use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::{connect, id, output, send_test, soon};
use campaign_sender::domain::batch::Recipient;
use campaign_sender::domain::campaign::{Campaign, CampaignStatus};
use campaign_sender::lambda::environment::Settings;
use campaign_sender::message::attachment::examine_attachments;
use campaign_sender::message::link::Links;
use campaign_sender::message::link_settings::UnsubscribeSettings;
use campaign_sender::message::preflight::campaign::examine_campaign;
use campaign_sender::message::preflight::message::examine_message;
use campaign_sender::message::preflight::{Finding, Findings};
use campaign_sender::message::render::Templates;
use campaign_sender::message::token::RecipientIds;
use campaign_sender::send_batch::attachments;
use campaign_sender::send_batch::load::{self};
use campaign_sender::send_batch::send::{Files, Sender};
use campaign_sender::store::Database;
use campaign_sender::store::activities::{TableError, plan};
use campaign_sender::store::keys::KeyStore;
use sample::Sample;

pub use sample::Selection;

/// Show what a recipient gets, with findings
///
/// Nothing is sent and nothing is changed, unless --send-to or --write asks for it. Findings are errors, which stop a
/// campaign, and warnings, which you judge; with an error the exit status is 65.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Preview {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Uuid,
    /// Show it for this recipient, by id or address; may be given several times [default: the first]
    #[arg(long = "recipient", value_name = "ID-OR-ADDRESS")]
    recipients: Vec<String>,
    /// Render the campaign for every recipient and count the findings
    #[arg(long)]
    check: bool,
    /// Show the HTML source instead of the text
    #[arg(long)]
    html: bool,
    /// Print what was found, and nothing else, as one JSON object on one line
    #[arg(long, conflicts_with_all = ["html", "inbox", "send_to", "file"])]
    json: bool,
    /// Serve an inbox page with it on this machine, until Ctrl-C
    #[arg(long)]
    inbox: bool,
    /// Write one page with the email and the findings to this file, to share with somebody who has no
    /// terminal
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Send it to this address through SES, marked as a test; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    send_to: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  campaign preview 5f0c2c1e-… --recipient ada@example.com
  campaign preview 5f0c2c1e-… --check
  campaign preview 5f0c2c1e-… --inbox
  campaign preview 5f0c2c1e-… --check --file spring.html
  campaign preview 5f0c2c1e-… --check --json | jq .findings
  campaign preview 5f0c2c1e-… --send-to me@example.com --send-to you@example.com";

impl Preview {
    pub async fn run(self) -> Result<(), Failure> {
        let settings = Settings::from_env()?;
        let case = Case::open(&settings, self.campaign).await?;
        let title = case.campaign.source.campaign_name.clone();
        let mut findings = case.findings();
        let templates = match Templates::compile(case.campaign.source.clone()) {
            Ok(templates) => templates,
            Err(error) => {
                findings.add(Finding::error("template", error.to_string()), None);
                let verdict = self.verdict(&findings, None);
                if let Some(path) = &self.file {
                    file::write(path, &title, &[], &findings, None)?;
                }
                if self.inbox {
                    inbox::serve(&title, &[], None, &findings).await?;
                }
                return verdict;
            }
        };
        let samples = case.samples(&templates, &self.selections()).await?;
        for sample in samples.iter().filter(|_| !self.json) {
            show::message(sample, &case.sender, self.html);
        }
        for finding in identity::examine(&case.campaign.from_address).await {
            findings.add(finding, None);
        }
        if self.check {
            case.check_activities_table(&settings, &mut findings).await?;
        }
        let checked = if self.check {
            let checked = dry_run::run(&case, &templates, &mut findings).await?;
            let begun = !matches!(case.campaign.status, CampaignStatus::Draft | CampaignStatus::Scheduled);
            if checked.total() == 0 && !begun {
                let text = "the campaign has no recipients: add some with campaign import";
                findings.add(Finding::error("no_recipients", text), None);
            }
            Some(checked)
        } else {
            for sample in &samples {
                for finding in sample.findings() {
                    findings.add(finding, Some(&sample.recipient.email));
                }
            }
            None
        };
        let verdict = self.verdict(&findings, checked);
        if let Some(path) = &self.file {
            let samples = case.samples_of_a_test(&templates, &samples);
            file::write(path, &title, &samples, &findings, checked.map(dry_run::Checked::total))?;
        }
        if !self.send_to.is_empty() {
            send_test::run(
                &case.campaign,
                &case.sender,
                &templates,
                &samples[0].recipient,
                &self.send_to,
                false,
            )
            .await?;
        }
        if self.inbox {
            inbox::serve(&title, &samples, checked.map(dry_run::Checked::total), &findings).await?;
        }
        verdict
    }

    /// Prints what was found.
    fn verdict(&self, findings: &Findings, checked: Option<dry_run::Checked>) -> Result<(), Failure> {
        if self.json {
            output::write_json(&show::as_json(self.campaign, findings, checked));
            return show::stopped(findings);
        }
        show::verdict(findings, checked)
    }

    fn selections(&self) -> Vec<Selection> {
        if self.recipients.is_empty() {
            return vec![Selection::First];
        }
        self.recipients.iter().map(|recipient| Selection::of(recipient)).collect()
    }
}

/// Sends what a recipient (the first, unless named) would get to `addresses`, marked as a test.
pub async fn send_tests(
    campaign: Uuid,
    recipient: Option<&str>,
    addresses: &[String],
    json: bool,
) -> Result<(), Failure> {
    let case = Case::open(&Settings::from_env()?, campaign).await?;
    let templates = case.templates()?;
    let selection = recipient.map_or(Selection::First, Selection::of);
    let recipient = sample::find(&case.database, campaign, &selection).await?;
    let sample = Sample::of(&templates, &case.sender, recipient.clone(), &case.campaign);
    let mut findings = case.findings();
    for finding in sample.findings() {
        findings.add(finding, None);
    }
    if !findings.is_empty() {
        for line in show::lines(&findings, None) {
            eprintln!("{line}");
        }
    }
    let sent = send_test::run(&case.campaign, &case.sender, &templates, &recipient, addresses, json).await?;
    if json {
        output::write_json(&serde_json::json!({"campaignId": campaign, "tests": sent}));
    }
    Ok(())
}

/// Has SES render the campaign's bulk calls without sending them, and compares them with single calls.
///
/// # Errors
/// When a part differs, or SES cannot be asked.
pub async fn rehearse(campaign: Uuid, recipients: &[String], json: bool) -> Result<(), Failure> {
    let case = Case::open(&Settings::from_env()?, campaign).await?;
    let templates = case.templates()?;
    let mut samples = Vec::new();
    if recipients.is_empty() {
        samples = rehearsal::first(&case, &templates).await?;
    }
    let selections: Vec<Selection> = recipients.iter().map(|recipient| Selection::of(recipient)).collect();
    samples.extend(case.samples(&templates, &selections).await?);
    rehearsal::run(&case, samples, json).await
}

/// Renders a campaign for all its recipients, as `--check` does, and prints the findings on standard error.
///
/// It does not check unsubscribe links, because they depend on the function's environment.
///
/// # Errors
/// When there are errors, which stop the campaign.
pub async fn check_all(campaign: Uuid) -> Result<(), Failure> {
    let mut settings = Settings::from_env()?;
    if Links::new(&settings.unsubscribe).is_err() {
        settings.unsubscribe = UnsubscribeSettings::stand_in();
    }
    let case = Case::open(&settings, campaign).await?;
    let mut findings = case.findings();
    case.check_activities_table(&settings, &mut findings).await?;
    let templates = case.templates()?;
    let checked = dry_run::run(&case, &templates, &mut findings).await?;
    if !findings.is_empty() {
        for line in show::lines(&findings, Some(checked)) {
            eprintln!("{line}");
        }
    }
    show::stopped(&findings)
}

/// A campaign, and what its preview needs.
pub struct Case {
    database: Database,
    campaign: Campaign,
    sender: Sender,
    /// The findings on its attachments.
    attachments: Vec<Finding>,
}

impl Case {
    async fn open(settings: &Settings, id: Uuid) -> Result<Case, Failure> {
        let database = connect(settings.database.clone()).await?;
        let loaded = load::load(&database, Some(id), &[], None, soon()).await?;
        let campaign = loaded
            .campaign
            .ok_or_else(|| Failure::new(Exit::Data, format!("there is no campaign {id} in this database")))?;
        // If these variables are not set, there are no links, and the checks report it.
        let keys = KeyStore::new(&settings.unsubscribe).current().await.ok().flatten();
        let links = Links::with_keys(&settings.unsubscribe, keys).ok();
        let attachments = match &campaign.attachments {
            Some(_) => attachments::load(&database, id, soon()).await?,
            None => Vec::new(),
        };
        let sender = Sender::new(&campaign, settings.configuration_set.as_deref(), links.as_ref())
            .with_files(Files::new(&attachments));
        let attachments = examine_attachments(&attachments, campaign.source.html.as_deref());
        Ok(Case { database, campaign, sender, attachments })
    }

    fn templates(&self) -> Result<Templates, Failure> {
        Templates::compile(self.campaign.source.clone())
            .map_err(|error| Failure::new(Exit::Data, format!("campaign {}: {error}", self.campaign.id)))
    }

    /// Findings on the campaign itself.
    fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        let Campaign { from_address, reply_to, source, .. } = &self.campaign;
        for finding in examine_campaign(from_address, reply_to, source.html.as_deref()) {
            findings.add(finding, None);
        }
        for finding in &self.attachments {
            findings.add(finding.clone(), None);
        }
        findings
    }

    /// Checks whether the activities table can take activities, as `send-batch` does before its first claim.
    async fn check_activities_table(
        &self,
        settings: &Settings,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        match plan::learn(&self.database, &settings.activities_table, &["email_sent"], &[], soon()).await {
            Ok(_) => Ok(()),
            Err(TableError::Unusable(problem)) => {
                findings.add(Finding::error("activities_table", problem.to_string()), None);
                Ok(())
            }
            Err(TableError::Database(error)) => Err(error.into()),
        }
    }

    async fn samples(&self, templates: &Templates, selections: &[Selection]) -> Result<Vec<Sample>, Failure> {
        let mut samples = Vec::new();
        for selection in selections {
            let recipient = sample::find(&self.database, self.campaign.id, selection).await?;
            samples.push(Sample::of(templates, &self.sender, recipient, &self.campaign));
        }
        Ok(samples)
    }

    /// The same messages with the links of a test email, which unsubscribe nobody.
    fn samples_of_a_test(&self, templates: &Templates, samples: &[Sample]) -> Vec<Sample> {
        let of = |sample: &Sample| {
            let nobody = Recipient { id: RecipientIds::NOBODY, ..sample.recipient.clone() };
            Sample::of(templates, &self.sender, nobody, &self.campaign)
        };
        samples.iter().map(of).collect()
    }
}

impl Sample {
    /// Findings on what this recipient gets, or the reason why it gets nothing.
    fn findings(&self) -> Vec<Finding> {
        match &self.message {
            Ok(message) => examine_message(&message.content),
            Err(finding) => vec![finding.clone()],
        }
    }
}
