//! The SDK's client, configured so that it never sends anything twice by itself.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::StalledStreamProtectionConfig;
use aws_sdk_sesv2::operation::send_email::builders::SendEmailInputBuilder;
use bytes::Bytes;

use super::account::Cache;
use super::{Quota, classify, classify_bulk, no_bulk_calls};
use crate::aws::http_client;
use crate::domain::answer::Answer;

/// A connection that has been idle for this long is not used again. SES closes idle connections later than
/// that, so a request does not meet a connection that is being closed, which would make its message
/// uncertain.
const MAX_IDLE: Duration = Duration::from_secs(3);
/// The time limit for TCP and TLS. A connection that is not made by then certainly carried no message.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A client of SES whose connections are fresh.
pub struct Ses {
    config: SdkConfig,
    client: Mutex<(Client, SystemTime)>,
    quota: Cache,
    /// True if the endpoint does not support bulk calls, or answers them unreadably.
    only_single: AtomicBool,
}

impl Ses {
    /// Reads the SDK's environment (`AWS_*`). The SDK's own retries are off: [`classify`] decides what may be
    /// retried, because a request that timed out may have been accepted.
    pub async fn from_env() -> Ses {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(http_client(MAX_IDLE))
            .load()
            .await;
        let client = Mutex::new((Client::new(&config), SystemTime::now()));
        Ses { config, client, quota: Cache::default(), only_single: AtomicBool::new(false) }
    }

    /// The region; the sending rate is shared under its name.
    pub fn region(&self) -> &str {
        self.config.region().map_or("", AsRef::as_ref)
    }

    /// The account's quota, at most a few minutes old; unknown if SES does not state it, or not within
    /// `patience`.
    pub async fn quota(&self, patience: Duration) -> Quota {
        self.quota.get(&self.client(), patience).await
    }

    /// Counts accepted messages towards the quota.
    pub fn spend(&self, accepted: u32) {
        self.quota.spend(accepted);
    }

    /// Sends one message, once.
    pub async fn send(&self, message: SendEmailInputBuilder, recipient: &str) -> Answer {
        classify(message.send_with(&self.client()).await, recipient)
    }

    /// Sends one bulk call, once: an answer for each of its recipients. `body` is the request in JSON (Amazon SES API
    /// v2, `SendBulkEmail`), which the SDK signs and sends as if it had written it.
    pub async fn send_bulk(&self, body: Bytes, recipients: &[String]) -> Vec<Answer> {
        let call = self.client().send_bulk_email().customize().mutate_request(move |request| {
            request.headers_mut().insert("content-length", body.len().to_string());
            *request.body_mut() = body.clone().into();
        });
        let result = call.send().await;
        if let Some(reason) = no_bulk_calls(&result) {
            self.give_up_bulk_calls(&reason);
        }
        classify_bulk(result, recipients)
    }

    /// Makes no more bulk calls, for as long as this process lives.
    pub fn give_up_bulk_calls(&self, reason: &str) {
        if !self.only_single.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "the endpoint has no SendBulkEmail; messages are sent singly from now on");
        }
    }

    /// Returns true if bulk calls may be tried. It is false for the rest of the process after the endpoint
    /// has said that it does not support them.
    pub fn takes_bulk_calls(&self) -> bool {
        !self.only_single.load(Ordering::Relaxed)
    }

    /// The client. If its last use is longer ago than an idle connection lives, by the wall clock (which
    /// continues while Lambda has frozen the environment), it has new connections.
    fn client(&self) -> Client {
        let mut client = self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = SystemTime::now();
        if now.duration_since(client.1).is_ok_and(|idle| idle < MAX_IDLE) {
            client.1 = now;
        } else {
            let config = aws_sdk_sesv2::Config::new(&self.config)
                .to_builder()
                .http_client(http_client(MAX_IDLE))
                .build();
            *client = (Client::from_conf(config), now);
        }
        client.0.clone()
    }
}

/// A client for reads of the command line. Repeating a read does no harm, so the SDK may retry.
pub async fn reading_client() -> Client {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .http_client(http_client(MAX_IDLE))
        .load()
        .await;
    Client::new(&config)
}
