//! Reads the state from the tables.

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::{patiently, soon};
use super::{Detail, Example, HistoryHold, Lane, Outcome, Overview};
use super::{advice, now};
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::domain::{address, personal, recipient};
use campaign_sender::send_batch::load;
use campaign_sender::store::Database;

/// Campaigns with one of the statuses (empty: any status), and of the organization if one is given.
pub async fn overviews(
    database: &Database,
    statuses: &[CampaignStatus],
    organization: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Overview>, Failure> {
    Ok(rows(database, None, statuses, organization, limit).await?.iter().map(overview).collect())
}

async fn rows(
    database: &Database,
    id: Option<Uuid>,
    statuses: &[CampaignStatus],
    organization: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Row>, Failure> {
    let limit = i64::from(limit);
    let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    let parameters: [(&(dyn ToSql + Sync), Type); 4] =
        [(&id, Type::UUID), (&limit, Type::INT8), (&statuses, Type::TEXT_ARRAY), (&organization, Type::UUID)];
    Ok(database.query(include_str!("overviews.sql"), &parameters, patiently()).await?)
}

fn overview(row: &Row) -> Overview {
    Overview {
        campaign_id: row.get("id"),
        name: row.get("name"),
        status: CampaignStatus::of(row.get("status")),
        status_reason: row.get("status_reason"),
        progress: load::progress(row),
        rejected: row.get("rejected"),
        scheduled_at: row.get("scheduled_at"),
        send_before: row.get("send_before"),
        overdue_seconds: row.get("overdue_seconds"),
        started_at: row.get("started_at"),
        completed_at: row.get("completed_at"),
    }
}

/// One campaign; `None` if there is no such campaign.
pub async fn detail(database: &Database, id: Uuid, show_addresses: bool) -> Result<Option<Detail>, Failure> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&id, Type::UUID)];
    let campaigns = rows(database, Some(id), &[], None, 1).await?;
    let Some(campaign) = campaigns.first() else { return Ok(None) };
    let outcomes = database.query(include_str!("outcomes.sql"), &parameters, patiently()).await?;
    let lanes = database.query(include_str!("lanes.sql"), &parameters, soon()).await?;

    let overview = overview(campaign);
    let recent = |rows: &[Row]| rows.iter().map(|row| row.get::<_, i64>("recent")).sum::<i64>();
    let pace = Pace {
        sending: overview.status == CampaignStatus::Sending,
        recent: recent(&outcomes) + recent(&lanes),
        started_seconds: campaign.get("started_seconds"),
        last_seconds: outcomes.iter().find_map(|row| row.get::<_, Option<f64>>("last_seconds")),
    };
    let history_hold = campaign
        .get::<_, Option<f64>>("hold_seconds")
        .map(|seconds| HistoryHold { reason: campaign.get("hold_reason"), seconds });
    let now_is = now::read(database, id, history_hold.as_ref()).await?;
    let now = pace.now();
    let mean = pace.mean(overview.progress.sent);
    let mut detail = Detail {
        per_second_now: now.map(rounded),
        per_second_mean: mean.map(rounded),
        seconds_left: pace.seconds_left(overview.progress.remaining, now),
        last_event_seconds: campaign.get("last_event_seconds"),
        history_hold,
        now: now_is,
        outcomes: outcomes.iter().map(|row| outcome(row, show_addresses)).collect(),
        lanes: lanes.iter().map(lane).collect(),
        advice: Vec::new(),
        overview,
    };
    detail.advice = advice::of(&detail);
    Ok(Some(detail))
}

/// The speed of a campaign.
struct Pace {
    sending: bool,
    /// Accepted in the last minute.
    recent: i64,
    started_seconds: Option<f64>,
    /// The time since the last accepted email.
    last_seconds: Option<f64>,
}

#[allow(clippy::cast_precision_loss, reason = "emails per second")]
impl Pace {
    fn now(&self) -> Option<f64> {
        let window = self.started_seconds?.clamp(1.0, 60.0);
        self.sending.then(|| self.recent as f64 / window)
    }

    fn mean(&self, sent: i32) -> Option<f64> {
        let until = if self.sending { 0.0 } else { self.last_seconds? };
        (sent > 0).then_some(f64::from(sent) / (self.started_seconds? - until).max(1.0))
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive and bounded")]
    fn seconds_left(&self, remaining: i32, now: Option<f64>) -> Option<u64> {
        // If nothing is accepted any more, there is no estimate, however fast it was before.
        let rate = now.filter(|rate| *rate > 0.0).filter(|_| self.sending && remaining > 0)?;
        Some((f64::from(remaining) / rate).min(1e9).ceil() as u64)
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

fn outcome(row: &Row, show_addresses: bool) -> Outcome {
    let (email, error): (String, Option<String>) = (row.get("email"), row.get("error"));
    let (email, error) = if show_addresses {
        (email, error)
    } else {
        (address::masked(&email), error.map(|error| personal::masked(&error).into_owned()))
    };
    Outcome {
        status: recipient::Status::of(row.get("status")),
        code: row.get("code"),
        count: row.get("count"),
        oldest_seconds: row.get("oldest_seconds"),
        example: Example { recipient_id: row.get("id"), email, error },
    }
}

fn lane(row: &Row) -> Lane {
    let lease_seconds: Option<f64> = row.get("lease_seconds");
    let state = match (row.get("claimed"), lease_seconds) {
        (true, Some(seconds)) if seconds >= 0.0 => "working",
        (true, _) => "lost",
        (false, _) => "open",
    };
    Lane {
        batch_id: row.get("id"),
        number: row.get("number"),
        state,
        first_position: row.get("first_position"),
        last_position: row.get("last_position"),
        pending: row.get("pending"),
        noted: row.get("noted"),
        lease_seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_minute_and_the_mean_that_of_all_time() {
        let pace = Pace { sending: true, recent: 600, started_seconds: Some(300.0), last_seconds: Some(1.0) };
        assert_eq!((pace.now(), pace.mean(6000)), (Some(10.0), Some(20.0)));
        assert_eq!(pace.seconds_left(100, pace.now()), Some(10));
        let stalled = Pace { recent: 0, ..pace };
        assert_eq!(stalled.seconds_left(100, stalled.now()), None);
        let done = Pace { sending: false, last_seconds: Some(200.0), ..stalled };
        assert_eq!((done.now(), done.mean(6000)), (None, Some(60.0)));
        assert_eq!(done.seconds_left(0, None), None);
    }
}
