//! Asks a person before something that cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _};

use super::failure::{Exit, Failure};

/// Returns once a person has agreed. The question goes to standard error, because standard output is for results.
///
/// # Errors
/// Fails if there is no terminal to ask at, or if the answer is not yes.
pub fn confirm(question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "there is no terminal to ask at: give --yes to do it without asking";
        return Err(Failure::new(Exit::Usage, message));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Declined, "nothing was changed")),
    }
}
