//! Step 1: the campaign and its templates.

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::render::Source;
use crate::database::{Database, DatabaseError};
use crate::result::Progress;

/// A campaign as it was loaded.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Its id.
    pub id: Uuid,
    /// Its organization.
    pub organization_id: Uuid,
    /// The column `status`.
    pub status: String,
    /// Sending, scheduled for a time that has come, or sent and recipients were added since.
    pub sendable: bool,
    /// Scheduled, but without a time.
    pub unscheduled: bool,
    /// The column `status_reason`.
    pub status_reason: Option<String>,
    /// The sender, as the column has it.
    pub from_address: String,
    /// Reply-to addresses, as the column has them, without nulls.
    pub reply_to: Vec<String>,
    /// The configuration set that the campaign names.
    pub configuration_set: Option<String>,
    /// Its templates.
    pub source: Source,
    /// Its counters.
    pub progress: Progress,
}

/// The campaign `id`, or the one that is most due and none of `passed_over`; and what the catalogue says of the
/// table `activities`, if that is asked. `None`: there is no such campaign.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn load(
    database: &Database,
    id: Option<Uuid>,
    passed_over: &[Uuid],
    activities: Option<&str>,
    until: Instant,
) -> Result<Option<(Campaign, Option<String>)>, DatabaseError> {
    let sql = include_str!("load.sql").replace("{catalogue}", include_str!("../activities.sql"));
    let rows = database
        .query(&sql, &[(&id, Type::UUID), (&passed_over, Type::UUID_ARRAY), (&activities, Type::TEXT)], until)
        .await?;
    Ok(rows.first().map(|row| (campaign(row), row.get("activities"))))
}

/// Where a campaign stands that has no total yet: sending has not started, and its recipients are counted here.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn count(database: &Database, id: Uuid, until: Instant) -> Result<Progress, DatabaseError> {
    let rows = database.query(include_str!("uncounted.sql"), &[(&id, Type::UUID)], until).await?;
    Ok(rows.first().map(progress).unwrap_or_default())
}

fn campaign(row: &Row) -> Campaign {
    Campaign {
        id: row.get("id"),
        organization_id: row.get("organization_id"),
        status: row.get("status"),
        sendable: row.get("sendable"),
        unscheduled: row.get("unscheduled"),
        status_reason: row.get("status_reason"),
        from_address: row.get("from_address"),
        reply_to: row.get("reply_to"),
        configuration_set: row.get("configuration_set"),
        source: Source {
            campaign_name: row.get("name"),
            subject: row.get("subject"),
            html: row.get("html"),
            text: row.get("text"),
            variables: row.get("variables"),
            transactional: row.get("transactional"),
        },
        progress: progress(row),
    }
}

/// The counters of a campaign's row.
pub(crate) fn progress(row: &Row) -> Progress {
    let count = |column| row.get::<_, i32>(column);
    let (total, sent, failed) = (count("total_count"), count("sent_count"), count("failed_count"));
    let (suppressed, uncertain) = (count("suppressed_count"), count("uncertain_count"));
    let remaining = (total - sent - failed - suppressed - uncertain).max(0);
    Progress { total, sent, failed, suppressed, uncertain, remaining }
}
