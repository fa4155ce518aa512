//! Access to PostgreSQL: at most two connections, statements that may be repeated, and a limit on every wait.
//!
//! Every statement of this package may be run twice: nothing is claimed, recorded or counted twice (at worst
//! a little sending time is lost). So a broken connection, also one that broke while Lambda had frozen the
//! environment, costs only a new connection. Each statement runs in a transaction of its own, which sets what
//! it needs and takes one round trip (module `transaction`). No statement is prepared by name and nothing is
//! set for longer than a transaction, so that RDS Proxy and `PgBouncer` in transaction mode can multiplex
//! them.

pub mod activities;
mod address;
mod connector;
pub mod credentials;
mod error;
pub mod keys;
mod login_error;
pub mod person;
pub mod schema;
mod secret;
pub mod settings;
mod target;
mod tls;
mod token;
mod transaction;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio::time::{sleep_until, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

use crate::store::settings::DatabaseAccess;
use connector::Connector;
use credentials::Credentials;
use error::Failure;
use transaction::Begin;

pub use error::DatabaseError;

/// The most connections of one function instance.
const MAX_CONNECTIONS: usize = 2;
/// The pauses between attempts: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// The same after a conflict with another transaction.
const CONFLICT_BACKOFF: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));
/// The time that is kept for PostgreSQL's answer that it did not get a lock.
const LOCK_ANSWER: Duration = Duration::from_millis(250);
/// How long the transaction of a session waits for a lock.
const SESSION_LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// A statement's parameters with their types, as `query_typed` wants them.
pub type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A connection that is not the pool's any more.
pub type Session = deadpool_postgres::ClientWrapper;

/// A pool of connections.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    credentials: Arc<Credentials>,
    /// The encoding of the database, if it is not UTF-8.
    encoding: Arc<OnceLock<String>>,
    begin: Begin,
    /// The check between [`Begin`] and the statement, until the schema is known to fit.
    schema_check: Arc<str>,
    schema_fits: Arc<AtomicBool>,
    schema: String,
}

impl Database {
    /// Prepares a pool. It connects, and fetches credentials, with the first statement.
    ///
    /// # Errors
    /// Fails if the URL cannot be read. The message is one line without the password.
    pub fn new(access: &DatabaseAccess) -> Result<Database, String> {
        let credentials = Arc::new(connector::credentials(access)?);
        let encoding = Arc::new(OnceLock::new());
        let connector = Connector { credentials: Arc::clone(&credentials), encoding: Arc::clone(&encoding) };
        // A connection is not tested by a query before it is used, because the statement itself shows whether
        // it works.
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(Config::new(), connector, settings);
        let pool =
            Pool::builder(manager).max_size(MAX_CONNECTIONS).build().map_err(|error| error.to_string())?;
        let schema = access.schema.as_str();
        Ok(Database {
            pool,
            credentials,
            encoding,
            begin: Begin::in_schema(schema),
            schema_check: schema::check(schema).into(),
            schema_fits: Arc::new(AtomicBool::new(false)),
            schema: schema.to_owned(),
        })
    }

    /// Runs a statement that may be repeated, in a transaction of its own, over new connections if necessary,
    /// until it is committed or refused, or until `until`. It waits for locks as long as there is time.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] at `until` at the latest; [`DatabaseError::Refused`] and
    /// [`DatabaseError::SchemaMismatch`] at once.
    pub async fn query(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
        until: Instant,
    ) -> Result<Vec<Row>, DatabaseError> {
        self.query_with(Locks::Awaited, sql, parameters, until).await
    }

    /// The same, with a limit on how long it waits for locks.
    ///
    /// # Errors
    /// Those of [`query`](Database::query), and [`DatabaseError::Locked`] at once if the wait for a lock is
    /// limited.
    pub async fn query_with(
        &self,
        locks: Locks,
        sql: &str,
        parameters: Parameters<'_>,
        until: Instant,
    ) -> Result<Vec<Row>, DatabaseError> {
        let mut pauses = Pauses::new();
        let mut last = None;
        loop {
            let failure = match self.attempt(locks, sql, parameters, until).await {
                Ok(rows) => return Ok(rows),
                // The schema may have changed since it was checked; the next attempt checks it again.
                Err(Interrupted::Failed(Failure::Lasting(error)))
                    if error.may_be_of_the_schema() && self.schema_fits.swap(false, Ordering::Relaxed) =>
                {
                    continue;
                }
                Err(Interrupted::Failed(failure @ (Failure::Lasting(_) | Failure::Insecure(_)))) => {
                    return Err(failure.at_the_end(&self.place()));
                }
                Err(Interrupted::Failed(Failure::Locked(reason))) if matches!(locks, Locks::AtMost(_)) => {
                    return Err(DatabaseError::Locked(reason));
                }
                Err(Interrupted::Failed(failure)) => failure,
                // The last error is more useful than the message that there is no time left.
                Err(Interrupted::OutOfTime(stage)) => {
                    let failure = last.unwrap_or_else(|| stage.failure());
                    return Err(failure.at_the_end(&self.place()));
                }
            };
            let resume = Instant::now() + pauses.after(&failure);
            if resume >= until {
                return Err(failure.at_the_end(&self.place()));
            }
            tracing::warn!(reason = %failure, "PostgreSQL did not do it; trying again");
            last = Some(failure);
            sleep_until(resume.into()).await;
        }
    }

    async fn attempt(
        &self,
        locks: Locks,
        sql: &str,
        parameters: Parameters<'_>,
        until: Instant,
    ) -> Result<Vec<Row>, Interrupted> {
        let connection = timeout_at(until.into(), self.connection())
            .await
            .map_err(|_| Interrupted::OutOfTime(Stage::Connecting))?
            .map_err(Interrupted::Failed)?;
        let connection = Checkout(Some(connection));
        let mut begin = self.begin.script(locks.timeout(until));
        if !self.schema_fits.load(Ordering::Relaxed) {
            begin.push_str(&self.schema_check);
        }
        let running = transaction::run(connection.client(), &begin, sql, parameters);
        match timeout_at(until.into(), running).await {
            Ok(Ok(rows)) => {
                self.schema_fits.store(true, Ordering::Relaxed);
                connection.give_back();
                Ok(rows)
            }
            Ok(Err(aborted)) => {
                let failure = Failure::from(aborted);
                if failure.leaves_the_connection() {
                    connection.give_back();
                }
                Err(Interrupted::Failed(failure))
            }
            Err(_) => Err(Interrupted::OutOfTime(Stage::Running)),
        }
    }

    /// Closes the connections that no statement uses. The next statement opens one.
    pub fn close_idle_connections(&self) {
        self.pool.retain(|_, _| false);
    }

    /// PostgreSQL's host and port, for messages.
    pub fn place(&self) -> String {
        self.credentials.current().place()
    }

    /// A connection of the pool; a new one logs in with credentials that are valid now.
    async fn connection(&self) -> Result<Object, Failure> {
        if self.pool.status().available == 0 {
            self.credentials.renew().await?;
        }
        let connection = match self.pool.get().await {
            // The password may have been rotated since the secret was read.
            Err(PoolError::Backend(error)) if is_wrong_password(&error) && self.credentials.expire() => {
                self.credentials.renew().await?;
                self.pool.get().await
            }
            outcome => outcome,
        }
        .map_err(Failure::from)?;
        match self.encoding.get() {
            Some(encoding) => Err(Failure::Lasting(DatabaseError::WrongEncoding(encoding.clone()))),
            None => Ok(connection),
        }
    }

    /// A separate connection for a transaction or a stream of rows. Dropping it closes it and rolls back what
    /// is not committed.
    ///
    /// # Errors
    /// Fails if PostgreSQL cannot be reached or refuses the login.
    pub async fn session(&self) -> Result<Session, DatabaseError> {
        let connection = self.connection().await.map_err(|error| error.at_the_end(&self.place()))?;
        Ok(Object::take(connection))
    }

    /// Begins a transaction in a session, with read committed and our tables first, and checks that the
    /// schema's version fits this release.
    ///
    /// # Errors
    /// PostgreSQL's error.
    pub async fn begin(&self, session: &Client) -> Result<(), DatabaseError> {
        let begin = self.begin.script(SESSION_LOCK_TIMEOUT);
        Ok(session.batch_execute(&(begin + &self.schema_check)).await?)
    }

    /// The SQL that begins a transaction which changes the schema, whatever its version. New objects are
    /// created in our schema; the transaction waits for each lock as long as `lock_timeout`.
    pub fn begin_migration(&self, lock_timeout: Duration) -> String {
        let schema = &self.schema;
        format!("{}\nSET LOCAL search_path = \"{schema}\", pg_temp;\n", self.begin.script(lock_timeout))
    }

    /// `DATABASE_SCHEMA`.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Runs a script of several statements once, without a transaction except those that the script begins
    /// itself.
    ///
    /// # Errors
    /// PostgreSQL's error.
    pub async fn run_script(&self, sql: &str) -> Result<(), DatabaseError> {
        let connection =
            Checkout(Some(self.connection().await.map_err(|error| error.at_the_end(&self.place()))?));
        connection.client().batch_execute(sql).await?;
        connection.give_back();
        Ok(())
    }
}

/// How long a statement waits for the locks of other transactions.
#[derive(Clone, Copy, Debug)]
pub enum Locks {
    /// As long as there is time for the statement.
    Awaited,
    /// This long for each lock; then the statement fails with [`DatabaseError::Locked`].
    AtMost(Duration),
}

impl Locks {
    /// PostgreSQL's `lock_timeout`. It ends shortly before the statement's time, so that PostgreSQL can still
    /// report the lock.
    fn timeout(self, until: Instant) -> Duration {
        let left = until.saturating_duration_since(Instant::now());
        let left = left.saturating_sub((left / 10).min(LOCK_ANSWER));
        match self {
            Locks::Awaited => left,
            Locks::AtMost(bound) => bound.min(left),
        }
        .max(Duration::from_millis(1))
    }
}

/// An attempt without rows.
enum Interrupted {
    Failed(Failure),
    OutOfTime(Stage),
}

/// The step for which there was not enough time.
#[derive(Clone, Copy)]
enum Stage {
    Connecting,
    Running,
}

impl Stage {
    fn failure(self) -> Failure {
        match self {
            Stage::Connecting => Failure::Unreachable("no connection in time".to_owned()),
            Stage::Running => Failure::Slow,
        }
    }
}

/// The pauses between the attempts of a statement.
struct Pauses {
    /// After a broken connection.
    long: Duration,
    /// After a conflict: the other transaction has finished.
    short: Duration,
}

impl Pauses {
    fn new() -> Pauses {
        Pauses { long: BACKOFF.0, short: CONFLICT_BACKOFF.0 }
    }

    fn after(&mut self, failure: &Failure) -> Duration {
        let (next, longest) = match failure {
            Failure::Conflict(_) | Failure::Locked(_) => (&mut self.short, CONFLICT_BACKOFF.1),
            Failure::Unreachable(_)
            | Failure::BrokeOff(_)
            | Failure::Slow
            | Failure::Insecure(_)
            | Failure::Lasting(_) => (&mut self.long, BACKOFF.1),
        };
        let pause = *next;
        *next = (pause * 2).min(longest);
        pause
    }
}

/// A connection that is closed and not reused when the attempt with it fails or is given up, so that no
/// statement waits behind one that may still be running.
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

fn is_wrong_password(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_PASSWORD)
}
