//! Runs a migration: one at a time in a database, and never blocking functions for longer than a moment.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::super::failure::is_conflict;
use super::done;
use super::steps::{Kind, Step};
use super::versions::{self, Connection};
use campaign_sender::store::{Database, DatabaseError, Session};

/// How long one attempt of a step waits for a lock. Functions that want the same table wait behind it.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// The pause before the next attempt; the functions use the table meanwhile.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a step is tried again if it does not get its locks.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(300);
/// How often the creation of a unique index is tried if rows were not unique.
const INDEX_ATTEMPTS: usize = 10;
/// The key of the migrations' advisory lock: the first eight bytes of the package's name.
const LOCK: i64 = i64::from_be_bytes(*b"campaign");

/// Why a migration failed.
pub enum Error {
    /// PostgreSQL's error.
    Database(DatabaseError),
    /// Another error, in one line.
    Other(String),
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Error {
        Error::Database(error)
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        Error::Database(error.into())
    }
}

impl From<versions::Error> for Error {
    fn from(error: versions::Error) -> Error {
        match error {
            versions::Error::Database(error) => Error::Database(error),
            versions::Error::History(message) => Error::Other(message),
        }
    }
}

/// The connections of a migration.
pub struct Runner<'a> {
    database: &'a Database,
    client: Session,
    /// Holds the lock that keeps other migrations out, in a transaction that is open as long as this lives.
    _guard: Session,
}

impl<'a> Runner<'a> {
    /// Waits until no other migration runs in the database.
    pub async fn start(database: &'a Database) -> Result<Runner<'a>, Error> {
        let guard = database.session().await?;
        guard.batch_execute(&database.begin_migration(LOCK_TIMEOUT)).await?;
        guard.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        let client = database.session().await?;
        // A session that waited for the lock would block an index that the other migration creates
        // concurrently, so the lock is polled.
        let lock = format!("SELECT pg_try_advisory_xact_lock({LOCK})");
        let begun_at = Instant::now();
        while !is_true(&guard.simple_query(&lock).await?) {
            if begun_at.elapsed() > Duration::from_secs(3600) {
                return Err(Error::Other(
                    "another `campaign migrate` has run for an hour; wait until it ends".to_owned(),
                ));
            }
            sleep(PAUSE).await;
        }
        Ok(Runner { database, client, _guard: guard })
    }

    /// The connection of its statements.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs steps in their order.
    pub async fn baseline(&self, steps: Vec<Step>, say: &mut impl FnMut(String)) -> Result<(), Error> {
        // Statements that cannot be in a transaction take their settings from the session, which is closed afterwards.
        let schema = self.database.schema();
        self.client
            .batch_execute(&format!(
                "SET search_path = \"{schema}\", pg_temp; SET lock_timeout = 0; SET statement_timeout = 0; \
                 SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off"
            ))
            .await?;
        for (i, step) in steps.iter().enumerate() {
            let begun_at = Instant::now();
            match step.kind {
                Kind::Transaction => self.transaction(&step.sql, say).await?,
                Kind::Portions => self.portions(&step.sql, say).await?,
                Kind::Concurrently => self.client.batch_execute(&step.sql).await?,
                Kind::Index => self.index(&step.title, &step.sql, &steps[i - 1].sql, say).await?,
                Kind::Statements => self.statements(&step.sql, say).await?,
            }
            say(done(&step.title, begun_at.elapsed()));
        }
        Ok(())
    }

    /// Applies the versions that are not recorded yet.
    pub async fn apply_versions(&self, say: &mut impl FnMut(String)) -> Result<(), Error> {
        for name in self.versions(None).await? {
            say(name);
        }
        Ok(())
    }

    /// Records the versions up to this one as applied.
    pub async fn record_versions(&self, through: i32) -> Result<(), Error> {
        self.versions(Some(through)).await.map(drop)
    }

    async fn versions(&self, only_record: Option<i32>) -> Result<Vec<String>, Error> {
        let begun_at = Instant::now();
        let mut applied = Vec::new();
        loop {
            let begin = self.database.begin_migration(LOCK_TIMEOUT);
            let mut connection = Connection { client: &self.client, begin };
            match versions::apply(&mut connection, only_record).await {
                Ok(names) => {
                    applied.extend(names);
                    return Ok(applied);
                }
                Err(versions::Error::Database(error)) if may_be_tried_again(&error, begun_at) => {
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Replaces the functions if their text has changed, and with them the record of the version.
    pub async fn replace_functions(&self, say: &mut impl FnMut(String)) -> Result<(), Error> {
        let hash = versions::functions_hash();
        let begun_at = Instant::now();
        let sql = format!(
            "{}\nUPDATE campaign_schema SET functions_hash = '{hash}' WHERE version = (SELECT max(version) FROM campaign_schema);",
            versions::functions()
        );
        self.transaction(&sql, say).await?;
        say(done("functions, triggers and views", begun_at.elapsed()));
        Ok(())
    }

    /// Runs one transaction, and tries it again if it does not get a lock.
    async fn transaction(&self, sql: &str, say: &mut impl FnMut(String)) -> Result<(), Error> {
        self.attempts(sql, "", say).await.map(drop)
    }

    /// Runs transactions until one reports that nothing is left.
    async fn portions(&self, sql: &str, say: &mut impl FnMut(String)) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            after = self.attempts(sql, &after, say).await?;
            if after.is_empty() {
                return Ok(());
            }
        }
    }

    /// Returns `campaign.next`.
    async fn attempts(&self, sql: &str, after: &str, say: &mut impl FnMut(String)) -> Result<String, Error> {
        let begun_at = Instant::now();
        loop {
            let error = match self.attempt(sql, after).await {
                Ok((next, notice)) => {
                    if !notice.is_empty() {
                        say(format!("  {notice}"));
                    }
                    return Ok(next);
                }
                Err(error) => error,
            };
            let _ = self.client.batch_execute("ROLLBACK").await;
            // This includes deadlocks with functions.
            let conflicts = is_conflict(&error);
            let error = DatabaseError::from(error);
            if !(conflicts && begun_at.elapsed() < LOCK_PATIENCE || may_be_tried_again(&error, begun_at)) {
                return Err(error.into());
            }
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&self, sql: &str, after: &str) -> Result<(String, String), tokio_postgres::Error> {
        let begin = self.database.begin_migration(LOCK_TIMEOUT);
        self.client
            .batch_execute(&format!(
                "{begin}SELECT set_config('campaign.after', '{after}', true), set_config('campaign.next', '', true), \
                 set_config('campaign.notice', '', true)"
            ))
            .await?;
        self.client.batch_execute(sql).await?;
        let said = "SELECT current_setting('campaign.next'), current_setting('campaign.notice')";
        let row = self.client.query_one(said, &[]).await?;
        let answer = (row.get(0), row.get(1));
        self.client.batch_execute("COMMIT").await?;
        Ok(answer)
    }

    /// Creates a unique index on rows that an earlier step has made unique. If functions have added
    /// duplicates since, that step runs again. If the index exists but is not valid, it is rebuilt
    /// concurrently, and keeps further duplicates out meanwhile.
    async fn index(
        &self,
        name: &str,
        sql: &str,
        unique_again: &str,
        say: &mut impl FnMut(String),
    ) -> Result<(), Error> {
        for attempt in 1.. {
            let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)";
            let made = match self.client.query_opt(valid, &[&name]).await?.map(|row| row.get::<_, bool>(0)) {
                Some(true) => return Ok(()),
                Some(false) => self.client.batch_execute(&format!("REINDEX INDEX CONCURRENTLY {name}")).await,
                None => self.client.batch_execute(sql).await,
            };
            match made {
                Ok(()) => {}
                Err(error)
                    if attempt < INDEX_ATTEMPTS && error.code() == Some(&SqlState::UNIQUE_VIOLATION) =>
                {
                    self.portions(unique_again, say).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Runs the statements that a query returns, each by itself. A statement that only another owner may run
    /// is reported.
    async fn statements(&self, sql: &str, say: &mut impl FnMut(String)) -> Result<(), Error> {
        for message in self.client.simple_query(sql).await? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let statement = row.get(0).unwrap_or_default();
            match self.client.batch_execute(statement).await {
                Ok(()) => say(format!("  {statement}")),
                Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    say(format!("  its owner has to run: {statement}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The result of a statement that returns one boolean. It uses the simple protocol, because a portal of the
/// extended protocol would keep its snapshot until the transaction ends, and a concurrent index creation
/// would wait for it.
fn is_true(answer: &[SimpleQueryMessage]) -> bool {
    answer.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")))
}

/// Returns true if another transaction held a lock, and there is time to try again.
fn may_be_tried_again(error: &DatabaseError, begun_at: Instant) -> bool {
    let in_the_way = match error {
        DatabaseError::Locked(_) => true,
        DatabaseError::Unavailable(_)
        | DatabaseError::Unreachable(_)
        | DatabaseError::Refused(_)
        | DatabaseError::SchemaMismatch(_)
        | DatabaseError::Insecure(_)
        | DatabaseError::WrongEncoding(_)
        | DatabaseError::NoCredentials(_) => false,
    };
    in_the_way && begun_at.elapsed() < LOCK_PATIENCE
}
