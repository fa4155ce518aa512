//! What is owed from an earlier invocation: outcomes that it noted, or handed on, and could not record.

use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::record::Line;
use super::render::{Person, Templates};
use crate::database::{Database, DatabaseError};
use crate::lifecycle::Status;
use crate::outcome::Entry;

/// The outcomes with what recording them needs: the subject of a sent email is rendered again, which gives the
/// same as it did when the email was sent, unless the campaign was edited since.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
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
    let rows = if sent.is_empty() {
        Vec::new()
    } else {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&campaign_id, Type::UUID), (&sent, Type::UUID_ARRAY)];
        database.query(include_str!("pay.sql"), &parameters, until).await?
    };
    let subjects: std::collections::HashMap<Uuid, String> = rows
        .iter()
        .map(|row| {
            let (email, name): (String, Option<String>) = (row.get("email"), row.get("name"));
            let variables: Option<String> = row.get("variables");
            let person = Person { email: &email, name: name.as_deref(), variables: variables.as_deref() };
            let subject = templates.and_then(|templates| templates.subject(&person).ok());
            (row.get("id"), subject.unwrap_or_else(|| fallback_subject.to_owned()))
        })
        .collect();
    Ok(entries
        .into_iter()
        .map(|Entry { recipient_id, outcome }| Line {
            subject: subjects.get(&recipient_id).cloned(),
            recipient_id,
            outcome,
        })
        .collect())
}
