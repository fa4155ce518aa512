//! The I/O of the reputation guard ([`crate::domain::guard`]): it reads the figures and pauses campaigns.

use std::time::Instant;

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::domain::guard::{Stop, Watched};
use crate::store::{Database, DatabaseError};

/// Reads the figures that `record.sql` returns.
pub(super) fn read(json: Option<&str>) -> Vec<Watched> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// Pauses each of the campaigns that is still sending, with its reason, and returns those that it paused.
/// Feedback that was judged does not count again. A repetition changes nothing.
///
/// # Errors
/// When PostgreSQL does not answer by `until`, or refuses.
pub async fn pause(database: &Database, stops: &[Stop], until: Instant) -> Result<Vec<Uuid>, DatabaseError> {
    let ids: Vec<Uuid> = stops.iter().map(|stop| stop.campaign_id).collect();
    let reasons: Vec<&str> = stops.iter().map(|stop| stop.reason.as_str()).collect();
    let mut judged: Vec<Uuid> = stops.iter().flat_map(|stop| stop.judged.iter().copied()).collect();
    judged.sort_unstable();
    judged.dedup();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&ids, Type::UUID_ARRAY), (&reasons, Type::TEXT_ARRAY), (&judged, Type::UUID_ARRAY)];
    let rows = database.query(include_str!("pause.sql"), &parameters, until).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
