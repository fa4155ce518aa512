//! Step 4: all outcomes of a batch, its activities, the counters and the batch itself, with one statement.

use std::time::SystemTime;

use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::load::progress;
use crate::database::{Database, DatabaseError};
use crate::lifecycle::Status;
use crate::outcome::Outcome;
use crate::result::Progress;

/// The statement, to be filled for the activities table.
pub const STATEMENT: &str = include_str!("record.sql");

/// One outcome to record.
#[derive(Clone, Debug)]
pub struct Line {
    /// The recipient.
    pub recipient_id: Uuid,
    /// What became of it.
    pub outcome: Outcome,
    /// The subject as it was rendered, for the activity.
    pub subject: Option<String>,
}

/// The batch that the outcomes belong to: the attempt of which they speak.
#[derive(Clone, Copy, Debug)]
pub struct Closing {
    /// The batch.
    pub batch_id: i64,
    /// The claim under which it was worked on. When another invocation has taken the batch over, only the outcomes are
    /// recorded.
    pub token: Uuid,
    /// These are all its outcomes: it is closed. (PostgreSQL does not believe it if there are fewer than the claim had
    /// recipients.)
    pub whole: bool,
    /// Recipients of its range are still pending: the next claim takes it again.
    pub reopen: bool,
    /// Its owner did not come back: what it may have handed to SES beyond the outcomes given is in doubt.
    pub doubt: bool,
}

/// What to record of one campaign.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The campaign.
    pub campaign_id: Uuid,
    /// The batch, if one is to be closed.
    pub closing: Option<Closing>,
    /// The outcomes.
    pub lines: &'a [Line],
    /// Why the campaign is halted, if it is.
    pub halt: Option<&'a str>,
    /// The refusal that every recipient of the campaign has met so far, and how many have.
    pub refusal: (Option<&'a str>, i32),
    /// The region whose SES said 'too fast', if it did, and the messages per second that it took in the end: all
    /// invocations slow down.
    pub throttled: Option<(&'a str, f64)>,
}

impl<'a> Record<'a> {
    /// No outcomes: what a record of something else starts from.
    pub fn nothing(campaign_id: Uuid) -> Record<'a> {
        Record { campaign_id, closing: None, lines: &[], halt: None, refusal: (None, 0), throttled: None }
    }
}

/// What the tables say after it.
#[derive(Debug)]
pub struct Recorded {
    /// The campaign's status.
    pub status: String,
    /// Why it has that status, where a reason is given.
    pub status_reason: Option<String>,
    /// Its counters.
    pub progress: Progress,
    /// Emails of these outcomes that are in the timeline.
    pub activities: u32,
    /// Emails that the activities table refused, and that are `uncertain` for that.
    pub refused: u32,
    /// Recipients whose new status PostgreSQL discarded without an error, so that they are still `pending`. Their batch
    /// stays open, and nobody else is given it.
    pub discarded: u64,
    /// Accepted emails whose recipient is not in the table any more.
    pub gone: u64,
}

/// As many emails of one batch, all that it sent, are not refused for what they carry: the table takes none.
const SYSTEMIC: usize = 10;

/// Records outcomes as [`record`] does. When the CRM's table refuses the activity of some (a check, or a trigger
/// that raises), the others are recorded, and those become `uncertain` with the code `activity_refused`: they are
/// never sent again, and a person settles them (`campaign resolve`) when the table is mended.
///
/// # Errors
/// As [`record`]; and when the table refuses all, so that they are owed.
pub async fn record_apart(
    database: &Database,
    statement: &str,
    whole: &Record<'_>,
    until: Instant,
) -> Result<Option<Recorded>, DatabaseError> {
    let first_error = match record(database, statement, whole, until).await {
        Err(error) if error.is_of_the_data() => error,
        answer => return answer,
    };
    let closing = whole.closing.map(|closing| Closing { whole: false, ..closing });
    let only = |lines| Record { lines, closing, ..Record::nothing(whole.campaign_id) };
    let (mut activities, mut refused) = (0, Vec::new());
    let mut parts = vec![whole.lines];
    while let Some(part) = parts.pop() {
        match record(database, statement, &only(part), until).await {
            Ok(Some(recorded)) => activities += recorded.activities,
            Ok(None) => return Ok(None),
            Err(error) if !error.is_of_the_data() => return Err(error),
            Err(error) => match part {
                [] => return Err(error),
                [line] => refused.push((line, error.to_string())),
                _ => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            },
        }
    }
    if activities == 0 && refused.len() >= SYSTEMIC {
        return Err(first_error);
    }
    // With all of its outcomes the batch is closed; those that are recorded already change nothing.
    let mut rest = whole.lines.to_vec();
    for (line, error) in &refused {
        tracing::error!(recipient_id = %line.recipient_id, error, "an activity is refused; its email is uncertain");
        let outcome = Outcome::Uncertain { code: "activity_refused".to_owned(), error: error.clone() };
        if let Some(line) = rest.iter_mut().find(|other| other.recipient_id == line.recipient_id) {
            line.outcome = outcome;
        }
    }
    let refused = refused.iter().filter(|(line, _)| line.outcome.status() == Status::Sent).count();
    let refused = u32::try_from(refused).unwrap_or(u32::MAX);
    let recorded = record(database, statement, &Record { lines: &rest, ..*whole }, until).await?;
    Ok(recorded.map(|recorded| Recorded { refused, ..recorded }))
}

/// Records outcomes. Each counts only where the life cycle allows it, so a record that is repeated changes
/// nothing more, and there is never a second `email_sent` activity of a recipient.
///
/// `statement` is [`STATEMENT`], filled for the activities table. `None`: the campaign was deleted.
///
/// # Errors
/// When PostgreSQL does not answer by `until`: the record may or may not have been committed.
pub async fn record(
    database: &Database,
    statement: &str,
    record: &Record<'_>,
    until: Instant,
) -> Result<Option<Recorded>, DatabaseError> {
    let columns = Columns::of(record.lines);
    let (batch_id, token) = record.closing.map(|closing| (closing.batch_id, closing.token)).unzip();
    let reopen = record.closing.is_some_and(|closing| closing.reopen);
    let doubt = record.closing.is_some_and(|closing| closing.doubt);
    let whole = record.closing.is_some_and(|closing| closing.whole);
    let (throttled_in, throttled_to) = record.throttled.unzip();
    let parameters: [(&(dyn ToSql + Sync), Type); 18] = [
        (&record.campaign_id, Type::UUID),
        (&batch_id, Type::INT8),
        (&token, Type::UUID),
        (&columns.ids, Type::UUID_ARRAY),
        (&columns.statuses, Type::TEXT_ARRAY),
        (&columns.message_ids, Type::TEXT_ARRAY),
        (&columns.codes, Type::TEXT_ARRAY),
        (&columns.errors, Type::TEXT_ARRAY),
        (&columns.times, Type::TIMESTAMPTZ_ARRAY),
        (&columns.subjects, Type::TEXT_ARRAY),
        (&reopen, Type::BOOL),
        (&doubt, Type::BOOL),
        (&record.halt, Type::TEXT),
        (&record.refusal.0, Type::TEXT),
        (&record.refusal.1, Type::INT4),
        (&throttled_in, Type::TEXT),
        (&throttled_to, Type::FLOAT8),
        (&whole, Type::BOOL),
    ];
    let rows = database.query(statement, &parameters, until).await?;
    Ok(rows.first().map(|row| Recorded {
        status: row.get("status"),
        status_reason: row.get("status_reason"),
        progress: progress(row),
        activities: u32::try_from(row.get::<_, i64>("activities")).unwrap_or(u32::MAX),
        refused: 0,
        discarded: u64::try_from(row.get::<_, i64>("discarded")).unwrap_or(0),
        gone: u64::try_from(row.get::<_, i64>("gone")).unwrap_or(0),
    }))
}

/// The outcomes column by column, as `unnest` takes them.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    statuses: Vec<&'static str>,
    message_ids: Vec<Option<&'a str>>,
    codes: Vec<Option<&'a str>>,
    errors: Vec<Option<String>>,
    times: Vec<Option<SystemTime>>,
    subjects: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(lines: &'a [Line]) -> Columns<'a> {
        let mut columns = Columns::default();
        for line in lines {
            let (message_id, at, code, error) = match &line.outcome {
                Outcome::Sent { message_id, at } => (Some(message_id.as_str()), Some(*at), None, None),
                Outcome::Failed { code, error } | Outcome::Uncertain { code, error } => {
                    (None, None, Some(code.as_str()), Some(storable(error)))
                }
                Outcome::Suppressed | Outcome::Deferred => (None, None, None, None),
            };
            columns.ids.push(line.recipient_id);
            columns.statuses.push(line.outcome.status().as_str());
            columns.message_ids.push(message_id);
            columns.codes.push(code);
            columns.errors.push(error);
            columns.times.push(at);
            columns.subjects.push(line.subject.as_deref());
        }
        columns
    }
}

/// PostgreSQL's text holds no NUL.
fn storable(text: &str) -> String {
    text.replace('\0', " ")
}
