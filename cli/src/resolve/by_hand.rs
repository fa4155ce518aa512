//! Settles recipients by a person's decision.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{format, output, soon, terminal};
use super::{Case, Decision};
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::domain::recipient::Status;
use campaign_sender::domain::result::Progress;
use campaign_sender::send_batch::{lines, load};

/// The recipients to settle, the new status, the person and the reason.
pub struct Order {
    pub decision: Decision,
    /// None: all uncertain recipients.
    pub recipients: Vec<Uuid>,
    pub by: String,
    pub why: String,
    pub yes: bool,
    /// The result is for a machine.
    pub json: bool,
}

/// An uncertain recipient.
struct Uncertain {
    id: Uuid,
    email: String,
    code: String,
    age: Duration,
    /// SES is known to have accepted the email: only its activity is missing.
    accepted: bool,
}

impl Order {
    pub async fn run(self, case: &Case) -> Result<(), Failure> {
        let (accepted, uncertain): (Vec<_>, Vec<_>) = self
            .uncertain(case)
            .await?
            .into_iter()
            .partition(|recipient| recipient.accepted && self.decision == Decision::Resend);
        self.leave(&accepted)?;
        if uncertain.is_empty() {
            if self.json {
                let (status, progress) = (case.campaign.status, case.campaign.progress);
                output::write_json(&self.as_json(case, &[], accepted.len(), status, progress));
            } else {
                let nobody = if accepted.is_empty() { "Nobody" } else { "Nobody else" };
                println!("{nobody} of \"{}\" is uncertain: there is nothing to settle.", case.name());
            }
            return Ok(());
        }
        if !self.json {
            describe(case, &uncertain);
        }
        self.confirm(uncertain.len())?;
        self.settle(case, &uncertain, accepted.len()).await
    }

    /// Says that these recipients are not sent to again.
    fn leave(&self, accepted: &[Uncertain]) -> Result<(), Failure> {
        if let Some(Uncertain { id, .. }) = accepted.iter().find(|of| self.recipients.contains(&of.id)) {
            let message = format!(
                "--recipient {id}: Amazon SES has accepted its email, so it is not sent again; give --as sent: nothing was changed"
            );
            return Err(Failure::new(Exit::Data, message));
        }
        if !accepted.is_empty() && !self.json {
            println!(
                "Not sent again, because Amazon SES has accepted their emails: {}. --as sent settles them.",
                format::counted(accepted.len(), "recipient")
            );
        }
        Ok(())
    }

    /// The recipients to settle.
    async fn uncertain(&self, case: &Case) -> Result<Vec<Uncertain>, Failure> {
        let wanted = (!self.recipients.is_empty()).then_some(&self.recipients);
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&case.campaign.id, Type::UUID), (&wanted, Type::UUID_ARRAY)];
        let rows = case.database.query(include_str!("uncertain.sql"), &parameters, soon()).await?;
        if let Some(id) =
            self.recipients.iter().find(|id| rows.iter().all(|row| row.get::<_, Uuid>("id") != **id))
        {
            return Err(Failure::new(
                Exit::Data,
                format!("--recipient {id}: the campaign has no such recipient"),
            ));
        }
        rows.iter()
            .map(|row| match (row.get("id"), Status::of(row.get("status"))) {
                (id, Status::Uncertain) => Ok(Uncertain {
                    id,
                    email: row.get("email"),
                    code: row.get::<_, Option<String>>("error_code").unwrap_or_default(),
                    age: Duration::from_secs_f64(
                        row.get::<_, Option<f64>>("age_seconds").unwrap_or_default().max(0.0),
                    ),
                    accepted: row.get("accepted"),
                }),
                (id, status) => {
                    let message = format!("--recipient {id} is {status}, not uncertain: nothing was changed");
                    Err(Failure::new(Exit::Data, message))
                }
            })
            .collect()
    }

    fn confirm(&self, uncertain: usize) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        let recipients = format::counted(uncertain, "recipient");
        let question = match self.decision {
            Decision::Sent => format!("Record that {recipients} got the email, with an activity for each?"),
            Decision::Failed => {
                format!("Record that {recipients} did not get the email, without sending it again?")
            }
            Decision::Resend => {
                format!("Send the email to {recipients} again? Those who already got it get it twice.")
            }
        };
        terminal::confirm(&question, "nothing was changed")
    }

    /// Settles these recipients; `left` others were left alone.
    async fn settle(&self, case: &Case, uncertain: &[Uncertain], left: usize) -> Result<(), Failure> {
        let ids: Vec<Uuid> = uncertain.iter().map(|recipient| recipient.id).collect();
        let mut subjects = match self.decision {
            Decision::Sent => {
                let (templates, subject) = (case.templates.as_ref(), case.subject());
                lines::subjects(&case.database, case.campaign.id, templates, subject, &ids, soon()).await?
            }
            Decision::Resend | Decision::Failed => std::collections::HashMap::new(),
        };
        let subjects: Vec<Option<String>> = ids.iter().map(|id| subjects.remove(id)).collect();
        let (status, error) =
            (self.decision.status().as_str(), format!("decided by {}: {}", self.by, self.why));
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&case.campaign.id, Type::UUID),
            (&ids, Type::UUID_ARRAY),
            (&subjects, Type::TEXT_ARRAY),
            (&status, Type::TEXT),
            (&error, Type::TEXT),
        ];
        let statement = case.activities.fill(include_str!("by_hand.sql"));
        let rows = case.database.query(&statement, &parameters, soon()).await?;
        let row =
            rows.first().ok_or_else(|| Failure::new(Exit::Data, "the campaign was deleted meanwhile"))?;
        let (settled, campaign_status): (Vec<Uuid>, _) =
            (row.get("ids"), CampaignStatus::of(row.get("status")));
        tracing::info!(
            campaign_id = %case.campaign.id,
            status,
            by = self.by,
            why = self.why,
            settled = settled.len(),
            recipient_ids = settled.iter().map(Uuid::to_string).collect::<Vec<_>>().join(" "),
            "resolved by hand"
        );
        let progress = load::progress(row);
        let skipped = ids.len() - settled.len().min(ids.len());
        if self.json {
            output::write_json(&self.as_json(case, &settled, skipped + left, campaign_status, progress));
        } else {
            self.summarize(settled.len(), skipped, campaign_status, progress);
        }
        Ok(())
    }

    /// The result for a machine. `skipped`: recipients that were settled meanwhile by other evidence, or whose emails SES has
    /// accepted.
    fn as_json(
        &self,
        case: &Case,
        settled: &[Uuid],
        skipped: usize,
        campaign: CampaignStatus,
        progress: Progress,
    ) -> serde_json::Value {
        serde_json::json!({
            "campaignId": case.campaign.id,
            "as": self.decision.as_str(),
            "recipients": settled.len(),
            "recipientIds": settled,
            "skipped": skipped,
            "status": campaign.as_str(),
            "progress": progress,
        })
    }

    fn summarize(&self, settled: usize, skipped: usize, campaign: CampaignStatus, progress: Progress) {
        println!(
            "{} now {}.",
            format::counted(settled, "recipient"),
            match self.decision {
                Decision::Sent => "sent, with an activity for each",
                Decision::Failed => Status::Failed.as_str(),
                Decision::Resend => "pending again",
            }
        );
        if skipped > 0 {
            println!(
                "Not changed, because they were settled in the meantime: {}.",
                format::counted(skipped, "recipient")
            );
        }
        println!("The campaign is {campaign}: {}.", format::progress(&progress));
        match (self.decision, campaign) {
            (Decision::Resend, CampaignStatus::Sending) => {
                println!("The next invocation of send-batch sends to them.");
            }
            (Decision::Resend, _) => println!("They are sent to when the campaign is sending again."),
            (Decision::Sent | Decision::Failed, _) => {}
        }
    }
}

/// The uncertain recipients by cause.
fn describe(case: &Case, uncertain: &[Uncertain]) {
    println!("\"{}\": {} uncertain", case.name(), format::counted(uncertain.len(), "recipient"));
    let mut causes: BTreeMap<&str, Vec<&Uncertain>> = BTreeMap::new();
    for recipient in uncertain {
        causes.entry(&recipient.code).or_default().push(recipient);
    }
    for (code, uncertain) in causes {
        let oldest = uncertain.iter().map(|recipient| recipient.age).max().unwrap_or_default();
        println!(
            "  {:>6}  {code}, for up to {}, for example {} ({})",
            format::count(uncertain.len() as u64),
            format::duration(oldest),
            uncertain[0].email,
            uncertain[0].id
        );
    }
}
