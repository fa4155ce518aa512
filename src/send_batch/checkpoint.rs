//! While sending: the high-water mark moves, what is known is noted, and the campaign's status is read.

use std::time::Instant;
use tokio_postgres::types::{Json, Type};

use super::claim::limit;
use crate::domain::batch::{Checkpoint, Limit};
use crate::domain::campaign::CampaignStatus;
use crate::store::{Database, DatabaseError};

/// What the campaign's row says at a checkpoint.
#[derive(Debug)]
pub struct Seen {
    /// The campaign's status.
    pub status: CampaignStatus,
    /// When sending must end.
    pub limit: Option<Limit>,
}

/// Commits a checkpoint and returns what the campaign's row says; `None`: the claim was lost, and nothing was written.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn commit(
    database: &Database,
    checkpoint: &Checkpoint,
    until: Instant,
) -> Result<Option<Seen>, DatabaseError> {
    let asked_at = Instant::now();
    let outcomes = (!checkpoint.outcomes.is_empty()).then_some(Json(&checkpoint.outcomes));
    let rows = database
        .query(
            include_str!("checkpoint.sql"),
            &[
                (&checkpoint.batch_id, Type::INT8),
                (&checkpoint.token, Type::UUID),
                (&checkpoint.mark, Type::INT8),
                (&checkpoint.number, Type::INT4),
                (&outcomes, Type::JSONB),
            ],
            until,
        )
        .await?;
    Ok(rows
        .first()
        .map(|row| Seen { status: CampaignStatus::of(row.get("status")), limit: limit(row, asked_at) }))
}
