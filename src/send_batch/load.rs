//! Loads the campaign and its templates.

use std::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::campaign::{Campaign, CampaignStatus, Source, Tracking};
use crate::domain::result::Progress;
use crate::store::{Database, DatabaseError};

/// What an invocation works on.
#[derive(Debug)]
pub struct Loaded {
    /// The campaign; `None`: there is no such campaign, or none is due.
    pub campaign: Option<Campaign>,
    /// The catalogue's data on the activities table, if it was requested.
    pub catalogue: Option<String>,
    /// Campaigns that are due and skipped for a while, because earlier invocations that worked on them were
    /// lost.
    pub resting: Vec<Uuid>,
}

/// Loads the campaign `id`, or the one that is most due and not in `passed_over`; and, if requested, the
/// catalogue's data on the table `activities`.
///
/// If no `id` is given and no invocation has survived the campaign's templates yet, the attempt is noted
/// ([`Campaign::attempted`]): if this invocation is lost, later ticks skip the campaign for a while.
/// [`forget_attempt`] deletes the note; a claim does so too.
///
/// # Errors
/// When PostgreSQL does not answer by `until`, or refuses to read a campaign.
pub async fn load(
    database: &Database,
    id: Option<Uuid>,
    passed_over: &[Uuid],
    activities: Option<&str>,
    until: Instant,
) -> Result<Loaded, DatabaseError> {
    let sql = include_str!("load.sql")
        .replace("{due}", include_str!("due.sql"))
        .replace("{catalogue}", include_str!("../store/activities.sql"));
    let rows = database
        .query(&sql, &[(&id, Type::UUID), (&passed_over, Type::UUID_ARRAY), (&activities, Type::TEXT)], until)
        .await?;
    let row = rows.first();
    let found = row.filter(|row| row.get::<_, Option<Uuid>>("id").is_some());
    Ok(Loaded {
        campaign: found.map(campaign),
        catalogue: found.and_then(|row| row.get("activities")),
        resting: row.and_then(|row| row.get("resting")).unwrap_or_default(),
    })
}

/// The ids of all campaigns that are due, the longest due first, without `passed_over` and those that are
/// skipped for a while. It is used if one of them cannot be read.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn due(
    database: &Database,
    passed_over: &[Uuid],
    until: Instant,
) -> Result<Vec<Uuid>, DatabaseError> {
    let due = include_str!("due.sql").replace("$2", "$1");
    let sql = format!("SELECT id FROM ({due}) AS due WHERE NOT rests ORDER BY later, since, id");
    let rows = database.query(&sql, &[(&passed_over, Type::UUID_ARRAY)], until).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Notes that an invocation failed on this campaign, so that later ticks skip it for a while.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn note_attempt(database: &Database, id: Uuid, until: Instant) -> Result<(), DatabaseError> {
    database.query(include_str!("note_attempt.sql"), &[(&id, Type::UUID)], until).await.map(drop)
}

/// Deletes the note of an attempt that ended without a claim and without a fault of the campaign.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn forget_attempt(database: &Database, id: Uuid, until: Instant) -> Result<(), DatabaseError> {
    let sql = "DELETE FROM campaign_attempts WHERE campaign_id = $1";
    database.query(sql, &[(&id, Type::UUID)], until).await.map(drop)
}

/// The counters of a campaign that has no total yet, because sending has not started; its recipients are
/// counted here.
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
        status: CampaignStatus::of(row.get("status")),
        sendable: row.get("sendable"),
        unscheduled: row.get("unscheduled"),
        resumed_with_uncertain: row.get("resumed_with_uncertain"),
        status_reason: row.get("status_reason"),
        from_address: row.get("from_address"),
        reply_to: row.get("reply_to"),
        configuration_set: row.get("configuration_set"),
        tracking: Tracking::of(row.get("transactional"), row.get("track_opens"), row.get("track_clicks")),
        tenant: row.get("ses_tenant"),
        attachments: row.get("attachments"),
        source: Source {
            campaign_name: row.get("name"),
            subject: row.get("subject"),
            html: row.get("html"),
            text: row.get("text"),
            variables: row.get("variables"),
            transactional: row.get("transactional"),
            link_parameters: row.get("link_parameters"),
        },
        templates_hash: row.get("hash"),
        attempted: row.get("attempted"),
        progress: progress(row),
    }
}

/// The counters of a campaign's row.
pub fn progress(row: &Row) -> Progress {
    let count = |column| row.get::<_, i32>(column);
    let (total, sent, failed) = (count("total_count"), count("sent_count"), count("failed_count"));
    let (suppressed, uncertain) = (count("suppressed_count"), count("uncertain_count"));
    let remaining = (total - sent - failed - suppressed - uncertain).max(0);
    Progress { total, sent, failed, suppressed, uncertain, remaining }
}
