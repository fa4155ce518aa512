//! The function `ses-events`: what SES says of sent emails, into PostgreSQL.
//!
//! SES's events come at least once and in any order, so nothing here depends on how often or when: [`event`]
//! reads what each says, [`record`] writes a batch of them with one statement that may be repeated, [`guard`] stops
//! campaigns that harm the sender's reputation. This module knows the order of steps.

pub mod event;
pub mod guard;
pub mod record;
pub mod sqs;
mod subject;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use serde_json::Value;
use tokio::time::Instant;

use self::event::{Event, Said};
use self::guard::Watched;
use self::record::{Recorded, Recorder};
use self::sqs::{ItemFailure, Record, Response};
use crate::activities::{TableError, plan, refusal};
use crate::config::Settings;
use crate::database::Database;
use crate::deadline::Deadline;
use crate::lambda::Failure;
use crate::metrics::Metrics;

/// The activities of what SES tells, beyond `email_sent`.
pub const ACTIONS: [&str; 5] =
    ["email_delivered", "email_bounced", "email_complained", "email_opened", "email_clicked"];

/// What lives as long as the process.
pub struct SesEvents {
    settings: Settings,
    metrics: Metrics,
    database: Database,
    recorder: RefCell<Option<Rc<Recorder>>>,
}

/// An event, and the id of its record.
type Delivered = (Option<String>, Box<Event>);

impl SesEvents {
    /// Prepares an instance; nothing is connected yet.
    ///
    /// # Errors
    /// When the database's URL cannot be read, in one line.
    pub fn new(settings: Settings) -> Result<SesEvents, String> {
        let database = Database::new(&settings.database)?;
        Ok(SesEvents {
            metrics: Metrics::new(settings.metrics.clone()),
            settings,
            database,
            recorder: RefCell::new(None),
        })
    }

    /// Takes a batch of records; `deadline_ms` is the invocation's deadline in milliseconds since 1970. When this
    /// returns, all of them are recorded but those that the response names, and those that say nothing.
    ///
    /// # Errors
    /// `InvalidEvent`: neither a batch of SQS nor an EventBridge event of SES. `UnusableActivitiesTable`,
    /// `DatabaseUnavailable`, `DatabaseRefused`: SQS delivers the whole batch again, which repeats nothing.
    pub async fn handle(&self, event: Value, deadline_ms: u64) -> Result<Response, Failure> {
        let now = Instant::now();
        let until =
            Deadline::new(deadline_ms, SystemTime::now(), now, self.settings.fallback_timeout).last_record;
        let records = sqs::records(event).map_err(|problem| Failure::new("InvalidEvent", problem))?;
        let mut batch = Batch::sort(records)?;
        if !batch.events.is_empty() {
            let mut events: Vec<&mut Event> =
                batch.events.iter_mut().map(|(_, event)| &mut **event).collect();
            subject::complete(&self.database, &mut events, until).await?;
            let (total, refused) = self.record(&batch.events, until).await?;
            tracing::info!(
                events = batch.events.len(),
                unknown = (batch.events.len() - refused.len()) as u64 - total.known,
                other_sender = batch.other_sender,
                nothing = batch.nothing,
                sent = total.sent,
                failed = total.failed,
                activities = total.activities,
                suppressed = total.suppressed,
                duration_ms = u64::try_from(now.elapsed().as_millis()).unwrap_or(u64::MAX),
                "SES events recorded"
            );
            batch.failures.extend(refused);
            self.guard(&total.watched, until).await?;
        } else if batch.other_sender + batch.nothing > 0 {
            tracing::info!(
                other_sender = batch.other_sender,
                nothing = batch.nothing,
                "no SES event to record"
            );
        }
        Ok(Response {
            failures: batch.failures.into_iter().map(|message_id| ItemFailure { message_id }).collect(),
        })
    }

    /// Pauses the campaigns whose rates of bounces or complaints are too high. When this fails, SQS delivers the
    /// batch again, and the rates are looked at again.
    async fn guard(&self, watched: &[Watched], until: Instant) -> Result<(), Failure> {
        let stops = guard::judge(watched, &self.settings.guard);
        if stops.is_empty() {
            return Ok(());
        }
        let paused = guard::pause(&self.database, &stops, until).await?;
        for stop in stops.iter().filter(|stop| paused.contains(&stop.campaign_id)) {
            tracing::error!(campaign_id = %stop.campaign_id, reason = stop.reason, "the reputation guard paused a campaign");
            self.metrics.guard_paused(stop.campaign_id);
        }
        Ok(())
    }

    /// Learns, the first time, how the activities table is written. It may lack words for [`ACTIONS`]: a timeline
    /// that has no word for an opened email gets none, and doubt is settled all the same.
    async fn recorder(&self, until: Instant) -> Result<Rc<Recorder>, TableError> {
        if let Some(known) = self.recorder.borrow().as_ref() {
            return Ok(Rc::clone(known));
        }
        let name = &self.settings.activities_table;
        let table = plan::learn(&self.database, name, &["email_sent"], &ACTIONS, until).await?;
        let recorder = Rc::new(Recorder::new(table));
        *self.recorder.borrow_mut() = Some(Rc::clone(&recorder));
        Ok(recorder)
    }

    /// Records events, all with one statement. When PostgreSQL refuses what one of them holds (a check or trigger
    /// of the CRM's table), the batch is halved until that one is alone; the ids of such records are returned.
    async fn record(&self, events: &[Delivered], until: Instant) -> Result<(Recorded, Vec<String>), Failure> {
        let (mut total, mut refused) = (Recorded::default(), Vec::new());
        let mut recorder = self.recorder(until).await?;
        let mut learned_again = false;
        let mut parts = vec![events];
        while let Some(part) = parts.pop() {
            let of_part: Vec<&Event> = part.iter().map(|(_, event)| &**event).collect();
            match recorder.record(&self.database, &of_part, until).await {
                Ok(written) => total += written,
                // The activities table may have changed since it was learned.
                Err(error) if !learned_again && refusal::may_be_of_the_shape(&error) => {
                    learned_again = true;
                    *self.recorder.borrow_mut() = None;
                    recorder = self.recorder(until).await?;
                    parts.push(part);
                }
                Err(error) if !error.is_of_the_data() => return Err(error.into()),
                Err(error) => match part {
                    [(Some(message_id), _)] => {
                        tracing::error!(message_id, %error, "an SES event could not be recorded");
                        refused.push(message_id.clone());
                    }
                    [_] => return Err(error.into()),
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
        Ok((total, refused))
    }
}

/// The records of a batch by what they say.
#[derive(Default)]
struct Batch {
    events: Vec<Delivered>,
    failures: Vec<String>,
    other_sender: u64,
    nothing: u64,
}

impl Batch {
    /// A record that is no event fails alone. Without a queue that could take it back, the invocation fails.
    fn sort(records: Vec<Record>) -> Result<Batch, Failure> {
        let mut batch = Batch::default();
        for Record { message_id, said } in records {
            match (said, message_id) {
                (Ok(Said::Event(event)), message_id) => batch.events.push((message_id, event)),
                (Ok(Said::OtherSender), _) => batch.other_sender += 1,
                (Ok(Said::Nothing), _) => batch.nothing += 1,
                (Err(problem), Some(message_id)) => {
                    tracing::error!(message_id, %problem, "a record is not an SES event");
                    batch.failures.push(message_id);
                }
                (Err(problem), None) => return Err(Failure::new("InvalidEvent", problem)),
            }
        }
        Ok(batch)
    }
}
