//! The meaning of PostgreSQL's errors: whether another attempt can help, and the messages.

use std::error::Error as _;
use std::fmt::{self, Display, Formatter};

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, SqlState};

use super::login_error::CredentialsError;
use super::transaction::Aborted;
use super::{schema, tls};
use crate::domain::personal;

/// The most characters of PostgreSQL's message that are passed on.
const LONGEST: usize = 1000;

/// An error of PostgreSQL, or of the connection to it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No connection could be made, until there was no time left.
    #[error("{0}")]
    Unreachable(String),
    /// It was reached and did not finish in time; the message says why. The statement's changes may or may
    /// not be committed.
    #[error("{0}")]
    Unavailable(String),
    /// The statement waited for a lock of another transaction for as long as it was allowed to.
    #[error("PostgreSQL: another transaction holds a lock: {0}")]
    Locked(String),
    /// It refused the statement; another attempt cannot help.
    #[error("PostgreSQL refused the statement: {}", describe(.0))]
    Refused(#[source] tokio_postgres::Error),
    /// The version of the schema does not fit this release; the message names both. The statement was not
    /// run.
    #[error("{0}")]
    SchemaMismatch(String),
    /// The connection cannot be encrypted, and is not made without encryption.
    #[error("{0}")]
    Insecure(String),
    /// The database cannot hold every text.
    #[error(
        "the database has the encoding {0}: expected UTF8 (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)"
    )]
    WrongEncoding(String),
    /// There are no credentials: the secret cannot be read or has another form, or no token can be signed.
    #[error("PostgreSQL's credentials cannot be had: {0}")]
    NoCredentials(String),
}

impl DatabaseError {
    /// Returns true if the cause may be a part of the statement's content (a value, a violated constraint, an
    /// error of the CRM's trigger), so that the rest may succeed. This holds for every SQLSTATE, except those
    /// of the connection, the transaction, the server and its resources. An error that a trigger raises
    /// counts with any SQLSTATE.
    pub fn can_be_isolated(&self) -> bool {
        let DatabaseError::Refused(error) = self else { return false };
        error.as_db_error().is_some_and(|error| is_raised(error) || may_be_of_a_part(error.code().code()))
    }

    /// Returns true if a table, a column or a function does not exist; the schema may have another version by
    /// now.
    pub fn may_be_of_the_schema(&self) -> bool {
        let DatabaseError::Refused(error) = self else { return false };
        error.code().is_some_and(|code| matches!(code.code(), "42P01" | "42703" | "42883"))
    }
}

/// A PL/pgSQL function raised it, so its cause is a row, whatever the SQLSTATE is.
fn is_raised(error: &DbError) -> bool {
    error.routine() == Some("exec_stmt_raise")
}

/// See [`DatabaseError::can_be_isolated`].
fn may_be_of_a_part(sqlstate: &str) -> bool {
    let Some(class) = sqlstate.get(..2) else { return false };
    // Connection, transaction state and rollback, statement names and authorization; then resources, object state and
    // locks, an operator's intervention, the system, configuration and internal errors.
    let of_the_session = matches!(class, "08" | "25" | "26" | "28" | "2D" | "3B" | "3D" | "40");
    let of_the_server = matches!(class, "53" | "55" | "57" | "58" | "F0" | "XX");
    !of_the_session && !of_the_server
}

/// Why an attempt failed.
pub enum Failure {
    /// No connection was made; a later attempt may succeed.
    Unreachable(String),
    /// A new connection may succeed.
    BrokeOff(String),
    /// A conflict with another transaction, which is over now.
    Conflict(String),
    /// Another transaction held a lock for too long.
    Locked(String),
    /// The statement ran until the time was over.
    Slow,
    /// The connection cannot be encrypted.
    Insecure(String),
    /// Another attempt cannot help.
    Lasting(DatabaseError),
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable(reason)
            | Failure::BrokeOff(reason)
            | Failure::Conflict(reason)
            | Failure::Locked(reason)
            | Failure::Insecure(reason) => f.write_str(reason),
            Failure::Slow => f.write_str("no answer in time"),
            Failure::Lasting(error) => error.fmt(f),
        }
    }
}

impl Failure {
    /// The connection has answered everything and can be used again.
    pub fn leaves_the_connection(&self) -> bool {
        match self {
            Failure::Conflict(_) | Failure::Locked(_) => true,
            Failure::Lasting(DatabaseError::Refused(error)) => !error.is_closed(),
            Failure::Lasting(DatabaseError::SchemaMismatch(_)) => true,
            Failure::Lasting(_)
            | Failure::Insecure(_)
            | Failure::Unreachable(_)
            | Failure::BrokeOff(_)
            | Failure::Slow => false,
        }
    }

    /// The error if there is no time for another attempt at `place`.
    pub fn at_the_end(self, place: &str) -> DatabaseError {
        DatabaseError::Unavailable(match self {
            Failure::Lasting(error) => return error,
            Failure::Unreachable(reason) => {
                let sentence = format!("PostgreSQL at {place} could not be reached: {reason}");
                return DatabaseError::Unreachable(sentence);
            }
            Failure::BrokeOff(reason) => format!("PostgreSQL at {place} broke off: {reason}"),
            Failure::Insecure(reason) => {
                return DatabaseError::Insecure(format!("PostgreSQL at {place} is not used: {reason}"));
            }
            Failure::Slow => format!("PostgreSQL at {place} did not answer the statement in time"),
            Failure::Conflict(reason) => {
                format!("PostgreSQL at {place} rolled the statement back each time: {reason}")
            }
            Failure::Locked(reason) => {
                format!("PostgreSQL at {place} waited for another transaction's lock until the end: {reason}")
            }
        })
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Failure {
        match error {
            PoolError::Backend(error) => match Failure::from(error) {
                Failure::BrokeOff(reason) => Failure::Unreachable(reason),
                other => other,
            },
            other => Failure::Unreachable(other.to_string()),
        }
    }
}

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Failure {
        match error {
            CredentialsError::Unreachable(reason) => Failure::Unreachable(reason),
            CredentialsError::NoCredentials(reason) => Failure::Lasting(DatabaseError::NoCredentials(reason)),
        }
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> DatabaseError {
        Failure::from(error).at_the_end("DATABASE_URL")
    }
}

impl From<Aborted> for Failure {
    fn from(aborted: Aborted) -> Failure {
        // A server in recovery does not allow writes. The next connection may lead to the primary.
        if aborted.at_begin && aborted.error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) {
            return Failure::BrokeOff(describe(&aborted.error));
        }
        Failure::from(aborted.error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        if let Some(complaint) = tls::complaint(&error) {
            return Failure::Insecure(complaint);
        }
        let Some(code) = error.code() else {
            let broken = error.is_closed()
                || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
            return if broken {
                Failure::BrokeOff(describe(&error))
            } else {
                Failure::Lasting(DatabaseError::Refused(error))
            };
        };
        if *code == SqlState::LOCK_NOT_AVAILABLE {
            return Failure::Locked(describe(&error));
        }
        if code.code() == schema::MISMATCH {
            let message =
                error.as_db_error().map(|error| personal::masked(&cut(error.message())).into_owned());
            let message = message.unwrap_or_default();
            return Failure::Lasting(DatabaseError::SchemaMismatch(message));
        }
        match (code.code().get(..2), code.code()) {
            // Serialization failures and deadlocks.
            (Some("40"), _) => Failure::Conflict(describe(&error)),
            // Connections, resources, an operator's intervention, a server that starts, stops or fails over.
            (Some("08" | "53" | "57"), _)
            // A read-only server, and sessions that PostgreSQL ended because of an idle or long transaction.
            | (_, "25006" | "25P03" | "25P04")
                // A trigger that raises such a code has not lost the connection, and raises it again.
                if !error.as_db_error().is_some_and(is_raised) => Failure::BrokeOff(describe(&error)),
            _ => Failure::Lasting(DatabaseError::Refused(error)),
        }
    }
}

/// PostgreSQL's message with its SQLSTATE, or the cause at the bottom of a connection's error.
///
/// Details are left out, because they show data of rows, for example addresses. For a wait for a lock, the
/// first line of the context is included, which names the table.
pub fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let words = words_of(db.code().code(), db.message());
            let words = if is_of_a_standby(db.code().code(), db.message()) { words + STANDBY } else { words };
            let names_table = *db.code() == SqlState::LOCK_NOT_AVAILABLE;
            let context = db.where_().filter(|_| names_table).and_then(|context| context.lines().next());
            let context =
                context.map(|line| format!(" ({})", personal::masked(&cut(line)))).unwrap_or_default();
            format!("{words}{context} [{}]", db.code().code())
        }
        None => {
            let text =
                error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            personal::masked(&cut(&text)).into_owned()
        }
    }
}

/// The meaning of the message with which a standby refuses the first statement of a session.
const STANDBY: &str = ": the server is a standby, so give the address of the primary (the writer endpoint)";

fn is_of_a_standby(sqlstate: &str, message: &str) -> bool {
    matches!(sqlstate, "0A000" | "25006") && message.ends_with("during recovery")
}

/// PostgreSQL's message without addresses, and without a value that could not be converted to a column's
/// type, because that value comes from a row of the CRM. (Values of an enum are not personal data.)
fn words_of(sqlstate: &str, message: &str) -> String {
    let message = cut(message);
    let quotes_value = sqlstate.starts_with("22") && !message.starts_with("invalid input value for enum");
    let quote = || Some((message.find('"')?, message.rfind('"')?));
    match quote().filter(|(first, last)| quotes_value && first < last) {
        Some((first, last)) => {
            personal::masked(&format!("{}…{}", &message[..=first], &message[last..])).into_owned()
        }
        None => personal::masked(&message).into_owned(),
    }
}

/// A text, cut to a readable length.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_standby_is_named() {
        // PostgreSQL's messages are translated if lc_messages says so; then only the SQLSTATE is there.
        assert!(super::is_of_a_standby("0A000", "cannot set transaction read-write mode during recovery"));
        assert!(!super::is_of_a_standby("0A000", "cross-database references are not implemented"));
        assert!(!super::is_of_a_standby("25006", "cannot execute UPDATE in a read-only transaction"));
    }

    use super::*;

    #[test]
    fn what_postgresql_says_shows_no_address_and_no_value() {
        for (sqlstate, message, shown) in [
            (
                "22P02",
                "invalid input syntax for type uuid: \"Ada \"Countess\" Lovelace\"",
                "invalid input syntax for type uuid: \"…\"",
            ),
            (
                "22003",
                "value \"99999999999\" is out of range for type integer",
                "value \"…\" is out of range for type integer",
            ),
            (
                "22P02",
                "invalid input value for enum crm.action: \"email_sent\"",
                "invalid input value for enum crm.action: \"email_sent\"",
            ),
            ("22012", "division by zero", "division by zero"),
            (
                "23502",
                "null value in column \"channel\" violates not-null constraint",
                "null value in column \"channel\" violates not-null constraint",
            ),
            ("P0001", "no customer for ada@example.com", "no customer for a…@example.com"),
        ] {
            assert_eq!(words_of(sqlstate, message), shown);
        }
    }

    #[test]
    fn a_refusal_may_be_of_a_part_unless_it_is_of_the_connection_the_transaction_or_the_server() {
        for part in [
            "22001", "23505", "P0001", "42501", "44000", "54000", "0A000", "ZZ001", "42P01", "42804", "21000",
        ] {
            assert!(may_be_of_a_part(part), "{part}");
        }
        for whole in [
            "08006", "57P01", "57014", "53000", "53100", "53200", "53300", "53400", "40001", "40P01",
            "55P03", "25006", "25P02", "58030", "58P01", "XX000", "28P01", "3D000", "26000", "",
        ] {
            assert!(!may_be_of_a_part(whole), "{whole}");
        }
    }
}
