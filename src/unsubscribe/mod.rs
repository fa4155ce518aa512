//! The function `unsubscribe`, behind a function URL: RFC 8058's one click, and the page that a person sees.
//!
//! [`token`] identifies the recipient of a link, [`request`] parses the request, [`record`] carries it out
//! with one statement, [`page`] shows the result. This module knows the order of steps.

pub mod page;
pub mod record;
pub mod request;
pub mod response;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use std::time::Instant;
use tokio::sync::Mutex;

use self::page::{Page, Pages};
use self::record::{Standing, Statements};
use self::request::{Request, Wish};
use self::response::Response;
use crate::domain::deadline::Deadline;
use crate::domain::error_kind::ErrorKind;
use crate::lambda::Failure;
use crate::lambda::environment::Settings;
use crate::message::token::{self, RecipientIds};
use crate::store::activities::{TableError, plan, refusal};
use crate::store::keys::KeyStore;
use crate::store::{Database, DatabaseError};

/// How long a person, or a mailbox provider, waits for PostgreSQL at most.
const PATIENCE: Duration = Duration::from_secs(8);
/// Requests within this time of each other share a connection.
const BUSY: Duration = Duration::from_secs(2);
/// The activities that are written.
const ACTIONS: [&str; 2] = ["email_unsubscribed", "email_resubscribed"];

/// The state of the process.
pub struct Unsubscribe {
    settings: Settings,
    keys: KeyStore,
    pages: Pages,
    database: Database,
    statements: Mutex<Option<Arc<Statements>>>,
    /// The time of the last answer.
    answered_at: Arc<std::sync::Mutex<Option<Instant>>>,
}

impl Unsubscribe {
    /// Prepares an instance; nothing is connected yet.
    ///
    /// # Errors
    /// When neither `UNSUBSCRIBE_SECRET` nor `UNSUBSCRIBE_SECRET_ARN` is set, or the database's URL cannot be read, in one line.
    pub fn new(settings: Settings) -> Result<Unsubscribe, String> {
        settings.unsubscribe.require_keys().map_err(|error| error.to_string())?;
        let keys = KeyStore::new(&settings.unsubscribe);
        let database = Database::new(&settings.database)?;
        Ok(Unsubscribe {
            settings,
            keys,
            pages: Pages::new(),
            database,
            statements: Mutex::new(None),
            answered_at: Arc::default(),
        })
    }

    /// Answers one request; `deadline_ms` is the invocation's deadline in milliseconds since 1970. Only a
    /// POST with a valid token and one of the two known fields changes anything, and a repetition changes
    /// nothing more. If PostgreSQL fails, the answer is 503, so that the sender tries again.
    ///
    /// # Errors
    /// `InvalidEvent`: the event is no request to a function URL. `SchemaMismatch`: the version of the schema does not fit
    /// this release.
    pub async fn handle(&self, event: &Value, deadline_ms: u64) -> Result<Response, Failure> {
        let now = Instant::now();
        let deadline = Deadline::new(deadline_ms, SystemTime::now(), now, self.settings.fallback_timeout);
        let until = deadline.last_record.min(now + PATIENCE);
        let request =
            Request::read(event).map_err(|problem| Failure::new(ErrorKind::InvalidEvent, problem))?;
        let page = self.answer(&request, until).await;
        self.rest(now);
        Ok(self.pages.response(&page?, request.head))
    }

    /// Leaves no connection behind, because Lambda may keep an idle instance frozen for a long time: the
    /// connection is closed before the answer, unless requests follow each other so closely that each would
    /// need a login.
    fn rest(&self, began_at: Instant) {
        let now = Instant::now();
        let last = self.answered_at.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if last.is_none_or(|last| began_at.duration_since(last) > BUSY) {
            self.database.close_idle_connections();
            return;
        }
        // It is closed after the last of them, if the process continues to run.
        let (database, answered_at) = (self.database.clone(), Arc::clone(&self.answered_at));
        tokio::spawn(async move {
            tokio::time::sleep(BUSY).await;
            if *answered_at.lock().unwrap_or_else(PoisonError::into_inner) == Some(now) {
                database.close_idle_connections();
            }
        });
    }

    async fn answer(&self, request: &Request, until: Instant) -> Result<Page, Failure> {
        if request.wish == Wish::WrongMethod {
            return Ok(Page::WrongMethod);
        }
        let ids = match self.verified(&request.token).await {
            Ok(Some(ids)) => ids,
            Ok(None) => return Ok(Page::BadLink),
            Err(error) => {
                tracing::error!(error, "a request could not be answered: the keys could not be read");
                return Ok(Page::Unavailable);
            }
        };
        if request.wish == Wish::Unknown {
            return Ok(Page::BadForm);
        }
        if ids.is_of_a_test() {
            return Ok(Page::Test);
        }
        Ok(match self.apply(request.wish, ids, until).await {
            Ok(Some(standing)) => {
                if standing.changed {
                    tracing::info!(
                        recipient_id = %ids.recipient_id,
                        organization_id = %ids.organization_id,
                        wish = ?request.wish,
                        "a recipient's wish was recorded"
                    );
                }
                Page::of(request.wish, &standing)
            }
            Ok(None) => Page::Gone,
            Err(error @ DatabaseError::SchemaMismatch(_)) => return Err(error.into()),
            Err(error) => {
                tracing::error!(recipient_id = %ids.recipient_id, %error, "a request could not be answered");
                Page::Unavailable
            }
        })
    }

    /// The ids in a token, if it is valid. A token that no known key signed may be of a newer key.
    async fn verified(&self, token: &str) -> Result<Option<RecipientIds>, String> {
        let ids = self.keys.current().await?.and_then(|keys| keys.verify(token));
        if ids.is_some() || token.len() != token::LENGTH {
            return Ok(ids);
        }
        Ok(self.keys.newer().await.and_then(|keys| keys.verify(token)))
    }

    /// A problem with the activities table must not prevent an unsubscribe.
    async fn apply(
        &self,
        wish: Wish,
        ids: RecipientIds,
        until: Instant,
    ) -> Result<Option<Standing>, DatabaseError> {
        if wish == Wish::Look {
            return Statements::new(None).apply(&self.database, wish, ids, until).await;
        }
        let apply = async |statements: &Statements| statements.apply(&self.database, wish, ids, until).await;
        let mut outcome = apply(&*self.statements(until).await?).await;
        // The table may have changed since its columns were read.
        if outcome.as_ref().is_err_and(refusal::may_be_of_the_shape) {
            *self.statements.lock().await = None;
            outcome = apply(&*self.statements(until).await?).await;
        }
        match outcome {
            Err(error @ DatabaseError::Refused(_)) => {
                tracing::error!(recipient_id = %ids.recipient_id, %error, "the activity could not be written");
                apply(&Statements::new(None)).await
            }
            outcome => outcome,
        }
    }

    /// Reads the activities table's columns the first time. A table that cannot take activities is examined
    /// again with the next request.
    async fn statements(&self, until: Instant) -> Result<Arc<Statements>, DatabaseError> {
        if let Some(known) = self.statements.lock().await.as_ref() {
            return Ok(Arc::clone(known));
        }
        match plan::learn(&self.database, &self.settings.activities_table, &[], &ACTIONS, until).await {
            Ok(table) => {
                let statements = Arc::new(Statements::new(Some(&table)));
                *self.statements.lock().await = Some(Arc::clone(&statements));
                Ok(statements)
            }
            Err(TableError::Database(error @ DatabaseError::Unavailable(_))) => Err(error),
            Err(error) => {
                tracing::error!(%error, "no activities are written");
                Ok(Arc::new(Statements::new(None)))
            }
        }
    }
}
