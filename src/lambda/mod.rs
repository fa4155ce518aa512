//! What the functions' `main`s share: they stop with one clear line if they cannot start, and speak the
//! Runtime API.

pub mod environment;
pub mod interrupt;
pub mod metrics;
pub mod telemetry;

use std::any::Any;
use std::env;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;

use futures_util::FutureExt as _;
use lambda_runtime::Diagnostic;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tracing::Instrument as _;

use crate::domain::error_kind::ErrorKind;
use crate::domain::personal;
use crate::lambda::environment::LOCAL_FUNCTION;
use crate::store::DatabaseError;
use crate::store::activities::TableError;

/// A failure of an invocation: a stable type that a state machine can match, and a message for a person.
#[derive(Debug)]
pub struct Failure {
    /// The error type.
    pub kind: ErrorKind,
    /// What happened, and what to do.
    pub message: String,
}

impl Failure {
    /// Creates a failure of this type.
    pub fn new(kind: ErrorKind, message: impl Display) -> Failure {
        Failure { kind, message: message.to_string() }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Failure {
        let kind = match error {
            DatabaseError::Unreachable(_) | DatabaseError::Unavailable(_) | DatabaseError::Locked(_) => {
                ErrorKind::DatabaseUnavailable
            }
            DatabaseError::SchemaMismatch(_) => ErrorKind::SchemaMismatch,
            DatabaseError::Refused(_)
            | DatabaseError::Insecure(_)
            | DatabaseError::WrongEncoding(_)
            | DatabaseError::NoCredentials(_) => ErrorKind::DatabaseRefused,
        };
        Failure::new(kind, error)
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Failure {
        match error {
            TableError::Unusable(error) => Failure::new(ErrorKind::UnusableActivitiesTable, error),
            TableError::Database(error) => error.into(),
        }
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Diagnostic {
        tracing::error!(error_type = failure.kind.as_str(), error = failure.message, "the invocation failed");
        let error_message = personal::masked(&failure.message).into_owned();
        Diagnostic { error_type: failure.kind.as_str().to_owned(), error_message }
    }
}

/// An event as it arrived. Lambda passes only JSON; an emulator may pass anything.
pub struct Payload(Result<Value, String>);

impl<'de> Deserialize<'de> for Payload {
    /// This never fails, because the runtime would give the failure an error type of its own.
    fn deserialize<D: Deserializer<'de>>(event: D) -> Result<Payload, D::Error> {
        Ok(Payload(Value::deserialize(event).map_err(|error| error.to_string())))
    }
}

impl Payload {
    /// The event.
    ///
    /// # Errors
    /// `InvalidEvent`, if it is not JSON.
    pub fn json(self) -> Result<Value, Failure> {
        self.0.map_err(|error| {
            Failure::new(
                ErrorKind::InvalidEvent,
                format!("the event is not JSON ({error}): expected an object"),
            )
        })
    }
}

/// Runs one invocation. All its log lines have the request's id, also the one about its failure.
///
/// # Errors
/// The failure, in the form that Lambda gets.
pub async fn invocation<T>(
    request_id: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Diagnostic> {
    let span = tracing::info_span!("invocation", request_id);
    // An invocation's future is large and deep, so it is boxed and not part of the runtime's future.
    let work: Pin<Box<dyn Future<Output = Result<T, Failure>> + '_>> = Box::pin(work);
    // The runtime would answer the panic's message unchanged.
    let work = AssertUnwindSafe(work).catch_unwind();
    async { work.await.unwrap_or_else(|panic| Err(panicked(&*panic))).map_err(Diagnostic::from) }
        .instrument(span)
        .await
}

/// The failure of an invocation that panicked.
fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::new(
        ErrorKind::Panic,
        format!("the function panicked: {}", message.unwrap_or("without a message")),
    )
}

/// Runs a function on a single-threaded runtime, because it mostly waits for the network and has less than
/// one CPU.
pub fn run<E: Display>(function: impl AsyncFnOnce() -> Result<(), E>) -> ExitCode {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        eprintln!(
            "AWS_LAMBDA_RUNTIME_API is not set: this is a Lambda function, run it on Lambda or by `cargo lambda watch`"
        );
        return ExitCode::from(64);
    }
    crate::lambda::telemetry::mask_panics();
    set_what_an_emulator_leaves_out();
    if let Err(error) = crate::lambda::telemetry::start() {
        eprintln!("{error}");
        return ExitCode::from(78);
    }
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime could not be started: {error}");
            return ExitCode::from(71);
        }
    };
    match runtime.block_on(function()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(78)
        }
    }
}

/// `lambda_runtime` requires variables that Lambda always sets and emulators often do not.
#[allow(unsafe_code, reason = "the process has one thread yet, so nothing reads the environment meanwhile")]
fn set_what_an_emulator_leaves_out() {
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", LOCAL_FUNCTION),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
    ] {
        if env::var_os(name).is_none() {
            // SAFETY: see above.
            unsafe { env::set_var(name, value) };
        }
    }
}
