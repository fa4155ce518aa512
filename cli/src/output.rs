//! Standard output and standard error: output in a terminal is harmless, and a closed pipe is no error.
//!
//! The macros of this module replace the standard library's in the command line. Those panic when the reader
//! of a pipe has ended (`campaign preview … | head`), and print data unchanged.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Mutex;

use super::lines;
use super::terminal::StandardError;

/// As the standard library's, without a panic, and harmless.
macro_rules! println {
    () => { $crate::output::print(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($argument)*))) };
}

/// As the standard library's, without a panic, and harmless.
macro_rules! eprint {
    ($($argument:tt)*) => { $crate::output::print_error(format_args!($($argument)*)) };
}

/// As the standard library's, without a panic, and harmless.
macro_rules! eprintln {
    () => { $crate::output::print_error(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::output::print_error(format_args!("{}\n", format_args!($($argument)*))) };
}

/// The state of standard output.
static STATE: Mutex<State> = Mutex::new(State::Open);

enum State {
    Open,
    /// Its reader has ended.
    Closed,
    /// It cannot be written, for another reason.
    Failed(io::Error),
}

/// Writes to standard output; in a terminal, lines are broken between words. When its reader has ended, the text is
/// dropped, and the command continues its work.
pub fn print(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    let text = harmless(&text, console::colors_enabled());
    let columns = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    write(columns.map_or(Cow::Borrowed(&*text), |columns| lines::folded(&text, columns)).as_bytes());
}

/// Writes a source text, whose lines stay as they are.
pub fn print_source(text: &str) {
    write(harmless(text, false).as_bytes());
}

/// Writes to standard error.
pub fn print_error(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    let _ = StandardError.write_all(harmless(&text, console::colors_enabled_stderr()).as_bytes());
}

/// Writes a text, and before it `control`, our own sequences that move the cursor.
pub fn print_picture(control: &str, picture: &str) {
    write(control.as_bytes());
    print(format_args!("{picture}"));
    flush();
}

/// Writes bytes for a machine unchanged.
pub fn write(bytes: &[u8]) {
    note(|| io::stdout().lock().write_all(bytes));
}

/// Writes an object for a machine on a line of its own.
pub fn write_json(value: &serde_json::Value) {
    write(format!("{value}\n").as_bytes());
}

/// Writes an object for a machine to standard error, on a line of its own.
pub fn write_json_error(value: &serde_json::Value) {
    let _ = StandardError.write_all(format!("{value}\n").as_bytes());
}

/// Writes what is still buffered.
pub fn flush() {
    note(|| io::stdout().lock().flush());
}

fn note(write: impl FnOnce() -> io::Result<()>) {
    let Ok(mut state) = STATE.lock() else { return };
    if let (State::Open, Err(error)) = (&*state, write()) {
        *state = if error.kind() == io::ErrorKind::BrokenPipe { State::Closed } else { State::Failed(error) };
    }
}

/// Returns true if standard output's reader has ended, or it cannot be written.
pub fn is_closed() -> bool {
    STATE.lock().is_ok_and(|state| !matches!(*state, State::Open))
}

/// Writes the rest.
///
/// # Errors
/// Fails if something could not be written; a pipe that its reader has closed is no error.
pub fn finish() -> io::Result<()> {
    flush();
    let Ok(mut state) = STATE.lock() else { return Ok(()) };
    match std::mem::replace(&mut *state, State::Closed) {
        State::Open | State::Closed => Ok(()),
        State::Failed(error) => Err(error),
    }
}

/// Standard output for a file's contents: unchanged in a pipe or a file, harmless in a terminal.
pub struct FileOutput {
    in_terminal: bool,
}

impl FileOutput {
    pub fn new() -> FileOutput {
        FileOutput { in_terminal: io::stdout().is_terminal() }
    }
}

impl Write for FileOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.in_terminal {
            write(harmless(&String::from_utf8_lossy(bytes), false).as_bytes());
        } else {
            write(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        flush();
        Ok(())
    }
}

/// Data in one line of a terminal: control characters, also line breaks, and characters that change the
/// direction of the following text are shown as `\u{1b}`.
pub fn shown(data: &str) -> Cow<'_, str> {
    if !data.contains(|character| is_harmful(character) || matches!(character, '\n' | '\t')) {
        return Cow::Borrowed(data);
    }
    Cow::Owned(data.chars().fold(String::new(), |mut text, character| {
        match character {
            '\n' | '\t' => text.extend(character.escape_default()),
            _ => push(&mut text, character),
        }
        text
    }))
}

/// Data in several lines of a terminal.
pub fn shown_lines(data: &str) -> Cow<'_, str> {
    harmless(data, false)
}

/// A text of several lines without sequences that could change a terminal; with `styled`, our own colours
/// stay.
fn harmless(text: &str, styled: bool) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut harmless = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let kept = match character {
            '\r' if rest.starts_with("\r\n") => 1,
            '\x1b' if styled => style_length(rest),
            _ => 0,
        };
        harmless.push_str(&rest[..kept]);
        if kept == 0 {
            push(&mut harmless, character);
        }
        rest = &rest[kept.max(character.len_utf8())..];
    }
    Cow::Owned(harmless)
}

fn push(text: &mut String, character: char) {
    if is_harmful(character) {
        text.extend(character.escape_unicode());
    } else {
        text.push(character);
    }
}

/// The length of the sequence at the beginning of `text`, if it only sets a style and hides nothing: bold,
/// dim, underlined, a colour, or plain.
fn style_length(text: &str) -> usize {
    let Some((codes, _)) = text.strip_prefix("\x1b[").and_then(|rest| rest.split_once('m')) else { return 0 };
    let is_style = matches!(codes, "0" | "1" | "2" | "4")
        || codes.strip_prefix("38;5;").is_some_and(|colour| colour.parse::<u8>().is_ok())
        || codes.parse::<u8>().is_ok_and(|code| (31..=37).contains(&code) || (91..=97).contains(&code));
    if is_style { codes.len() + 3 } else { 0 }
}

fn is_harmful(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // Unicode's marks, embeddings, overrides and isolates of direction, and its separators of lines.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        character => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_change_a_terminal_is_shown_and_not_done() {
        let evil = "a\x1b]0;title\x07b\x1b[2J\r\u{9b}31m\u{202e}c\x1b[8md";
        let safe = r"a\u{1b}]0;title\u{7}b\u{1b}[2J\u{d}\u{9b}31m\u{202e}c\u{1b}[8md";
        assert_eq!(harmless(evil, false), safe);
        assert_eq!(harmless(evil, true), safe);
        assert_eq!(shown("Spring\nSale\t\x1b[31m"), r"Spring\nSale\t\u{1b}[31m");
        assert_eq!(harmless("a\r\n\x07", false), "a\r\n\\u{7}");
        assert_eq!(shown("Grüße 👩‍💻"), "Grüße 👩‍💻");
    }

    #[test]
    fn our_own_styles_stay_in_a_terminal() {
        let styled = console::style("Spring").bold().red().force_styling(true).to_string();
        assert_eq!(harmless(&styled, true), styled);
        assert!(!harmless(&styled, false).contains('\x1b'));
    }
}
