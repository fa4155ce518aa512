//! Step 2: a range of recipients that is this invocation's alone until its lease ends.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::{Database, DatabaseError};
use crate::outcome::Entry;

/// Variables of one batch, in bytes: a batch with more of them is claimed in parts.
const MAX_BATCH_BYTES: i64 = 64 * 1024 * 1024;
/// Variables of one recipient, in bytes: one with more of them fails, for its data is not what it claims.
pub const MAX_VARIABLES_BYTES: i32 = 256 * 1024;

/// A claimed batch.
#[derive(Debug)]
pub struct Batch {
    /// Its row.
    pub id: i64,
    /// This invocation's claim.
    pub token: Uuid,
    /// How many recipients the high-water mark moves at a time; it has moved once with the claim.
    pub step: usize,
    /// The refusal that every recipient of the campaign has met so far, and how many have.
    pub refusal: (Option<String>, i32),
    /// The recipients in the order of their positions; none of them had an outcome when they were claimed.
    pub recipients: Vec<Recipient>,
}

/// One recipient of a claimed batch.
#[derive(Debug)]
pub struct Recipient {
    /// Orders the claims.
    pub position: i64,
    /// Its id, and its email's.
    pub id: Uuid,
    /// The address as the table has it.
    pub email: String,
    /// The name.
    pub name: Option<String>,
    /// JSON; `None` also where there is more than [`MAX_VARIABLES_BYTES`] of it.
    pub variables: Option<String>,
    /// The size of the variables, in bytes.
    pub variables_bytes: i32,
    /// Whether the organization's suppression list has the address.
    pub suppressed: bool,
}

/// What came of claiming.
#[derive(Debug)]
pub enum Claim {
    /// A batch to send.
    Batch(Batch),
    /// The batch of an invocation that did not come back: what it had noted is to be recorded, the rest of what
    /// it may have handed to SES is in doubt, and then another claim is to be made.
    Takeover {
        /// The batch.
        batch_id: i64,
        /// What the lost invocation had noted.
        noted: Vec<Entry>,
    },
    /// Every recipient has an outcome; the campaign is `sent`.
    Complete,
    /// Other invocations hold the rest, or an import is still open: ask again after this time.
    Busy(Duration),
    /// The campaign is scheduled, and due after this time.
    Scheduled(Duration),
    /// The campaign's status does not allow sending.
    Stopped(String),
}

/// Claims the next batch of a campaign: at most `size` recipients for the length of `lease`, the high-water mark
/// moving by `max_step` at most. With `alone`, a campaign that another invocation works on is `Busy`.
///
/// No two invocations are ever given the same recipient while a lease holds, and the claim is committed when
/// this returns. Repeating it under the same `token` gives the same batch.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
#[allow(clippy::too_many_arguments, reason = "they are the statement's parameters")]
pub async fn claim(
    database: &Database,
    campaign_id: Uuid,
    token: Uuid,
    size: u32,
    max_step: i32,
    lease: Duration,
    alone: bool,
    until: Instant,
) -> Result<Claim, DatabaseError> {
    let size = i32::try_from(size).unwrap_or(i32::MAX);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 8] = [
        (&campaign_id, Type::UUID),
        (&token, Type::UUID),
        (&size, Type::INT4),
        (&max_step, Type::INT4),
        (&lease.as_secs_f64(), Type::FLOAT8),
        (&alone, Type::BOOL),
        (&MAX_BATCH_BYTES, Type::INT8),
        (&MAX_VARIABLES_BYTES, Type::INT4),
    ];
    let rows = database
        .query("SELECT * FROM claim_batch($1, $2, $3, $4, $5, $6, $7, $8)", &parameters, until)
        .await?;
    let row = rows.first().expect("a function with OUT parameters returns one row");
    let verdict: Option<String> = row.get("verdict");
    let retry = row.get::<_, Option<f64>>("retry_seconds").unwrap_or(1.0).clamp(0.0, 1e9);
    let retry = Duration::from_secs_f64(retry);
    Ok(match verdict.as_deref() {
        Some("batch") => Claim::Batch(Batch {
            id: row.get("batch_id"),
            token,
            step: usize::try_from(row.get::<_, i32>("step")).unwrap_or(1).max(1),
            refusal: (row.get("refusal"), row.get("refusal_count")),
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
        Some("busy" | "inserting" | "pending") => Claim::Busy(retry),
        Some("scheduled") => Claim::Scheduled(retry),
        Some(status) => Claim::Stopped(status.to_owned()),
        // The campaign was deleted a moment ago.
        None => Claim::Stopped("cancelled".to_owned()),
    })
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
