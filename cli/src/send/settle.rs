//! Before a campaign is resumed: settles emails that SES accepted and whose activities the table refused.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{patiently, soon};
use campaign_sender::domain::campaign::Source;
use campaign_sender::domain::outcome::Entry;
use campaign_sender::lambda::environment::Settings;
use campaign_sender::message::render::Templates;
use campaign_sender::send_batch::record::{self, Record, Statement};
use campaign_sender::send_batch::{lines, refused};
use campaign_sender::store::activities::plan;
use campaign_sender::store::{Database, DatabaseError};

/// Makes them `sent`, each with its activity, and returns their number. A recipient whose activity is refused
/// again stays `uncertain`.
///
/// # Errors
/// Fails if the table still takes no activity, so that the campaign would be halted again.
pub async fn settle_refused(database: &Database, id: Uuid, source: &Source) -> Result<usize, Failure> {
    let mut settled = 0;
    while has_uncertain(database, id).await? {
        let entries = refused::entries(database, id, patiently()).await?;
        let written = if entries.is_empty() { 0 } else { settle(database, id, source, entries).await? };
        settled += written;
        if written == 0 {
            break;
        }
    }
    Ok(settled)
}

/// For most campaigns the counter is zero, so their recipients are not read.
async fn has_uncertain(database: &Database, id: Uuid) -> Result<bool, Failure> {
    let sql = "SELECT uncertain_count > 0 FROM campaigns WHERE id = $1";
    let rows = database.query(sql, &[(&id, Type::UUID)], soon()).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

async fn settle(
    database: &Database,
    id: Uuid,
    source: &Source,
    entries: Vec<Entry>,
) -> Result<usize, Failure> {
    let table = Settings::from_env()?.activities_table;
    let statement = Statement::new(&plan::learn(database, &table, &["email_sent"], &[], soon()).await?);
    let templates = Templates::compile(source.clone()).ok();
    let lines = lines::lines(database, id, templates.as_ref(), &source.subject, entries, soon()).await?;
    let whole = Record { lines: &lines, ..Record::nothing(id) };
    let recorded = match record::record_whole(database, &statement, &whole, soon()).await {
        Err(error @ DatabaseError::Refused(_)) => {
            record::record_apart(database, &statement, &whole, error, soon()).await?
        }
        recorded => recorded?,
    };
    let Some(recorded) = recorded else { return Ok(0) };
    match recorded.halted {
        Some(reason) => Err(Failure::new(Exit::Data, format!("campaign {id} is not changed: {reason}"))),
        None => Ok(recorded.activities as usize),
    }
}
