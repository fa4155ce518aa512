//! Why a command failed.

use std::fmt::Display;
use std::process::ExitCode;

use console::style;
use tokio_postgres::error::SqlState;

use super::{lines, output};

use campaign_sender::domain::setting::InvalidVariable;
use campaign_sender::store::DatabaseError;
use campaign_sender::store::activities::TableError;

/// Exit statuses, as `sysexits.h` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A person declined, or pressed Ctrl-C.
    Declined = 1,
    /// The arguments are wrong.
    Usage = 64,
    /// The arguments are well-formed, but do not fit the data in the tables.
    Data = 65,
    /// A file cannot be read.
    NoInput = 66,
    /// PostgreSQL cannot be reached.
    Unavailable = 69,
    /// A defect of this program, or a statement that PostgreSQL refused.
    Software = 70,
    /// A file cannot be written.
    CannotCreate = 73,
    /// The campaign is not sent to its end: it is paused, halted or cancelled.
    Stopped = 75,
    /// The role in use lacks a right.
    NoPermission = 77,
    /// The environment or the database is not set up.
    Config = 78,
}

impl Exit {
    /// The name of the exit status, for machines.
    pub fn code(self) -> &'static str {
        match self {
            Exit::Declined => "declined",
            Exit::Usage => "usage",
            Exit::Data => "data",
            Exit::NoInput => "noInput",
            Exit::Unavailable => "unavailable",
            Exit::Software => "software",
            Exit::CannotCreate => "cannotCreate",
            Exit::Stopped => "stopped",
            Exit::NoPermission => "noPermission",
            Exit::Config => "config",
        }
    }
}

#[cfg(test)]
impl Exit {
    pub const ALL: [Exit; 10] = [
        Exit::Declined,
        Exit::Usage,
        Exit::Data,
        Exit::NoInput,
        Exit::Unavailable,
        Exit::Software,
        Exit::CannotCreate,
        Exit::Stopped,
        Exit::NoPermission,
        Exit::Config,
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// One line for a person: what happened, and what to do.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    is_conflict: bool,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Display) -> Failure {
        Failure { exit, message: message.to_string(), is_conflict: false }
    }

    /// Returns true after a deadlock or a serialization failure: another transaction was in the way, and is over now.
    pub fn is_conflict(&self) -> bool {
        self.is_conflict
    }

    /// The failure with another advice.
    pub fn with_advice(self, advice: &str) -> Failure {
        Failure { message: format!("{}; or {advice}", self.message), ..self }
    }

    /// The failure of a database at this host and port.
    pub fn at(self, place: &str) -> Failure {
        Failure { message: format!("{place}: {}", self.message), ..self }
    }

    /// The failure with an additional sentence.
    pub fn and(self, more: &str) -> Failure {
        Failure { message: format!("{}; {more}", self.message), ..self }
    }

    /// Prints it on standard error: in one line for a person, or as one JSON object on one line.
    pub fn report(self, json: bool) -> ExitCode {
        if json {
            output::write_json_error(&serde_json::json!({"error": {
                "code": self.exit.code(),
                "exitStatus": self.exit as u8,
                "message": self.message,
            }}));
        } else {
            let text = lines::for_standard_error(&format!("campaign: {}", self.message));
            let name = style("campaign:").red().bold().for_stderr();
            eprintln!("{name}{}", text.strip_prefix("campaign:").unwrap_or_default());
        }
        self.exit.into()
    }
}

/// A deadlock, or a serialization failure: the transaction is to be repeated.
pub fn is_conflict(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("40"))
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<InvalidVariable> for Failure {
    fn from(error: InvalidVariable) -> Failure {
        Failure::new(Exit::Config, error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        let is_conflict = is_conflict(&error);
        Failure { is_conflict, ..DatabaseError::from(error).into() }
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Failure {
        match error {
            TableError::Unusable(error) => Failure::new(Exit::Config, error),
            TableError::Database(error) => error.into(),
        }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Failure {
        let code = match &error {
            DatabaseError::Unreachable(_) => {
                return Failure::new(
                    Exit::Unavailable,
                    format!("{error}; check DATABASE_URL, and that the server is up"),
                );
            }
            DatabaseError::Unavailable(_) | DatabaseError::Locked(_) => {
                return Failure::new(Exit::Unavailable, error);
            }
            DatabaseError::SchemaMismatch(_)
            | DatabaseError::Insecure(_)
            | DatabaseError::WrongEncoding(_)
            | DatabaseError::NoCredentials(_) => return Failure::new(Exit::Config, error),
            DatabaseError::Refused(source) => source.code().cloned().unwrap_or(SqlState::INTERNAL_ERROR),
        };
        let (exit, advice) = match code {
            SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_FUNCTION | SqlState::UNDEFINED_COLUMN => {
                (Exit::Config, "; run `campaign migrate` on this database first")
            }
            SqlState::INVALID_CATALOG_NAME
            | SqlState::INVALID_PASSWORD
            | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (Exit::Config, "; correct DATABASE_URL"),
            SqlState::INSUFFICIENT_PRIVILEGE => {
                (Exit::NoPermission, "; use a role with that right in DATABASE_URL")
            }
            _ => (Exit::Software, ""),
        };
        Failure::new(exit, format!("{error}{advice}"))
    }
}
