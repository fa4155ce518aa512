//! Step 1: the campaign and its templates.

use std::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::campaign::{Campaign, CampaignStatus, Source};
use crate::domain::result::Progress;
use crate::store::{Database, DatabaseError};

/// What an invocation is about to work on.
#[derive(Debug)]
pub struct Loaded {
    /// The campaign; `None`: there is no such campaign, or none is due.
    pub campaign: Option<Campaign>,
    /// What the catalogue says of the activities table, if that was asked.
    pub catalogue: Option<String>,
    /// Campaigns that are due and are left alone for a while, because earlier invocations that worked on them did not
    /// come back.
    pub resting: Vec<Uuid>,
}

/// The campaign `id`, or the one that is most due and none of `passed_over`; and what the catalogue says of the
/// table `activities`, if that is asked.
///
/// Where no `id` is given and no invocation has survived the campaign's templates yet, the attempt is noted
/// ([`Campaign::attempted`]): if this invocation does not come back, later ones without an id pass the campaign over
/// for a while. [`forget_attempt`] takes the note back; a claim does so too.
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

/// The ids of all campaigns that are due, the longest due first, and without those of `passed_over` and those that
/// rest: for the case that one of them cannot be read.
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

/// Notes that an invocation failed on this campaign: later ones without an id pass it over for a while.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn note_attempt(database: &Database, id: Uuid, until: Instant) -> Result<(), DatabaseError> {
    database.query(include_str!("note_attempt.sql"), &[(&id, Type::UUID)], until).await.map(drop)
}

/// An attempt has come to an end without a claim, and without a fault of the campaign's.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn forget_attempt(database: &Database, id: Uuid, until: Instant) -> Result<(), DatabaseError> {
    let sql = "DELETE FROM campaign_attempts WHERE campaign_id = $1";
    database.query(sql, &[(&id, Type::UUID)], until).await.map(drop)
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
        status: CampaignStatus::of(row.get("status")),
        sendable: row.get("sendable"),
        unscheduled: row.get("unscheduled"),
        resumed_in_doubt: row.get("resumed_in_doubt"),
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
