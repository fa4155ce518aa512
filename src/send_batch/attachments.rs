//! The attachments of every email of a campaign.

use std::time::Instant;

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::message::attachment::{Attachment, MAX_MESSAGE_BYTES};
use crate::store::{Database, DatabaseError};

/// Reads the files. If they are too large for a message, their contents are left out.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`.
pub async fn load(
    database: &Database,
    campaign_id: Uuid,
    until: Instant,
) -> Result<Vec<Attachment>, DatabaseError> {
    let most = i64::try_from(MAX_MESSAGE_BYTES).unwrap_or(i64::MAX);
    let rows = database
        .query(include_str!("attachments.sql"), &[(&campaign_id, Type::UUID), (&most, Type::INT8)], until)
        .await?;
    Ok(rows
        .iter()
        .map(|row| Attachment {
            file_name: row.get("file_name"),
            content_type: row.get("content_type"),
            content: row.get::<_, Option<Vec<u8>>>("content").unwrap_or_default(),
            bytes: usize::try_from(row.get::<_, i64>("bytes")).unwrap_or_default(),
            content_id: row.get("content_id"),
            inline: row.get("inline"),
        })
        .collect())
}
