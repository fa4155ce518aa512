//! What the account may send: `GetAccount`, asked again every few minutes.
//!
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html>

use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_sdk_sesv2::Client;

/// How long an answer holds. `GetAccount` itself may be called once a second, by all functions together.
const VALIDITY: Duration = Duration::from_secs(180);
/// After a call that failed; the rate that another invocation has stored goes on being used meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// A batch waits no longer for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The account's quota, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quota {
    /// `MaxSendRate`, messages per second.
    pub per_second: Option<f64>,
    /// What is left of `Max24HourSend` in the rolling window of 24 hours; `None`: no limit, or not known.
    pub left_today: Option<u32>,
}

/// The quota as it was last heard.
#[derive(Default)]
pub(super) struct Cache(Mutex<Option<(Quota, Instant)>>);

impl Cache {
    /// The quota; asks for it if the last answer is too old.
    pub(super) async fn get(&self, client: &Client) -> Quota {
        let now = Instant::now();
        let known = *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((quota, expires)) = known
            && now < expires
        {
            return quota;
        }
        let answer = tokio::time::timeout(TIMEOUT, client.get_account().send()).await;
        let (quota, validity) = match answer {
            Ok(Ok(account)) => (account.send_quota.as_ref().map(quota).unwrap_or_default(), VALIDITY),
            Ok(Err(error)) => {
                let cause = aws_sdk_sesv2::error::DisplayErrorContext(&error).to_string();
                tracing::warn!(cause, "GetAccount failed: going on with the rate that is known");
                (known.map(|(quota, _)| quota).unwrap_or_default(), RETRY_AFTER)
            }
            Err(_) => {
                tracing::warn!("GetAccount did not answer: going on with the rate that is known");
                (known.map(|(quota, _)| quota).unwrap_or_default(), RETRY_AFTER)
            }
        };
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((quota, now + validity));
        quota
    }

    /// Counts what was accepted since the quota was heard.
    pub(super) fn spend(&self, accepted: u32) {
        if let Some((quota, _)) = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_mut() {
            quota.left_today = quota.left_today.map(|left| left.saturating_sub(accepted));
        }
    }
}

fn quota(quota: &aws_sdk_sesv2::types::SendQuota) -> Quota {
    let left = (quota.max24_hour_send - quota.sent_last24_hours).clamp(0.0, f64::from(u32::MAX));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
    let left = left as u32;
    Quota {
        per_second: Some(quota.max_send_rate).filter(|rate| *rate > 0.0),
        left_today: (quota.max24_hour_send > 0.0).then_some(left),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sesv2::types::SendQuota;

    use super::*;

    #[test]
    fn an_account_says_its_rate_and_what_is_left_today() {
        let of = |max, sent| {
            quota(
                &SendQuota::builder()
                    .max_send_rate(14.0)
                    .max24_hour_send(max)
                    .sent_last24_hours(sent)
                    .build(),
            )
        };
        assert_eq!(of(200.0, 150.0), Quota { per_second: Some(14.0), left_today: Some(50) });
        assert_eq!(of(200.0, 250.0).left_today, Some(0));
        assert_eq!(of(-1.0, 250.0).left_today, None);
        // No account has nothing: the answer did not say.
        assert_eq!(of(0.0, 0.0).left_today, None);
    }
}
