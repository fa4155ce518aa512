//! The current keys of tokens: fixed ones, or a secret of Secrets Manager that is read at run time, so that
//! keys are rotated without a deployment.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use std::time::Instant;

use crate::message::link_settings::{SECRET_FORM, UnsubscribeSettings};
use crate::message::token::Keys;
use crate::store::credentials::Secrets;

/// How long keys are used before the secret is read again.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// The least time between two reads for tokens of unknown keys, so that not every forged token costs a
/// request.
const AGAIN: Duration = Duration::from_secs(30);

/// The source of the keys, and the keys that were read last.
pub struct KeyStore {
    source: Source,
    known: Mutex<Known>,
}

enum Source {
    /// `UNSUBSCRIBE_SECRET`, or nothing.
    Fixed(Option<Keys>),
    /// `UNSUBSCRIBE_SECRET_ARN`.
    Secret { arn: String, secrets: Box<Secrets> },
}

#[derive(Default)]
struct Known {
    /// The keys, and when they were read.
    keys: Option<(Keys, Instant)>,
    /// When a token of an unknown key last led to a read.
    asked_again: Option<Instant>,
}

impl KeyStore {
    /// For the settings of the environment; fetches nothing yet.
    pub fn new(settings: &UnsubscribeSettings) -> KeyStore {
        let source = match &settings.secret_arn {
            Some(arn) => Source::Secret { arn: arn.clone(), secrets: Box::default() },
            None => Source::Fixed(settings.keys.clone()),
        };
        KeyStore { source, known: Mutex::default() }
    }

    /// The keys, at most five minutes old; `None` if neither variable is set. If Secrets Manager does not
    /// answer, the keys that were read last are used for longer.
    ///
    /// # Errors
    /// Fails if there are no keys yet and the secret cannot be read, or is of another form. The message does not show
    /// it.
    pub async fn current(&self) -> Result<Option<Keys>, String> {
        let (arn, secrets) = match &self.source {
            Source::Fixed(keys) => return Ok(keys.clone()),
            Source::Secret { arn, secrets } => (arn, secrets),
        };
        let known = self.lock().keys.clone();
        if let Some((keys, at)) = &known
            && at.elapsed() < FRESH
        {
            return Ok(Some(keys.clone()));
        }
        match (self.fetch(secrets, arn).await, known) {
            (Ok(keys), _) => Ok(Some(keys)),
            (Err(error), Some((keys, _))) => {
                tracing::warn!(
                    error,
                    "the unsubscribe keys could not be read again; the known ones are used"
                );
                self.lock().keys = Some((keys.clone(), Instant::now()));
                Ok(Some(keys))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The keys after the secret was read once more, because none of [`KeyStore::current`] signed a token; `None` if
    /// that was done within the last 30 seconds, or if there is nothing to read.
    pub async fn newer(&self) -> Option<Keys> {
        let Source::Secret { arn, secrets } = &self.source else { return None };
        let asked = self.lock().asked_again.replace(Instant::now());
        if asked.is_some_and(|at| at.elapsed() < AGAIN) {
            self.lock().asked_again = asked;
            return None;
        }
        self.fetch(secrets, arn).await.ok()
    }

    async fn fetch(&self, secrets: &Secrets, arn: &str) -> Result<Keys, String> {
        // The fetching future is large and rarely used; it is boxed so that an invocation's future is not as
        // large.
        let fetching: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(read(secrets, arn));
        let keys = fetching.await?;
        self.lock().keys = Some((keys.clone(), Instant::now()));
        Ok(keys)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(secrets: &Secrets, arn: &str) -> Result<Keys, String> {
    let secret = secrets.get(arn).await.map_err(|error| error.to_string())?;
    Keys::parse(&secret).ok_or_else(|| {
        format!("the secret {arn} is of another form (it is not shown): expected {SECRET_FORM}")
    })
}
