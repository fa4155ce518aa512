//! Converts a file's bytes to UTF-8.

use std::io::{self, Read};

use super::ReadError;
use super::strict::Broken;

/// The number of bytes that are read to find the kind of a file and its delimiter.
const HEAD_BYTES: u64 = 64 * 1024;

/// The beginning of the input and the rest of it, in UTF-8 and without a byte order mark.
///
/// # Errors
/// When the input cannot be read, or is not text.
pub fn decoded<'a>(input: impl Read + 'a) -> Result<(Vec<u8>, Box<dyn Read + 'a>), ReadError> {
    let (mut head, rest) = peek(Box::new(input))?;
    let no_text = |problem: &str| Err(ReadError::At(1, problem.to_owned()));
    match head.as_slice() {
        [b'P', b'K', 3, 4, ..] | [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            no_text("it is a spreadsheet or an archive, and no text: save it as CSV in UTF-8")
        }
        [0x1f, 0x8b, ..] => {
            no_text("it is compressed: decompress it first, as in zcat FILE | campaign import CAMPAIGN -")
        }
        [0xff, 0xfe, ..] => Ok(peek(utf_16(head, rest, u16::from_le_bytes))?),
        [0xfe, 0xff, ..] => Ok(peek(utf_16(head, rest, u16::from_be_bytes))?),
        [0xef, 0xbb, 0xbf, ..] => {
            head.drain(..3);
            Ok((head, rest))
        }
        _ => Ok((head, rest)),
    }
}

fn peek<'a>(mut input: Box<dyn Read + 'a>) -> io::Result<(Vec<u8>, Box<dyn Read + 'a>)> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok((head, input))
}

fn utf_16<'a>(mut head: Vec<u8>, rest: Box<dyn Read + 'a>, unit: fn([u8; 2]) -> u16) -> Box<dyn Read + 'a> {
    head.drain(..2);
    Box::new(Utf16 {
        input: io::Cursor::new(head).chain(rest),
        unit,
        bytes: Vec::new(),
        text: io::Cursor::default(),
        line: 1,
    })
}

/// Reads UTF-16 as UTF-8.
struct Utf16<R> {
    input: R,
    unit: fn([u8; 2]) -> u16,
    /// Bytes that are read and not decoded yet.
    bytes: Vec<u8>,
    text: io::Cursor<Vec<u8>>,
    line: u64,
}

impl<R: Read> Utf16<R> {
    /// Decodes more. Returns true at the end.
    fn decode(&mut self) -> io::Result<bool> {
        let before = self.bytes.len();
        self.input.by_ref().take(HEAD_BYTES).read_to_end(&mut self.bytes)?;
        let at_end = self.bytes.len() == before;
        let mut units: Vec<u16> =
            self.bytes.chunks_exact(2).map(|pair| (self.unit)([pair[0], pair[1]])).collect();
        // The second half of a pair may come with the next bytes.
        if !at_end && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            units.pop();
        }
        let mut text = String::new();
        for character in char::decode_utf16(units.iter().copied()) {
            let Ok(character) = character else {
                return Err(self.broken("the text is UTF-16 and holds half a character"));
            };
            self.line += u64::from(character == '\n');
            text.push(character);
        }
        self.bytes.drain(..units.len() * 2);
        if at_end && !self.bytes.is_empty() {
            return Err(self.broken("the text is UTF-16 and ends within a character"));
        }
        self.text = io::Cursor::new(text.into_bytes());
        Ok(at_end)
    }

    fn broken(&self, problem: &str) -> io::Error {
        io::Error::other(Broken { line: self.line, problem: problem.to_owned() })
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.text.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.decode()? {
                return Ok(read);
            }
        }
    }
}
