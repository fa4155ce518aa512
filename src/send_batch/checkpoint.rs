//! While sending: the high-water mark moves, what is known is noted, and the campaign's status is read.

use std::time::Instant;
use tokio_postgres::types::{Json, Type};

use crate::domain::batch::Checkpoint;
use crate::domain::campaign::CampaignStatus;
use crate::store::{Database, DatabaseError};

/// Commits a checkpoint and returns the campaign's status; `None`: the claim was lost, and nothing was written.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn commit(
    database: &Database,
    checkpoint: &Checkpoint,
    until: Instant,
) -> Result<Option<CampaignStatus>, DatabaseError> {
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
    Ok(rows.first().map(|row| CampaignStatus::of(row.get(0))))
}
