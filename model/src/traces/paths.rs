//! The paths of the model that agree with what was observed so far. Each observed transaction is run with the functions of
//! the model, and the tables have to be equal afterwards. What nobody can observe (a request on its way, a lost answer, a
//! lease that ends, a commit) is tried in every way that the model has.

use std::collections::{BTreeMap, HashSet};

use campaign_sender::domain::recipient::Status;
use serde_json::{Value, json};
use stateright::{Expectation, Model as _};
use uuid::Uuid;

use super::observed::{By, Campaign, Change, Event, uuid};
use crate::guards::Removed;
use crate::replay::sql::{message_id, uuid as token_as_uuid};
use crate::replay::tables::compare;
use crate::tables::{BEFORE_ALL, Campaign as CampaignStatus, Outcome, Record, Row};
use crate::world::{Answer, Attempt, Bounds, Invocation, Phase, Sending, Step, World};

/// For how long a statement may have waited for locks before it changed its first row, in microseconds.
const WAITED: i64 = 5_000_000;

/// The token of a claim that gets nothing.
const NOBODY: u8 = u8::MAX;

/// The paths, and the tables as they were observed.
pub struct Paths {
    model: Sending,
    /// The last world of each path.
    worlds: HashSet<World>,
    recipients: Vec<Uuid>,
    rows: Rows,
    /// The tokens of claims, in the order in which they were seen; the model's are the numbers of lives.
    tokens: BTreeMap<Uuid, u8>,
    /// The messages that SES has accepted: the recipient, and its how-manieth message it is.
    messages: BTreeMap<String, (u8, u8)>,
}

/// The rows that were observed last.
#[derive(Default)]
struct Rows {
    campaign: Value,
    completed_through: Value,
    recipients: BTreeMap<String, Value>,
    activities: BTreeMap<String, u8>,
    /// Batches by their ids.
    batches: BTreeMap<i64, Value>,
    /// Notes by batch and checkpoint.
    notes: BTreeMap<(i64, i64), Value>,
}

impl Paths {
    pub fn new(campaign: &Campaign) -> Paths {
        let recipients = campaign.recipients.clone();
        let count = u8::try_from(recipients.len()).unwrap_or(u8::MAX);
        let bounds = Bounds { recipients: count, lanes: 0, lives: 0, faults: u8::MAX, orders: u8::MAX };
        Paths {
            model: Sending { bounds, removed: Removed::default() },
            worlds: HashSet::from([World::new(0, count, false)]),
            recipients,
            rows: Rows::default(),
            tokens: BTreeMap::new(),
            messages: BTreeMap::new(),
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// No path of the model agrees with it.
    pub fn take(&mut self, event: &Event) -> Result<(), String> {
        let before = std::mem::take(&mut self.worlds);
        let mut refused = Vec::new();
        let after = match event {
            Event::Accepted { recipient, message, .. } => self.accepted(&before, *recipient, message)?,
            Event::Transaction { first_at, at, by, changes } => {
                let leases = self.rows.leases();
                changes.iter().for_each(|change| self.rows.take(change));
                self.number(*by, changes);
                let mut after = Vec::new();
                for world in committed(&before) {
                    for world in ended_leases(&world, &leases, *first_at - WAITED, *at) {
                        after.extend(self.run(&world, *by, changes)?);
                        after.push(world);
                    }
                }
                after
            }
        };
        for mut world in after {
            // Nothing of a path is bounded here.
            (world.lives, world.faults, world.orders) = (0, 0, 0);
            match self.compare(&world).and_then(|()| self.keeps_promises(&world)) {
                Ok(()) => drop(self.worlds.insert(world)),
                Err(difference) => refused.push(difference),
            }
        }
        if self.worlds.is_empty() {
            refused.sort_by_key(String::len);
            return Err(refused
                .into_iter()
                .next()
                .unwrap_or_else(|| "the model has no such step".to_owned()));
        }
        Ok(())
    }

    /// Checks that the campaign has ended.
    ///
    /// # Errors
    /// No path has an outcome for everybody.
    pub fn end(&self) -> Result<(), String> {
        let ended = |world: &World| {
            let t = &world.tables;
            t.campaign == CampaignStatus::Sent
                && t.recipients.iter().all(|r| r.row == Row::Visible && r.status != Status::Pending)
        };
        if self.worlds.iter().any(ended) { Ok(()) } else { Err("it has not ended in the model".to_owned()) }
    }

    fn keeps_promises(&self, world: &World) -> Result<(), String> {
        let broken = self.model.properties().into_iter().find(|promise| {
            promise.expectation == Expectation::Always && !(promise.condition)(&self.model, world)
        });
        broken.map_or(Ok(()), |promise| Err(format!("broken: {}", promise.name)))
    }

    /// The worlds after SES has accepted a message: from an invocation that may hand it over, which gets the answer or does
    /// not, or of a request whose answer nobody waits for.
    fn accepted(
        &mut self,
        before: &HashSet<World>,
        recipient: Uuid,
        message: &str,
    ) -> Result<Vec<World>, String> {
        let of = self.recipient(recipient).ok_or("a message to somebody else")?;
        let earlier = self.messages.values().filter(|(r, _)| *r == of).count();
        self.messages.insert(message.to_owned(), (of, u8::try_from(earlier).unwrap_or(u8::MAX)));
        let mut after = Vec::new();
        for world in before {
            let astray = world.tables.recipients[usize::from(of)].astray.len();
            for which in 0..astray {
                after.push(self.model.after(world, &Step::AcceptAstray { recipient: of, which }));
            }
            for (at, i) in world.invocations.iter().enumerate() {
                let Some(index) = may_hand_over(i, of).filter(|_| !i.stopped) else { continue };
                for answer in [Answer::Accepted, Answer::None] {
                    let handed = self.model.after(world, &Step::HandOver { at, index });
                    let mut answered = self.model.after(&handed, &Step::Answered { at, index, answer });
                    if answer == Answer::None {
                        let which = answered.tables.recipients[usize::from(of)].astray.len() - 1;
                        answered = self.model.after(&answered, &Step::AcceptAstray { recipient: of, which });
                    }
                    after.push(answered);
                }
            }
        }
        Ok(after)
    }

    /// The worlds after the statement of a transaction.
    fn run(&self, world: &World, by: By, changes: &[Change]) -> Result<Vec<World>, String> {
        Ok(match by {
            By::Claim => self.claim(world, changes),
            By::Checkpoint => self.checkpoint(world, changes),
            By::Record => self.record(world, changes),
            By::Complete => {
                let mut after = world.clone();
                after.tables.complete(&self.model.removed);
                vec![after]
            }
            By::Events => self.events(world, changes),
            By::Other => self.other(world, changes)?,
        })
    }

    /// A claim: by an invocation that begins with it or has recorded a takeover, or of one that does not wait for the answer
    /// any more.
    fn claim(&self, world: &World, changes: &[Change]) -> Vec<World> {
        let claimed = changes.iter().filter(|change| change.table == "campaign_batches").find_map(|change| {
            let row = &self.rows.batches[&change.row["id"].as_i64()?];
            Some((uuid(&row["claim_token"])?, row))
        });
        let (size, step) = claimed.as_ref().map_or((usize::MAX, 1), |(_, row)| {
            let count = row["claimed_count"].as_u64().and_then(|count| usize::try_from(count).ok());
            let (first, mark) = (row["first_position"].as_i64(), row["handed_through"].as_i64());
            let marked = world.tables.recipients.iter().filter(|r| {
                let position = Some(i64::from(r.position));
                r.row == Row::Visible && r.status == Status::Pending && position >= first && position <= mark
            });
            (count.unwrap_or(usize::MAX), marked.count().max(1))
        });
        let token = claimed.and_then(|(token, _)| self.tokens.get(&token).copied()).unwrap_or(NOBODY);
        let mut after = Vec::new();
        let mut answered = world.clone();
        if answered.invocations.iter().all(|i| i.token != token) {
            answered.lives = token - 1;
            answered.begin(None);
        } else {
            let mut late = world.clone();
            late.tables.claim(None, token, size, step, &self.model.removed);
            after.push(late);
        }
        if let Some(at) =
            answered.invocations.iter().position(|i| i.token == token && i.phase == Phase::Claim)
        {
            answered.run(at, size, step, &self.model.removed);
            after.push(answered);
        }
        after
    }

    /// Numbers the invocation of a claim.
    fn number(&mut self, by: By, changes: &[Change]) {
        for change in changes.iter().filter(|change| by == By::Claim && change.table == "campaign_batches") {
            if let Some(token) = uuid(&change.row["claim_token"]) {
                let next = u8::try_from(self.tokens.len() + 1).unwrap_or(NOBODY);
                self.tokens.entry(token).or_insert(next);
            }
        }
    }

    /// A checkpoint. The mark may move by more than one recipient, at any time.
    fn checkpoint(&self, world: &World, changes: &[Change]) -> Vec<World> {
        let Some((number, row)) = self.batch(changes) else { return Vec::new() };
        let Some(token) = uuid(&row["claim_token"]).and_then(|token| self.tokens.get(&token).copied()) else {
            return Vec::new();
        };
        let Some(at) = world
            .invocations
            .iter()
            .position(|i| i.token == token && i.phase == Phase::Send && i.batch == number)
        else {
            return Vec::new();
        };
        let Some(mark) = row["handed_through"].as_i64().and_then(|mark| i16::try_from(mark).ok()) else {
            return Vec::new();
        };
        let mut after = world.clone();
        let mut notes = Vec::new();
        for note in changes.iter().filter(|change| change.table == "campaign_batch_outcomes") {
            for entry in note.row["outcomes"].as_array().into_iter().flatten() {
                let Some((recipient, outcome)) = self.entry(entry) else { return Vec::new() };
                let Some(knows) = self.knows(&after, at, recipient, outcome) else { return Vec::new() };
                after = knows;
                notes.push((recipient, outcome));
            }
        }
        let position = |r: u8| world.tables.recipients[usize::from(r)].position;
        let i = &mut after.invocations[at];
        // A checkpoint notes all that its invocation knows, so the others are under way.
        for (index, (r, _, _)) in i.members.iter().enumerate() {
            i.noted |= u8::from(notes.iter().any(|(noted, _)| noted == r)) << index;
        }
        let under_way = (0..usize::from(i.marked)).filter(|index| i.noted & (1 << index) == 0).count();
        let marked = i.members.iter().filter(|m| position(m.0) <= mark).count();
        i.marked = i.marked.max(u8::try_from(marked).unwrap_or(u8::MAX));
        let under_way = u8::try_from(under_way).unwrap_or(u8::MAX);
        after.tables.checkpoint(number, token, mark, &notes, under_way, &self.model.removed);
        vec![after]
    }

    /// A record: of a batch by its invocation, at once or late, of what is unrecorded, or of a takeover.
    fn record(&self, world: &World, changes: &[Change]) -> Vec<World> {
        let mut recorded = Vec::new();
        for (at, i) in world.invocations.iter().enumerate() {
            match &i.phase {
                Phase::Takeover(record) => {
                    let mut after = world.clone();
                    after.tables.record(record, &self.model.removed);
                    after.invocations[at].phase = Phase::Claim;
                    recorded.push(after);
                }
                Phase::Send => {
                    for (mut after, outcomes) in self.outcomes(world, at, changes) {
                        let accepted: Vec<_> = outcomes
                            .iter()
                            .filter(|(_, of)| matches!(of, Outcome::Sent(_)))
                            .copied()
                            .collect();
                        after.invocations[at].stopped = true;
                        for (outcomes, whole) in [(outcomes, true), (accepted, false)] {
                            let mut after = after.clone();
                            let (batch, token) = (i.batch, i.token);
                            let record = Record { batch, token, outcomes, whole, owner_lost: false };
                            after.tables.record(&record, &self.model.removed);
                            recorded.push(after);
                        }
                    }
                }
                Phase::RecordUnrecorded(_) | Phase::Claim | Phase::Complete => {}
            }
        }
        // A record that halts the campaign, which is then paused.
        if self.rows.campaign["status"] == "paused" {
            for world in &mut recorded {
                if world.tables.campaign == CampaignStatus::Sending {
                    world.tables.campaign = CampaignStatus::Paused;
                }
            }
        }
        recorded
    }

    /// The outcomes that an invocation may have of its batch, if these are the changes of their record.
    fn outcomes(&self, world: &World, at: usize, changes: &[Change]) -> Vec<(World, Vec<(u8, Outcome)>)> {
        let mut ways = vec![(world.clone(), Vec::new())];
        for (index, (recipient, attempt, _)) in world.invocations[at].members.iter().enumerate() {
            let new_row = changes
                .iter()
                .rfind(|change| {
                    change.table == "campaign_recipients"
                        && uuid(&change.row["id"]) == Some(self.recipients[usize::from(*recipient)])
                })
                .map(|change| self.outcome(&change.row));
            let is_pending = world.tables.recipients[usize::from(*recipient)].status == Status::Pending;
            let possible: Vec<Outcome> = match (new_row, attempt) {
                (Some(None), _) => Vec::new(),
                (Some(Some(outcome)), _) => vec![outcome],
                (None, Attempt::Known(outcome)) => vec![*outcome],
                (None, _) if is_pending || index >= usize::from(world.invocations[at].marked) => {
                    vec![Outcome::Deferred]
                }
                (None, _) => vec![Outcome::Deferred, Outcome::Uncertain],
            };
            let mut longer = Vec::new();
            for (way, outcomes) in &ways {
                for outcome in &possible {
                    if let Some(knows) = self.knows(way, at, *recipient, *outcome) {
                        let mut outcomes = outcomes.clone();
                        outcomes.push((*recipient, *outcome));
                        longer.push((knows, outcomes));
                    }
                }
            }
            ways = longer;
        }
        ways
    }

    /// The world in which an invocation knows this outcome of a recipient; none if it cannot.
    fn knows(&self, world: &World, at: usize, recipient: u8, outcome: Outcome) -> Option<World> {
        let i = &world.invocations[at];
        let index = i.members.iter().position(|m| m.0 == recipient)?;
        let answer = match (i.members[index].1, outcome) {
            (Attempt::Known(known), _) => return (known == outcome).then(|| world.clone()),
            (Attempt::Untried, Outcome::Deferred) => return Some(world.clone()),
            (Attempt::Untried, Outcome::Refused) => Answer::Refused,
            (Attempt::Untried, Outcome::Uncertain) => Answer::None,
            // SES would have been observed.
            (Attempt::Untried, Outcome::Sent(_)) | (Attempt::UnderWay, _) => return None,
        };
        may_hand_over(i, recipient)?;
        let handed = self.model.after(world, &Step::HandOver { at, index });
        Some(self.model.after(&handed, &Step::Answered { at, index, answer }))
    }

    /// Events of SES, in any order.
    fn events(&self, world: &World, changes: &[Change]) -> Vec<World> {
        let mut after = world.clone();
        for change in changes.iter().filter(|change| change.table == "campaign_recipients") {
            let message = change.row["message_id"].as_str().and_then(|id| self.messages.get(id));
            let Some((recipient, message)) = message.copied() else { return Vec::new() };
            let rejected = change.row["status"] == "failed";
            after = self.model.after(&after, &Step::Event { recipient, message, rejected });
        }
        vec![after]
    }

    /// A change by somebody else.
    fn other(&self, world: &World, changes: &[Change]) -> Result<Vec<World>, String> {
        let mut after = world.clone();
        let is_new = changes.iter().any(|change| change.table == "campaigns" && change.operation == "INSERT");
        for change in changes {
            match (change.table.as_str(), change.operation.as_str()) {
                ("campaign_recipients", "INSERT") => {
                    let recipient =
                        uuid(&change.row["id"]).and_then(|id| self.recipient(id)).ok_or("no id")?;
                    let position = change.row["position"].as_i64().and_then(|at| i16::try_from(at).ok());
                    let position = position.ok_or("a position that is too large for the model")?;
                    after = self.model.after(&after, &Step::Insert { recipient, position });
                    if is_new {
                        after = self.model.after(&after, &Step::CommitInsert(recipient));
                    }
                }
                ("campaigns", "UPDATE") => {
                    let step = match (after.tables.campaign, change.row["status"].as_str()) {
                        (CampaignStatus::Sending, Some("paused")) => Some(Step::Pause),
                        (CampaignStatus::Paused, Some("sending")) => Some(Step::Resume),
                        _ => None,
                    };
                    if let Some(step) = step {
                        after = self.model.after(&after, &step);
                    }
                }
                _ => {}
            }
        }
        Ok(vec![after])
    }

    fn recipient(&self, id: Uuid) -> Option<u8> {
        self.recipients.iter().position(|known| *known == id).and_then(|at| u8::try_from(at).ok())
    }

    /// The batch that a transaction has changed: its index, and its row.
    fn batch(&self, changes: &[Change]) -> Option<(u8, &Value)> {
        let change = changes.iter().find(|change| change.table == "campaign_batches")?;
        let row = self.rows.batches.get(&change.row["id"].as_i64()?)?;
        Some((u8::try_from(row["number"].as_i64()? - 1).ok()?, row))
    }

    /// The outcome that a recipient's row has; none if a message was not accepted.
    fn outcome(&self, row: &Value) -> Option<Outcome> {
        match row["status"].as_str()? {
            "sent" => {
                self.messages.get(row["message_id"].as_str()?).map(|(_, message)| Outcome::Sent(*message))
            }
            "failed" => Some(Outcome::Refused),
            "uncertain" => Some(Outcome::Uncertain),
            _ => None,
        }
    }

    /// An outcome in its short form.
    fn entry(&self, entry: &Value) -> Option<(u8, Outcome)> {
        let recipient = uuid(&entry[0]).and_then(|id| self.recipient(id))?;
        let outcome = match entry[1].as_str()? {
            "sent" => Outcome::Sent(self.messages.get(entry[2].as_str()?)?.1),
            "failed" => Outcome::Refused,
            "uncertain" => Outcome::Uncertain,
            _ => Outcome::Deferred,
        };
        Some((recipient, outcome))
    }

    /// Compares the observed rows with the tables of the model, as a replay does.
    fn compare(&self, world: &World) -> Result<(), String> {
        let rows = &self.rows;
        let of = &rows.campaign;
        let recipients: Vec<Value> = (0u8..)
            .zip(&self.recipients)
            .filter(|(r, _)| world.tables.recipients[usize::from(*r)].row != Row::Inserting)
            .filter_map(|(_, id)| rows.recipients.get(&id.to_string()).map(|row| (id, row)))
            .map(|(id, row)| {
                let message = row["message_id"].as_str().map(|id| match self.messages.get(id) {
                    Some((recipient, message)) => message_id(*recipient, *message),
                    None => format!("{id}, which SES has not accepted"),
                });
                let activities = rows.activities.get(&id.to_string()).copied().unwrap_or_default();
                json!({"id": id, "position": row["position"], "status": row["status"], "message": message,
                       "code": row["error_code"], "activities": activities})
            })
            .collect();
        let mut batches: Vec<&Value> = rows.batches.values().collect();
        batches.sort_by_key(|row| row["number"].as_i64());
        let name = |token: &Value| {
            uuid(token).map(|token| match self.tokens.get(&token) {
                Some(known) => token_as_uuid(*known).to_string(),
                None => format!("{token}, which nobody has claimed with"),
            })
        };
        let batches: Vec<Value> = batches
            .iter()
            .enumerate()
            .map(|(at, row)| {
                let mut notes: Vec<Value> = rows
                    .notes
                    .iter()
                    .filter(|((batch, _), _)| Some(*batch) == row["id"].as_i64())
                    .flat_map(|(_, outcomes)| {
                        outcomes.as_array().into_iter().flatten().map(|entry| entry[0].clone())
                    })
                    .collect();
                notes.sort_by_key(Value::to_string);
                // Leases were compared by the time.
                let holds = world.tables.batches.get(at).is_some_and(|b| b.lease_holds);
                json!({"first": row["first_position"], "last": row["last_position"],
                       "claimed_through": row["claimed_through"], "closed_through": row["closed_through"],
                       "token": name(&row["claim_token"]), "holds": holds, "mark": row["handed_through"],
                       "by": name(&row["handed_by"]), "closed": !row["closed_at"].is_null(),
                       "count": row["claimed_count"], "notes": notes})
            })
            .collect();
        let seen = json!({
            "campaign": [of["status"], of["sent_count"], of["failed_count"], of["uncertain_count"], rows.completed_through],
            "recipients": recipients,
            "batches": batches,
            "ids": self.recipients,
        });
        compare(&seen, world)
    }
}

/// The place of a recipient in a batch whose invocation may hand it over.
fn may_hand_over(i: &Invocation, recipient: u8) -> Option<usize> {
    let index = i.members.iter().position(|m| m.0 == recipient)?;
    let may =
        i.phase == Phase::Send && i.members[index].1 == Attempt::Untried && index < usize::from(i.marked);
    may.then_some(index)
}

/// The worlds in which transactions that have added recipients are committed, or are still open.
fn committed(before: &HashSet<World>) -> Vec<World> {
    let mut worlds: Vec<World> = before.iter().cloned().collect();
    let recipients = before.iter().next().map_or(0, |world| world.tables.recipients.len());
    for recipient in 0..recipients {
        let more: Vec<World> = worlds
            .iter()
            .filter(|world| world.tables.recipients[recipient].row == Row::Inserting)
            .map(|world| {
                let mut world = world.clone();
                world.tables.recipients[recipient].row = Row::Visible;
                world
            })
            .collect();
        worlds.extend(more);
    }
    worlds
}

/// The worlds in which leases have ended: certainly those that ended before `from`, and possibly those that ended before
/// `until`.
fn ended_leases(world: &World, leases: &[Option<i64>], from: i64, until: i64) -> Vec<World> {
    let mut worlds = vec![world.clone()];
    for (at, lease) in leases.iter().enumerate().take(world.tables.batches.len()) {
        let Some(lease) = lease.filter(|lease| world.tables.batches[at].lease_holds && *lease <= until)
        else {
            continue;
        };
        let end = |world: &World| {
            let mut world = world.clone();
            world.tables.batches[at].lease_holds = false;
            world
        };
        let ended: Vec<World> = worlds.iter().map(end).collect();
        if lease < from {
            worlds = ended;
        } else {
            worlds.extend(ended);
        }
    }
    worlds
}

impl Rows {
    fn take(&mut self, change: &Change) {
        let row = &change.row;
        let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
        let number = |column: &str| row[column].as_i64().unwrap_or(i64::from(BEFORE_ALL));
        match change.table.as_str() {
            "campaigns" => self.campaign = row.clone(),
            "campaign_cursors" => self.completed_through = row["completed_through"].clone(),
            "campaign_recipients" => drop(self.recipients.insert(text("id"), row.clone())),
            "activities" => *self.activities.entry(text("source_ref")).or_default() += 1,
            "campaign_batches" => drop(self.batches.insert(number("id"), row.clone())),
            "campaign_batch_outcomes" => {
                let key = (number("batch_id"), number("checkpoint"));
                match change.operation.as_str() {
                    "DELETE" => drop(self.notes.remove(&key)),
                    _ => drop(self.notes.insert(key, row["outcomes"].clone())),
                }
            }
            _ => {}
        }
    }

    /// When the lease of each batch ends, in the order of the batches.
    fn leases(&self) -> Vec<Option<i64>> {
        let mut batches: Vec<&Value> = self.batches.values().collect();
        batches.sort_by_key(|row| row["number"].as_i64());
        batches.iter().map(|row| row["lease"].as_i64()).collect()
    }
}
