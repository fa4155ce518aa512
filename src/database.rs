//! The way to PostgreSQL: at most two connections, statements that may be repeated, and a bound on every wait.
//!
//! Every statement of this package is written so that running it twice changes nothing more, so a connection
//! that breaks, also one that died while Lambda had the environment frozen, costs a new connection and nothing
//! else. All go by `query_typed`: one round trip and no named prepared statement, so that RDS Proxy and
//! `PgBouncer` in transaction mode can multiplex them.

mod tls;

use std::error::Error as _;
use std::str::FromStr;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Config, NoTls, Row};

use crate::config::DatabaseUrl;

/// Connections of one function instance.
const MAX_CONNECTIONS: usize = 2;
/// How long one attempt may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
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

/// A pool of connections.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
}

impl Database {
    /// Prepares a pool; connects when the first statement comes.
    ///
    /// # Errors
    /// When the URL cannot be read, in one line without the password.
    pub fn new(url: &DatabaseUrl) -> Result<Database, String> {
        let (url, encrypted) = without_verification_modes(url.as_str());
        let mut config = Config::from_str(&url).map_err(|error| {
            format!("DATABASE_URL: {}", error.source().map_or(error.to_string(), ToString::to_string))
        })?;
        config.connect_timeout(CONNECT_TIMEOUT).keepalives_idle(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("campaign-sender");
        }
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if encrypted {
            Manager::from_config(config, tls::connector(), manager)
        } else {
            Manager::from_config(config, NoTls, manager)
        };
        let pool =
            Pool::builder(manager).max_size(MAX_CONNECTIONS).build().map_err(|error| error.to_string())?;
        Ok(Database { pool })
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
                Ok(Err(Failure::Refused(error))) => return Err(DatabaseError::Refused(error)),
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
        let connection = Checkout(Some(self.pool.get().await.map_err(Failure::from_pool)?));
        let rows = connection.client().query_typed(sql, parameters).await.map_err(Failure::from)?;
        connection.give_back();
        Ok(rows)
    }

    /// Runs a script of several statements, once.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub async fn run_script(&self, sql: &str) -> Result<(), DatabaseError> {
        let connection = self.pool.get().await.map_err(|error| match Failure::from_pool(error) {
            Failure::Refused(error) => DatabaseError::Refused(error),
            Failure::Transient(reason) => DatabaseError::Unavailable(reason),
        })?;
        connection.batch_execute(sql).await.map_err(DatabaseError::Refused)
    }
}

/// A connection that is closed, not reused, when the attempt with it fails or is given up: another statement
/// must not queue behind one that may still be running.
struct Checkout(Option<deadpool_postgres::Object>);

impl Checkout {
    fn client(&self) -> &deadpool_postgres::ClientWrapper {
        self.0.as_ref().expect("there until it is given back")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(deadpool_postgres::Object::take(connection));
        }
    }
}

enum Failure {
    Transient(String),
    Refused(tokio_postgres::Error),
}

impl Failure {
    fn from_pool(error: PoolError) -> Failure {
        match error {
            PoolError::Backend(error) => Failure::from(error),
            other => Failure::Transient(other.to_string()),
        }
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
        if transient { Failure::Transient(describe(&error)) } else { Failure::Refused(error) }
    }
}

/// PostgreSQL's message with its SQLSTATE, or the cause at the bottom of a connection's error.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("{}{detail} [{}]", db.message(), db.code().code())
        }
        None => error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}

/// `tokio-postgres` knows `require` and leaves verification to the connector, which always verifies here: so
/// `verify-ca` and `verify-full` become `require`. Whether the connection is to be encrypted comes second.
fn without_verification_modes(url: &str) -> (String, bool) {
    let url =
        url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
    let encrypted = url.contains("sslmode=require");
    (url, encrypted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_that_asks_for_tls_gets_it() {
        for (mode, encrypted) in [
            ("?sslmode=verify-full", true),
            ("?sslmode=verify-ca", true),
            ("?a=b&sslmode=require", true),
            ("", false),
            ("?sslmode=disable", false),
        ] {
            let (url, got) = without_verification_modes(&format!("postgres://u@h/d{mode}"));
            assert_eq!(got, encrypted, "{mode}");
            assert!(!url.contains("verify"), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_read_is_told_without_its_password() {
        let url = crate::config::database_url(Some("postgres://u:secret@h:port/d".to_owned())).unwrap();
        let error = Database::new(&url).err().unwrap();
        assert!(error.starts_with("DATABASE_URL: ") && !error.contains("secret"), "{error}");
    }
}
