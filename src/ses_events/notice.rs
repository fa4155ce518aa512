//! Notices to EventBridge: that the guard has paused a campaign. Who asks for them names a bus.
//!
//! The notices of completed and halted campaigns come from the state machine, which knows of both. Of a pause by the guard
//! only this function knows: no batch may be under way then, nor an execution.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, retry::RetryConfig};
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::DisplayErrorContext;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::aws::http_client;
use crate::domain::guard::Stop;

/// What EventBridge's rules name.
const SOURCE: &str = "campaign-sender";
/// What one request may carry.
const MAX_ENTRIES: usize = 10;
/// Until EventBridge has answered, all tries included. The events are recorded by then: a bus that cannot be reached (a
/// function in a VPC without a way to it) holds up nothing for longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_IDLE: Duration = Duration::from_secs(3);

/// Gives notice, if a bus is configured.
pub struct Notices {
    bus: Option<String>,
    client: OnceCell<Client>,
}

impl Notices {
    /// To the bus of this name; `None` gives none.
    pub fn new(bus: Option<String>) -> Notices {
        Notices { bus, client: OnceCell::new() }
    }

    /// Tells that the guard has paused these campaigns: once, and as well as it can. The pause itself is in the tables,
    /// in the log and in the metric `PausedByGuard`; what EventBridge does not take is an error in the log, and nothing
    /// else.
    pub async fn paused_by_guard(&self, stops: &[&Stop]) {
        let Some(bus) = &self.bus else { return };
        for part in stops.chunks(MAX_ENTRIES) {
            let entries = part.iter().map(|stop| entry(bus, stop)).collect();
            // What sends is large, and is used seldom.
            if let Err(error) = Box::pin(self.put(entries)).await {
                tracing::error!(
                    event_bus = bus,
                    campaigns = part.len(),
                    error,
                    "EventBridge was not told that the reputation guard paused campaigns"
                );
            }
        }
    }

    async fn put(&self, entries: Vec<PutEventsRequestEntry>) -> Result<(), String> {
        let client = self.client.get_or_init(client).await;
        let answer = client
            .put_events()
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| DisplayErrorContext(&error).to_string())?;
        let refused = answer.entries().iter().find(|entry| entry.error_code().is_some());
        refused.map_or(Ok(()), |entry| {
            Err(format!(
                "{}: {}",
                entry.error_code().unwrap_or_default(),
                entry.error_message().unwrap_or_default()
            ))
        })
    }
}

async fn client() -> Client {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(ANSWER_TIMEOUT).operation_timeout(ANSWER_TIMEOUT).build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(MAX_IDLE))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard())
        .load()
        .await;
    Client::new(&config)
}

/// As docs/schema/notice.schema.json has it.
fn entry(bus: &str, stop: &Stop) -> PutEventsRequestEntry {
    let detail = json!({
        "version": 1,
        "campaignId": stop.campaign_id,
        "notice": "pausedByGuard",
        "reason": stop.reason,
        "progress": null,
    });
    PutEventsRequestEntry::builder()
        .source(SOURCE)
        .detail_type("Campaign paused by guard")
        .event_bus_name(bus)
        .detail(detail.to_string())
        .build()
}
