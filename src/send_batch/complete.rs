//! The last step: a campaign whose recipients all have an outcome becomes `sent`.

use std::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::store::{Database, DatabaseError};

/// What the recipients themselves say, when by the counters nobody is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Every recipient has an outcome; the campaign is `sent`.
    Complete,
    /// Other invocations hold the rest.
    Busy,
    /// A transaction that has added recipients is still open.
    OpenImport,
    /// There are recipients to send.
    Pending,
}

/// Completes a campaign if every recipient has an outcome.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn complete(
    database: &Database,
    campaign_id: Uuid,
    until: Instant,
) -> Result<Completion, DatabaseError> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&campaign_id, Type::UUID)];
    let rows = database.query("SELECT complete_campaign($1)", &parameters, until).await?;
    Ok(match rows.first().map(|row| row.get::<_, String>(0)).as_deref() {
        Some("complete") => Completion::Complete,
        Some("busy") => Completion::Busy,
        Some("inserting") => Completion::OpenImport,
        _ => Completion::Pending,
    })
}
