//! Outcomes in their short form, and what recording them needs: the subjects of their emails.

use std::collections::HashMap;

use std::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::domain::outcome::Entry;
use crate::domain::outcome::Line;
use crate::domain::recipient::Status;
use crate::message::render::Templates;
use crate::store::person::person;
use crate::store::{Database, DatabaseError};

/// Adds to the outcomes what recording them needs.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`.
pub async fn lines(
    database: &Database,
    campaign_id: Uuid,
    templates: Option<&Templates>,
    fallback_subject: &str,
    entries: Vec<Entry>,
    until: Instant,
) -> Result<Vec<Line>, DatabaseError> {
    let sent: Vec<Uuid> = entries
        .iter()
        .filter(|entry| entry.outcome.status() == Status::Sent)
        .map(|entry| entry.recipient_id)
        .collect();
    let mut subjects = subjects(database, campaign_id, templates, fallback_subject, &sent, until).await?;
    Ok(entries
        .into_iter()
        .map(|Entry { recipient_id, outcome }| Line {
            subject: subjects.remove(&recipient_id),
            recipient_id,
            outcome,
        })
        .collect())
}

/// The subjects of those of these recipients that are not `sent`, for their activities. Each is rendered
/// again, with the same result as when the email was sent, unless the campaign was edited since.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`.
pub async fn subjects(
    database: &Database,
    campaign_id: Uuid,
    templates: Option<&Templates>,
    fallback: &str,
    recipients: &[Uuid],
    until: Instant,
) -> Result<HashMap<Uuid, String>, DatabaseError> {
    if recipients.is_empty() {
        return Ok(HashMap::new());
    }
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&campaign_id, Type::UUID), (&recipients, Type::UUID_ARRAY)];
    let rows = database.query(include_str!("subjects.sql"), &parameters, until).await?;
    let subject = |row: &Row| {
        let subject = templates.and_then(|templates| templates.subject(&person(row)).ok());
        (row.get("id"), subject.unwrap_or_else(|| fallback.to_owned()))
    };
    Ok(rows.iter().map(subject).collect())
}
