//! Why nothing is being sent of a campaign at the moment.

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

/// A week: an idle time that is longer says no more, and it may be infinite.
const LONGEST: f64 = 7.0 * 86400.0;

/// What is the matter now with a campaign that is to be sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// The cause's code.
    pub code: &'static str,
    /// What it is, in one sentence.
    pub text: String,
    /// What an invocation noted, in its own words.
    pub reason: Option<String>,
    /// Since it was noted; or since anybody was at work, where nobody came.
    pub seconds_ago: Option<f64>,
    /// Until it ends, or is tried again: of a lease, a hold, a pause or a wait.
    pub seconds_left: Option<f64>,
    #[serde(skip)]
    pub cause: Cause,
}

/// What the tables say of a campaign that is `sending`, or scheduled and due.
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
    // What has ended already is none.
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
            _ => note.map(|note| note.reason.clone()),
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
