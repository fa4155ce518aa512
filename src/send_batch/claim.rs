//! Claims a range of recipients, which only this invocation owns until its lease ends.

use std::cell::RefCell;
use std::time::Duration;

use serde_json::Value;
use std::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::batch::{Batch, Limit, MAX_VARIABLES_BYTES, Recipient};
use crate::domain::campaign::CampaignStatus;
use crate::domain::deadline::Deadline;
use crate::domain::outcome::Entry;
use crate::store::{Database, DatabaseError, Locks};

/// The longest time of one statement. With the lease's margin it is less than the 10 seconds by which a lease
/// may outlast its invocation.
const PATIENCE: Duration = Duration::from_secs(4);
/// The most bytes of data of one batch; a batch with more is claimed in parts.
const MAX_BATCH_BYTES: i64 = 64 * 1024 * 1024;
/// The part of a function's memory that the data of a batch from PostgreSQL may take.
const MEMORY_SHARE: i64 = 16;
/// How long an invocation waits for a lock of another transaction: one that may look for another campaign,
/// and one that may not.
const LOCK_PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// The result of a claim.
#[derive(Debug)]
pub enum Claim {
    /// A batch to send.
    Batch(Batch),
    /// The batch of a lost invocation. Its noted outcomes are recorded, the other recipients that it may have
    /// handed to SES become uncertain, and then another claim is made.
    Takeover {
        /// The batch.
        batch_id: i64,
        /// What the lost invocation had noted.
        noted: Vec<Entry>,
    },
    /// Every recipient has an outcome; the campaign is `sent`.
    Complete,
    /// Other invocations hold the rest: ask again after this time.
    Busy(Duration),
    /// A transaction that has added recipients is still open: ask again after this time.
    OpenImport(Duration),
    /// Others have reserved the sending rate for longer than this invocation lives: ask again after this time.
    RateReserved(Duration),
    /// The database may have lost data: nothing is claimed for this time.
    HistoryChanged {
        /// The time.
        hold: Duration,
        /// What was noticed.
        reason: String,
    },
    /// Another transaction, not an invocation, holds a lock on the campaign; PostgreSQL's message.
    Locked(String),
    /// The time is over by which the campaign was to be sent, and this claim has paused it: why.
    TooLate(String),
    /// The campaign is scheduled, and due after this time.
    Scheduled(Duration),
    /// The campaign's status does not allow sending.
    Stopped {
        /// The status.
        status: CampaignStatus,
        /// The longest time for which other invocations hold batches of it.
        under_way: Option<Duration>,
    },
}

/// The request for a claim.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The campaign.
    pub campaign_id: Uuid,
    /// This invocation's token; claiming again with it returns the same batch.
    pub token: Uuid,
    /// The most recipients.
    pub size: u32,
    /// True: a campaign that another invocation works on is [`Claim::Busy`].
    pub alone: bool,
    /// The region of SES, whose rate all invocations share.
    pub region: &'a str,
    /// Messages per second that SES accepts there; `None`: unknown to this invocation.
    pub per_second: Option<f64>,
    /// How much unused time of the rate may be caught up, in seconds.
    pub catch_up: f64,
    /// This invocation's time.
    pub deadline: Deadline,
    /// The templates that this invocation has compiled, as [`crate::domain::campaign::Campaign::templates_hash`] names them.
    pub templates_hash: &'a str,
    /// What this process knows about the database.
    pub history: &'a History,
}

/// What a process has seen of the database's history; if the database is behind it, it has been restored.
#[derive(Debug)]
pub struct History {
    /// The value from the last claim.
    witness: RefCell<Option<String>>,
    /// How long nothing is claimed after a change.
    hold: Duration,
}

impl History {
    /// Nothing has been seen yet.
    pub fn new(hold: Duration) -> History {
        History { witness: RefCell::new(None), hold }
    }
}

/// The most bytes of data of one batch in this function's memory: 64 MiB, or a sixteenth of
/// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` (in MB) if that is less. The rows are in memory twice while they are
/// read.
fn max_batch_bytes() -> i64 {
    std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        .ok()
        .and_then(|megabytes| megabytes.parse::<i64>().ok())
        .filter(|megabytes| *megabytes > 0)
        .map_or(MAX_BATCH_BYTES, |megabytes| (megabytes * 1024 * 1024 / MEMORY_SHARE).min(MAX_BATCH_BYTES))
}

/// Claims the next batch of a campaign, and reserves its sends.
///
/// No two invocations are ever given the same recipient while a lease holds, and the claim is committed when
/// this returns.
///
/// # Errors
/// Fails if PostgreSQL does not answer by the time of the last start.
pub async fn claim(database: &Database, wish: &Wish<'_>) -> Result<Claim, DatabaseError> {
    let size = i32::try_from(wish.size).unwrap_or(i32::MAX);
    let (asked_at, rows) = loop {
        // The lease begins with the statement, so a statement that has waited for long is repeated.
        let now = Instant::now();
        let lease = wish.deadline.lease(now).as_secs_f64();
        let seconds = wish.deadline.last_start.saturating_duration_since(now).as_secs_f64();
        let until = (now + PATIENCE).min(wish.deadline.last_start);
        match ask(database, wish, size, lease, seconds, until).await {
            Err(DatabaseError::Locked(reason)) => return Ok(Claim::Locked(reason)),
            Err(DatabaseError::Unreachable(_) | DatabaseError::Unavailable(_))
                if until < wish.deadline.last_start => {}
            answer => break (now, answer?),
        }
    };
    let row = rows.first().expect("a function with OUT parameters returns one row");
    if let Some(witness) = row.get::<_, Option<String>>("witness") {
        wish.history.witness.replace(Some(witness));
    }
    let verdict: Option<String> = row.get("verdict");
    let retry = row.get::<_, Option<f64>>("retry_seconds").unwrap_or(1.0).clamp(0.0, 1e9);
    let retry = Duration::from_secs_f64(retry);
    Ok(match verdict.as_deref() {
        Some("batch") => Claim::Batch(Batch {
            id: row.get("batch_id"),
            token: wish.token,
            step: usize::try_from(row.get::<_, i32>("step")).unwrap_or(1).max(1),
            pace: row.get::<_, Option<f64>>("per_second").map(|per_second| {
                (after(row.get::<_, Option<f64>>("starts_in").unwrap_or_default()), per_second)
            }),
            refusal: (row.get("refusal"), row.get("refusal_count")),
            limit: limit(row, asked_at),
            recipients: recipients(row),
        }),
        Some("takeover") => Claim::Takeover {
            batch_id: row.get("batch_id"),
            noted: row
                .get::<_, Option<Value>>("outcomes")
                .as_ref()
                .and_then(Value::as_array)
                .map(|entries| entries.iter().filter_map(Entry::from_value).collect())
                .unwrap_or_default(),
        },
        Some("complete") => Claim::Complete,
        Some("busy" | "pending") => Claim::Busy(retry),
        Some("inserting") => Claim::OpenImport(retry),
        Some("rate") => Claim::RateReserved(retry),
        Some("history") => Claim::HistoryChanged {
            hold: retry,
            reason: row.get::<_, Option<String>>("reason").unwrap_or_default(),
        },
        Some("scheduled") => Claim::Scheduled(retry),
        Some("paused") if row.get::<_, Option<&str>>("reason").is_some() => Claim::TooLate(row.get("reason")),
        // There is no status if the campaign was deleted a moment ago.
        status => Claim::Stopped {
            status: status.map_or(CampaignStatus::Cancelled, CampaignStatus::of),
            under_way: row
                .get::<_, Option<f64>>("under_way_seconds")
                .map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e6))),
        },
    })
}

async fn ask(
    database: &Database,
    wish: &Wish<'_>,
    size: i32,
    lease: f64,
    seconds: f64,
    until: Instant,
) -> Result<Vec<Row>, DatabaseError> {
    let witness = wish.history.witness.borrow().clone();
    let hold = wish.history.hold.as_secs_f64();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 14] = [
        (&wish.campaign_id, Type::UUID),
        (&wish.token, Type::UUID),
        (&size, Type::INT4),
        (&lease, Type::FLOAT8),
        (&wish.alone, Type::BOOL),
        (&max_batch_bytes(), Type::INT8),
        (&MAX_VARIABLES_BYTES, Type::INT4),
        (&wish.region, Type::TEXT),
        (&wish.per_second, Type::FLOAT8),
        (&seconds, Type::FLOAT8),
        (&wish.catch_up, Type::FLOAT8),
        (&wish.templates_hash, Type::TEXT),
        (&witness, Type::TEXT),
        (&hold, Type::FLOAT8),
    ];
    // The limit is read after the claim, which has waited for locks, and only for a batch.
    let sql = "SELECT c.*, l.seconds_to_send, l.too_late
                 FROM claim_next_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS c
                 LEFT JOIN LATERAL (SELECT * FROM send_limit($1) WHERE c.verdict = 'batch') AS l ON true";
    let locks = if wish.alone { LOCK_PATIENCE.0 } else { LOCK_PATIENCE.1 };
    database.query_with(Locks::AtMost(locks), sql, &parameters, until).await
}

/// When sends must end by the columns of `send_limit`, which PostgreSQL reckoned by its clock after `asked_at`: on this
/// process's monotonic clock it is never later than that.
pub fn limit(row: &Row, asked_at: Instant) -> Option<Limit> {
    let seconds: f64 = row.get::<_, Option<f64>>("seconds_to_send")?;
    // No invocation lives for a day.
    let at = asked_at + Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0));
    Some(Limit { at, reason: row.get::<_, Option<String>>("too_late").unwrap_or_default() })
}

/// The instant in this number of seconds, which may be negative.
fn after(seconds: f64) -> Instant {
    let distance = Duration::from_secs_f64(seconds.abs().min(3600.0));
    let now = Instant::now();
    if seconds < 0.0 { now.checked_sub(distance).unwrap_or(now) } else { now + distance }
}

fn recipients(row: &Row) -> Vec<Recipient> {
    let ids: Vec<Uuid> = row.get("ids");
    let mut emails = row.get::<_, Vec<String>>("emails").into_iter();
    let mut names = row.get::<_, Vec<Option<String>>>("names").into_iter();
    let mut variables = row.get::<_, Vec<Option<String>>>("variables").into_iter();
    let mut sizes = row.get::<_, Vec<i32>>("variables_bytes").into_iter();
    let mut suppressed = row.get::<_, Vec<bool>>("suppressed").into_iter();
    row.get::<_, Vec<i64>>("positions")
        .into_iter()
        .zip(ids)
        .map(|(position, id)| Recipient {
            position,
            id,
            email: emails.next().unwrap_or_default(),
            name: names.next().unwrap_or_default(),
            variables: variables.next().unwrap_or_default(),
            variables_bytes: sizes.next().unwrap_or_default(),
            suppressed: suppressed.next().unwrap_or_default(),
        })
        .collect()
}
