//! One lane: one batch after the other, as in the state machine.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::super::super::failure::{Exit, Failure};
use super::progress::Progress;
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::domain::error_kind::ErrorKind;
use campaign_sender::domain::result::{BatchResult, Progress as Counters, Status};
use campaign_sender::lambda;
use campaign_sender::lambda::interrupt::Interrupt;
use campaign_sender::send_batch::Handler;

/// The pause between attempts while PostgreSQL is down.
const AWAY_PAUSE: Duration = Duration::from_secs(5);
/// The most attempts in a row that fail.
const AWAY_ATTEMPTS: u32 = 12;

/// How the lane ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    Interrupted,
    Stopped { how: Stop, reason: Option<String> },
}

/// How a campaign stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Paused,
    Cancelled,
    Halted,
}

impl End {
    pub fn as_str(&self) -> &'static str {
        match self {
            End::Done => "done",
            End::Interrupted => "interrupted",
            End::Stopped { how, .. } => how.as_str(),
        }
    }

    /// Why it stopped, if that is known.
    pub fn reason(&self) -> Option<&str> {
        match self {
            End::Done | End::Interrupted => None,
            End::Stopped { reason, .. } => reason.as_deref(),
        }
    }
}

impl Stop {
    pub fn as_str(self) -> &'static str {
        match self {
            Stop::Paused => CampaignStatus::Paused.as_str(),
            Stop::Cancelled => CampaignStatus::Cancelled.as_str(),
            Stop::Halted => "halted",
        }
    }
}

/// What the lanes of one campaign share.
pub struct Lanes<'a> {
    handler: &'a Handler,
    campaign: Uuid,
    batch_size: Option<u32>,
    interrupt: Interrupt,
    raise: &'a watch::Sender<bool>,
    screen: &'a Progress,
    end: RefCell<Option<End>>,
    ended: Notify,
    counters: Cell<Counters>,
    sent: Cell<usize>,
    batches: Cell<usize>,
}

impl<'a> Lanes<'a> {
    pub fn new(
        handler: &'a Handler,
        campaign: Uuid,
        batch_size: Option<u32>,
        interrupt: Interrupt,
        raise: &'a watch::Sender<bool>,
        screen: &'a Progress,
    ) -> Lanes<'a> {
        Lanes {
            handler,
            campaign,
            batch_size,
            interrupt,
            raise,
            screen,
            end: RefCell::default(),
            ended: Notify::new(),
            counters: Cell::default(),
            sent: Cell::default(),
            batches: Cell::default(),
        }
    }

    /// Returns when the campaign has ended, or when the interrupt is raised and everything is recorded.
    pub async fn run(&self) -> Result<(), Failure> {
        let outcome = self.batches_until_end().await;
        if outcome.is_err() {
            // The other lanes end cleanly.
            self.raise.send_replace(true);
        }
        outcome
    }

    async fn batches_until_end(&self) -> Result<(), Failure> {
        let mut event = match self.batch_size {
            Some(size) => json!({"campaignId": self.campaign, "batchSize": size}),
            None => json!({"campaignId": self.campaign}),
        };
        let mut attempts = 0;
        loop {
            let unrecorded = event.get("unrecorded").is_some();
            if self.interrupt.is_raised() && !unrecorded {
                self.finish(End::Interrupted);
                return Ok(());
            }
            if self.end.borrow().is_some() && !unrecorded {
                return Ok(());
            }
            // The deadline is unknown, so an invocation has LAMBDA_TIMEOUT_SECONDS.
            let pause = match Box::pin(self.handler.handle(&event, 0)).await {
                Ok(result) => {
                    attempts = 0;
                    self.note(&result);
                    match verdict(&result) {
                        Some(end) => {
                            self.finish(end);
                            return Ok(());
                        }
                        None => event = next(&result),
                    }
                    Duration::from_secs(result.wait_seconds)
                }
                Err(error) if error.kind == ErrorKind::DatabaseUnavailable && attempts < AWAY_ATTEMPTS => {
                    attempts += 1;
                    self.screen.say(&format!("{}; trying again", error.message));
                    AWAY_PAUSE
                }
                Err(error) => return Err(failure(&error)),
            };
            self.pause(pause, event.get("unrecorded").is_some()).await;
        }
    }

    /// Unrecorded outcomes are tried again after the full wait; other waits end with the campaign or the
    /// interrupt.
    async fn pause(&self, pause: Duration, unrecorded: bool) {
        let ended = async {
            if unrecorded {
                std::future::pending::<()>().await;
            }
            if self.end.borrow().is_some() {
                return;
            }
            tokio::select! {
                () = self.interrupt.raised() => {}
                () = self.ended.notified() => {}
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = ended => {}
        }
    }

    fn note(&self, result: &BatchResult) {
        self.counters.set(result.progress);
        self.sent.set(self.sent.get() + result.batch.sent as usize);
        self.batches.set(self.batches.get() + usize::from(result.batch.claimed > result.batch.deferred));
        if let (Status::Wait, Some(reason)) = (result.status, &result.reason)
            && result.wait_seconds > 5
        {
            self.screen.say(&format!("Waiting for {} s: {reason}", result.wait_seconds));
        }
    }

    fn finish(&self, end: End) {
        self.end.borrow_mut().get_or_insert(end);
        self.ended.notify_waiters();
    }

    pub fn end(&self) -> End {
        self.end.borrow().clone().unwrap_or(End::Interrupted)
    }

    pub fn progress(&self) -> Counters {
        self.counters.get()
    }

    pub fn sent(&self) -> usize {
        self.sent.get()
    }

    pub fn batches(&self) -> usize {
        self.batches.get()
    }
}

fn verdict(result: &BatchResult) -> Option<End> {
    let stopped = |how| Some(End::Stopped { how, reason: result.reason.clone() });
    match result.status {
        Status::Continue | Status::Wait => None,
        Status::Done | Status::Idle => Some(End::Done),
        Status::Paused => stopped(Stop::Paused),
        Status::Cancelled => stopped(Stop::Cancelled),
        Status::Halted => stopped(Stop::Halted),
    }
}

/// The next invocation's event, as the state machine passes it on.
fn next(result: &BatchResult) -> Value {
    serde_json::to_value(&result.next).unwrap_or_default()
}

fn failure(error: &lambda::Failure) -> Failure {
    let exit = match error.kind {
        ErrorKind::UnknownCampaign | ErrorKind::CampaignNotReady => Exit::Data,
        ErrorKind::UnusableActivitiesTable
        | ErrorKind::SchemaMismatch
        | ErrorKind::UnsubscribeSecretUnavailable => Exit::Config,
        ErrorKind::DatabaseUnavailable => Exit::Unavailable,
        ErrorKind::InvalidEvent | ErrorKind::DatabaseRefused | ErrorKind::Panic => Exit::Software,
    };
    Failure::new(exit, format!("{}: {}", error.kind, error.message))
}
