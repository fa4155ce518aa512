//! Records a batch of events in PostgreSQL with one statement.

use std::time::SystemTime;

use aws_sdk_sesv2::primitives::DateTimeFormat;
use serde::Deserialize;
use serde_json::Value;
use std::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::event::Event;
use super::guard;
use super::kind::ACTIONS;
use crate::domain::guard::Watched;
use crate::store::activities::ActivitiesTable;
use crate::store::{Database, DatabaseError};

/// The result of a batch of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Events whose recipient exists.
    pub found: u64,
    /// Events that fit their recipient; the others changed nothing.
    pub known: u64,
    /// Recipients that events proved sent.
    pub sent: u64,
    /// Recipients that events proved failed.
    pub failed: u64,
    /// Activities written.
    pub activities: u64,
    /// Addresses added to the suppressions, or stored there with a stronger reason now.
    pub suppressed: u64,
    /// Addresses taken out of the suppressions again, because deliveries outweigh their transient bounces.
    pub taken_back: u64,
    /// Campaigns with emails that SES rejected after accepting them.
    pub rejected: Vec<Rejected>,
    /// Campaigns with emails that SES reported and the database never handed over.
    pub lost: Vec<Lost>,
    /// The figures of the campaigns whose bounce or complaint rates may have risen, and of the other
    /// campaigns of their organizations.
    pub watched: Vec<Watched>,
}

/// Emails of a campaign that SES reported and this database never handed over, so the database has lost data.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// The campaign, which is paused now.
    pub campaign_id: Uuid,
    /// The number of these emails.
    pub count: u64,
}

/// Emails of a campaign that SES rejected after it had accepted them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// The campaign.
    pub campaign_id: Uuid,
    /// Their number in this batch of events.
    pub count: u64,
    /// Their number in all recorded events.
    pub total: u64,
    /// SES's message about one of them.
    pub reason: Option<String>,
}

impl std::ops::AddAssign for Recorded {
    fn add_assign(&mut self, other: Recorded) {
        self.found += other.found;
        self.known += other.known;
        self.sent += other.sent;
        self.failed += other.failed;
        self.activities += other.activities;
        self.suppressed += other.suppressed;
        self.taken_back += other.taken_back;
        self.rejected.extend(other.rejected);
        self.lost.extend(other.lost);
        // If both name a campaign, the later figures are newer.
        self.watched.retain(|known| other.watched.iter().all(|new| new.campaign_id != known.campaign_id));
        self.watched.extend(other.watched);
    }
}

/// The statement, for the activities table in use.
pub struct Recorder {
    table: ActivitiesTable,
    statement: String,
    /// Domains whose provider reports no complaints.
    without_feedback: Vec<String>,
}

impl Recorder {
    /// Fills the statement for this table. Deliveries to the domains `without_feedback` are counted apart, because
    /// their providers report no complaints.
    pub fn new(table: ActivitiesTable, without_feedback: Vec<String>) -> Recorder {
        let statement = table.fill(include_str!("record.sql"));
        Recorder { table, statement, without_feedback }
    }

    /// Returns true if it writes the same as another statement.
    pub fn is_like(&self, other: &Recorder) -> bool {
        self.statement == other.statement
            && ACTIONS
                .iter()
                .all(|action| self.table.knows_action(action) == other.table.knows_action(action))
    }

    /// Records events of any recipients of any campaigns, in any order. The same event may arrive any number
    /// of times, also in one batch, and counts once. Events of unknown recipients, and events that do not fit
    /// their recipient (another destination, organization or message id), change nothing.
    ///
    /// Activities whose action the table's enum lacks are left out.
    ///
    /// # Errors
    /// Fails if PostgreSQL does not answer by `until`, or refuses. After a refusal nothing is recorded;
    /// without an answer either nothing or everything is.
    pub async fn record(
        &self,
        database: &Database,
        events: &[&Event],
        until: Instant,
    ) -> Result<Recorded, DatabaseError> {
        let columns = Columns::of(events, &self.table);
        let parameters: [(&(dyn ToSql + Sync), Type); 21] = [
            (&columns.recipient_ids, Type::UUID_ARRAY),
            (&columns.campaign_ids, Type::UUID_ARRAY),
            (&columns.organization_ids, Type::UUID_ARRAY),
            (&columns.destinations, Type::TEXT_ARRAY),
            (&columns.statuses, Type::TEXT_ARRAY),
            (&columns.message_ids, Type::TEXT_ARRAY),
            (&columns.accepted, Type::TIMESTAMPTZ_ARRAY),
            (&columns.occurred, Type::TIMESTAMPTZ_ARRAY),
            (&columns.subjects, Type::TEXT_ARRAY),
            (&columns.error_codes, Type::TEXT_ARRAY),
            (&columns.errors, Type::TEXT_ARRAY),
            (&columns.actions, Type::TEXT_ARRAY),
            (&columns.in_timeline, Type::BOOL_ARRAY),
            (&columns.keys, Type::UUID_ARRAY),
            (&columns.made_by, Type::TEXT_ARRAY),
            (&columns.before, Type::TEXT_ARRAY),
            (&columns.after, Type::TEXT_ARRAY),
            (&columns.details, Type::JSONB_ARRAY),
            (&columns.suppressions, Type::TEXT_ARRAY),
            (&columns.feedback, Type::TEXT_ARRAY),
            (&self.without_feedback, Type::TEXT_ARRAY),
        ];
        let rows = database.query(&self.statement, &parameters, until).await?;
        let count =
            |column| rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0));
        Ok(Recorded {
            found: count("found"),
            known: count("known"),
            sent: count("sent"),
            failed: count("failed"),
            activities: count("activities"),
            suppressed: count("suppressed"),
            taken_back: count("taken_back"),
            rejected: rows.first().map(|row| list(row.get("rejected"))).unwrap_or_default(),
            lost: rows.first().map(|row| list(row.get("lost"))).unwrap_or_default(),
            watched: rows.first().map(|row| guard::read(row.get("watched"))).unwrap_or_default(),
        })
    }
}

fn list<T: for<'de> Deserialize<'de>>(json: Option<&str>) -> Vec<T> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// The events column by column, as `unnest` takes them.
#[derive(Default)]
struct Columns<'a> {
    recipient_ids: Vec<Uuid>,
    campaign_ids: Vec<Uuid>,
    organization_ids: Vec<Option<Uuid>>,
    destinations: Vec<Option<&'a str>>,
    statuses: Vec<&'static str>,
    message_ids: Vec<&'a str>,
    accepted: Vec<SystemTime>,
    occurred: Vec<SystemTime>,
    subjects: Vec<Option<&'a str>>,
    error_codes: Vec<Option<&'a str>>,
    errors: Vec<Option<&'a str>>,
    actions: Vec<Option<&'static str>>,
    in_timeline: Vec<bool>,
    keys: Vec<Uuid>,
    made_by: Vec<Option<&'static str>>,
    before: Vec<String>,
    after: Vec<String>,
    details: Vec<Value>,
    suppressions: Vec<Option<&'static str>>,
    feedback: Vec<Option<&'static str>>,
}

impl<'a> Columns<'a> {
    fn of(events: &[&'a Event], table: &ActivitiesTable) -> Columns<'a> {
        let mut columns = Columns::default();
        for event in events {
            let (error_code, error) = event.kind.error().unzip();
            let (before, after) = event.kind.wording();
            columns.recipient_ids.push(event.recipient_id);
            columns.campaign_ids.push(event.campaign_id);
            columns.organization_ids.push(event.organization_id);
            columns.destinations.push(event.destination.as_deref());
            columns.statuses.push(event.kind.status().as_str());
            columns.message_ids.push(&event.message_id);
            columns.accepted.push(system_time(event.accepted_at));
            columns.occurred.push(system_time(event.occurred_at));
            columns.subjects.push(event.subject.as_deref());
            columns.error_codes.push(error_code);
            columns.errors.push(error);
            columns.actions.push(event.kind.action());
            columns.in_timeline.push(event.kind.action().is_some_and(|action| table.knows_action(action)));
            columns.keys.push(event.kind.key());
            columns.made_by.push(event.kind.made_by());
            columns.before.push(before);
            columns.after.push(after);
            columns.details.push(details(event));
            columns.suppressions.push(event.kind.suppression());
            columns.feedback.push(event.kind.feedback());
        }
        columns
    }
}

fn details(event: &Event) -> Value {
    let mut details = event.kind.details();
    let occurred_at = event.occurred_at.fmt(DateTimeFormat::DateTime).unwrap_or_default();
    details.insert("occurredAt".to_owned(), Value::from(occurred_at));
    Value::Object(details)
}

fn system_time(time: aws_sdk_sesv2::primitives::DateTime) -> SystemTime {
    SystemTime::try_from(time).unwrap_or(SystemTime::UNIX_EPOCH)
}
