//! Logs: JSON lines on Lambda, plain text in a terminal; `RUST_LOG` filters them.

use std::env;
use std::io::{self, Write};
use std::panic;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::domain::personal;

/// The filter without `RUST_LOG`: this package's own events from level `info` on, and the warnings of all
/// others. The runtime is left out, because it would log an invocation's failure a second time.
const DEFAULT_FILTER: &str = "warn,campaign_sender=info,lambda_runtime::layers::panic=off";

/// Standard output without addresses. All that is logged, by any crate and at any level, passes through here.
struct Masking;

impl Write for Masking {
    /// Takes one whole line; the subscriber writes whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut stdout = io::stdout().lock();
        match std::str::from_utf8(line) {
            Ok(text) => stdout.write_all(personal::masked(text).as_bytes())?,
            Err(_) => stdout.write_all(personal::masked(&String::from_utf8_lossy(line)).as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Makes panics write their message and place to standard error without addresses.
pub fn mask_panics() {
    panic::set_hook(Box::new(|panic| {
        let _ = writeln!(io::stderr(), "{}", personal::masked(&panic.to_string()));
    }));
}

/// The runtime traces each event unchanged. SES's events have names, and those of the function URL have the
/// token of a link.
fn shows_no_event(metadata: &Metadata<'_>) -> bool {
    *metadata.level() != Level::TRACE || !metadata.target().starts_with("lambda_runtime")
}

/// Starts logging to standard output.
///
/// # Errors
/// When `RUST_LOG` is not a filter, in one line.
pub fn start() -> Result<(), String> {
    let filter = match env::var("RUST_LOG").unwrap_or_default().trim() {
        "" => EnvFilter::new(DEFAULT_FILTER),
        given => EnvFilter::try_new(given).map_err(|_| {
            format!(
                "RUST_LOG is {given:?}: expected a level, for example debug, or TARGET=LEVEL, separated by commas"
            )
        })?,
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Masking);
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        let logs = logs.json().flatten_event(true).with_current_span(false).with_span_list(true);
        logs.finish().with(filter_fn(shows_no_event)).init();
    } else {
        logs.finish().with(filter_fn(shows_no_event)).init();
    }
    Ok(())
}
