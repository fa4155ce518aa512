//! Sends again to uncertain recipients that SES has not reported on, if the policy says so; and the age of
//! the oldest one.

use std::time::Duration;

use std::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::store::{Database, DatabaseError};

/// Makes recipients `pending` again that have been `uncertain` for longer than `after` and that SES has not
/// reported on: of one campaign or, with `None`, of all that are `sending` or `sent`. A campaign that was `sent`
/// becomes `sending`. Returns the number of these recipients for each campaign.
///
/// A missing event proves something only if events arrive. A recipient is therefore sent to again only if
/// - an event of the same campaign happened more than `after` later than the recipient became uncertain, and
/// - SES has reported on nearly all recipients that the campaign was sent to around that time.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`.
pub async fn resend_unreported(
    database: &Database,
    campaign_id: Option<Uuid>,
    after: Duration,
    until: Instant,
) -> Result<Vec<(Uuid, u32)>, DatabaseError> {
    let seconds = after.as_secs_f64();
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&campaign_id, Type::UUID), (&seconds, Type::FLOAT8)];
    let rows = database.query(include_str!("resend_unreported.sql"), &parameters, until).await?;
    let resent = rows.iter().map(|row| (row.get(0), u32::try_from(row.get::<_, i32>(1)).unwrap_or(0)));
    Ok(resent
        .inspect(|(campaign_id, recipients)| {
            tracing::warn!(
                %campaign_id,
                recipients,
                after_seconds = seconds,
                "SES has said nothing of recipients in doubt: they are sent again"
            );
        })
        .collect())
}

/// The time for which the oldest uncertain recipient has been uncertain; zero if there is none.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`.
pub async fn oldest(database: &Database, until: Instant) -> Result<Duration, DatabaseError> {
    seconds(database, include_str!("oldest_uncertain.sql"), until).await
}

/// The longest time for which a campaign has been due, or sending without a new batch; zero if there is none.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`.
pub async fn oldest_due(database: &Database, until: Instant) -> Result<Duration, DatabaseError> {
    seconds(database, include_str!("oldest_due.sql"), until).await
}

async fn seconds(database: &Database, sql: &str, until: Instant) -> Result<Duration, DatabaseError> {
    let rows = database.query(sql, &[], until).await?;
    let seconds = rows.first().map_or(0.0, |row| row.get::<_, f64>(0)).max(0.0);
    Ok(Duration::from_secs_f64(seconds))
}
