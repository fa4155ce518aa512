//! Checks each byte of a CSV file before `csv` reads it, because `csv` accepts any input. Everything that RFC
//! 4180 does not allow is found here.
//!
//! The states are those of `csv`, so both see the same fields: a quote at the beginning of a field opens it,
//! two quotes in it are one, and after a closing quote the rest of the field is taken unchanged.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read};
use std::rc::Rc;

use super::{MAX_FIELD_BYTES, MAX_ROW_BYTES};
use campaign_sender::domain::address;

/// The most bytes that are checked before they are handed on.
const BUFFER_BYTES: usize = 64 * 1024;

const AFTER_QUOTE: &str = "text after a closing quote: a quote within a quoted field is written twice";
const SPACE_BEFORE: &str = "white space before a quote: a quoted field begins right after the delimiter";
const ODD_QUOTES: &str =
    "a single quote character in a field without quotes: put the field in quotes and write the quote twice";

/// Why reading a file stops, wrapped in an `io::Error`.
#[derive(Debug)]
pub struct Broken {
    pub line: u64,
    pub problem: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for Broken {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    RecordStart,
    FieldStart,
    Plain,
    Quoted,
    /// A quote within a quoted field: its end, or the first of two.
    Quote,
    /// Text after a closing quote.
    AfterQuote,
}

/// The position in the file, and what is wrong with the current record.
pub struct Scan {
    delimiter: u8,
    state: State,
    /// The current line, and the lines on which the current record and its last quoted field begin.
    line: u64,
    record_line: u64,
    quote_line: u64,
    after_return: bool,
    field_bytes: usize,
    row_bytes: usize,
    /// For a field without quotes: whether it has only white space so far, and the number of its quotes.
    blank: bool,
    quotes: usize,
    /// For a quoted field: its current line, except the first one.
    inner: Vec<u8>,
    problem: Option<&'static str>,
    /// The number of columns, and which of them has the address.
    shape: Option<(usize, usize)>,
}

impl Scan {
    pub fn new(delimiter: u8, line: u64) -> Scan {
        Scan {
            delimiter,
            state: State::RecordStart,
            line,
            record_line: line,
            quote_line: line,
            after_return: false,
            field_bytes: 0,
            row_bytes: 0,
            blank: true,
            quotes: 0,
            inner: Vec::new(),
            problem: None,
            shape: None,
        }
    }

    pub fn expect_rows(&mut self, columns: usize, address: usize) {
        self.shape = Some((columns, address));
    }

    /// The line on which the last record begins, and what is wrong with it.
    pub fn take(&mut self) -> (u64, Option<String>) {
        (self.record_line, self.problem.take().map(ToOwned::to_owned))
    }

    fn byte(&mut self, byte: u8) -> Result<(), Broken> {
        let ends_line = byte == b'\n' || byte == b'\r';
        // The LF of a CR LF belongs to the CR.
        let second_half = std::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n';
        self.field_bytes += 1;
        if self.field_bytes > MAX_FIELD_BYTES {
            return Err(self.broken("a field is longer than 1,048,576 bytes (1 MiB): is a quote not closed?"));
        }
        self.row_bytes += 1;
        if self.row_bytes > MAX_ROW_BYTES {
            return Err(self.broken("the row is longer than 4,194,304 bytes (4 MiB): is a quote not closed?"));
        }
        self.state = match (self.state, byte) {
            (State::RecordStart, _) if ends_line => {
                (self.field_bytes, self.row_bytes) = (0, 0);
                State::RecordStart
            }
            (State::RecordStart | State::FieldStart, byte) => {
                if self.state == State::RecordStart {
                    self.record_line = self.line;
                    self.row_bytes = 1;
                }
                self.field_bytes = 1;
                (self.blank, self.quotes) = (byte == b' ' || byte == b'\t', 0);
                match byte {
                    b'"' => {
                        self.quote_line = self.line;
                        self.inner.clear();
                        State::Quoted
                    }
                    _ => self.unquoted(byte),
                }
            }
            (State::Plain, b'"') => {
                if self.blank {
                    self.problem.get_or_insert(SPACE_BEFORE);
                }
                self.quotes += 1;
                State::Plain
            }
            (State::Plain, byte) => {
                self.blank &= byte == b' ' || byte == b'\t';
                self.unquoted(byte)
            }
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, byte) => {
                self.within(byte)?;
                State::Quoted
            }
            (State::Quote, b'"') => {
                self.within(b'"')?;
                State::Quoted
            }
            (State::Quote, byte) if byte == self.delimiter || ends_line => {
                self.looks_like_a_row()?;
                self.unquoted(byte)
            }
            (State::Quote, _) if self.quote_line < self.line => {
                let problem = format!(
                    "a quote is opened here and closed in line {}, with text after it: it is not closed in its own line, or a quote in the field is not written twice",
                    self.line
                );
                return Err(self.broken(&problem));
            }
            (State::Quote, _) => {
                self.problem.get_or_insert(AFTER_QUOTE);
                State::AfterQuote
            }
            (State::AfterQuote, byte) if byte == self.delimiter || ends_line => self.unquoted(byte),
            (State::AfterQuote, _) => State::AfterQuote,
        };
        if ends_line && !second_half {
            self.line += 1;
        }
        Ok(())
    }

    /// The state after a byte of a field without quotes, or after the byte that ends a field.
    fn unquoted(&mut self, byte: u8) -> State {
        let (delimiter, ends_record) = (byte == self.delimiter, byte == b'\n' || byte == b'\r');
        if (delimiter || ends_record) && self.state == State::Plain {
            self.end_plain();
        }
        match (ends_record, delimiter) {
            (true, _) => {
                self.field_bytes = 0;
                State::RecordStart
            }
            (_, true) => {
                self.field_bytes = 0;
                State::FieldStart
            }
            _ => State::Plain,
        }
    }

    fn end_plain(&mut self) {
        if !self.quotes.is_multiple_of(2) {
            self.problem.get_or_insert(ODD_QUOTES);
        }
    }

    /// Notes a byte within quotes.
    fn within(&mut self, byte: u8) -> Result<(), Broken> {
        if byte == b'\n' || byte == b'\r' {
            self.looks_like_a_row()?;
            self.inner.clear();
        } else if self.quote_line < self.line {
            self.inner.push(byte);
        }
        Ok(())
    }

    /// If a line of a quoted field has all the columns of a row, with an address, it is a row: the quote was
    /// not closed.
    fn looks_like_a_row(&self) -> Result<(), Broken> {
        let Some((columns, address)) = self.shape else { return Ok(()) };
        if self.inner.is_empty() {
            return Ok(());
        }
        let mut fields = self.inner.split(|byte| *byte == self.delimiter);
        let has_address =
            fields.nth(address).and_then(|field| std::str::from_utf8(field).ok()).is_some_and(|field| {
                address::sendable(field.trim_matches(|c: char| c == '"' || c.is_whitespace())).is_ok()
            });
        if has_address && self.inner.split(|byte| *byte == self.delimiter).count() >= columns {
            let problem = format!(
                "a quote is opened here and not closed in its own line: what follows in line {} looks like a row of its own",
                self.line
            );
            return Err(self.broken(&problem));
        }
        Ok(())
    }

    /// Checks the end of the file.
    fn end(&mut self) -> Result<(), Broken> {
        match self.state {
            State::Quoted => return Err(self.broken("a quote is opened here and never closed")),
            State::Quote => self.looks_like_a_row()?,
            State::Plain => self.end_plain(),
            State::RecordStart | State::FieldStart | State::AfterQuote => {}
        }
        self.state = State::RecordStart;
        Ok(())
    }

    fn broken(&self, problem: &str) -> Broken {
        let quoted = matches!(self.state, State::Quoted | State::Quote);
        let line = if quoted { self.quote_line } else { self.record_line };
        Broken { line, problem: problem.to_owned() }
    }
}

/// Hands on at most one checked line at a time, so that after reading a record, everything up to its end has
/// been checked.
pub struct Strict<R> {
    input: BufReader<R>,
    scan: Rc<RefCell<Scan>>,
}

impl<R: Read> Strict<R> {
    pub fn new(input: R, scan: Rc<RefCell<Scan>>) -> Strict<R> {
        Strict { input: BufReader::with_capacity(BUFFER_BYTES, input), scan }
    }
}

impl<R: Read> Read for Strict<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut scan = self.scan.borrow_mut();
        let bytes = self.input.fill_buf()?;
        if bytes.is_empty() {
            scan.end().map_err(io::Error::other)?;
            return Ok(0);
        }
        let mut taken = 0;
        for byte in bytes.iter().take(buffer.len()) {
            scan.byte(*byte).map_err(io::Error::other)?;
            taken += 1;
            if matches!(byte, b'\n' | b'\r') {
                break;
            }
        }
        buffer[..taken].copy_from_slice(&bytes[..taken]);
        self.input.consume(taken);
        Ok(taken)
    }
}
