//! Notes why an invocation sent no more of a campaign, for `campaign status`.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::cause::Cause;
use crate::domain::personal;
use crate::domain::result::BatchResult;
use crate::lambda::Failure;
use crate::store::Database;

/// The longest time for the note, which is only for people.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest reason that is stored, in characters.
const MAX_REASON: usize = 1000;

/// Notes the result, unless the next invocation continues at once or the campaign has ended.
pub async fn of_result(database: &Database, result: &BatchResult, until: Instant) {
    if let (Some(id), Some(cause)) = (result.campaign_id, result.cause) {
        // Why PostgreSQL could not record says more than that it could not.
        let refusal = result.activities.error.as_deref().filter(|_| cause == Cause::Unrecorded);
        let reason = refusal.or(result.reason.as_deref()).unwrap_or_default();
        note(database, id, ("wait", cause, reason), result.wait_seconds, until).await;
    }
}

/// Notes a failure, if it is about the campaign.
pub async fn of_failure(database: &Database, id: Uuid, failure: &Failure, until: Instant) {
    if let Some(cause) = Cause::of_error(failure.kind) {
        note(database, id, ("failed", cause, &failure.message), 0, until).await;
    }
}

/// Notes that an invocation skipped the campaign.
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
    let reason: String = personal::masked(reason).chars().take(MAX_REASON).collect();
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
