//! What the command line asks and shows in a terminal: questions and progress bars.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Exit, Failure};

/// Asks a question that is answered with yes or no.
///
/// # Errors
/// Fails with [`Exit::Usage`] if there is no terminal, and with [`Exit::Declined`] and `otherwise` if the answer
/// is not yes.
pub fn confirm(question: &str, otherwise: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "standard input is not a terminal, so nobody can confirm: give --yes";
        return Err(Failure::new(Exit::Usage, message));
    }
    print!("{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdout().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    match (read, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Declined, otherwise)),
    }
}

/// A progress bar if standard error is a terminal, and nothing elsewhere. `length`: the position at its end; with
/// `None` it only shows that the command is running. `template`: what stands beside the bar.
pub fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    let (bar, part) = match length {
        _ if !io::stderr().is_terminal() => return ProgressBar::hidden(),
        Some(length) => (ProgressBar::new(length), "{bar:40.green/237}"),
        None => (ProgressBar::new_spinner(), "{spinner}"),
    };
    bar.with_style(
        ProgressStyle::with_template(&format!("  {part}  {template}"))
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─"),
    )
}
