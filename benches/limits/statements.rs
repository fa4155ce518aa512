//! The claim and the record as the function makes them, through the same code.

use std::env;
use std::error::Error;
use std::time::{Duration, SystemTime};

use campaign_sender::domain::batch::Batch;
use campaign_sender::domain::deadline::Deadline;
use campaign_sender::domain::outcome::Line;
use campaign_sender::domain::outcome::Outcome;
use campaign_sender::send_batch::claim::{self, Claim, Wish};
use campaign_sender::send_batch::record::{self, Closing, Record, STATEMENT};
use campaign_sender::store::Database;
use campaign_sender::store::activities::plan;
use campaign_sender::store::settings::{DatabaseAccess, database_url};
use std::time::Instant;
use uuid::Uuid;

/// One campaign, and the connection to its database.
pub struct Statements {
    database: Database,
    campaign_id: Uuid,
    record: String,
}

impl Statements {
    /// From `DATABASE_URL` and `CAMPAIGN_ID`.
    pub async fn from_env() -> Result<Statements, Box<dyn Error>> {
        let url = database_url(env::var("DATABASE_URL").ok())?;
        let database = Database::new(&DatabaseAccess::from(url))?;
        let campaign_id = env::var("CAMPAIGN_ID")?.parse()?;
        let until = Instant::now() + Duration::from_secs(10);
        let table = plan::learn(&database, "activities", &["email_sent"], &[], until).await?;
        let record = table.fill(STATEMENT);
        Ok(Statements { database, campaign_id, record })
    }

    /// The next batch.
    pub async fn claim(&self, size: u32) -> Result<Batch, Box<dyn Error>> {
        let wish = Wish {
            campaign_id: self.campaign_id,
            token: Uuid::new_v4(),
            size,
            alone: false,
            region: "eu-central-1",
            per_second: Some(1e6),
            catch_up: 0.25,
            deadline: Deadline::new(0, SystemTime::now(), Instant::now(), Duration::from_secs(300)),
            templates_hash: "",
            history: &claim::History::new(Duration::ZERO),
        };
        match claim::claim(&self.database, &wish).await? {
            Claim::Batch(batch) => Ok(batch),
            other => Err(format!("the claim answered {other:?}").into()),
        }
    }

    /// Records a batch of which every message was accepted.
    pub async fn record(&self, batch: &Batch, lines: &[Line]) -> Result<(), Box<dyn Error>> {
        let closing =
            Closing { batch_id: batch.id, token: batch.token, whole: true, reopen: false, owner_lost: false };
        let record = Record { closing: Some(closing), lines, ..Record::nothing(self.campaign_id) };
        let until = Instant::now() + Duration::from_secs(60);
        let recorded = record::record(&self.database, &self.record, &record, until).await?;
        let activities = recorded.map_or(0, |recorded| recorded.activities);
        if activities as usize == lines.len() {
            Ok(())
        } else {
            Err(format!("{activities} activities of {} are recorded", lines.len()).into())
        }
    }
}

/// The outcomes of a batch, as long as real ones.
pub fn accepted(batch: &Batch) -> Vec<Line> {
    let line = |recipient: &campaign_sender::domain::batch::Recipient| Line {
        recipient_id: recipient.id,
        outcome: Outcome::Sent {
            message_id: format!("0107019a5b3c4d5e-{}-000000", recipient.id),
            at: SystemTime::now(),
        },
        subject: Some(subject(recipient)),
    };
    batch.recipients.iter().map(line).collect()
}

/// The subject of an email.
pub fn subject(recipient: &campaign_sender::domain::batch::Recipient) -> String {
    let name = recipient.name.as_deref().map_or_else(|| "The".to_owned(), |name| format!("{name}, the"));
    format!("{name} spring harvest is here, with 123 points for you")
}
