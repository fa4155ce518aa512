use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refusal::Refusal;

/// The sending account, as `GetAccount` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Account {
    /// Recipients per 24 hours that are accepted; -1: without limit.
    pub max_24_hour_send: f64,
    /// The rate that `GetAccount` reports. It is not enforced: see [`TokenBucket`].
    pub max_send_rate: f64,
    /// Recipients sent to in the last 24 hours, before those that this endpoint accepts from now on.
    pub sent_last_24_hours: f64,
    /// False: every message is refused with `SendingPausedException`.
    pub sending_enabled: bool,
    pub production_access_enabled: bool,
    /// `SHUTDOWN`: every message is refused with `AccountSuspendedException`.
    pub enforcement_status: EnforcementStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EnforcementStatus {
    Healthy,
    Probation,
    Shutdown,
}

impl Default for Account {
    /// A healthy production account whose quota is far beyond what a test sends.
    fn default() -> Self {
        Account {
            max_24_hour_send: 10_000_000.0,
            max_send_rate: 10_000.0,
            sent_last_24_hours: 0.0,
            sending_enabled: true,
            production_access_enabled: true,
            enforcement_status: EnforcementStatus::Healthy,
        }
    }
}

impl Account {
    /// Checks that the account may send at all.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.enforcement_status == EnforcementStatus::Shutdown {
            return Err(Refusal::account_suspended());
        }
        if !self.sending_enabled {
            return Err(Refusal::sending_paused());
        }
        Ok(())
    }

    /// Counts recipients towards the daily quota, unless they exceed it.
    pub(super) fn count(&mut self, recipients: u32) -> Result<(), Refusal> {
        let sent = self.sent_last_24_hours + f64::from(recipients);
        if self.max_24_hour_send >= 0.0 && sent > self.max_24_hour_send {
            return Err(Refusal::daily_quota_exceeded());
        }
        self.sent_last_24_hours = sent;
        Ok(())
    }

    /// The answer of `GetAccount`.
    pub(super) fn answer(&self) -> Value {
        json!({
            "DedicatedIpAutoWarmupEnabled": false,
            "EnforcementStatus": self.enforcement_status,
            "ProductionAccessEnabled": self.production_access_enabled,
            "SendQuota": {
                "Max24HourSend": self.max_24_hour_send,
                "MaxSendRate": self.max_send_rate,
                "SentLast24Hours": self.sent_last_24_hours,
            },
            "SendingEnabled": self.sending_enabled,
            "SuppressionAttributes": { "SuppressedReasons": ["BOUNCE", "COMPLAINT"] },
        })
    }
}

/// A limit on recipients per second, with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenBucket {
    pub per_second: f64,
    pub burst: f64,
    /// The number of tokens at the start; its burst unless given.
    #[serde(default)]
    pub tokens: Option<f64>,
}

impl TokenBucket {
    /// A bucket that is full at the start.
    pub fn full(per_second: f64, burst: f64) -> Self {
        TokenBucket { per_second, burst, tokens: None }
    }
}

/// The state of a token bucket.
pub(super) struct RateLimit {
    bucket: TokenBucket,
    tokens: f64,
    at: Instant,
}

impl RateLimit {
    pub(super) fn new(bucket: TokenBucket, now: Instant) -> Self {
        RateLimit { bucket, tokens: bucket.tokens.unwrap_or(bucket.burst), at: now }
    }

    /// Takes a token for each recipient, or none and refuses.
    pub(super) fn take(&mut self, recipients: u32, now: Instant) -> Result<(), Refusal> {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.bucket.per_second;
        self.tokens = (self.tokens + earned).min(self.bucket.burst);
        self.at = now;
        let wanted = f64::from(recipients);
        if self.tokens < wanted {
            return Err(Refusal::rate_exceeded());
        }
        self.tokens -= wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut limit = RateLimit::new(TokenBucket::full(10.0, 2.0), start);
        assert!(limit.take(2, start).is_ok());
        assert_eq!(limit.take(1, start), Err(Refusal::rate_exceeded()));
        assert!(limit.take(1, start + Duration::from_millis(100)).is_ok());
        assert!(limit.take(1, start + Duration::from_millis(150)).is_err());
        assert!(limit.take(3, start + Duration::from_secs(60)).is_err(), "never more than the burst");
    }

    #[test]
    fn a_bucket_may_start_empty() {
        let start = Instant::now();
        let bucket: TokenBucket = serde_json::from_str(r#"{"perSecond":10,"burst":2,"tokens":0}"#).unwrap();
        let mut limit = RateLimit::new(bucket, start);
        assert_eq!(limit.take(1, start), Err(Refusal::rate_exceeded()));
        assert!(limit.take(1, start + Duration::from_millis(100)).is_ok());
        assert!(limit.take(1, start + Duration::from_millis(150)).is_err());
    }

    #[test]
    fn the_daily_quota_counts_recipients() {
        let mut account = Account { max_24_hour_send: 3.0, sent_last_24_hours: 1.0, ..Account::default() };
        assert!(account.count(2).is_ok());
        assert_eq!(account.count(1), Err(Refusal::daily_quota_exceeded()));
        account.max_24_hour_send = -1.0;
        assert!(account.count(1).is_ok());
    }
}
