//! One lane of invocations of `send-batch` of release 0.1: pay, load, claim, send with checkpoints, record, complete.

use std::time::SystemTime;

use postgres::types::{ToSql, Type};
use postgres::{Client, Row};
use serde_json::{Value, json};
use uuid::Uuid;

use super::index;
use super::world::{Answer, Sending};

/// The time of an invocation, and its lease, in seconds.
const SECONDS: f64 = 60.0;
/// What the tests' SES takes in a second: so much that nobody waits for it.
const PER_SECOND: f64 = 1e6;

/// An outcome: recipient, status, message id, error code, error. (Of the times, nothing is said here.)
#[derive(Clone, Debug)]
pub struct Outcome {
    pub recipient: Uuid,
    pub status: &'static str,
    pub message: Option<String>,
}

impl Outcome {
    fn code(&self) -> Option<&'static str> {
        match self.status {
            "failed" => Some("MessageRejected"),
            "uncertain" => Some("timed_out"),
            _ => None,
        }
    }

    /// The short form, in which it is noted.
    fn entry(&self) -> Value {
        match self.status {
            "sent" => json!([self.recipient, "sent", self.message, 1_760_000_000_000_u64]),
            "failed" | "uncertain" => json!([self.recipient, self.status, self.code(), "no"]),
            other => json!([self.recipient, other]),
        }
    }

    fn from_entry(entry: &Value) -> Outcome {
        let status = ["sent", "failed", "suppressed", "uncertain", "pending"]
            .into_iter()
            .find(|status| entry[1] == *status)
            .expect("a status");
        let message = (status == "sent").then(|| entry[2].as_str().unwrap().to_owned());
        Outcome { recipient: entry[0].as_str().unwrap().parse().unwrap(), status, message }
    }
}

/// What an invocation owes that could not record.
#[derive(Clone, Debug)]
pub struct Debt {
    pub batch: i64,
    pub token: Uuid,
    pub outcomes: Vec<Outcome>,
    pub whole: bool,
}

/// A batch that is being sent.
struct Batch {
    id: i64,
    step: usize,
    /// Recipients with their positions, and whether they are suppressed.
    recipients: Vec<(Uuid, i64, bool)>,
    /// How many of them the mark allows, have been handed over, and are noted.
    marked: usize,
    tried: usize,
    noted: usize,
    checkpoints: i32,
    outcomes: Vec<Outcome>,
}

/// A session, and the invocation that it is at.
pub struct Lane {
    client: Client,
    pub token: Uuid,
    batch: Option<Batch>,
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl Lane {
    pub fn new(sending: &Sending) -> Lane {
        Lane { client: sending.world.database.connect(), token: Uuid::nil(), batch: None }
    }

    fn query(&mut self, sql: &str, parameters: &[Parameter]) -> Vec<Row> {
        // As that release does: what another transaction was in the way of is done again.
        for _ in 0..10 {
            match self.client.query_typed(sql, parameters) {
                Ok(rows) => return rows,
                Err(error) if error.code().is_some_and(|code| code.code().starts_with("40")) => {}
                Err(error) => panic!("{sql}: {error:?}"),
            }
        }
        panic!("{sql}: always in conflict")
    }

    /// It is in the middle of a batch.
    pub fn is_busy(&self) -> bool {
        self.batch.is_some()
    }

    /// An invocation begins: as a tick, or with the campaign's id, and perhaps with a debt. It comes as far as its batch.
    pub fn begin(&mut self, sending: &mut Sending, tick: bool, debt: Option<&Debt>) {
        self.token = Uuid::new_v4();
        let id = (!tick).then_some(sending.campaign);
        let nobody: Vec<Uuid> = Vec::new();
        let table = Some("activities");
        let load: [Parameter; 3] = [(&id, Type::UUID), (&nobody, Type::UUID_ARRAY), (&table, Type::TEXT)];
        let loaded = self.query(include_str!("../release_0_1/load.sql"), &load);
        let Some(row) = loaded.first() else { return };
        let known: String = row.get("activities");
        assert_eq!(serde_json::from_str::<Value>(&known).unwrap()["own"], json!(true));
        if let Some(debt) = debt {
            let reopen = debt.outcomes.iter().any(|outcome| outcome.status == "pending");
            self.subjects(sending, &debt.outcomes);
            let of = debt.whole.then_some((debt.batch, debt.token));
            self.record(sending, of, &debt.outcomes, reopen, false);
        }
        let size = i32::try_from(sending.dice.between(1, 6)).unwrap();
        for _ in 0..20 {
            let (bytes, variables, region) = (64_i64 << 20, 256_i32 << 10, "us-east-1");
            let claim: [Parameter; 11] = [
                (&sending.campaign, Type::UUID),
                (&self.token.clone(), Type::UUID),
                (&size, Type::INT4),
                (&SECONDS, Type::FLOAT8),
                (&tick, Type::BOOL),
                (&bytes, Type::INT8),
                (&variables, Type::INT4),
                (&region, Type::TEXT),
                (&Some(PER_SECOND), Type::FLOAT8),
                (&SECONDS, Type::FLOAT8),
                (&0.25_f64, Type::FLOAT8),
            ];
            let answer = &self.query(include_str!("../release_0_1/claim.sql"), &claim)[0];
            match answer.get::<_, Option<&str>>("verdict") {
                Some("batch") => return self.batch = Some(Batch::of(answer)),
                Some("takeover") => {
                    let noted: Option<Value> = answer.get("outcomes");
                    let noted = noted.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
                    let outcomes: Vec<_> = noted.iter().map(Outcome::from_entry).collect();
                    self.subjects(sending, &outcomes);
                    let of = Some((answer.get("batch_id"), self.token));
                    self.record(sending, of, &outcomes, true, true);
                    sending.takeovers += 1;
                }
                _ => return,
            }
        }
    }

    /// Goes on with the batch by one thing that it does.
    pub fn go_on(&mut self, sending: &mut Sending) {
        let Some(batch) = self.batch.as_mut() else { return };
        if batch.tried < batch.marked {
            let (recipient, _, suppressed) = batch.recipients[batch.tried];
            batch.tried += 1;
            let outcome = |status, message| Outcome { recipient, status, message };
            batch.outcomes.push(if suppressed {
                outcome("suppressed", None)
            } else {
                match sending.ses(recipient) {
                    Answer::Accepted(message) => outcome("sent", Some(message)),
                    Answer::Refused => outcome("failed", None),
                    Answer::None => outcome("uncertain", None),
                }
            });
        } else if batch.tried < batch.recipients.len() {
            self.checkpoint(sending);
        } else {
            self.end(sending);
        }
    }

    /// Moves the mark, and notes what is known.
    fn checkpoint(&mut self, sending: &mut Sending) {
        let batch = self.batch.as_mut().expect("a batch");
        let marked = (batch.marked + batch.step).min(batch.recipients.len());
        batch.checkpoints += 1;
        let notes: Vec<Value> = batch.outcomes[batch.noted..].iter().map(Outcome::entry).collect();
        let notes = (!notes.is_empty()).then_some(Value::from(notes));
        let (id, token, mark, number) =
            (batch.id, self.token, batch.recipients[marked - 1].1, batch.checkpoints);
        (batch.noted, batch.marked) = (batch.outcomes.len(), marked);
        let rows = self.query(
            include_str!("../release_0_1/checkpoint.sql"),
            &[
                (&id, Type::INT8),
                (&token, Type::UUID),
                (&mark, Type::INT8),
                (&number, Type::INT4),
                (&notes, Type::JSONB),
            ],
        );
        // The claim is lost, or the campaign is stopped.
        if rows.first().is_none_or(|row| row.get::<_, &str>(0) != "sending") {
            self.end(sending);
        }
    }

    /// Records the batch, or hands on what it owes; and completes the campaign where by the counters nobody is left.
    fn end(&mut self, sending: &mut Sending) {
        let Some(batch) = self.batch.take() else { return };
        let mut outcomes = batch.outcomes;
        let rest = batch.recipients[outcomes.len()..].iter();
        outcomes.extend(rest.map(|(id, ..)| Outcome { recipient: *id, status: "pending", message: None }));
        let reopen = outcomes.iter().any(|outcome| outcome.status == "pending");
        if sending.dice.percent(15) {
            outcomes.sort_by_key(|outcome| outcome.status != "sent");
            let whole = sending.dice.percent(50);
            if !whole {
                outcomes.truncate(index(&mut sending.dice, outcomes.len()) + 1);
            }
            sending.debts.push(Debt { batch: batch.id, token: self.token, outcomes, whole });
            return;
        }
        let row = self.record(sending, Some((batch.id, self.token)), &outcomes, reopen, false);
        let count = |name| row.get::<_, i32>(name);
        let done = count("sent_count")
            + count("failed_count")
            + count("suppressed_count")
            + count("uncertain_count");
        if row.get::<_, &str>("status") == "sending" && done >= count("total_count") {
            let campaign = sending.campaign;
            self.query(include_str!("../release_0_1/complete.sql"), &[(&campaign, Type::UUID)]);
        }
    }

    /// What the subjects of these emails are rendered from: read by a debt and a takeover.
    fn subjects(&mut self, sending: &Sending, outcomes: &[Outcome]) {
        let sent: Vec<Uuid> = outcomes
            .iter()
            .filter(|outcome| outcome.status == "sent")
            .map(|outcome| outcome.recipient)
            .collect();
        if !sent.is_empty() {
            let parameters: [Parameter; 2] = [(&sending.campaign, Type::UUID), (&sent, Type::UUID_ARRAY)];
            self.query(include_str!("../release_0_1/pay.sql"), &parameters);
        }
    }

    fn record(
        &mut self,
        sending: &Sending,
        of: Option<(i64, Uuid)>,
        outcomes: &[Outcome],
        reopen: bool,
        doubt: bool,
    ) -> Row {
        let (batch, token) = of.unzip();
        let ids: Vec<Uuid> = outcomes.iter().map(|outcome| outcome.recipient).collect();
        let statuses: Vec<&str> = outcomes.iter().map(|outcome| outcome.status).collect();
        let messages: Vec<Option<&str>> = outcomes.iter().map(|outcome| outcome.message.as_deref()).collect();
        let codes: Vec<Option<&str>> = outcomes.iter().map(Outcome::code).collect();
        let errors: Vec<Option<&str>> = codes.iter().map(|code| code.map(|_| "no")).collect();
        let times: Vec<Option<SystemTime>> =
            messages.iter().map(|message| message.map(|_| SystemTime::now())).collect();
        let subjects: Vec<Option<&str>> = messages.iter().map(|message| message.map(|_| "Hello")).collect();
        let none: Option<&str> = None;
        let rows = self.query(
            include_str!("../release_0_1/record.sql"),
            &[
                (&sending.campaign, Type::UUID),
                (&batch, Type::INT8),
                (&token, Type::UUID),
                (&ids, Type::UUID_ARRAY),
                (&statuses, Type::TEXT_ARRAY),
                (&messages, Type::TEXT_ARRAY),
                (&codes, Type::TEXT_ARRAY),
                (&errors, Type::TEXT_ARRAY),
                (&times, Type::TIMESTAMPTZ_ARRAY),
                (&subjects, Type::TEXT_ARRAY),
                (&reopen, Type::BOOL),
                (&doubt, Type::BOOL),
                (&none, Type::TEXT),
                (&none, Type::TEXT),
                (&0_i32, Type::INT4),
                (&none, Type::TEXT),
                (&None::<f64>, Type::FLOAT8),
            ],
        );
        rows.into_iter().next().expect("the campaign is there")
    }

    /// Its process is gone.
    pub fn crash(&mut self) {
        self.batch = None;
    }
}

impl Batch {
    fn of(claim: &Row) -> Batch {
        let (ids, positions): (Vec<Uuid>, Vec<i64>) = (claim.get("ids"), claim.get("positions"));
        let suppressed: Vec<bool> = claim.get("suppressed");
        let recipients: Vec<_> =
            ids.into_iter().zip(positions).zip(suppressed).map(|((id, at), off)| (id, at, off)).collect();
        let step = usize::try_from(claim.get::<_, i32>("step")).unwrap();
        Batch {
            id: claim.get("batch_id"),
            step,
            marked: step.min(recipients.len()),
            recipients,
            tried: 0,
            noted: 0,
            checkpoints: 0,
            outcomes: Vec::new(),
        }
    }
}
