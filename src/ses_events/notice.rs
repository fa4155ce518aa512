//! Notices to EventBridge: that the guard has paused a campaign. Who asks for them names a bus.
//!
//! The notices of completed and halted campaigns come from the state machine, which knows of both. Of a pause by the guard
//! only this function knows: no batch may be under way then, nor an execution.

#[cfg(feature = "full")]
mod eventbridge;
#[cfg(not(feature = "full"))]
#[path = "notice/no_eventbridge.rs"]
mod eventbridge;

use self::eventbridge::EventBridge;
use crate::domain::guard::Stop;

/// The number of notices that one request to EventBridge carries at most.
const MAX_ENTRIES: usize = 10;

/// Gives notice, if a bus is configured.
pub struct Notices {
    bus: Option<String>,
    eventbridge: EventBridge,
}

impl Notices {
    /// To the bus of this name; `None` gives none.
    pub fn new(bus: Option<String>) -> Notices {
        Notices { bus, eventbridge: EventBridge::default() }
    }

    /// Tells that the guard has paused these campaigns: once, and as well as it can. The pause itself is in the tables,
    /// in the log and in the metric `PausedByGuard`; what EventBridge does not take is an error in the log, and nothing
    /// else.
    pub async fn paused_by_guard(&self, stops: &[&Stop]) {
        let Some(bus) = &self.bus else { return };
        for part in stops.chunks(MAX_ENTRIES) {
            // The future that sends is large, and it is used seldom.
            if let Err(error) = Box::pin(self.eventbridge.put(bus, part)).await {
                tracing::error!(
                    event_bus = bus,
                    campaigns = part.len(),
                    error,
                    "EventBridge was not told that the reputation guard paused campaigns"
                );
            }
        }
    }
}
