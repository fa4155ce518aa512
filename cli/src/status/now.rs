//! Why nothing of a campaign is being sent at the moment.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::soon;
use super::HistoryHold;
use campaign_sender::domain::cause::{self, Cause, Facts, Note, Rest};
use campaign_sender::store::Database;

/// A week. A longer idle time is not more informative, and may be infinite.
const LONGEST: f64 = 7.0 * 86400.0;

/// The current cause for a campaign that is sending or due.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// The cause's code.
    pub code: &'static str,
    /// The cause in one sentence.
    pub text: String,
    /// The message that an invocation noted.
    pub reason: Option<String>,
    /// The time since it was noted, or since an invocation last worked on it.
    pub seconds_ago: Option<f64>,
    /// The time until a lease, a hold, a pause or a wait ends.
    pub seconds_left: Option<f64>,
    #[serde(skip)]
    pub cause: Cause,
}

/// Reads the tables for a campaign that is `sending`, or scheduled and due.
pub async fn read(database: &Database, id: Uuid, hold: Option<&HistoryHold>) -> Result<Option<Now>, Failure> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&id, Type::UUID)];
    let rows = database.query(include_str!("now.sql"), &parameters, soon()).await?;
    Ok(rows.first().map(|row| {
        let facts = facts(row, hold);
        let (cause, note) = cause::of(&facts);
        Now::new(cause, note, &facts, hold)
    }))
}

fn facts(row: &Row, hold: Option<&HistoryHold>) -> Facts {
    let seconds = |column: &str| row.get::<_, Option<f64>>(column).map(span);
    // A time that has ended counts as none.
    let left = |column: &str| row.get::<_, Option<f64>>(column).filter(|seconds| *seconds > 0.0).map(span);
    let note = |name: &str| {
        let code: Option<&str> = row.get(format!("{name}_code").as_str());
        code.map(|code| Note {
            ago: seconds(&format!("{name}_seconds")).unwrap_or_default(),
            cause: Cause::of_code(code),
            wait: seconds(&format!("{name}_wait_seconds")).unwrap_or_default(),
            reason: row.get(format!("{name}_reason").as_str()),
        })
    };
    Facts {
        lease: left("lease_seconds"),
        lost: row.get("lost"),
        idle: seconds("idle_seconds"),
        last: note("last"),
        elsewhere: note("elsewhere"),
        seen: seconds("seen_seconds"),
        hold: hold.map(|hold| span(hold.seconds)),
        rest: left("rest_seconds")
            .map(|left| Rest { since: seconds("rest_since_seconds").unwrap_or_default(), left }),
        rate: left("rate_seconds"),
    }
}

fn span(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, LONGEST))
}

impl Now {
    fn new(cause: Cause, note: Option<&Note>, facts: &Facts, hold: Option<&HistoryHold>) -> Now {
        let left = match cause {
            Cause::AtWork => facts.lease,
            Cause::HistoryChanged => facts.hold,
            Cause::Resting => facts.rest.map(|rest| rest.left),
            Cause::RateReserved if note.is_none() => facts.rate,
            Cause::Overdue => None,
            _ => note.map(|note| note.wait.saturating_sub(note.ago)).filter(|left| !left.is_zero()),
        };
        let ago = match (cause, note) {
            (Cause::Overdue, None) => facts.idle,
            (_, note) => note.map(|note| note.ago),
        };
        let reason = match cause {
            Cause::HistoryChanged => hold.map(|hold| hold.reason.clone()),
            _ => note.map(|note| note.reason.clone()).filter(|reason| cause.is_explained_by(reason)),
        };
        Now {
            code: cause.code(),
            text: cause.text().to_owned(),
            reason,
            seconds_ago: ago.map(|ago| ago.as_secs_f64()),
            seconds_left: left.map(|left| left.as_secs_f64()),
            cause,
        }
    }
}
