//! The way to PostgreSQL: at most two connections, statements that may be repeated, and a bound on every wait.
//!
//! Every statement of this package is written so that running it twice claims, records and counts nothing twice (at
//! worst it gives away a little sending time), so a connection that breaks, also one that died while Lambda had the environment frozen, costs a new connection and nothing
//! else. All go by `query_typed`: one round trip and no named prepared statement, so that RDS Proxy and
//! `PgBouncer` in transaction mode can multiplex them.

mod connector;
pub mod credentials;
mod secret;
mod tls;
mod token;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

use crate::config::DatabaseAccess;
use connector::Connector;
use credentials::{Credentials, CredentialsError};

/// Connections of one function instance.
const MAX_CONNECTIONS: usize = 2;
/// The pauses between attempts: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// PostgreSQL did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It could not be reached, or kept breaking off, until there was no time left. What a statement wrote may
    /// or may not have been committed.
    #[error("PostgreSQL could not be reached: {0}")]
    Unavailable(String),
    /// It refused the statement; trying again is of no use.
    #[error("PostgreSQL refused the statement: {}", describe(.0))]
    Refused(#[source] tokio_postgres::Error),
    /// There is nothing to log in with: the secret cannot be read or has another form, or no token can be signed.
    #[error("PostgreSQL's credentials cannot be had: {0}")]
    NoCredentials(String),
}

impl DatabaseError {
    /// The statement is refused for what it carries (data exceptions, violated constraints, a trigger's exception),
    /// not for what it is: with less in it, it may succeed.
    pub fn is_of_the_data(&self) -> bool {
        let DatabaseError::Refused(error) = self else { return false };
        error.code().is_some_and(|code| matches!(code.code().get(..2), Some("22" | "23" | "P0")))
    }
}

/// A statement's parameters with their types, as `query_typed` wants them.
pub type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A connection that is not the pool's any more.
#[cfg(feature = "cli")]
pub type Session = deadpool_postgres::ClientWrapper;

/// A pool of connections.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    credentials: Arc<Credentials>,
}

impl Database {
    /// Prepares a pool; connects, and fetches what is needed for that, when the first statement comes.
    ///
    /// # Errors
    /// When the URL cannot be read, in one line without the password.
    pub fn new(access: &DatabaseAccess) -> Result<Database, String> {
        let credentials = Arc::new(connector::credentials(access)?);
        let connector = Connector(Arc::clone(&credentials));
        // A connection is looked at, not tried out, before it is used: a statement finds out by itself.
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(Config::new(), connector, settings);
        let pool =
            Pool::builder(manager).max_size(MAX_CONNECTIONS).build().map_err(|error| error.to_string())?;
        Ok(Database { pool, credentials })
    }

    /// Runs a statement that may be repeated, over new connections if need be, until it succeeds or is refused,
    /// or `until` has come.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] at `until` at the latest; [`DatabaseError::Refused`] at once.
    pub async fn query(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
        until: Instant,
    ) -> Result<Vec<Row>, DatabaseError> {
        let mut pause = BACKOFF.0;
        loop {
            let failure = match timeout_at(until, self.attempt(sql, parameters)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(Failure::Lasting(error))) => return Err(error),
                Ok(Err(Failure::Transient(reason))) => reason,
                Err(_) => return Err(DatabaseError::Unavailable("no answer in time".to_owned())),
            };
            tracing::warn!(reason = failure, "PostgreSQL did not answer; trying again over a new connection");
            let resume = Instant::now() + pause;
            if resume >= until {
                return Err(DatabaseError::Unavailable(failure));
            }
            sleep_until(resume).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    async fn attempt(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let connection = Checkout(Some(self.connection().await?));
        let rows = connection.client().query_typed(sql, parameters).await.map_err(Failure::from)?;
        connection.give_back();
        Ok(rows)
    }

    /// A connection of the pool; a new one logs in with credentials that are valid now.
    async fn connection(&self) -> Result<Object, Failure> {
        if self.pool.status().available == 0 {
            self.credentials.renew().await?;
        }
        match self.pool.get().await {
            // The password has been rotated since the secret was read.
            Err(PoolError::Backend(error)) if is_wrong_password(&error) && self.credentials.expire() => {
                self.credentials.renew().await?;
                self.pool.get().await
            }
            outcome => outcome,
        }
        .map_err(Failure::from)
    }

    /// A connection of its own, for a transaction or a stream of rows. It is closed when it is dropped, and what it
    /// had not committed is rolled back.
    ///
    /// # Errors
    /// When PostgreSQL cannot be reached, or does not let us in.
    #[cfg(feature = "cli")]
    pub async fn session(&self) -> Result<Session, DatabaseError> {
        Ok(Object::take(self.connection().await?))
    }

    /// Runs a script of several statements, once.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub async fn run_script(&self, sql: &str) -> Result<(), DatabaseError> {
        let connection = self.connection().await?;
        connection.batch_execute(sql).await.map_err(DatabaseError::Refused)
    }
}

/// A connection that is closed, not reused, when the attempt with it fails or is given up: another statement
/// must not queue behind one that may still be running.
struct Checkout(Option<Object>);

impl Checkout {
    fn client(&self) -> &Client {
        self.0.as_ref().expect("there until it is given back")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

enum Failure {
    Transient(String),
    Lasting(DatabaseError),
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Failure {
        match error {
            PoolError::Backend(error) => Failure::from(error),
            other => Failure::Transient(other.to_string()),
        }
    }
}

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Failure {
        match error {
            CredentialsError::Unreachable(reason) => Failure::Transient(reason),
            CredentialsError::NoCredentials(reason) => Failure::Lasting(DatabaseError::NoCredentials(reason)),
        }
    }
}

impl From<Failure> for DatabaseError {
    fn from(failure: Failure) -> DatabaseError {
        match failure {
            Failure::Lasting(error) => error,
            Failure::Transient(reason) => DatabaseError::Unavailable(reason),
        }
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> DatabaseError {
        Failure::from(error).into()
    }
}

impl From<tokio_postgres::Error> for Failure {
    /// What a new connection may mend is transient: a lost or refused connection, a server that starts, stops or
    /// fails over, too many connections, and a conflict with another transaction.
    fn from(error: tokio_postgres::Error) -> Failure {
        let transient = match error.code() {
            Some(code) => {
                matches!(code.code().get(..2), Some("08" | "57" | "53" | "40"))
                    || *code == SqlState::READ_ONLY_SQL_TRANSACTION
                    || *code == SqlState::LOCK_NOT_AVAILABLE
            }
            None => {
                error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
            }
        };
        if transient {
            Failure::Transient(describe(&error))
        } else {
            Failure::Lasting(DatabaseError::Refused(error))
        }
    }
}

fn is_wrong_password(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_PASSWORD)
}

/// PostgreSQL's message with its SQLSTATE, or the cause at the bottom of a connection's error.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            // Of a row that is refused the detail shows what it holds, addresses among it.
            let shows_data = matches!(db.code().code().get(..2), Some("22" | "23"));
            let detail = db.detail().filter(|_| !shows_data).map(|d| format!(" ({d})")).unwrap_or_default();
            format!("{}{detail} [{}]", db.message(), db.code().code())
        }
        None => error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}
