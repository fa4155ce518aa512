//! Emails that SES accepted and whose activities were refused; they become `sent` when the table takes the
//! activities.

use std::time::SystemTime;

use std::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::outcome::{Entry, Outcome};
use crate::store::{Database, DatabaseError};

/// The emails of a campaign that SES accepted and whose activities were refused, at most 5,000. Recording
/// them again makes each `sent` with its activity, or leaves it `uncertain` if the activity is refused again.
///
/// This reads all recipients of the campaign.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`.
pub async fn entries(
    database: &Database,
    campaign_id: Uuid,
    until: Instant,
) -> Result<Vec<Entry>, DatabaseError> {
    let rows = database.query(include_str!("refused.sql"), &[(&campaign_id, Type::UUID)], until).await?;
    Ok(rows
        .iter()
        .map(|row| Entry {
            recipient_id: row.get("id"),
            outcome: Outcome::Sent {
                message_id: row.get("message_id"),
                at: row.get::<_, Option<SystemTime>>("at").unwrap_or_else(SystemTime::now),
            },
        })
        .collect())
}
