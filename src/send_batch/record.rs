//! Records all outcomes of a batch, its activities, the counters and the batch itself with one statement.

use std::collections::HashSet;
use std::time::SystemTime;

use std::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::load::progress;
use crate::domain::campaign::CampaignStatus;
use crate::domain::halt;
use crate::domain::outcome::{Line, Outcome};
use crate::domain::recipient::Status;
use crate::domain::result::Progress;
use crate::store::activities::{ActivitiesTable, refusal};
use crate::store::{Database, DatabaseError};

/// The statement, before it is filled for the activities table.
pub const STATEMENT: &str = include_str!("record.sql");

/// The batch of the outcomes, which is one attempt of its recipients.
#[derive(Clone, Copy, Debug)]
pub struct Closing {
    /// The batch.
    pub batch_id: i64,
    /// The token under which it was claimed. If another invocation has taken the batch over, only the
    /// outcomes are recorded.
    pub token: Uuid,
    /// True if these are all its outcomes, so that it is closed. (The statement does not close it if there
    /// are fewer outcomes than the claim had recipients.)
    pub whole: bool,
    /// True if recipients of its range are still pending, so that the next claim takes it again.
    pub reopen: bool,
    /// True if its owner is lost: recipients that it may have handed to SES and that have no outcome become
    /// uncertain.
    pub owner_lost: bool,
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
    /// Emails whose activities are refused: they become `uncertain`.
    pub refused: &'a [Refused<'a>],
    /// Why the campaign is halted, if it is.
    pub halt: Option<&'a str>,
    /// The refusal that every recipient of the campaign has met so far, and how many have.
    pub refusal: (Option<&'a str>, i32),
    /// The region in which SES throttled, if it did, and the last rate in messages per second; all
    /// invocations slow down to it.
    pub throttled: Option<(&'a str, f64)>,
}

impl<'a> Record<'a> {
    /// A record without outcomes, to which other values are added.
    pub fn nothing(campaign_id: Uuid) -> Record<'a> {
        Record {
            campaign_id,
            closing: None,
            lines: &[],
            refused: &[],
            halt: None,
            refusal: (None, 0),
            throttled: None,
        }
    }
}

/// The state of the tables afterwards.
#[derive(Debug)]
pub struct Recorded {
    /// The campaign's status.
    pub status: CampaignStatus,
    /// The reason for that status, if there is one.
    pub status_reason: Option<String>,
    /// Its counters.
    pub progress: Progress,
    /// Emails of these outcomes that are in the timeline.
    pub activities: u32,
    /// Emails whose activities the table refused, and which are therefore `uncertain`.
    pub refused: u32,
    /// Why the campaign is halted, if that is because the table takes no activity.
    pub halted: Option<String>,
    /// Recipients whose new status PostgreSQL discarded without an error, so that they are still `pending`.
    /// Their batch stays open, and no other invocation gets it.
    pub discarded: u64,
    /// Accepted emails whose recipient was deleted.
    pub gone: u64,
}

impl Recorded {
    /// The reason for a halt, if PostgreSQL discarded outcomes.
    pub fn not_kept(&self) -> Option<String> {
        if self.discarded > 0 {
            return Some(halt::outcomes_discarded(self.discarded));
        }
        (self.gone > 0).then(|| halt::recipients_deleted(self.gone))
    }
}

/// An email that SES accepted and whose activity the table refuses.
#[derive(Clone, Debug)]
pub struct Refused<'a> {
    /// Its outcome, as it would have been recorded.
    pub line: &'a Line,
    /// PostgreSQL's message.
    pub error: String,
}

/// The statement, filled for an activities table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The table's name, for a person.
    table: String,
    sql: String,
}

impl Statement {
    /// Fills the statement for this table.
    pub fn new(table: &ActivitiesTable) -> Statement {
        Statement { table: table.name().to_owned(), sql: table.fill(STATEMENT) }
    }
}

/// The error code of a recipient whose email SES accepted and whose activity the table refuses.
pub const ACTIVITY_REFUSED: &str = "activity_refused";
/// The most recipients that are tried one by one to find out whether the table takes any activity.
const MAX_SAMPLES: usize = 10;
/// The longest reason of a halted campaign, in characters.
const MAX_REASON: usize = 1000;

/// Records outcomes with `statement`, as [`record`] does.
///
/// # Errors
/// Those of [`record`].
pub async fn record_whole(
    database: &Database,
    statement: &Statement,
    whole: &Record<'_>,
    until: Instant,
) -> Result<Option<Recorded>, DatabaseError> {
    record(database, &statement.sql, whole, until).await
}

/// Records outcomes that PostgreSQL refused to record together, with `refusal`. If the CRM's table refuses
/// the activities of some recipients (a check, or a trigger that raises), the others are recorded, and these
/// become `uncertain` with the code `activity_refused`. They keep their message id, because SES accepted the
/// emails, and are never sent to again.
///
/// If the table refuses the activities of all recipients for their content, all become `uncertain` and the
/// campaign is halted. At most ten are tried one by one to find that out.
///
/// # Errors
/// Those of [`record`]; and `refusal` if the table's state allows no activity: then only outcomes that were
/// tried are recorded.
pub async fn record_apart(
    database: &Database,
    statement: &Statement,
    whole: &Record<'_>,
    refusal: DatabaseError,
    until: Instant,
) -> Result<Option<Recorded>, DatabaseError> {
    let attempt = Attempt { database, statement, whole, until };
    let Apart { refused, takes_none } = match attempt.takes_any().await? {
        Some(true) => attempt.halve(&refusal).await?,
        Some(false) if refusal::of(&refusal) == Some(refusal::Refused::Row) => attempt.all_refused(&refusal),
        Some(false) => return Err(refusal),
        None => return Ok(None),
    };
    for Refused { line, error } in &refused {
        tracing::error!(recipient_id = %line.recipient_id, error, "an activity is refused; its email is uncertain");
    }
    let reason = halt::no_activity(&statement.table, &refusal.to_string());
    let reason: String = reason.chars().take(MAX_REASON).collect();
    // All its outcomes close the batch; outcomes that are already recorded change nothing.
    let ids: HashSet<Uuid> = refused.iter().map(|refused| refused.line.recipient_id).collect();
    let rest = whole.lines.iter().filter(|line| !ids.contains(&line.recipient_id));
    let rest: Vec<Line> = rest.cloned().collect();
    let halts = takes_none && refused.len() > 1;
    let last = Record {
        lines: &rest,
        refused: &refused,
        halt: whole.halt.or(halts.then_some(reason.as_str())),
        ..*whole
    };
    let Some(mut recorded) = record(database, &statement.sql, &last, until).await? else { return Ok(None) };
    // A single refusal says little about the table, unless others follow.
    let halts = halts || takes_none && recorded.progress.remaining > 0;
    if halts && last.halt.is_none() {
        let halt = Record { halt: Some(&reason), ..Record::nothing(whole.campaign_id) };
        if let Some(halted) = record(database, &statement.sql, &halt, until).await? {
            recorded = Recorded { status: halted.status, status_reason: halted.status_reason, ..recorded };
        }
    }
    let refused = refused.iter().filter(|refused| refused.line.outcome.status() == Status::Sent).count();
    Ok(Some(Recorded {
        refused: u32::try_from(refused).unwrap_or(u32::MAX),
        halted: (halts && whole.halt.is_none()).then_some(reason),
        ..recorded
    }))
}

/// A record that PostgreSQL refused and that is repeated in parts.
struct Attempt<'a> {
    database: &'a Database,
    statement: &'a Statement,
    whole: &'a Record<'a>,
    until: Instant,
}

/// The result of the parts.
struct Apart<'a> {
    refused: Vec<Refused<'a>>,
    /// The table took no activity, or too few in the available time.
    takes_none: bool,
}

/// PostgreSQL's message about a part.
enum Part {
    Recorded,
    Refused(DatabaseError),
    /// The campaign was deleted.
    Gone,
}

impl<'a> Attempt<'a> {
    async fn part(&self, lines: &'a [Line]) -> Result<Part, DatabaseError> {
        let closing = self.whole.closing.map(|closing| Closing { whole: false, ..closing });
        let part = Record { closing, lines, ..Record::nothing(self.whole.campaign_id) };
        match record(self.database, &self.statement.sql, &part, self.until).await {
            Ok(Some(_)) => Ok(Part::Recorded),
            Ok(None) => Ok(Part::Gone),
            Err(error @ DatabaseError::Refused(_)) => Ok(Part::Refused(error)),
            Err(error) => Err(error),
        }
    }

    /// Tries some recipients that are spread over the batch, and returns true if the table takes any
    /// activity. `None`: the campaign was deleted.
    async fn takes_any(&self) -> Result<Option<bool>, DatabaseError> {
        let sent: Vec<usize> = (0..self.whole.lines.len())
            .filter(|&at| self.whole.lines[at].outcome.status() == Status::Sent)
            .collect();
        let samples = sent.len().min(MAX_SAMPLES);
        for sample in 0..samples {
            let at = sent[sample * sent.len() / samples];
            match self.part(&self.whole.lines[at..=at]).await? {
                Part::Recorded => return Ok(Some(true)),
                Part::Refused(_) => {}
                Part::Gone => return Ok(None),
            }
        }
        Ok(Some(false))
    }

    /// Halves refused parts until each refused recipient is alone. Recipients that cannot be tried in time
    /// count as refused.
    ///
    /// # Errors
    /// The error of a part that no recipient can have caused: the server's own trouble, for example a disk that is so
    /// full that only small parts fit.
    async fn halve(&self, refusal: &DatabaseError) -> Result<Apart<'a>, DatabaseError> {
        let mut apart = Apart { refused: Vec::new(), takes_none: false };
        let now = Instant::now();
        let last_try = now + self.until.saturating_duration_since(now) * 2 / 3;
        let mut parts = vec![self.whole.lines];
        while let Some(part) = parts.pop() {
            if Instant::now() >= last_try {
                apart.takes_none = true;
                apart.refuse(part, refusal);
            } else if let Part::Refused(error) = self.part(part).await? {
                if !error.can_be_isolated() {
                    return Err(error);
                }
                if let [line] = part {
                    apart.refused.push(Refused { line, error: error.to_string() });
                } else {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
        Ok(apart)
    }

    /// The table takes no activity.
    fn all_refused(&self, refusal: &DatabaseError) -> Apart<'a> {
        let mut apart = Apart { refused: Vec::new(), takes_none: true };
        apart.refuse(self.whole.lines, refusal);
        apart
    }
}

impl<'a> Apart<'a> {
    /// The emails of these that SES accepted.
    fn refuse(&mut self, lines: &'a [Line], refusal: &DatabaseError) {
        let error = refusal.to_string();
        let sent = lines.iter().filter(|line| line.outcome.status() == Status::Sent);
        self.refused.extend(sent.map(|line| Refused { line, error: error.clone() }));
    }
}

/// Records outcomes. Each counts only where the life cycle allows it, so a record that is repeated changes
/// nothing more, and there is never a second `email_sent` activity of a recipient.
///
/// `statement` is [`STATEMENT`], filled for the activities table. `None`: the campaign was deleted.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`: the record may or may not have been committed.
pub async fn record(
    database: &Database,
    statement: &str,
    record: &Record<'_>,
    until: Instant,
) -> Result<Option<Recorded>, DatabaseError> {
    let columns = Columns::of(record.lines, record.refused);
    let (batch_id, token) = record.closing.map(|closing| (closing.batch_id, closing.token)).unzip();
    let reopen = record.closing.is_some_and(|closing| closing.reopen);
    let owner_lost = record.closing.is_some_and(|closing| closing.owner_lost);
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
        (&owner_lost, Type::BOOL),
        (&record.halt, Type::TEXT),
        (&record.refusal.0, Type::TEXT),
        (&record.refusal.1, Type::INT4),
        (&throttled_in, Type::TEXT),
        (&throttled_to, Type::FLOAT8),
        (&whole, Type::BOOL),
    ];
    let rows = database.query(statement, &parameters, until).await?;
    Ok(rows.first().map(|row| Recorded {
        status: CampaignStatus::of(row.get("status")),
        status_reason: row.get("status_reason"),
        progress: progress(row),
        activities: u32::try_from(row.get::<_, i64>("activities")).unwrap_or(u32::MAX),
        refused: 0,
        halted: None,
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
    fn of(lines: &'a [Line], refused: &'a [Refused<'a>]) -> Columns<'a> {
        let mut columns = Columns::default();
        for line in lines {
            let (message_id, at) = accepted(line).unzip();
            let (code, error) = match &line.outcome {
                Outcome::Failed { code, error } | Outcome::Uncertain { code, error } => {
                    (Some(code.as_str()), Some(storable(error)))
                }
                Outcome::Sent { .. } | Outcome::Suppressed | Outcome::Deferred => (None, None),
            };
            columns.push(line, line.outcome.status(), (message_id, at), (code, error));
        }
        for Refused { line, error } in refused {
            let (message_id, at) = accepted(line).unzip();
            let error = (Some(ACTIVITY_REFUSED), Some(storable(error)));
            columns.push(line, Status::Uncertain, (message_id, at), error);
        }
        columns
    }

    fn push(
        &mut self,
        line: &'a Line,
        status: Status,
        (message_id, at): (Option<&'a str>, Option<SystemTime>),
        (code, error): (Option<&'a str>, Option<String>),
    ) {
        self.ids.push(line.recipient_id);
        self.statuses.push(status.as_str());
        self.message_ids.push(message_id);
        self.codes.push(code);
        self.errors.push(error);
        self.times.push(at);
        self.subjects.push(line.subject.as_deref());
    }
}

/// SES's message id, and when its answer came.
fn accepted(line: &Line) -> Option<(&str, SystemTime)> {
    match &line.outcome {
        Outcome::Sent { message_id, at } => Some((message_id, *at)),
        _ => None,
    }
}

/// PostgreSQL's text cannot have a NUL.
fn storable(text: &str) -> String {
    text.replace('\0', " ")
}
