//! Runs the package's statements, each in the session of the invocation or person that runs it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use campaign_sender::domain::recipient::Status;
use campaign_sender::store::Database;
use campaign_sender::store::activities::plan;
use campaign_sender::store::settings::database_url;
use postgres::types::{ToSql, Type};
use postgres::{Client, NoTls, Row};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Ended, LIFE};
use crate::guards::Removed;
use crate::tables::{Campaign, Claim, Outcome, Record, Row as Presence, STEP};
use crate::world::{Late, Phase, Step, World};

/// The owner of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// An invocation, or a statement that it sent over a connection that broke. Sessions are used again.
    Invocation(u8),
    /// A transaction that adds a recipient.
    Adding(u8),
    Events,
    People,
    Observer,
}

/// The number of sessions for invocations.
const SESSIONS: u8 = 3;
/// A rate so low that the mark moves by one recipient at a time.
const PER_SECOND: f64 = 0.66;
const ORGANIZATION: Uuid = Uuid::from_u128(0x0a);
/// The time at which SES accepts messages, and the time of its events. Both are so early that no event
/// proves anything.
const EARLY: Duration = Duration::from_secs(1_000_000_000);

/// The directory of the package's sources.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A database with one campaign at a time.
pub struct Sql {
    server: String,
    name: String,
    url: String,
    sessions: BTreeMap<Who, Client>,
    /// Everything runs in one session and one transaction.
    alone: bool,
    campaign: Uuid,
    recipients: Vec<Uuid>,
    record: String,
    resolve: String,
    events: String,
    /// The rows of another campaign at the beginning.
    neighbour: Value,
    removed: Removed,
}

impl Sql {
    /// Makes a database of its own, with the tables of this release.
    pub fn start(server: &str, removed: &Removed) -> Result<Sql, String> {
        let name = format!("replay_{}", std::process::id());
        let (base, _) = server.rsplit_once('/').ok_or("DATABASE_URL names no database")?;
        let url = format!("{base}/{name}");
        let failed = |error: postgres::Error| format!("PostgreSQL: {error:?}");
        let create = format!("CREATE DATABASE {name}");
        connect(server).and_then(|mut client| client.batch_execute(&create)).map_err(failed)?;
        let mut observer = connect(&url).map_err(failed)?;
        let mut files: Vec<_> = std::fs::read_dir(Path::new(ROOT).join("migrations"))
            .map_err(|error| error.to_string())?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        files.sort();
        for file in files {
            observer.batch_execute(&source(file)?).map_err(failed)?;
        }
        observer.batch_execute(include_str!("neighbour.sql")).map_err(failed)?;
        let [record, resolve, events] = fill(
            &url,
            [
                &source("src/send_batch/record.sql")?,
                &source("cli/src/resolve/by_hand.sql")?,
                &source("src/ses_events/record.sql")?,
            ],
        )?;
        let mut sql = Sql {
            server: server.to_owned(),
            name,
            url,
            sessions: BTreeMap::from([(Who::Observer, observer)]),
            alone: false,
            campaign: Uuid::nil(),
            recipients: Vec::new(),
            record,
            resolve,
            events,
            neighbour: Value::Null,
            removed: removed.clone(),
        };
        sql.neighbour = sql.look().map_err(|Ended::Difference(error)| error)?["neighbour"].take();
        Ok(sql)
    }

    fn session(&mut self, who: Who) -> Result<&mut Client, Ended> {
        let who = match who {
            _ if self.alone => Who::Observer,
            Who::Invocation(token) => Who::Invocation(token % SESSIONS),
            who => who,
        };
        if !self.sessions.contains_key(&who) {
            self.sessions.insert(who, connect(&self.url)?);
        }
        Ok(self.sessions.get_mut(&who).expect("it was inserted"))
    }

    fn query(&mut self, who: Who, sql: &str, parameters: &[Parameter]) -> Result<Vec<Row>, Ended> {
        Ok(self.session(who)?.query_typed(sql, parameters)?)
    }

    /// Begins with a campaign in the state that the world has.
    pub fn begin(&mut self, world: &World, alone: bool) -> Result<(), Ended> {
        // Ends what the walk before has left open.
        for who in (0..3).map(Who::Adding) {
            self.sessions.remove(&who);
        }
        self.alone = false;
        self.campaign = Uuid::new_v4();
        self.recipients = world.tables.recipients.iter().map(|_| Uuid::new_v4()).collect();
        let campaign = self.campaign;
        self.query(
            Who::People,
            "INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, html)
             VALUES ($1, $2, 'Spring', 'sending', 'news@example.com', 'Hello', '<p>Dear</p>')",
            &[(&campaign, Type::UUID), (&ORGANIZATION, Type::UUID)],
        )?;
        for (at, r) in (0u8..).zip(&world.tables.recipients) {
            if r.row == Presence::Visible {
                self.add(Who::People, at, r.position)?;
            }
        }
        self.alone = alone;
        if alone {
            // The first claim in a database writes its history; the replay needs that to exist.
            self.session(Who::Observer)?
                .batch_execute("SELECT watch_history(NULL, 0); BEGIN ISOLATION LEVEL READ COMMITTED")?;
        }
        Ok(())
    }

    /// Ends the transaction that `begin` opened.
    pub fn end(&mut self) -> Result<(), Ended> {
        self.session(Who::Observer)?.batch_execute("ROLLBACK")?;
        self.alone = false;
        Ok(())
    }

    pub fn save(&mut self, depth: usize) -> Result<(), Ended> {
        Ok(self.session(Who::Observer)?.batch_execute(&format!("SAVEPOINT at_{depth}"))?)
    }

    pub fn back(&mut self, depth: usize) -> Result<(), Ended> {
        let sql = format!("ROLLBACK TO SAVEPOINT at_{depth}; RELEASE SAVEPOINT at_{depth}");
        Ok(self.session(Who::Observer)?.batch_execute(&sql)?)
    }

    /// Returns true if a step runs a statement.
    #[allow(clippy::unused_self, reason = "it is asked of what runs the statements")]
    pub fn writes(&self, _: &World, step: &Step) -> bool {
        !matches!(
            step,
            Step::Begin { .. }
                | Step::Snapshot(_)
                | Step::Cut { .. }
                | Step::GiveUp { .. }
                | Step::Crash(_)
                | Step::HandOver { .. }
                | Step::Answered { .. }
                | Step::AcceptAstray { .. }
        )
    }

    /// Runs a step. Returns true if there is something to compare.
    pub fn run(&mut self, before: &World, step: &Step, after: &World) -> Result<bool, Ended> {
        if !self.writes(before, step) {
            return Ok(false);
        }
        match step {
            Step::Statement { at, small } => {
                let statement = before.statement(*at).ok_or(Ended::Difference("no statement".to_owned()))?;
                let answer = self.statement(&statement, if *small { 1 } else { 2 })?;
                if let Late::Claim { token } = statement {
                    self.expect_claim(token, &answer, before, after)?;
                }
            }
            Step::Checkpoint(at) => {
                let statement =
                    before.checkpoint(*at).ok_or(Ended::Difference("no checkpoint".to_owned()))?;
                let answer = self.statement(&statement, 2)?;
                let goes_on = answer.first().is_some_and(|row| row.get::<_, &str>(0) == "sending");
                if goes_on == after.invocations[*at].stopped && !before.invocations[*at].stopped {
                    return Err(Ended::Difference(format!("the checkpoint says: go on: {goes_on}")));
                }
            }
            Step::RunLate(which) => drop(self.statement(&before.late[*which], 2)?),
            Step::Event { recipient, message, rejected } => self.event(*recipient, *message, *rejected)?,
            Step::LeaseEnds(batch) => {
                let id = self.batch(*batch)?;
                let sql = "UPDATE campaign_batches SET lease_ends_at = clock_timestamp() - interval '1 second' WHERE id = $1";
                self.query(Who::People, sql, &[(&id, Type::INT8)])?;
            }
            Step::Insert { recipient, position } => {
                self.session(Who::Adding(*recipient))?.batch_execute("BEGIN")?;
                self.add(Who::Adding(*recipient), *recipient, *position)?;
            }
            Step::CommitInsert(recipient) => {
                self.session(Who::Adding(*recipient))?.batch_execute("COMMIT")?;
            }
            Step::Pause => self.set_status(Campaign::Paused)?,
            Step::Resume => self.set_status(Campaign::Sending)?,
            Step::Cancel => self.set_status(Campaign::Cancelled)?,
            Step::Resolve { recipient, decision } => {
                self.next_position(before.tables.next_position)?;
                self.resolve(*recipient, *decision)?;
            }
            Step::Retry => {
                self.next_position(before.tables.next_position)?;
                self.retry()?;
            }
            Step::ProvingEvent => {
                let campaign = self.campaign;
                let sql =
                    "UPDATE campaign_cursors SET last_event_at = clock_timestamp() WHERE campaign_id = $1";
                self.query(Who::Events, sql, &[(&campaign, Type::UUID)])?;
            }
            Step::ResendUnreported => {
                self.next_position(before.tables.next_position)?;
                let campaign = self.campaign;
                // The model has too few recipients for neighbours, so their condition is left out.
                let sql = source("src/send_batch/resend_unreported.sql")?;
                let condition = "neighbours.reported > 0 AND (neighbours.sent - neighbours.reported) * 20 <= neighbours.sent";
                let without_neighbours = sql.replace(condition, "true");
                assert_ne!(without_neighbours, sql, "the condition has another text now");
                self.query(
                    Who::Invocation(0),
                    &without_neighbours,
                    &[(&campaign, Type::UUID), (&0.0_f64, Type::FLOAT8)],
                )?;
            }
            Step::Begin { .. }
            | Step::Snapshot(_)
            | Step::Cut { .. }
            | Step::GiveUp { .. }
            | Step::Crash(_)
            | Step::HandOver { .. }
            | Step::Answered { .. }
            | Step::AcceptAstray { .. } => {}
        }
        Ok(true)
    }

    fn add(&mut self, who: Who, recipient: u8, position: i16) -> Result<(), Ended> {
        let (id, campaign) = (self.recipients[usize::from(recipient)], self.campaign);
        let (email, position) = (format!("r{recipient}@example.com"), i64::from(position));
        self.query(
            who,
            "INSERT INTO campaign_recipients (id, campaign_id, organization_id, email, position)
             VALUES ($1, $2, $3, $4, $5)",
            &[
                (&id, Type::UUID),
                (&campaign, Type::UUID),
                (&ORGANIZATION, Type::UUID),
                (&email, Type::TEXT),
                (&position, Type::INT8),
            ],
        )?;
        Ok(())
    }

    fn set_status(&mut self, status: Campaign) -> Result<(), Ended> {
        let (status, campaign) = (status.as_str(), self.campaign);
        let sql = "UPDATE campaigns SET status = $2 WHERE id = $1";
        self.query(Who::People, sql, &[(&campaign, Type::UUID), (&status, Type::TEXT)])?;
        Ok(())
    }

    fn batch(&mut self, batch: u8) -> Result<i64, Ended> {
        let (campaign, number) = (self.campaign, i64::from(batch) + 1);
        let sql = "SELECT id FROM campaign_batches WHERE campaign_id = $1 AND number = $2";
        let rows = self.query(Who::Observer, sql, &[(&campaign, Type::UUID), (&number, Type::INT8)])?;
        rows.first().map(|row| row.get(0)).ok_or(Ended::Difference(format!("there is no batch {number}")))
    }

    fn next_position(&mut self, next: i16) -> Result<(), Ended> {
        let sql = "SELECT setval(pg_get_serial_sequence('campaign_recipients', 'position'), $1, false)";
        self.query(Who::Observer, sql, &[(&i64::from(next), Type::INT8)])?;
        Ok(())
    }

    fn statement(&mut self, statement: &Late, size: i32) -> Result<Vec<Row>, Ended> {
        match statement {
            Late::Claim { token } => self.claim(*token, size),
            Late::Checkpoint { batch, token, mark, notes, .. } => {
                let (batch, mark) = (self.batch(*batch)?, i64::from(*mark));
                let notes: Vec<Value> = notes.iter().map(|(r, outcome)| self.entry(*r, *outcome)).collect();
                let number = i32::try_from(mark).unwrap_or(i32::MAX);
                let notes = (!notes.is_empty()).then_some(Value::from(notes));
                self.query(
                    Who::Invocation(*token),
                    &source("src/send_batch/checkpoint.sql")?,
                    &[
                        (&batch, Type::INT8),
                        (&uuid(*token), Type::UUID),
                        (&mark, Type::INT8),
                        (&number, Type::INT4),
                        (&notes, Type::JSONB),
                    ],
                )
            }
            Late::Record(record) => self.record(record),
            Late::Complete => {
                let campaign = self.campaign;
                self.query(Who::Invocation(0), "SELECT complete_campaign($1)", &[(&campaign, Type::UUID)])
            }
        }
    }

    fn claim(&mut self, token: u8, size: i32) -> Result<Vec<Row>, Ended> {
        // The rate is not part of the model.
        self.query(Who::Observer, "DELETE FROM send_shares", &[])?;
        let (campaign, life) = (self.campaign, LIFE.as_secs_f64());
        self.query(
            Who::Invocation(token),
            "SELECT * FROM claim_next_batch($1, $2, $3, $4, false, 1000000, 1000000, 'replay', $5, $4, 0, 'hash')",
            &[
                (&campaign, Type::UUID),
                (&uuid(token), Type::UUID),
                (&size, Type::INT4),
                (&life, Type::FLOAT8),
                (&PER_SECOND, Type::FLOAT8),
            ],
        )
    }

    /// Checks that the claim answered what the model's claim answered.
    fn expect_claim(
        &mut self,
        token: u8,
        answer: &[Row],
        before: &World,
        after: &World,
    ) -> Result<(), Ended> {
        let row = answer.first().ok_or(Ended::Difference("the claim answers nothing".to_owned()))?;
        let verdict = row.get::<_, Option<String>>("verdict").unwrap_or_default();
        let invocation = after.invocations.iter().find(|i| i.token == token);
        let expected = match invocation.map(|i| (&i.phase, i)) {
            Some((Phase::Send, i)) => {
                let members: Vec<Uuid> =
                    i.members.iter().map(|m| self.recipients[usize::from(m.0)]).collect();
                let ids: Option<Vec<Uuid>> = row.get("ids");
                (verdict == "batch" && ids == Some(members) && row.get::<_, i32>("step") == 1, "a batch")
            }
            Some((Phase::Takeover(record), _)) => {
                let mut notes: Vec<String> =
                    record.outcomes.iter().map(|(r, of)| self.entry(*r, *of).to_string()).collect();
                let found: Option<Value> = row.get("outcomes");
                let found = found.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
                let mut found: Vec<String> = found.iter().map(Value::to_string).collect();
                notes.sort_unstable();
                found.sort_unstable();
                (verdict == "takeover" && notes == found, "a takeover")
            }
            None => match before.tables.clone().claim(None, token, 2, STEP, &self.removed) {
                Some(Claim::Nothing(why)) => (verdict == why, why),
                _ => (false, "an invocation that goes on"),
            },
            Some(_) => (false, "a refusal"),
        };
        match expected {
            (true, _) => Ok(()),
            (false, what) => {
                Err(Ended::Difference(format!("the claim answers {verdict}; the model: {what}")))
            }
        }
    }

    /// An outcome in its short form.
    fn entry(&self, recipient: u8, outcome: Outcome) -> Value {
        let id = self.recipients[usize::from(recipient)];
        match outcome {
            Outcome::Sent(message) => {
                json!([id, "sent", message_id(recipient, message), EARLY.as_secs() * 1000])
            }
            Outcome::Refused => json!([id, "failed", "MessageRejected", "no"]),
            Outcome::Uncertain => json!([id, "uncertain", "timed_out", "no answer"]),
            Outcome::Deferred => json!([id, "pending"]),
        }
    }

    fn record(&mut self, record: &Record) -> Result<Vec<Row>, Ended> {
        let batch = self.batch(record.batch)?;
        let of = |with: &dyn Fn(u8, Outcome) -> Option<String>| -> Vec<Option<String>> {
            record.outcomes.iter().map(|(r, outcome)| with(*r, *outcome)).collect()
        };
        let ids: Vec<Uuid> = record.outcomes.iter().map(|(r, _)| self.recipients[usize::from(*r)]).collect();
        let statuses = of(&|_, outcome| Some(outcome.status().as_str().to_owned()));
        let messages = of(&|r, outcome| match outcome {
            Outcome::Sent(message) => Some(message_id(r, message)),
            _ => None,
        });
        let codes = of(&|_, outcome| match outcome {
            Outcome::Refused => Some("MessageRejected".to_owned()),
            Outcome::Uncertain => Some("timed_out".to_owned()),
            _ => None,
        });
        let times: Vec<Option<SystemTime>> =
            messages.iter().map(|message| message.as_ref().map(|_| SystemTime::UNIX_EPOCH + EARLY)).collect();
        let subjects: Vec<&str> = messages.iter().map(|_| "Hello").collect();
        let deferred = record.outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Deferred);
        let none: Option<&str> = None;
        let (statement, campaign) = (self.record.clone(), self.campaign);
        self.query(
            Who::Invocation(record.token),
            &statement,
            &[
                (&campaign, Type::UUID),
                (&batch, Type::INT8),
                (&uuid(record.token), Type::UUID),
                (&ids, Type::UUID_ARRAY),
                (&statuses, Type::TEXT_ARRAY),
                (&messages, Type::TEXT_ARRAY),
                (&codes, Type::TEXT_ARRAY),
                (&codes, Type::TEXT_ARRAY),
                (&times, Type::TIMESTAMPTZ_ARRAY),
                (&subjects, Type::TEXT_ARRAY),
                (&(record.owner_lost || deferred), Type::BOOL),
                (&record.owner_lost, Type::BOOL),
                (&none, Type::TEXT),
                (&none, Type::TEXT),
                (&0_i32, Type::INT4),
                (&none, Type::TEXT),
                (&None::<f64>, Type::FLOAT8),
                (&record.whole, Type::BOOL),
            ],
        )
    }

    fn event(&mut self, recipient: u8, message: u8, rejected: bool) -> Result<(), Ended> {
        let (id, statement) = (self.recipients[usize::from(recipient)], self.events.clone());
        let none: Vec<Option<&str>> = vec![None];
        let early = vec![SystemTime::UNIX_EPOCH + EARLY];
        let (status, code, action, feedback) = if rejected {
            ("failed", Some("rejected"), Some("email_rejected"), "rejected")
        } else {
            ("sent", None, None, "accepted")
        };
        let campaign = self.campaign;
        self.query(
            Who::Events,
            &statement,
            &[
                (&vec![id], Type::UUID_ARRAY),
                (&vec![campaign], Type::UUID_ARRAY),
                (&vec![Some(ORGANIZATION)], Type::UUID_ARRAY),
                (&none, Type::TEXT_ARRAY),
                (&vec![status], Type::TEXT_ARRAY),
                (&vec![message_id(recipient, message)], Type::TEXT_ARRAY),
                (&early, Type::TIMESTAMPTZ_ARRAY),
                (&early, Type::TIMESTAMPTZ_ARRAY),
                (&vec!["Hello"], Type::TEXT_ARRAY),
                (&vec![code], Type::TEXT_ARRAY),
                (&vec![code], Type::TEXT_ARRAY),
                (&vec![action], Type::TEXT_ARRAY),
                (&vec![false], Type::BOOL_ARRAY),
                (&vec![Uuid::nil()], Type::UUID_ARRAY),
                (&none, Type::TEXT_ARRAY),
                (&vec![""], Type::TEXT_ARRAY),
                (&vec![""], Type::TEXT_ARRAY),
                (&vec![json!({})], Type::JSONB_ARRAY),
                (&none, Type::TEXT_ARRAY),
                (&vec![feedback], Type::TEXT_ARRAY),
                (&Vec::<String>::new(), Type::TEXT_ARRAY),
            ],
        )?;
        Ok(())
    }

    fn resolve(&mut self, recipient: u8, decision: Status) -> Result<(), Ended> {
        let (id, statement, campaign) =
            (self.recipients[usize::from(recipient)], self.resolve.clone(), self.campaign);
        self.query(
            Who::People,
            &statement,
            &[
                (&campaign, Type::UUID),
                (&vec![id], Type::UUID_ARRAY),
                (&vec![Some("Hello")], Type::TEXT_ARRAY),
                (&decision.as_str(), Type::TEXT),
                (&"decided", Type::TEXT),
            ],
        )?;
        Ok(())
    }

    /// Does what `campaign retry-failed` does, in one transaction.
    fn retry(&mut self) -> Result<(), Ended> {
        let (campaign, codes) = (self.campaign, vec!["MessageRejected"]);
        let of: Parameter = (&campaign, Type::UUID);
        if !self.alone {
            self.session(Who::People)?.batch_execute("BEGIN")?;
        }
        let retry = source("cli/src/retry_failed/retry.sql")?;
        let rows = self.query(Who::People, &retry, &[of.clone(), (&codes, Type::TEXT_ARRAY)])?;
        let again: i64 = rows.first().map_or(0, |row| row.get(0));
        self.query(Who::People, &source("cli/src/retry_failed/recount.sql")?, std::slice::from_ref(&of))?;
        self.query(Who::People, &source("cli/src/import/count.sql")?, std::slice::from_ref(&of))?;
        let reopen = source("cli/src/retry_failed/reopen.sql")?;
        self.query(Who::People, &reopen, &[of, (&again, Type::INT8)])?;
        if !self.alone {
            self.session(Who::People)?.batch_execute("COMMIT")?;
        }
        Ok(())
    }

    /// Reads the tables in the form that `tables::compare` needs.
    pub fn look(&mut self) -> Result<Value, Ended> {
        let campaign = self.campaign;
        let rows = self.query(Who::Observer, include_str!("look.sql"), &[(&campaign, Type::UUID)])?;
        let mut seen: Value = rows.first().map(|row| row.get(0)).unwrap_or_default();
        if !self.neighbour.is_null() && seen["neighbour"] != self.neighbour {
            return Err(Ended::Difference("a statement has changed another campaign".to_owned()));
        }
        seen["ids"] = json!(self.recipients);
        Ok(seen)
    }
}

impl Drop for Sql {
    fn drop(&mut self) {
        self.sessions.clear();
        if let Ok(mut client) = connect(&self.server) {
            let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

/// A file of the package's sources as it is now, so that a changed statement is replayed without a build.
fn source(path: impl AsRef<Path>) -> Result<String, String> {
    let path = Path::new(ROOT).join(path);
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn connect(url: &str) -> Result<Client, postgres::Error> {
    Client::connect(url, NoTls)
}

/// The token of an invocation.
pub fn uuid(token: u8) -> Uuid {
    Uuid::from_u128(u128::from(token))
}

pub fn message_id(recipient: u8, message: u8) -> String {
    format!("{recipient}-{message}")
}

/// Statements that write activities, filled for the table as the functions fill them.
fn fill<const N: usize>(url: &str, statements: [&str; N]) -> Result<[String; N], String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let access = database_url(Some(url.to_owned())).map_err(|error| error.to_string())?;
        let database = Database::new(&access.into())?;
        let until = Instant::now() + Duration::from_secs(20);
        let table = plan::learn(&database, "activities", &["email_sent"], &[], until)
            .await
            .map_err(|error| error.to_string())?;
        Ok(statements.map(|statement| table.fill(statement)))
    })
}
