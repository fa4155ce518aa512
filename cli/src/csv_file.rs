//! A CSV file of another tool, read strictly and in constant memory: input that could be read in two ways is
//! an error with its line.

mod dialect;
mod strict;
mod text;

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use super::format;
use strict::{Broken, Scan, Strict};

pub use dialect::parse_delimiter;
pub use text::decoded;

/// The longest field, in bytes: a longer one is a quote that is not closed.
const MAX_FIELD_BYTES: usize = 1024 * 1024;
/// The longest row, in bytes.
const MAX_ROW_BYTES: usize = 4 * 1024 * 1024;

/// Why reading stops: the line, if there is one, and what is wrong.
#[derive(Debug)]
pub enum ReadError {
    At(u64, String),
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        match error.downcast::<Broken>() {
            Ok(Broken { line, problem }) => ReadError::At(line, problem),
            Err(error) => ReadError::Io(error),
        }
    }
}

/// A file whose header has been read.
pub struct CsvFile<'a> {
    reader: csv::Reader<Strict<Box<dyn Read + 'a>>>,
    scan: Rc<RefCell<Scan>>,
    record: csv::ByteRecord,
    /// The header's names, without surrounding white space; a column may have none.
    pub columns: Vec<String>,
    /// The line of the header.
    pub header_line: u64,
}

/// A row: the line on which it begins, and its fields, one for each column, or what is wrong with it.
#[derive(Debug)]
pub struct Line<'a> {
    pub number: u64,
    pub fields: Result<Vec<&'a str>, String>,
}

impl<'a> CsvFile<'a> {
    /// Reads the header of a text whose beginning is `head`. Without a `delimiter` it is the one of a first
    /// line `sep=;`, else the one with which the header has the required columns (`fits`), else the most
    /// frequent one.
    ///
    /// # Errors
    /// Fails if the input cannot be read, or its first line cannot be a header.
    pub fn open(
        head: Vec<u8>,
        rest: Box<dyn Read + 'a>,
        delimiter: Option<u8>,
        fits: &dyn Fn(&[String]) -> bool,
    ) -> Result<CsvFile<'a>, ReadError> {
        let (declared, after) = dialect::declaration(&head);
        let first_line = if after > 0 { 2 } else { 1 };
        let header = &head[after..];
        let delimiter = delimiter.or(declared).unwrap_or_else(|| dialect::detect(header, fits));
        let mut input = io::Cursor::new(head);
        input.set_position(after as u64);
        let scan = Rc::new(RefCell::new(Scan::new(delimiter, first_line)));
        let input: Box<dyn Read + 'a> = Box::new(input.chain(rest));
        let input = Strict::new(input, Rc::clone(&scan));
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(input);
        let header = match reader.byte_headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(csv_error(error, first_line)),
        };
        let (line, problem) = scan.borrow_mut().take();
        if let Some(problem) = problem {
            return Err(ReadError::At(line, format!("the header: {problem}")));
        }
        let columns = header
            .iter()
            .map(|name| match std::str::from_utf8(name) {
                Ok(name) if !name.contains('\0') => Ok(dialect::trimmed(name).to_owned()),
                Ok(_) => Err("the header holds NUL characters: save the file as CSV in UTF-8"),
                Err(_) => Err("the header is not UTF-8: save the file as CSV in UTF-8"),
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|problem| ReadError::At(line, problem.to_owned()))?;
        Ok(CsvFile { reader, scan, record: csv::ByteRecord::new(), columns, header_line: line })
    }

    /// Sets the column of addresses: if a field has a whole row with an address in it, a quote is not closed.
    pub fn expect_addresses(&mut self, column: usize) {
        self.scan.borrow_mut().expect_rows(self.columns.len(), column);
    }

    /// The next row that is not empty. Empty fields after the last column are left out; columns without a
    /// name at the end may be missing.
    ///
    /// # Errors
    /// Fails if nothing more can be read: a quote is not closed, a field does not end, or the input cannot be
    /// read.
    pub fn next(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        loop {
            if !self.reader.read_byte_record(&mut self.record).map_err(|error| csv_error(error, 0))? {
                return Ok(None);
            }
            let (number, problem) = self.scan.borrow_mut().take();
            if let Some(problem) = problem {
                return Ok(Some(Line { number, fields: Err(problem) }));
            }
            if self.record.iter().any(|field| !field.trim_ascii().is_empty()) {
                return Ok(Some(Line { number, fields: self.fields() }));
            }
        }
    }

    fn fields(&self) -> Result<Vec<&str>, String> {
        let columns = self.columns.len();
        let named = self.columns.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        let surplus = self.record.iter().skip(columns).any(|field| !field.trim_ascii().is_empty());
        if surplus || self.record.len() < named {
            let fields = format::counted(self.record.len(), "field");
            return Err(format!("it has {fields}, and the header {columns}"));
        }
        (0..columns)
            .map(|at| {
                std::str::from_utf8(self.record.get(at).unwrap_or_default()).map_err(|_| {
                    format!("{} is not UTF-8: save the file as CSV in UTF-8", self.column_named(at))
                })
            })
            .collect()
    }

    /// The name of a column in messages.
    pub fn column_named(&self, at: usize) -> String {
        match self.columns.get(at).filter(|name| !name.is_empty()) {
            Some(name) => name.clone(),
            None => format!("column {}", at + 1),
        }
    }
}

fn csv_error(error: csv::Error, line: u64) -> ReadError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => ReadError::At(line, format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row as `LINE a|b|c` or `LINE ! problem`, and the error that ends them.
    fn read(input: &[u8]) -> Vec<String> {
        let mut said = Vec::new();
        let ended = (|| {
            let (head, rest) = decoded(input)?;
            let mut file = CsvFile::open(head, rest, None, &|columns| columns.iter().any(|c| c == "email"))?;
            if let Some(at) = file.columns.iter().position(|column| column == "email") {
                file.expect_addresses(at);
            }
            said.push(file.columns.join("|"));
            while let Some(Line { number, fields }) = file.next()? {
                said.push(match fields {
                    Ok(fields) => format!("{number} {}", fields.join("|")),
                    Err(problem) => format!("{number} ! {problem}"),
                });
            }
            Ok::<_, ReadError>(())
        })();
        match ended {
            Ok(()) => {}
            Err(ReadError::At(line, problem)) => said.push(format!("{line}: {problem}")),
            Err(ReadError::Io(error)) => said.push(error.to_string()),
        }
        said
    }

    #[test]
    fn a_quote_that_is_not_closed_ends_it_all_with_the_line_on_which_it_opens() {
        let rest: String =
            (0..2000).fold(String::new(), |rest, n| rest + &format!("p{n}@example.com,P{n}\n"));
        let never = format!("email,name\nada@example.com,Ada\nbob@example.com,\"Bob\n{rest}");
        assert_eq!(
            read(never.as_bytes())[1..],
            [
                "2 ada@example.com|Ada",
                "3: a quote is opened here and not closed in its own line: what follows in line 4 looks like a row of its own"
            ]
        );
        let at_the_end = "email,name\nada@example.com,Ada\nbob@example.com,\"Bob\n";
        assert_eq!(read(at_the_end.as_bytes())[2..], ["3: a quote is opened here and never closed"]);
        // A quoted field in a later row seems to close it.
        for closing in ["eve@example.com,\"Eve\"\n", "eve@example.com,Eve\"\n", "e\"e@example.com,\n"] {
            let far = format!("email,name\nbob@example.com,\"Bob\n{closing}");
            let read = read(far.as_bytes());
            assert!(read[1].starts_with("2: a quote is opened here and "), "{read:?}");
            assert_eq!(read.len(), 2);
        }
        let header = "email,\"name\nada@example.com,Ada\n";
        assert_eq!(read(header.as_bytes()), ["1: a quote is opened here and never closed"]);
    }

    #[test]
    fn a_field_that_does_not_end_is_told_with_the_limit() {
        for open in ["", "\""] {
            let endless = [format!("email,name\na@example.com,{open}").into_bytes(), vec![b'x'; 5_000_000]];
            assert_eq!(
                read(&endless.concat())[1..],
                ["2: a field is longer than 1,048,576 bytes (1 MiB): is a quote not closed?"]
            );
        }
    }

    #[test]
    fn a_quote_that_can_be_read_in_two_ways_is_a_problem_of_its_row() {
        let problems = |row: &str| read(format!("email,name\n{row}\nada@example.com,Ada\n").as_bytes());
        for (row, problem) in [
            (
                "b@example.com,\"Bob\" Jr",
                "text after a closing quote: a quote within a quoted field is written twice",
            ),
            (
                "b@example.com,\"Bob \"the\" Builder\"",
                "text after a closing quote: a quote within a quoted field is written twice",
            ),
            (
                "b@example.com, \"Bob\"",
                "white space before a quote: a quoted field begins right after the delimiter",
            ),
            (
                "b@example.com,Bob\"",
                "a single quote character in a field without quotes: put the field in quotes and write the quote twice",
            ),
            (
                "b@example.com,5\" disk",
                "a single quote character in a field without quotes: put the field in quotes and write the quote twice",
            ),
        ] {
            assert_eq!(
                problems(row)[1..],
                [format!("2 ! {problem}"), "3 ada@example.com|Ada".to_owned()],
                "{row}"
            );
        }
        assert_eq!(problems("b@example.com,Bob \"the\" B")[1], "2 b@example.com|Bob \"the\" B");
        assert_eq!(
            problems("\"b@example.com\",\"Bob \"\"the\"\" B, \n Jr\"")[1],
            "2 b@example.com|Bob \"the\" B, \n Jr"
        );
    }

    #[test]
    fn a_row_has_as_many_fields_as_the_header() {
        assert_eq!(
            read(b"email,name,,\na@example.com,A\nb@example.com,B,,,,\n,,,\nc@example.com\nd@example.com,D,x,y,z\n\n  ,\n"),
            [
                "email|name||",
                "2 a@example.com|A||",
                "3 b@example.com|B||",
                "5 ! it has 1 field, and the header 4",
                "6 ! it has 5 fields, and the header 4",
            ]
        );
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("email,name{end}{end}a@example.com,\"A{end}B\"{end}b@example.com,B{end}");
            let read = read(text.as_bytes());
            assert_eq!(
                read[1..],
                [format!("3 a@example.com|A{end}B"), "5 b@example.com|B".to_owned()],
                "{end:?}"
            );
        }
    }

    #[test]
    fn the_delimiter_is_that_of_the_header_outside_quotes() {
        for (header, columns) in [
            ("email;\"Name (last, first, middle)\"", "email|Name (last, first, middle)"),
            ("email;Name (last, first, middle)", "email|Name (last, first, middle)"),
            ("email\tname, first", "email|name, first"),
            ("email|name", "email|name"),
            ("name,email", "name|email"),
            ("\u{feff} \"email\" , name\u{a0}", ""),
            ("\u{feff}\"email\",\" name\u{a0}\"", "email|name"),
            ("sep=;\nemail;a,b,c", "email|a,b,c"),
            ("\u{feff}SEP=,\r\nemail,a;b;c", "email|a;b;c"),
            ("\"sep=\t\"\nemail\ta,b", "email|a,b"),
            ("sep=\\t\nemail\ta,b", "email|a,b"),
        ] {
            let read = read(header.as_bytes());
            if columns.is_empty() {
                assert!(read[0].starts_with("1: the header: white space before a quote"), "{read:?}");
            } else {
                assert_eq!(read[0], columns, "{header}");
            }
        }
        assert_eq!(read(b"sep=;\nemail;name\na@example.com;A\n")[1], "3 a@example.com|A");
    }

    #[test]
    fn utf_16_is_read_and_what_is_no_text_is_told() {
        let text = "email\tname\nada@example.com\tAdä 🎉\n";
        let little: Vec<u8> =
            [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> =
            [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        for bytes in [&little, &big] {
            assert_eq!(read(bytes), ["email|name", "2 ada@example.com|Adä 🎉"]);
        }
        assert_eq!(read(&little[..little.len() - 1]), ["2: the text is UTF-16 and ends within a character"]);
        assert!(read(&little[2..])[0].starts_with("1: the header holds NUL characters"));
        assert!(read(b"PK\x03\x04...")[0].contains("spreadsheet"));
        assert!(read(b"\x1f\x8b\x08...")[0].contains("compressed"));
        assert_eq!(
            read(b"email,name\na@example.com,M\xfcller\n")[1],
            "2 ! name is not UTF-8: save the file as CSV in UTF-8"
        );
    }

    /// Wherever the strict reader returns a row, it is the row that `csv` reads.
    #[test]
    fn what_is_read_is_what_csv_reads() {
        use proptest::prelude::*;
        let field = prop_oneof!["[a-z \"\n\r,;]{0,6}", "\"[a-z\n,]{0,5}\"", "[a-z]{0,5}"];
        let rows = proptest::collection::vec(proptest::collection::vec(field, 3), 1..6);
        proptest!(|(rows in rows)| {
            let text = rows.iter().fold("a,b,c\n".to_owned(), |text, row| text + &row.join(",") + "\n");
            let lenient: Vec<Vec<String>> = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes())
                .records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
            for line in read(text.as_bytes()).iter().skip(1) {
                let Some((_, fields)) = line.split_once(' ') else { continue };
                let read = lenient.iter().any(|row| row.len() >= 3 && row[..3].join("|") == fields);
                prop_assert!(fields.starts_with("! ") || line.contains(": ") || read, "{line:?} of {text:?}");
            }
        });
    }
}
