//! Step 1: the campaign, and how the activities table is written.

use std::time::Instant;

use uuid::Uuid;

use super::recorder::Recorder;
use super::{last_invocation, load};
use crate::domain::cause::Cause;
use crate::store::activities::TableError;

pub use super::load::Loaded;

/// Loads the campaign `id`, or the one that is most due and none of `passed_over`. The first time, the activities table is
/// learned from the same round trip.
///
/// # Errors
/// When PostgreSQL does not answer by `until` or refuses to read the campaign, or the activities table cannot be used.
pub async fn load(
    recorder: &Recorder,
    id: Option<Uuid>,
    passed_over: &[Uuid],
    until: Instant,
) -> Result<Loaded, TableError> {
    let loaded = load::load(recorder.database(), id, passed_over, recorder.unknown_table(), until).await?;
    if let Some(catalogue) = &loaded.catalogue {
        let learned = recorder.learn_from(catalogue, until).await;
        if let (Err(TableError::Unusable(error)), Some(campaign)) = (&learned, &loaded.campaign) {
            let (id, cause) = (campaign.id, Cause::UnusableActivitiesTable);
            last_invocation::passed_over(recorder.database(), id, cause, &error.to_string(), until).await;
        }
        learned?;
    }
    Ok(loaded)
}
