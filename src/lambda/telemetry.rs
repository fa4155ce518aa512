//! Logs: JSON lines on Lambda, plain text in a terminal; `RUST_LOG` filters them.

use std::env;
use std::io;

use tracing_subscriber::EnvFilter;

/// The filter without `RUST_LOG`: this package's own events from level `info` on, and the warnings of all
/// others. The runtime is left out, because it would log an invocation's failure a second time.
const DEFAULT_FILTER: &str = "warn,campaign_sender=info,lambda_runtime::layers::panic=off";

/// Starts logging to standard output.
///
/// # Errors
/// When `RUST_LOG` is not a filter, in one line.
pub fn start() -> Result<(), String> {
    let filter = match env::var("RUST_LOG").unwrap_or_default().trim() {
        "" => EnvFilter::new(DEFAULT_FILTER),
        given => EnvFilter::try_new(given).map_err(|_| {
            format!(
                "RUST_LOG is {given:?}: expected a level such as debug, or TARGET=LEVEL, separated by commas"
            )
        })?,
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stdout);
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        logs.json().flatten_event(true).with_current_span(false).with_span_list(true).init();
    } else {
        logs.init();
    }
    Ok(())
}
