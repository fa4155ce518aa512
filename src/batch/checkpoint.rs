//! While sending: the high-water mark moves, what is known is noted, and the campaign's status is read.

use tokio::time::Instant;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use crate::database::{Database, DatabaseError};
use crate::outcome::Entry;

/// One checkpoint of a batch.
#[derive(Debug)]
pub struct Checkpoint {
    /// The batch.
    pub batch_id: i64,
    /// The claim under which it is worked on.
    pub token: Uuid,
    /// 1, 2, 3, … within the batch.
    pub number: i32,
    /// Nothing beyond this position is handed to SES before the checkpoint is committed.
    pub mark: i64,
    /// The outcomes since the last checkpoint.
    pub outcomes: Vec<Entry>,
}

/// Commits a checkpoint and returns the campaign's status; `None`: the claim was lost, and nothing was written.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn commit(
    database: &Database,
    checkpoint: &Checkpoint,
    until: Instant,
) -> Result<Option<String>, DatabaseError> {
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
    Ok(rows.first().map(|row| row.get(0)))
}
