//! Progress bars, which fit the terminal.

use std::io::{self, Write};
use std::sync::Mutex;

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

/// The longest bar, and the least room for what stands beside it, in columns of a terminal.
const LONGEST: usize = 40;
const BESIDE: usize = 46;
/// The columns of a terminal from which a rate is shown, too.
const WIDE: usize = 100;

/// The columns of standard error's terminal.
fn columns() -> usize {
    usize::from(Term::stderr().size().1)
}

/// Returns true if there is room for more than what is needed.
pub fn is_wide() -> bool {
    columns() >= WIDE
}

/// A bar in a terminal, and nothing elsewhere. `beside`: what stands beside the bar, in indicatif's language. The
/// message at its end is cut off where the terminal ends, so that the bar stays in one line.
pub fn bar(length: u64, beside: &str) -> ProgressBar {
    let cells = columns().saturating_sub(BESIDE).clamp(10, LONGEST);
    styled(ProgressBar::new(length), &format!("  {{bar:{cells}.green/237}}  {beside}{{wide_msg}}"))
}

/// A sign that the command is running, where the end is not known.
pub fn spinner(beside: &str) -> ProgressBar {
    styled(ProgressBar::new_spinner(), &format!("  {{spinner}}  {beside}{{wide_msg}}"))
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bar.with_style(style.progress_chars("━╸─"));
    if let Ok(mut shown) = SHOWN.lock() {
        *shown = Some(bar.clone());
    }
    bar
}

/// The bar of this command, if it has one.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Standard error, whose lines stand above the bar.
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = SHOWN.lock().ok().and_then(|shown| shown.clone());
        match bar {
            Some(bar) => bar.suspend(|| io::stderr().lock().write(bytes)),
            None => io::stderr().lock().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
