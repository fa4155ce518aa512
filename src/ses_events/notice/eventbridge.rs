//! Puts notices on a bus.

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

/// The source that EventBridge's rules name.
const SOURCE: &str = "campaign-sender";
/// Until EventBridge has answered, all tries included. The events are recorded by then: a bus that cannot be reached (a
/// function in a VPC without a way to it) holds up nothing for longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_IDLE: Duration = Duration::from_secs(3);

/// EventBridge's client, made when it is first needed.
#[derive(Default)]
pub struct EventBridge(OnceCell<Client>);

impl EventBridge {
    /// Puts a notice of each of these campaigns on the bus: at most ten.
    ///
    /// # Errors
    /// Fails if EventBridge does not take them all.
    pub async fn put(&self, bus: &str, stops: &[&Stop]) -> Result<(), String> {
        let entries = stops.iter().map(|stop| entry(bus, stop)).collect();
        let client = self.0.get_or_init(client).await;
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
