//! The note of why an invocation sent no more of a campaign, which `campaign status` shows.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::address;
use crate::domain::cause::Cause;
use crate::domain::verdict::Verdict;
use crate::store::Database;

/// The note is for people only, so it may take this long at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest reason that is stored, in characters.
const MAX_REASON: usize = 1000;

/// Notes what an answer says: nothing, if the next invocation goes on at once or the campaign is at its end.
pub async fn answered(database: &Database, id: Uuid, verdict: &Verdict, until: Instant) {
    if let Some(cause) = verdict.cause {
        let reason = verdict.reason.as_deref().unwrap_or_default();
        note(database, id, ("wait", cause, reason), verdict.wait.as_secs_f64(), until).await;
    }
}

/// Notes that an invocation failed on the campaign.
pub async fn failed(database: &Database, id: Uuid, cause: Cause, reason: &str, until: Instant) {
    note(database, id, ("failed", cause, reason), 0.0, until).await;
}

/// Writes the note. A note that cannot be written is lost, and changes nothing for the invocation.
async fn note(
    database: &Database,
    id: Uuid,
    (status, cause, reason): (&str, Cause, &str),
    wait_seconds: f64,
    until: Instant,
) {
    if !cause.is_noted() {
        return;
    }
    let reason: String = address::without_addresses(reason).chars().take(MAX_REASON).collect();
    let parameters: crate::store::Parameters<'_> = &[
        (&id, Type::UUID),
        (&status, Type::TEXT),
        (&cause.code(), Type::TEXT),
        (&reason, Type::TEXT),
        (&wait_seconds, Type::FLOAT8),
    ];
    let until = until.min(Instant::now() + PATIENCE);
    if let Err(error) = database.query(include_str!("last_invocation.sql"), parameters, until).await {
        tracing::warn!(%error, campaign_id = %id, "why nothing more was sent could not be noted");
    }
}
