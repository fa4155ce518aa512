//! Settles recipients by a person's decision.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{format, soon};
use super::{Case, Decision, agrees};
use campaign_sender::send_batch::{lines, load};

/// The recipients to settle, the new status, the person and the reason.
pub struct Order {
    pub decision: Decision,
    /// None: all uncertain recipients.
    pub recipients: Vec<Uuid>,
    pub by: String,
    pub why: String,
    pub yes: bool,
}

/// An uncertain recipient.
struct Doubt {
    id: Uuid,
    email: String,
    code: String,
    age: Duration,
}

impl Order {
    pub async fn run(self, case: &Case) -> Result<(), Failure> {
        let doubts = self.doubts(case).await?;
        if doubts.is_empty() {
            println!("Nobody of \"{}\" is uncertain: there is nothing to settle.", case.name());
            return Ok(());
        }
        describe(case, &doubts);
        self.confirm(&doubts)?;
        self.settle(case, &doubts).await
    }

    /// The recipients to settle.
    async fn doubts(&self, case: &Case) -> Result<Vec<Doubt>, Failure> {
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
            .map(|row| match (row.get("id"), row.get("status")) {
                (id, "uncertain") => Ok(Doubt {
                    id,
                    email: row.get("email"),
                    code: row.get::<_, Option<String>>("error_code").unwrap_or_default(),
                    age: Duration::from_secs_f64(
                        row.get::<_, Option<f64>>("age_seconds").unwrap_or_default().max(0.0),
                    ),
                }),
                (id, status) => {
                    let message = format!("--recipient {id} is {status}, not uncertain: nothing was changed");
                    Err(Failure::new(Exit::Data, message))
                }
            })
            .collect()
    }

    fn confirm(&self, doubts: &[Doubt]) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::new(
                Exit::Usage,
                "there is no terminal to ask at: give --yes to do it without asking",
            ));
        }
        let recipients = format::counted(doubts.len(), "recipient");
        let question = match self.decision {
            Decision::Sent => format!("Take it that {recipients} got the email? Each gets its activity."),
            Decision::Failed => {
                format!("Take it that {recipients} did not get the email, and leave it at that?")
            }
            Decision::Resend => {
                format!("Send the email to {recipients} again? Whoever has got it gets it twice.")
            }
        };
        if agrees(&question) { Ok(()) } else { Err(Failure::new(Exit::Declined, "nothing was changed")) }
    }

    async fn settle(&self, case: &Case, doubts: &[Doubt]) -> Result<(), Failure> {
        let ids: Vec<Uuid> = doubts.iter().map(|doubt| doubt.id).collect();
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
        let (settled, campaign_status): (Vec<Uuid>, String) = (row.get("ids"), row.get("status"));
        tracing::info!(
            campaign_id = %case.campaign.id,
            status,
            by = self.by,
            why = self.why,
            settled = settled.len(),
            recipient_ids = settled.iter().map(Uuid::to_string).collect::<Vec<_>>().join(" "),
            "resolved by hand"
        );
        self.summarize(&settled, ids.len(), &campaign_status, load::progress(row));
        Ok(())
    }

    fn summarize(
        &self,
        settled: &[Uuid],
        asked: usize,
        campaign: &str,
        progress: campaign_sender::domain::result::Progress,
    ) {
        println!(
            "{} now {}.",
            format::counted(settled.len(), "recipient"),
            match self.decision {
                Decision::Sent => "sent, with an activity for each",
                Decision::Failed => "failed",
                Decision::Resend => "pending again",
            }
        );
        if settled.len() < asked {
            println!(
                "{} settled meanwhile by other word, and left as they are.",
                format::count(asked as u64 - settled.len() as u64)
            );
        }
        println!(
            "The campaign is {campaign}: {} of {} sent, {} failed, {} suppressed, {} uncertain, {} to send.",
            format::count(progress.sent),
            format::count(progress.total),
            format::count(progress.failed),
            format::count(progress.suppressed),
            format::count(progress.uncertain),
            format::count(progress.remaining),
        );
        match (self.decision, campaign) {
            (Decision::Resend, "sending") => println!("The next invocation of send-batch sends to them."),
            (Decision::Resend, _) => println!("They are sent to when the campaign is sending again."),
            _ => {}
        }
    }
}

/// The uncertain recipients by cause.
fn describe(case: &Case, doubts: &[Doubt]) {
    println!("\"{}\": {} uncertain", case.name(), format::counted(doubts.len(), "recipient"));
    let mut causes: BTreeMap<&str, Vec<&Doubt>> = BTreeMap::new();
    for doubt in doubts {
        causes.entry(&doubt.code).or_default().push(doubt);
    }
    for (code, doubts) in causes {
        let oldest = doubts.iter().map(|doubt| doubt.age).max().unwrap_or_default();
        println!(
            "  {:>6}  {code}, for up to {}, such as {} ({})",
            format::count(doubts.len() as u64),
            format::duration(oldest),
            doubts[0].email,
            doubts[0].id
        );
    }
}
