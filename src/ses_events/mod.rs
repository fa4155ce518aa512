//! The function `ses-events`: records SES's events of sent emails in PostgreSQL.
//!
//! SES's events arrive at least once and in any order, so nothing here depends on their number or order.
//! [`event`] parses each event, [`record`] writes a batch of them with one statement that may be repeated,
//! [`guard`] stops campaigns that harm the sender's reputation, and `notice` tells EventBridge. This module knows the order of steps.

pub mod event;
pub mod guard;
pub mod kind;
mod notice;
pub mod record;
pub mod sqs;
mod subject;
mod unsubscribe_link;

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use std::time::Instant;
use tokio::sync::Mutex;

use self::event::{Event, Said};
use self::kind::ACTIONS;
use self::notice::Notices;
use self::record::{Lost, Recorded, Recorder, Rejected};
use self::sqs::{ItemFailure, Record, Response};
use crate::domain::deadline::Deadline;
use crate::domain::error_kind::ErrorKind;
use crate::domain::guard::{Stop, Watched};
use crate::lambda::Failure;
use crate::lambda::environment::Settings;
use crate::lambda::metrics::Metrics;
use crate::store::Database;
use crate::store::activities::plan;

/// The state of the process.
pub struct SesEvents {
    settings: Settings,
    metrics: Metrics,
    notices: Notices,
    database: Database,
    /// How the activities table is written, as it was last read.
    recorder: Mutex<Option<Arc<Recorder>>>,
}

/// If this number of events of one batch is refused and none is recorded, their content is not the cause.
const SYSTEMIC: usize = 10;

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
            notices: Notices::new(settings.notice_event_bus.clone()),
            settings,
            database,
            recorder: Mutex::new(None),
        })
    }

    /// Records a batch of records; `deadline_ms` is the invocation's deadline in milliseconds since 1970.
    /// When this returns, all events are recorded, except those of the records that the response names.
    ///
    /// # Errors
    /// `InvalidEvent`: neither a batch of SQS nor an EventBridge event of SES. `UnusableActivitiesTable`,
    /// `DatabaseUnavailable`, `DatabaseRefused`: SQS delivers the whole batch again, and nothing is recorded
    /// twice.
    pub async fn handle(&self, event: Value, deadline_ms: u64) -> Result<Response, Failure> {
        let now = Instant::now();
        let until =
            Deadline::new(deadline_ms, SystemTime::now(), now, self.settings.fallback_timeout).last_record;
        let records =
            sqs::records(event).map_err(|problem| Failure::new(ErrorKind::InvalidEvent, problem))?;
        let mut batch = Batch::sort(records)?;
        if !batch.events.is_empty() {
            let mut events: Vec<&mut Event> =
                batch.events.iter_mut().map(|(_, event)| &mut **event).collect();
            subject::complete(&self.database, &mut events, until).await?;
            let (total, refused) = self.record(&batch.events, until).await?;
            tracing::info!(
                events = batch.events.len(),
                unknown = (batch.events.len() - refused.len()) as u64 - total.found,
                misfit = total.found - total.known,
                other_sender = batch.other_sender,
                nothing = batch.nothing,
                sent = total.sent,
                failed = total.failed,
                activities = total.activities,
                suppressed = total.suppressed,
                taken_back = total.taken_back,
                duration_ms = u64::try_from(now.elapsed().as_millis()).unwrap_or(u64::MAX),
                "SES events recorded"
            );
            batch.failures.extend(refused);
            self.tell(&total);
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

    /// Logs what a person should know about the batch: emails that SES accepted and then rejected, emails
    /// that the database has lost, and events that do not fit the recipient that their tags name.
    fn tell(&self, total: &Recorded) {
        for Rejected { campaign_id, count, total, reason } in &total.rejected {
            tracing::error!(%campaign_id, count, total, reason, "SES rejected emails that it had accepted");
        }
        for Lost { campaign_id, count } in &total.lost {
            tracing::error!(
                %campaign_id,
                count,
                "SES reports emails that the database never handed over: it has lost what it had committed, and the campaign is paused"
            );
        }
        self.metrics.lost_by_database(total.lost.iter().map(|of| of.count).sum());
        let rejected = total.rejected.iter().map(|of| of.count).sum();
        let misfit = total.found - total.known;
        if misfit > 0 {
            tracing::warn!(
                misfit,
                "events do not fit the recipients that their tags name; they are passed over"
            );
        }
        self.metrics.events(misfit, rejected);
    }

    /// Pauses the campaigns whose rates of bounces, complaints or rejections are too high. If this fails, SQS
    /// delivers the batch again, and the rates are judged again.
    async fn guard(&self, watched: &[Watched], until: Instant) -> Result<(), Failure> {
        let stops = crate::domain::guard::judge(watched, &self.settings.guard);
        if stops.is_empty() {
            return Ok(());
        }
        let paused = guard::pause(&self.database, &stops, until).await?;
        let paused: Vec<&Stop> = stops.iter().filter(|stop| paused.contains(&stop.campaign_id)).collect();
        for stop in &paused {
            tracing::error!(campaign_id = %stop.campaign_id, reason = stop.reason, "the reputation guard paused a campaign");
            self.metrics.guard_paused(stop.campaign_id);
        }
        self.notices.paused_by_guard(&paused).await;
        Ok(())
    }

    /// How the activities table is written; its columns are read the first time.
    async fn recorder(&self, until: Instant) -> Result<Arc<Recorder>, Failure> {
        let mut known = self.recorder.lock().await;
        if let Some(recorder) = &*known {
            return Ok(Arc::clone(recorder));
        }
        let recorder = Arc::new(self.learn(until).await?);
        *known = Some(Arc::clone(&recorder));
        Ok(recorder)
    }

    /// Reads the table's columns again. `None`: it is written as before.
    async fn changed_recorder(
        &self,
        before: &Recorder,
        until: Instant,
    ) -> Result<Option<Arc<Recorder>>, Failure> {
        let recorder = Arc::new(self.learn(until).await?);
        let changed = !recorder.is_like(before);
        *self.recorder.lock().await = Some(Arc::clone(&recorder));
        Ok(changed.then_some(recorder))
    }

    /// Reads the activities table's columns. Its enum may lack some of [`ACTIONS`]: such activities are left
    /// out, and events settle uncertain recipients all the same.
    async fn learn(&self, until: Instant) -> Result<Recorder, Failure> {
        let name = &self.settings.activities_table;
        let table = plan::learn(&self.database, name, &["email_sent"], &ACTIONS, until).await?;
        Ok(Recorder::new(table, self.settings.no_feedback_domains.clone()))
    }

    /// Records events with one statement. If PostgreSQL refuses the content of one of them (a check or
    /// trigger of the CRM's table), the batch is halved until that event is alone; the ids of such records
    /// are returned. If each of the first ten is refused and none is recorded, the rest is not halved any
    /// more. If none at all is recorded, the content is not the cause, and the refusal is returned as the
    /// error.
    async fn record(&self, events: &[Delivered], until: Instant) -> Result<(Recorded, Vec<String>), Failure> {
        let mut recorder = self.recorder(until).await?;
        let (mut total, mut taken) = (Recorded::default(), 0);
        let (mut refused, mut first_error) = (Vec::new(), None);
        let mut parts = vec![events];
        while let Some(part) = parts.pop() {
            let of_part: Vec<&Event> = part.iter().map(|(_, event)| &**event).collect();
            let error = match recorder.record(&self.database, &of_part, until).await {
                Ok(written) => {
                    taken += part.len();
                    total += written;
                    continue;
                }
                Err(error) if !error.can_be_isolated() => return Err(error.into()),
                Err(error) => error,
            };
            // The table may have been changed since its columns were read.
            if first_error.is_none()
                && let Some(changed) = self.changed_recorder(&recorder, until).await?
            {
                recorder = changed;
                first_error = Some(error);
                parts.push(part);
                continue;
            }
            let gives_up = taken == 0 && refused.len() >= SYSTEMIC;
            match part {
                [(Some(message_id), _)] => {
                    tracing::error!(message_id, %error, "an SES event could not be recorded");
                    refused.push(message_id.clone());
                }
                [_] => return Err(error.into()),
                _ if gives_up => refused.extend(part.iter().filter_map(|(message_id, _)| message_id.clone())),
                _ => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
            first_error.get_or_insert(error);
        }
        match first_error {
            Some(error) if taken == 0 && refused.len() >= SYSTEMIC => Err(error.into()),
            _ => Ok((total, refused)),
        }
    }
}

/// The records of a batch by their content.
#[derive(Default)]
struct Batch {
    events: Vec<Delivered>,
    failures: Vec<String>,
    other_sender: u64,
    nothing: u64,
}

impl Batch {
    /// A record that is not an event fails alone. If there is no queue to return it to, the invocation fails.
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
                (Err(problem), None) => return Err(Failure::new(ErrorKind::InvalidEvent, problem)),
            }
        }
        Ok(batch)
    }
}
