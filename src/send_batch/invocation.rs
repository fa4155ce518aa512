//! What one invocation does, from its event.

use std::time::{Instant, SystemTime};

use serde_json::Value;
use uuid::Uuid;

use crate::domain::deadline::Deadline;
use crate::domain::error_kind::ErrorKind;
use crate::domain::event::Event;
use crate::domain::outcome::Unrecorded;
use crate::lambda::Failure;
use crate::lambda::environment::Settings;

/// One invocation.
#[derive(Debug)]
pub struct Invocation {
    /// The campaign that the event names; `None`: the one that is most due.
    pub campaign_id: Option<Uuid>,
    /// What an earlier invocation sent and could not record.
    pub unrecorded: Option<Unrecorded>,
    /// The most recipients per batch.
    pub batch_size: u32,
    /// The token of its claims; claiming again with it returns the same batch.
    pub token: Uuid,
    /// How its time is divided.
    pub deadline: Deadline,
    /// When it began.
    pub started_at: Instant,
}

impl Invocation {
    /// Reads the event; `deadline_ms` is the invocation's deadline in milliseconds since 1970.
    ///
    /// # Errors
    /// `InvalidEvent`.
    pub fn new(event: &Value, deadline_ms: u64, settings: &Settings) -> Result<Invocation, Failure> {
        let started_at = Instant::now();
        let event = Event::parse(event).map_err(|error| Failure::new(ErrorKind::InvalidEvent, error))?;
        let (campaign_id, batch_size, unrecorded) = match event {
            Event::Due => (None, None, None),
            Event::Batch { campaign_id, batch_size, unrecorded } => {
                (Some(campaign_id), batch_size, unrecorded)
            }
        };
        Ok(Invocation {
            campaign_id,
            unrecorded,
            batch_size: batch_size.unwrap_or(settings.batch_size),
            token: Uuid::new_v4(),
            deadline: Deadline::new(deadline_ms, SystemTime::now(), started_at, settings.fallback_timeout),
            started_at,
        })
    }

    /// Returns true if the event named no campaign; campaigns that others work on are then skipped.
    pub fn takes_any_campaign(&self) -> bool {
        self.campaign_id.is_none()
    }
}
