//! By what PostgreSQL lets us in: a fixed password, one from Secrets Manager, or a token per connection.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use tokio::sync::OnceCell;

use super::connector::{ConnectError, Target};
use super::{secret, token};
use crate::aws::http_client;

/// Until Secrets Manager, or what gives out the AWS credentials, has answered one request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Nothing is asked so often that a connection is worth keeping.
const MAX_IDLE: Duration = Duration::from_secs(3);

pub enum Credentials {
    /// The same for every connection.
    Fixed(Target),
    /// A new token for every connection: it is valid for 15 minutes, a connection for as long as it lasts.
    IamToken { target: Target, sdk: OnceCell<SdkConfig> },
    /// Read when the first connection is made, and again when its password is refused.
    Secret { arn: String, sdk: OnceCell<SdkConfig>, known: Mutex<Option<Target>> },
}

impl Credentials {
    pub fn iam_token(target: Target) -> Credentials {
        Credentials::IamToken { target, sdk: OnceCell::new() }
    }

    pub fn secret(arn: String) -> Credentials {
        Credentials::Secret { arn, sdk: OnceCell::new(), known: Mutex::new(None) }
    }

    /// Where to connect to, with what is valid now.
    pub async fn target(&self) -> Result<Target, ConnectError> {
        match self {
            Credentials::Fixed(target) => Ok(target.clone()),
            Credentials::IamToken { target, sdk } => {
                let token = token::sign(sdk.get_or_init(from_env).await, target.config()).await?;
                Ok(target.clone().with_password(&token))
            }
            Credentials::Secret { arn, sdk, known } => {
                let read = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(target) = read {
                    return Ok(target);
                }
                let target = secret::read(sdk.get_or_init(from_env).await, arn).await?;
                *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(target.clone());
                Ok(target)
            }
        }
    }

    /// Drops what was read; whether it can be read again.
    pub fn forget(&self) -> bool {
        let Credentials::Secret { known, .. } = self else { return false };
        *known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        true
    }
}

async fn from_env() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ANSWER_TIMEOUT).build())
        .http_client(http_client(MAX_IDLE))
        .load()
        .await
}
