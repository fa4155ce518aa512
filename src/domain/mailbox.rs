//! Mailboxes, for example `News <news@example.com>`: parsed from a column or the command line, and written as
//! SES accepts them.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::address::{self, InvalidAddress};

/// The most characters that Amazon SES accepts as one mailbox, with the encoded display name. It refuses more
/// with `Address length is more than 320 characters long`.
const MAX_MAILBOX: usize = 320;
/// RFC 2047, 2: an encoded word has at most 75 characters, of which `=?UTF-8?Q?` and `?=` are 12.
const MAX_ENCODED: usize = 63;

/// One mailbox: an address, and optionally a display name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name, as people read it.
    name: String,
    /// The address as SES accepts it.
    address: String,
}

/// Why a text is not a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMailbox {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// `News <news@example.com`, or text behind the bracket.
    #[error("its angle bracket < is not closed by a > at the end")]
    Unclosed,
    /// `A <a@example.com>, B <b@example.com>`.
    #[error("it has more than one address")]
    Several,
    /// The address is invalid.
    #[error("{0}")]
    Address(#[from] InvalidAddress),
    /// It is longer than SES accepts.
    #[error("it is too long: name and address have at most {MAX_MAILBOX} characters together, once encoded")]
    Length,
}

impl Mailbox {
    /// Reads `ADDRESS`, `<ADDRESS>` or `NAME <ADDRESS>`. The name need not be quoted: `Acme, Inc.
    /// <news@example.com>` is read as a person means it. Line breaks and other control characters in the name
    /// count as white space.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Mailbox, InvalidMailbox> {
        let text = on_one_line(text);
        if text.is_empty() {
            return Err(InvalidMailbox::Empty);
        }
        let (name, address) = match text.strip_suffix('>') {
            Some(rest) => rest.rsplit_once('<').ok_or(InvalidMailbox::Unclosed)?,
            None if text.contains('<') && text.contains('@') => return Err(InvalidMailbox::Unclosed),
            None => ("", text.as_str()),
        };
        let name = name.trim();
        let name = match unquoted(name) {
            Some(name) => name.trim().to_owned(),
            None if name.contains(['<', '>']) => return Err(InvalidMailbox::Several),
            None if name.contains('@') && name.contains([',', ';']) => return Err(InvalidMailbox::Several),
            None => name.to_owned(),
        };
        if address.matches('@').count() > 1 && address.contains([',', ';', ' ']) {
            return Err(InvalidMailbox::Several);
        }
        let mailbox = Mailbox { name, address: address::sendable_from(address)? };
        if mailbox.to_string().len() > MAX_MAILBOX {
            return Err(InvalidMailbox::Length);
        }
        Ok(mailbox)
    }

    /// The address alone.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What a person sees: the name, or the address if there is no name.
    pub fn shown(&self) -> &str {
        if self.name.is_empty() { &self.address } else { &self.name }
    }

    /// The mailbox as a mail program shows it: the name without quotes and encoding, then the address.
    pub fn readable(&self) -> String {
        if self.name.is_empty() { self.address.clone() } else { format!("{} <{}>", self.name, self.address) }
    }
}

/// The mailbox as a header has it (RFC 5322, 3.4). The name is a phrase, a quoted string if it has characters
/// that a phrase may not have, or encoded words (RFC 2047) if it has characters beyond ASCII.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return f.write_str(&self.address);
        }
        let name = &self.name;
        if !name.is_ascii() {
            write!(f, "{}", encoded_words(name))?;
        } else if name.split(' ').all(is_atom) {
            f.write_str(name)?;
        } else {
            write!(f, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
        write!(f, " <{}>", self.address)
    }
}

/// The shape of a text, for example `… <…@….…>`, with which an error can describe a mailbox without showing
/// the address.
pub fn mailbox_shape(text: &str) -> String {
    let mut shape = String::new();
    for character in text.chars() {
        if !character.is_alphanumeric() {
            shape.extend(character.escape_debug());
        } else if !shape.ends_with('…') {
            shape.push('…');
        }
        if shape.chars().count() >= 60 {
            shape.push_str(" and more");
            break;
        }
    }
    shape
}

/// The text with each run of white space and control characters as one space, and none around it.
fn on_one_line(text: &str) -> String {
    let is_space = |character: char| character.is_whitespace() || character.is_control();
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The content of a quoted string (RFC 5322, 3.2.4), if the whole text is one.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut said = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => said.push(characters.next()?),
            character => said.push(character),
        }
    }
    Some(said)
}

/// RFC 5322, 3.2.3. An encoded word without a dot is an atom, too.
fn is_atom(word: &str) -> bool {
    let special = |byte: u8| !byte.is_ascii_graphic() || b"()<>[]:;@\\,.\"".contains(&byte);
    let is_encoded = word.starts_with("=?") && word.ends_with("?=") && word.matches('?').count() == 4;
    !word.is_empty()
        && (is_encoded && word.bytes().all(|byte| byte.is_ascii_graphic()) || !word.bytes().any(special))
}

/// The text in encoded words that break between characters, in the shorter of the two encodings.
fn encoded_words(text: &str) -> String {
    let by_bytes = |characters: &str| {
        characters.bytes().fold(String::new(), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "={byte:02X}");
            }
            encoded
        })
    };
    let readable = words('Q', text, &by_bytes);
    let dense = words('B', text, &|characters| STANDARD.encode(characters));
    if dense.len() < readable.len() { dense } else { readable }
}

fn words(encoding: char, text: &str, encoded: &dyn Fn(&str) -> String) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let ends = rest.char_indices().skip(1).map(|(at, _)| at).chain([rest.len()]);
        let fitting = ends.take_while(|end| encoded(&rest[..*end]).len() <= MAX_ENCODED).last();
        let end = fitting.unwrap_or(rest.len());
        words.push(format!("=?UTF-8?{encoding}?{}?=", encoded(&rest[..end])));
        rest = &rest[end..];
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> Result<String, InvalidMailbox> {
        Mailbox::parse(text).map(|mailbox| mailbox.to_string())
    }

    #[test]
    fn a_name_is_written_as_the_standard_wants_it() {
        for (text, header) in [
            ("news@example.com", "news@example.com"),
            ("<news@example.com>", "news@example.com"),
            ("News <news@example.com>", "News <news@example.com>"),
            ("  News  of\tthe day\r\n<News@Example.com> ", "News of the day <News@example.com>"),
            ("Acme, Inc. <news@example.com>", "\"Acme, Inc.\" <news@example.com>"),
            ("\"News, daily\" <news@example.com>", "\"News, daily\" <news@example.com>"),
            ("\"News\" <news@example.com>", "News <news@example.com>"),
            ("Exa:mple <news@example.com>", "\"Exa:mple\" <news@example.com>"),
            ("Support (EU) <news@example.com>", "\"Support (EU)\" <news@example.com>"),
            ("A \"B\" C <news@example.com>", r#""A \"B\" C" <news@example.com>"#),
            (r#""A \"B\" C" <news@example.com>"#, r#""A \"B\" C" <news@example.com>"#),
            ("back\\slash <news@example.com>", r#""back\\slash" <news@example.com>"#),
            ("news@example.com <news@example.com>", "\"news@example.com\" <news@example.com>"),
            ("\"A <a@example.com>\" <b@example.com>", "\"A <a@example.com>\" <b@example.com>"),
            (
                "=?UTF-8?Q?Zo=C3=AB=2E?= Inc <news@example.com>",
                "=?UTF-8?Q?Zo=C3=AB=2E?= Inc <news@example.com>",
            ),
            ("Zoë & Co <news@example.com>", "=?UTF-8?B?Wm/DqyAmIENv?= <news@example.com>"),
            ("\"Zoë\" <news@bücher.example>", "=?UTF-8?Q?Zo=C3=AB?= <news@xn--bcher-kva.example>"),
            ("News of Zoë <news@example.com>", "=?UTF-8?B?TmV3cyBvZiBab8Or?= <news@example.com>"),
        ] {
            assert_eq!(written(text).as_deref(), Ok(header), "{text:?}");
        }
        let long = written(&format!("{} <a@example.com>", "é".repeat(70))).unwrap();
        assert!(long.split(' ').all(|word| word.len() <= 75) && long.len() <= MAX_MAILBOX, "{long}");
    }

    #[test]
    fn a_person_reads_a_name_without_quotes_and_encoding() {
        for (text, readable) in [
            ("\"Acme, Inc.\" <news@example.com>", "Acme, Inc. <news@example.com>"),
            ("Zoë & Co <news@example.com>", "Zoë & Co <news@example.com>"),
            ("<news@example.com>", "news@example.com"),
        ] {
            assert_eq!(Mailbox::parse(text).unwrap().readable(), readable);
        }
    }

    #[test]
    fn what_is_not_one_mailbox_is_refused() {
        use InvalidAddress::{Domain, Form, Space};
        use InvalidMailbox::{Address, Empty, Length, Several, Unclosed};
        for (text, error) in [
            ("", Empty),
            (" \r\n", Empty),
            ("nobody", Address(Form)),
            ("News <nobody>", Address(Form)),
            ("News <news@example>", Address(Domain)),
            ("News <>", Address(Form)),
            ("News news@example.com", Address(Space)),
            ("News <news@example.com", Unclosed),
            ("News <news@example.com> (daily)", Unclosed),
            ("news@example.com>", Unclosed),
            ("A <a@example.com>, B <b@example.com>", Several),
            ("a@example.com, b@example.com", Several),
            ("a@example.com; b@example.com", Several),
            ("a@example.com, B <b@example.com>", Several),
            ("B <a@example.com, b@example.com>", Several),
            ("<a@example.com> <b@example.com>", Several),
            ("a@example.com\r\nBcc: b@example.com", Several),
            (&format!("{} <a@example.com>", "n".repeat(305)), Length),
            (&format!("{} <a@example.com>", "é".repeat(200)), Length),
        ] {
            assert_eq!(written(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn an_error_shows_the_form_of_a_mailbox_and_not_the_mailbox() {
        assert_eq!(mailbox_shape("News of Zoë <news@example.com"), "… … … <…@….…");
        assert_eq!(mailbox_shape("a\nb"), "…\\n…");
        assert!(mailbox_shape(&"<a>".repeat(100)).chars().count() < 80);
    }

    proptest! {
        /// Other parsers read the result as one mailbox with the intended name.
        #[test]
        fn a_mailbox_that_is_written_is_read_again(name in "[ -~é\u{4f8b}]{0,40}", domain in "[a-zü]{1,9}") {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            let read = Mailbox::parse(&format!("\"{quoted}\" <a.b+c@{domain}.example>"));
            if let Ok(mailbox) = read {
                prop_assert_eq!(mailbox.name.split_whitespace().collect::<Vec<_>>(), name.split_whitespace().collect::<Vec<_>>());
                let header = mailbox.to_string();
                prop_assert!(header.is_ascii() && !header.contains(['\r', '\n']));
                if name.is_ascii() {
                    prop_assert_eq!(Mailbox::parse(&header), Ok(mailbox));
                }
            }
        }
    }
}
