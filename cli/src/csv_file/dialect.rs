//! The delimiter of a file.

/// The delimiters that are tried if none is given.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Reads the argument `--delimiter`: one character, or its name.
pub fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" => return Ok(b'\t'),
        "comma" => return Ok(b','),
        "semicolon" => return Ok(b';'),
        "pipe" => return Ok(b'|'),
        _ => {}
    }
    match text.as_bytes() {
        [byte] if is_delimiter(*byte) => Ok(*byte),
        _ => Err("expected one character, for example ';', or tab, comma, semicolon, pipe".to_owned()),
    }
}

fn is_delimiter(byte: u8) -> bool {
    byte == b'\t' || byte == b' ' || (byte.is_ascii_punctuation() && byte != b'"')
}

/// The delimiter that a first line `sep=;` declares, as spreadsheets write and read it, and where the next line begins.
pub fn declaration(head: &[u8]) -> (Option<u8>, usize) {
    let end = head.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(head.len());
    let line = &head[..end];
    let unquoted = line.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(line);
    let declared = match unquoted.split_at_checked(4) {
        Some((name, value)) if name.eq_ignore_ascii_case(b"sep=") => match value {
            b"\\t" => Some(b'\t'),
            [byte] if is_delimiter(*byte) => Some(*byte),
            _ => None,
        },
        _ => None,
    };
    let line_end = if head[end..].starts_with(b"\r\n") { 2 } else { 1 };
    match declared {
        Some(delimiter) => (Some(delimiter), (end + line_end).min(head.len())),
        None => (None, 0),
    }
}

/// The delimiter with which the header has the required columns. If several or none do, it is the most
/// frequent one outside quotes.
pub fn detect(head: &[u8], fits: &dyn Fn(&[String]) -> bool) -> u8 {
    let times = |delimiter: u8| {
        let mut quoted = false;
        let header = head.iter().skip_while(|byte| byte.is_ascii_whitespace());
        header
            .take_while(|byte| {
                quoted ^= **byte == b'"';
                quoted || !matches!(byte, b'\n' | b'\r')
            })
            .fold((false, 0), |(quoted, times), byte| match byte {
                b'"' => (!quoted, times),
                byte if *byte == delimiter && !quoted => (quoted, times + 1),
                _ => (quoted, times),
            })
            .1
    };
    let fitting = |delimiter: u8| {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(head);
        let mut record = csv::ByteRecord::new();
        reader.read_byte_record(&mut record).is_ok_and(|read| read) && {
            let columns: Vec<String> =
                record.iter().map(|name| trimmed(&String::from_utf8_lossy(name)).to_owned()).collect();
            fits(&columns)
        }
    };
    let best = |delimiters: &mut dyn Iterator<Item = u8>| {
        // `max_by` returns the last of equal ones, which is the first in the list.
        delimiters.collect::<Vec<_>>().into_iter().rev().max_by_key(|delimiter| times(*delimiter))
    };
    let wanted = best(&mut DELIMITERS.into_iter().filter(|delimiter| fitting(*delimiter)));
    wanted.or_else(|| best(&mut DELIMITERS.into_iter())).unwrap_or(b',')
}

/// A name without white space and invisible characters around it.
pub fn trimmed(name: &str) -> &str {
    name.trim_matches(|character: char| {
        character.is_whitespace() || matches!(character, '\u{feff}' | '\u{200b}' | '\u{2060}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_a_character_or_its_name() {
        let read = [";", "tab", "\\t", "\t", "|", "comma"].map(|text| parse_delimiter(text).unwrap());
        assert_eq!(read, [b';', b'\t', b'\t', b'\t', b'|', b',']);
        for text in ["", "ab", "\"", "x", "é", "\n"] {
            assert!(parse_delimiter(text).is_err(), "{text:?}");
        }
    }
}
