//! The note of why an invocation sent no more of a campaign, which `campaign status` shows.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::address;
use crate::domain::cause::Cause;
use crate::domain::result::BatchResult;
use crate::lambda::Failure;
use crate::store::Database;

/// The note is for people only, so it may take this long at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest reason that is stored, in characters.
const MAX_REASON: usize = 1000;

/// Notes what a result says: nothing, if the next invocation goes on at once or the campaign is at its end.
pub async fn of_result(database: &Database, result: &BatchResult, until: Instant) {
    if let (Some(id), Some(cause)) = (result.campaign_id, result.cause) {
        let reason = result.reason.as_deref().unwrap_or_default();
        note(database, id, ("wait", cause, reason), result.wait_seconds, until).await;
    }
}

/// Notes a failure, if it says something of the campaign.
pub async fn of_failure(database: &Database, id: Uuid, failure: &Failure, until: Instant) {
    if let Some(cause) = Cause::of_error(failure.kind) {
        note(database, id, ("failed", cause, &failure.message), 0, until).await;
    }
}

/// Notes that an invocation passed the campaign over.
pub async fn passed_over(database: &Database, id: Uuid, cause: Cause, reason: &str, until: Instant) {
    note(database, id, ("failed", cause, reason), 0, until).await;
}

/// Writes the note. A note that cannot be written is lost, and changes nothing for the invocation.
async fn note(
    database: &Database,
    id: Uuid,
    (status, cause, reason): (&str, Cause, &str),
    wait_seconds: u64,
    until: Instant,
) {
    if !cause.is_noted() {
        return;
    }
    let reason: String = address::without_addresses(reason).chars().take(MAX_REASON).collect();
    #[allow(clippy::cast_precision_loss, reason = "the statement bounds it")]
    let wait = wait_seconds as f64;
    let parameters: crate::store::Parameters<'_> = &[
        (&id, Type::UUID),
        (&status, Type::TEXT),
        (&cause.code(), Type::TEXT),
        (&reason, Type::TEXT),
        (&wait, Type::FLOAT8),
    ];
    let until = until.min(Instant::now() + PATIENCE);
    if let Err(error) = database.query(include_str!("last_invocation.sql"), parameters, until).await {
        tracing::warn!(%error, campaign_id = %id, "why nothing more was sent could not be noted");
    }
}
