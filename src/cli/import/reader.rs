//! Reads CSV and NDJSON row by row, in constant memory, as `COPY` takes it.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use serde_json::Value;

use super::mapping::{Mapping, Target, can_be_named};
use super::row::Row;

/// A row that is longer is not one: most likely a quote is not closed.
const MAX_ROW_BYTES: u64 = 4 * 1024 * 1024;
/// What is handed to PostgreSQL at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// The form of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated values with a header line; the separator may be ; or a tab
    Csv,
    /// One JSON object per line
    Ndjson,
}

/// Rows as `COPY` takes them, and how far the input is read.
#[derive(Debug, Default)]
pub struct Chunk {
    pub copy: Vec<u8>,
    pub rows: u64,
    pub bytes_read: u64,
    /// Variables that no template can name, once they are known.
    pub unnameable: Vec<String>,
}

/// Why no more can be read: the line, where there is one, and what is wrong.
#[derive(Debug)]
pub enum ReadError {
    At(u64, String),
    Io(io::Error),
}

/// Where chunks go; it says whether anybody wants more.
pub trait Deliver: FnMut(Chunk) -> bool {}
impl<F: FnMut(Chunk) -> bool> Deliver for F {}

/// How the input is to be read.
#[derive(Clone, Debug)]
pub struct Manner {
    /// `None`: as its first character says, `{` or another.
    pub format: Option<Format>,
    pub mapping: Mapping,
    /// It is what PostgreSQL's `COPY … TO STDOUT` gives, which doubles each backslash.
    pub backslashes_doubled: bool,
}

/// Reads all rows.
///
/// # Errors
/// When the input cannot be read, or nothing in it can be: a row that cannot is written with its reason.
pub fn read(input: impl Read, manner: &Manner, deliver: impl Deliver) -> Result<(), ReadError> {
    let count = Rc::new(Count::default());
    let mut input = BufReader::with_capacity(CHUNK_BYTES, Counted { input, count: Rc::clone(&count) });
    let mut writer = Writer { chunk: Chunk::default(), count, deliver };
    let start = input.fill_buf().map_err(ReadError::Io)?;
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let first = start.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    let format = manner.format.unwrap_or(if first == Some(b'{') { Format::Ndjson } else { Format::Csv });
    match format {
        Format::Ndjson => read_ndjson(input, manner, &mut writer)?,
        Format::Csv if first == Some(b'[') => {
            return Err(ReadError::At(
                1,
                "a JSON array: expected one object per line, as jq -c '.[]' gives".into(),
            ));
        }
        Format::Csv => {
            let delimiter = delimiter(start);
            read_csv(input, delimiter, manner, &mut writer)?;
        }
    }
    writer.flush();
    Ok(())
}

/// What stands most often in the header line: a comma, a semicolon or a tab.
fn delimiter(start: &[u8]) -> u8 {
    let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let times = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|delimiter| times(*delimiter)).unwrap_or(b',')
}

fn read_csv<D: Deliver>(
    input: impl BufRead,
    delimiter: u8,
    manner: &Manner,
    writer: &mut Writer<D>,
) -> Result<(), ReadError> {
    let lines = Rc::new(Cell::new(0));
    let input = LineByLine { input, lines: Rc::clone(&lines), within: false };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(input);
    let header = reader.headers().map_err(|error| csv_error(error, 1))?.clone();
    let columns: Vec<String> = header.iter().map(|column| column.trim().to_owned()).collect();
    let targets = manner.mapping.targets(&columns).map_err(|problem| ReadError::At(1, problem))?;
    writer.note_variables(&targets);
    let mut record = csv::ByteRecord::new();
    loop {
        let next = lines.get() + 1;
        writer.count.start_row();
        if !reader.read_byte_record(&mut record).map_err(|error| csv_error(error, next))? {
            return Ok(());
        }
        let within = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        if !writer.row(lines.get() - within, csv_row(&record, &columns, &targets)) {
            return Ok(());
        }
    }
}

/// Hands on at most one line at a time, and counts them: so the last line that was handed on is the one on which a
/// record ends. (The reader's own position is before empty lines, and before the second half of a CR LF.)
struct LineByLine<R> {
    input: R,
    lines: Rc<Cell<u64>>,
    within: bool,
}

impl<R: BufRead> Read for LineByLine<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = self.input.fill_buf()?.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        let taken = line.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&line[..taken]);
        if taken > 0 && !self.within {
            self.lines.set(self.lines.get() + 1);
        }
        self.within = taken > 0 && buffer[taken - 1] != b'\n';
        self.input.consume(taken);
        Ok(taken)
    }
}

fn csv_row(record: &csv::ByteRecord, columns: &[String], targets: &[Target]) -> Row {
    if record.len() != columns.len() {
        return Row::unreadable(format!("it has {} fields, and the header {}", record.len(), columns.len()));
    }
    let mut row = Row::default();
    for ((value, column), target) in record.iter().zip(columns).zip(targets) {
        match std::str::from_utf8(value) {
            Ok(value) => row.take(target, column, Value::from(value)),
            Err(_) => return Row::unreadable(format!("{column} is not UTF-8")),
        }
    }
    row
}

fn csv_error(error: csv::Error, line: u64) -> ReadError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => io_error(error, line),
        csv::ErrorKind::Utf8 { .. } => ReadError::At(line, "the header is not UTF-8".to_owned()),
        other => ReadError::At(line, format!("{other:?}")),
    }
}

fn io_error(error: io::Error, line: u64) -> ReadError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        let problem = format!("the row is longer than {MAX_ROW_BYTES} bytes: is a quote not closed?");
        return ReadError::At(line, problem);
    }
    ReadError::Io(error)
}

fn read_ndjson<D: Deliver>(
    mut input: impl BufRead,
    manner: &Manner,
    writer: &mut Writer<D>,
) -> Result<(), ReadError> {
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        writer.count.start_row();
        if input.read_until(b'\n', &mut text).map_err(|error| io_error(error, line))? == 0 {
            break;
        }
        if manner.backslashes_doubled {
            halve_backslashes(&mut text);
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").filter(|_| line == 1).unwrap_or(&text).trim_ascii();
        if !text.is_empty() && !writer.row(line, json_row(text, &manner.mapping)) {
            break;
        }
    }
    Ok(())
}

fn json_row(text: &[u8], mapping: &Mapping) -> Row {
    match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => {
            let mut row = Row::default();
            for (column, value) in members {
                row.take(&mapping.target(&column), &column, value);
            }
            row
        }
        Ok(_) => Row::unreadable("it is JSON, and not an object"),
        // The line is the row's own, always the first.
        Err(error) => {
            Row::unreadable(format!("it is not JSON: {}", error.to_string().replace(" at line 1", " at")))
        }
    }
}

fn halve_backslashes(text: &mut Vec<u8>) {
    let mut after_backslash = false;
    text.retain(|byte| {
        after_backslash = *byte == b'\\' && !after_backslash;
        !after_backslash
    });
}

struct Writer<D> {
    chunk: Chunk,
    count: Rc<Count>,
    deliver: D,
}

impl<D: Deliver> Writer<D> {
    /// Returns whether to go on.
    fn row(&mut self, line: u64, row: Row) -> bool {
        row.write(line, &mut self.chunk.copy);
        self.chunk.rows += 1;
        self.chunk.copy.len() < CHUNK_BYTES || self.flush()
    }

    fn flush(&mut self) -> bool {
        let chunk = Chunk { bytes_read: self.count.bytes.get(), ..std::mem::take(&mut self.chunk) };
        (self.deliver)(chunk)
    }

    fn note_variables(&mut self, targets: &[Target]) {
        self.chunk.unnameable = targets
            .iter()
            .filter_map(|target| match target {
                Target::Variable(name) if !can_be_named(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
    }
}

/// Bytes read so far, and where the present row began.
#[derive(Default)]
struct Count {
    bytes: Cell<u64>,
    row_began_at: Cell<u64>,
}

impl Count {
    fn start_row(&self) {
        self.row_began_at.set(self.bytes.get());
    }
}

/// Refuses to read on in a row that does not end.
struct Counted<R> {
    input: R,
    count: Rc<Count>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.count.bytes.get() - self.count.row_began_at.get() > MAX_ROW_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.input.read(buffer)?;
        self.count.bytes.set(self.count.bytes.get() + read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines, addresses, variables and reasons that are read.
    fn rows(input: &[u8], manner: &Manner) -> Result<Vec<String>, String> {
        let mut copy = Vec::new();
        let read = read(input, manner, |chunk: Chunk| {
            copy.extend(chunk.copy);
            true
        });
        match read {
            Ok(()) => Ok(String::from_utf8(copy)
                .unwrap()
                .lines()
                .map(|line| {
                    let fields: Vec<&str> = line.split('\t').collect();
                    [fields[0], fields[2], fields[7], fields[9]].join(" ")
                })
                .collect()),
            Err(ReadError::At(line, problem)) => Err(format!("{line}: {problem}")),
            Err(ReadError::Io(error)) => Err(error.to_string()),
        }
    }

    fn plain() -> Manner {
        Manner { format: None, mapping: Mapping::default(), backslashes_doubled: false }
    }

    #[test]
    fn rows_have_the_line_on_which_they_begin() {
        let csv = "\u{feff}email;city\nada@example.com;\"Oslo\n Vest\"\n\ngrace@example.com;Rome\r\nx;y;z\n";
        assert_eq!(
            rows(csv.as_bytes(), &plain()).unwrap(),
            [
                r#"2 ada@example.com {"city":"Oslo\\n Vest"} \N"#,
                r#"5 grace@example.com {"city":"Rome"} \N"#,
                r"6  \N it has 3 fields, and the header 2",
            ]
        );
        let ndjson = "{\"email\": \"ada@example.com\", \"tags\": [1, null]}\n\n{\"email\": 1\n[]\n";
        assert_eq!(
            rows(ndjson.as_bytes(), &plain()).unwrap(),
            [
                r#"1 ada@example.com {"tags":[1,null]} \N"#,
                r"3  \N it is not JSON: EOF while parsing an object at column 11",
                r"4  \N it is JSON, and not an object",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_on_says_the_line() {
        let endless = [b"email,name\na@example.com,\"".to_vec(), vec![b'x'; 5_000_000]].concat();
        assert_eq!(
            rows(&endless, &plain()).unwrap_err(),
            "2: the row is longer than 4194304 bytes: is a quote not closed?"
        );
        assert_eq!(
            rows(b"[{\"email\": \"a@example.com\"}]", &plain()).unwrap_err(),
            "1: a JSON array: expected one object per line, as jq -c '.[]' gives"
        );
        assert!(rows(b"", &plain()).unwrap_err().starts_with("1: there is no column"));
    }

    #[test]
    fn what_postgresql_copies_out_is_read_as_it_was() {
        let manner = Manner { backslashes_doubled: true, format: Some(Format::Ndjson), ..plain() };
        let copied = br#"{"email": "a@example.com", "x": "a\\\\b \\"q\\""}"#;
        assert_eq!(rows(copied, &manner).unwrap(), [r#"1 a@example.com {"x":"a\\\\b \\"q\\""} \N"#]);
    }
}
