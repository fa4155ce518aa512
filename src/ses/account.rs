//! The account's quota: the result of `GetAccount`, asked again every few minutes.
//!
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html>

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::SdkError;
use aws_sdk_sesv2::operation::get_account::{GetAccountError, GetAccountOutput};

/// How long an answer is valid. `GetAccount` itself may be called once a second, by all functions together.
const VALIDITY: Duration = Duration::from_secs(180);
/// The pause after a failed call; it doubles after each further failure, up to [`VALIDITY`].
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// The pause between attempts as long as the quota is unknown, because many invocations may begin at once.
const ATTEMPT_AFTER: Duration = Duration::from_millis(300);
/// The longest time that a batch waits for the first answer, and for later ones.
const TIMEOUT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(2));

/// The account's quota, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quota {
    /// `MaxSendRate`, messages per second.
    pub per_second: Option<f64>,
    /// The rest of `Max24HourSend` in the rolling window of 24 hours; `None`: no limit, or unknown.
    pub left_today: Option<u32>,
}

/// The last answer.
#[derive(Clone, Copy)]
struct Heard {
    quota: Quota,
    expires: Instant,
    /// The number of failed calls in a row.
    failures: u32,
}

/// The quota of the last answer.
#[derive(Default)]
pub(super) struct Cache(Mutex<Option<Heard>>);

impl Cache {
    /// The quota; asks for it if the last answer is too old, and waits for no longer than `patience`.
    pub(super) async fn get(&self, client: &Client, patience: Duration) -> Quota {
        let now = Instant::now();
        let known = *self.heard();
        if let Some(heard) = known
            && now < heard.expires
        {
            return heard.quota;
        }
        let timeout = if known.is_none() { TIMEOUT.0 } else { TIMEOUT.1 };
        let answer = tokio::time::timeout(timeout.min(patience), ask(client, known.is_none())).await;
        let cause = match answer {
            Ok(Ok(account)) => {
                let quota = account.send_quota.as_ref().map(quota).unwrap_or_default();
                *self.heard() = Some(Heard { quota, expires: now + VALIDITY, failures: 0 });
                return quota;
            }
            Ok(Err(error)) => aws_sdk_sesv2::error::DisplayErrorContext(&error).to_string(),
            Err(_) => "there was no answer in time".to_owned(),
        };
        tracing::warn!(cause, "GetAccount failed: going on with the rate that is known");
        let (quota, failures) = known.map(|heard| (heard.quota, heard.failures)).unwrap_or_default();
        let validity = (RETRY_AFTER * 2_u32.saturating_pow(failures)).min(VALIDITY);
        *self.heard() = Some(Heard { quota, expires: now + validity, failures: failures + 1 });
        quota
    }

    fn heard(&self) -> MutexGuard<'_, Option<Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts messages that were accepted since the last answer.
    pub(super) fn spend(&self, accepted: u32) {
        if let Some(heard) = self.heard().as_mut() {
            heard.quota.left_today = heard.quota.left_today.map(|left| left.saturating_sub(accepted));
        }
    }
}

/// Asks SES; with `again`, repeatedly after answers that do not have the quota (too many calls, a server
/// error).
async fn ask(client: &Client, again: bool) -> Result<GetAccountOutput, SdkError<GetAccountError>> {
    loop {
        match client.get_account().send().await {
            Err(error) if again && may_pass(&error) => tokio::time::sleep(ATTEMPT_AFTER).await,
            answer => return answer,
        }
    }
}

fn may_pass(error: &SdkError<GetAccountError>) -> bool {
    error.raw_response().is_none_or(|response| matches!(response.status().as_u16(), 429 | 500..))
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
        // An account has more than nothing, so the answer lacked this value.
        assert_eq!(of(0.0, 0.0).left_today, None);
    }
}
