//! Credentials for PostgreSQL: a fixed password, one from Secrets Manager, or a token per connection.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use std::time::Instant;
use tokio::sync::OnceCell;
use tokio_postgres::Config;

use super::login_error::CredentialsError;
use super::target::Target;
use super::{secret, token};
use crate::aws::http_client;

/// The time for one request to Secrets Manager, or to the provider of AWS credentials.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A token is valid for 15 minutes, and a connection made by it for as long as it lasts.
const TOKEN_AGE: Duration = Duration::from_secs(10 * 60);

/// Requests are so rare that no connection is kept.
const MAX_IDLE: Duration = Duration::from_secs(3);

/// The credentials of the pool's next connection.
pub struct Credentials {
    source: Source,
    sdk: Sdk,
    current: Mutex<Current>,
}

#[allow(clippy::large_enum_variant, reason = "there is one of it in a process")]
enum Source {
    Fixed,
    IamToken(Target),
    Secret(String, Option<Config>),
}

struct Current {
    target: Target,
    /// `None`: without end.
    until: Option<Instant>,
}

impl Credentials {
    /// The same for every connection.
    pub fn fixed(target: Target) -> Credentials {
        Credentials::new(Source::Fixed, Current { target, until: None })
    }

    /// A token in place of the password.
    pub fn iam_token(target: Target) -> Credentials {
        let current = Current { target: target.clone(), until: Some(Instant::now()) };
        Credentials::new(Source::IamToken(target), current)
    }

    /// A secret that is read for the first connection, and again when its password is refused; `place` is the
    /// database's place, if the secret does not have it.
    pub fn secret(arn: String, place: Option<Config>, target: Target) -> Credentials {
        let current = Current { target, until: Some(Instant::now()) };
        Credentials::new(Source::Secret(arn, place), current)
    }

    fn new(source: Source, current: Current) -> Credentials {
        Credentials { source, sdk: Sdk::default(), current: Mutex::new(current) }
    }

    /// The place and the user of the next connection.
    pub fn current(&self) -> Target {
        self.lock().target.clone()
    }

    /// Fetches credentials if there are none yet, or if they are not valid any more.
    pub async fn renew(&self) -> Result<(), CredentialsError> {
        if self.lock().until.is_none_or(|until| Instant::now() < until) {
            return Ok(());
        }
        // The fetching future is large and rarely used; it is boxed so that not every statement's future is
        // as large.
        let fetching: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(self.fetch());
        let fetched = fetching.await?;
        *self.lock() = fetched;
        Ok(())
    }

    async fn fetch(&self) -> Result<Current, CredentialsError> {
        match &self.source {
            Source::Fixed => Ok(Current { target: self.current(), until: None }),
            Source::IamToken(target) => {
                let token = token::sign(self.sdk.config().await, target.config()).await?;
                let until = Some(Instant::now() + TOKEN_AGE);
                Ok(Current { target: target.clone().with_password(&token), until })
            }
            Source::Secret(arn, place) => {
                let config = secret::read(self.sdk.config().await, arn, place.as_ref()).await?;
                Ok(Current { target: self.current().at(config), until: None })
            }
        }
    }

    /// Notes that the password was refused, and returns true if there may be another.
    pub fn expire(&self) -> bool {
        let other = matches!(self.source, Source::Secret(..));
        if other {
            self.lock().until = Some(Instant::now());
        }
        other
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Secrets Manager, for other secrets than the database's.
#[derive(Default)]
pub struct Secrets(Sdk);

impl Secrets {
    /// The text of a secret.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn get(&self, arn: &str) -> Result<String, CredentialsError> {
        secret::text(self.0.config().await, arn).await
    }
}

/// The SDK's configuration, made when it is first needed.
#[derive(Default)]
struct Sdk(OnceCell<SdkConfig>);

impl Sdk {
    async fn config(&self) -> &SdkConfig {
        self.0.get_or_init(from_env).await
    }
}

async fn from_env() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ANSWER_TIMEOUT).build())
        .http_client(http_client(MAX_IDLE))
        .load()
        .await
}
