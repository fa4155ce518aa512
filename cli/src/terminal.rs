//! Questions in a terminal, and progress bars that fit it.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::sync::Mutex;

use console::Term;
use indicatif::{ProgressBar, ProgressStyle, WeakProgressBar};

use crate::failure::{Exit, Failure};
use crate::lines;

/// The longest bar, and the least room for what stands beside it, in columns of a terminal.
const LONGEST: usize = 40;
const BESIDE: usize = 46;
/// The columns of a terminal from which a rate is shown, too.
const WIDE: usize = 100;

/// Asks a question that is answered with yes or no. It goes to standard error, because standard output is for results.
///
/// # Errors
/// Fails with [`Exit::Usage`] if there is no terminal, and with [`Exit::Declined`] and `otherwise` if the answer
/// is not yes.
pub fn confirm(question: &str, otherwise: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "standard input is not a terminal, so nobody can confirm: give --yes";
        return Err(Failure::new(Exit::Usage, message));
    }
    eprint!("{} ", lines::for_standard_error(&format!("{question} [y/N]")));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Declined, otherwise)),
    }
}

/// The columns of standard error's terminal.
fn columns() -> usize {
    usize::from(Term::stderr().size().1)
}

/// Returns true if there is room for more than what is needed.
pub fn is_wide() -> bool {
    columns() >= WIDE
}

/// A progress bar if standard error is a terminal, and nothing elsewhere. `length`: the position at its end; with
/// `None` it only shows that the command is running. `beside`: what stands beside the bar, in indicatif's language. The
/// message at its end is cut off where the terminal ends, so that the bar stays in one line.
pub fn bar(length: Option<u64>, beside: &str) -> ProgressBar {
    let cells = columns().saturating_sub(BESIDE).clamp(10, LONGEST);
    let (bar, part) = match length {
        _ if !io::stderr().is_terminal() => return ProgressBar::hidden(),
        Some(length) => (ProgressBar::new(length), format!("{{bar:{cells}.green/237}}")),
        None => (ProgressBar::new_spinner(), "{spinner}".to_owned()),
    };
    let style = ProgressStyle::with_template(&format!("  {part}  {beside}{{wide_msg}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bar.with_style(style.progress_chars("━╸─"));
    if let Ok(mut shown) = SHOWN.lock() {
        *shown = Some(bar.downgrade());
    }
    bar
}

/// The bar of this command, if it has one. It disappears when the command drops it.
static SHOWN: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Standard error, whose lines stand above the bar.
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = SHOWN.lock().ok().and_then(|shown| shown.as_ref()?.upgrade());
        match bar {
            Some(bar) => bar.suspend(|| io::stderr().lock().write(bytes)),
            None => io::stderr().lock().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
