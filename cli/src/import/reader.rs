//! Reads CSV and NDJSON row by row in constant memory, and converts it to the format of `COPY`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use super::super::csv_file::{self, CsvFile, Line, ReadError};
use super::super::formula;
use super::json::{Field, Members};
use super::mapping::{Mapping, Target, can_be_named};
use super::row::Row;

/// The longest row, in bytes. In a longer one, most likely a quote is not closed.
const MAX_ROW_BYTES: u64 = 4 * 1024 * 1024;
/// The number of bytes that are handed to PostgreSQL at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// The form of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated values with a header line; the delimiter may be another one
    Csv,
    /// One JSON object per line
    Ndjson,
}

/// Rows in the format of `COPY`, and the position in the input.
#[derive(Debug, Default)]
pub struct Chunk {
    pub copy: Vec<u8>,
    pub rows: u64,
    pub bytes_read: u64,
    /// Variables that no template can name, when the columns are known.
    pub unnameable: Vec<String>,
    /// The numbers (from 1 on) of columns that have values and no name, when the last row is read.
    pub nameless: BTreeSet<usize>,
}

/// The receiver of chunks; it returns false if it wants no more.
pub trait Deliver: FnMut(Chunk) -> bool {}
impl<F: FnMut(Chunk) -> bool> Deliver for F {}

/// How the input is read.
#[derive(Clone, Debug)]
pub struct Manner {
    /// `None`: NDJSON if the first character is `{`, else CSV.
    pub format: Option<Format>,
    pub mapping: Mapping,
    /// The delimiter of CSV; `None`: decided by its first lines.
    pub delimiter: Option<u8>,
    /// True for the output of PostgreSQL's `COPY … TO STDOUT`, which doubles each backslash.
    pub backslashes_doubled: bool,
}

/// Reads all rows.
///
/// # Errors
/// When the input cannot be read at all. An unreadable row is written with its reason.
pub fn read(input: impl Read, manner: &Manner, deliver: impl Deliver) -> Result<(), ReadError> {
    let count = Rc::new(Count::default());
    let input = Counted { input, count: Rc::clone(&count) };
    let mut writer = Writer { chunk: Chunk::default(), count, deliver };
    let (head, rest) = csv_file::decoded(input).map_err(too_long)?;
    let first = head.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    let is_json = manner.delimiter.is_none() && first == Some(b'{');
    match manner.format.unwrap_or(if is_json { Format::Ndjson } else { Format::Csv }) {
        Format::Ndjson => {
            let input = BufReader::with_capacity(CHUNK_BYTES, io::Cursor::new(head).chain(rest));
            read_ndjson(input, manner, &mut writer)?;
        }
        Format::Csv if first == Some(b'[') => {
            return Err(ReadError::At(
                1,
                "a JSON array: expected one object per line, as jq -c '.[]' gives".into(),
            ));
        }
        Format::Csv => {
            let fits = |columns: &[String]| manner.mapping.targets(columns).is_ok();
            let file = CsvFile::open(head, rest, manner.delimiter, &fits).map_err(too_long)?;
            read_csv(file, &manner.mapping, &mut writer)?;
        }
    }
    writer.flush();
    Ok(())
}

fn read_csv<D: Deliver>(
    mut file: CsvFile<'_>,
    mapping: &Mapping,
    writer: &mut Writer<D>,
) -> Result<(), ReadError> {
    let columns = file.columns.clone();
    let targets = mapping.targets(&columns).map_err(|problem| ReadError::At(file.header_line, problem))?;
    let names: Vec<String> = (0..columns.len()).map(|at| file.column_named(at)).collect();
    let nameless: Vec<usize> =
        (0..columns.len()).filter(|at| columns[*at].is_empty() && !mapping.mentions(*at, &columns)).collect();
    if let Some(address) = targets.iter().position(|target| *target == Target::Email) {
        file.expect_addresses(address);
    }
    writer.note_variables(&targets);
    loop {
        writer.count.start_row();
        let Some(Line { number, fields }) = file.next().map_err(too_long)? else { return Ok(()) };
        let row = match fields {
            Ok(fields) => {
                let values = nameless.iter().filter(|at| !fields[**at].trim().is_empty());
                writer.chunk.nameless.extend(values.map(|at| at + 1));
                csv_row(&fields, &names, &targets)
            }
            Err(problem) => Row::unreadable(problem),
        };
        if !writer.row(number, row) {
            return Ok(());
        }
    }
}

fn csv_row(fields: &[&str], names: &[String], targets: &[Target]) -> Row {
    let mut row = Row::default();
    for ((value, name), target) in fields.iter().zip(names).zip(targets) {
        let value = if *target == Target::Email { formula::plain(value) } else { value };
        row.take(target, name, Field::Text(value));
    }
    row
}

/// Adds the line of a row that does not end.
fn too_long(error: ReadError) -> ReadError {
    match error {
        ReadError::Io(error) => io_error(error, 1),
        error @ ReadError::At(..) => error,
    }
}

fn io_error(error: io::Error, line: u64) -> ReadError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        let problem = format!("the row is longer than {MAX_ROW_BYTES} bytes: is a quote not closed?");
        return ReadError::At(line, problem);
    }
    error.into()
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
        let text = text.trim_ascii();
        if !text.is_empty() && !writer.row(line, json_row(text, &manner.mapping)) {
            break;
        }
    }
    Ok(())
}

fn json_row(text: &[u8], mapping: &Mapping) -> Row {
    match serde_json::from_slice::<Members>(text) {
        Ok(members) => {
            let mut row = Row::default();
            for (column, value) in members {
                row.take(&mapping.target(&column), &column, Field::Json(&value));
            }
            row
        }
        Err(error) if error.is_data() => Row::unreadable("it is JSON, and not an object"),
        // The line is counted within the row, so it is always the first.
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
    /// Returns true to continue.
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

/// The bytes read so far, and where the current row began.
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

/// Stops in a row that does not end.
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
        Manner { format: None, mapping: Mapping::default(), delimiter: None, backslashes_doubled: false }
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
                r#"1 ada@example.com {"tags":[1, null]} \N"#,
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
            "2: a field is longer than 1,048,576 bytes (1 MiB): is a quote not closed?"
        );
        let many = [b"email,name\n".to_vec(), b"xxxxxxx,".repeat(700_000)].concat();
        assert_eq!(
            rows(&many, &plain()).unwrap_err(),
            "2: the row is longer than 4,194,304 bytes (4 MiB): is a quote not closed?"
        );
        assert_eq!(
            rows(b"[{\"email\": \"a@example.com\"}]", &plain()).unwrap_err(),
            "1: a JSON array: expected one object per line, as jq -c '.[]' gives"
        );
        assert!(rows(b"", &plain()).unwrap_err().starts_with("1: there is no header"));
    }

    #[test]
    fn what_postgresql_copies_out_is_read_as_it_was() {
        let manner = Manner { backslashes_doubled: true, format: Some(Format::Ndjson), ..plain() };
        let copied = br#"{"email": "a@example.com", "x": "a\\\\b \\"q\\""}"#;
        assert_eq!(rows(copied, &manner).unwrap(), [r#"1 a@example.com {"x":"a\\\\b \\"q\\""} \N"#]);
    }
}
