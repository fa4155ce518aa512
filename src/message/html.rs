//! Parses an HTML part: its elements, its text, and which of both are visible in a mail program. Pure.
//!
//! A tokenizer that follows the HTML standard splits the text; the time is proportional to its length,
//! whatever its content.

mod look;
mod style;
mod walk;

use std::ops::Range;

use html5gum::emitters::default::{DefaultEmitter, StartTag};
use html5gum::{Token, Tokenizer};

pub use look::{Look, Script};
pub use style::is_decoration;
pub use walk::{Event, Open, Walk, walk};

/// A piece of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The beginning of an element, with its attributes in the order of their names; names are in lower case.
    Tag(String, Attributes),
    /// The end of an element, and where its tag stands, in bytes.
    End(String, Range<usize>),
    /// Text, also that of `style`, `script`, `title` and the like.
    Text(String),
}

/// The attributes of an element, with character references resolved, and where its tag stands, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    values: Vec<(String, String)>,
    /// Before the tag's `<`.
    pub start: usize,
    /// Behind the tag's `>`.
    pub end: usize,
}

impl Attributes {
    /// The value of an attribute; empty if it has none.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.values.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(&self.values[at].1)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Replaces the value of an attribute by its number.
    pub fn set(&mut self, number: usize, value: String) {
        self.values[number].1 = value;
    }

    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name.as_str())
    }
}

/// Elements whose content is not markup.
const RAW: [&str; 4] = ["style", "script", "title", "textarea"];

/// Returns true if the content of an element is not read as markup, so that its end tag is the only markup in
/// it.
pub fn is_raw(name: &str) -> bool {
    matches!(
        name,
        "title"
            | "textarea"
            | "plaintext"
            | "script"
            | "style"
            | "iframe"
            | "xmp"
            | "noembed"
            | "noframe"
            | "noframes"
            | "noscript"
    )
}

/// Splits a page into its pieces, with character references resolved. Comments are left out, conditional ones too,
/// which only Outlook reads.
pub fn pieces(html: &str) -> impl Iterator<Item = Piece> {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Tokenizer::new_with_emitter(html, emitter).filter_map(move |token| match token.ok()? {
        Token::StartTag(StartTag { name, attributes, span, .. }) => {
            let values = attributes.iter().map(|(name, value)| (text(name), text(&value.value)));
            let values = values.collect();
            Some(Piece::Tag(text(&name), Attributes { values, start: span.start, end: span.end }))
        }
        Token::EndTag(tag) => Some(Piece::End(text(&tag.name), tag.span.start..tag.span.end)),
        Token::String(string) => Some(Piece::Text(text(&string.value))),
        _ => None,
    })
}

/// The beginning of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its name, in lower case.
    pub name: String,
    /// Behind the name: where an attribute can be added.
    pub after_name: usize,
    /// The value of its attribute `style`, without quotes.
    pub style: Option<Range<usize>>,
}

/// The elements of a page, by where they begin, in bytes; and the contents of its `style` elements.
pub fn starts(html: &str) -> (Vec<Start>, Vec<&str>) {
    let (mut starts, mut styles) = (Vec::new(), Vec::new());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let markup = &rest[at..];
        rest = if let Some(comment) = markup.strip_prefix("<!--") {
            comment.find("-->").map_or("", |end| &comment[end + 3..])
        } else if let Some((name, attributes, after)) = tag(markup) {
            if name.starts_with('/') {
                rest = after;
                continue;
            }
            let style = attributes.iter().find(|(name, value)| name == "style" && !value.is_empty());
            starts.push(Start {
                after_name: html.len() - markup.len() + 1 + name.len(),
                style: style.map(|(_, value)| {
                    let start = value.as_ptr() as usize - html.as_ptr() as usize;
                    start..start + value.len()
                }),
                name: name.clone(),
            });
            let behind = if RAW.contains(&name.as_str()) { after_end_of(after, &name) } else { after };
            if name == "style" {
                styles.push(&after[..after.len() - behind.len()]);
            }
            behind
        } else {
            &markup[1..]
        };
    }
    (starts, styles)
}

/// Names, and values as they are written.
pub type Written<'a> = Vec<(String, &'a str)>;

/// Reads `<name attribute="value" …>` or `</name>`; the name of the latter begins with a slash. `None`: it is
/// not a tag but a lone `<`.
pub fn tag(markup: &str) -> Option<(String, Written<'_>, &str)> {
    let inner = &markup[1..];
    let slash = usize::from(inner.starts_with('/'));
    inner[slash..].chars().next().filter(char::is_ascii_alphabetic)?;
    let end = inner.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(inner.len());
    let name = inner[..end].trim_end_matches(|c: char| c == '/' && end > 1).to_ascii_lowercase();
    let mut attributes = Vec::new();
    let mut rest = &inner[end..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return Some((name, attributes, after));
        }
        if rest.is_empty() {
            return Some((name, attributes, ""));
        }
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))
            .map_or(rest.len(), |(at, _)| at);
        let attribute = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let value = match rest.strip_prefix('=') {
            Some(after) => {
                let (value, after) = attribute_value(after.trim_start());
                rest = after;
                value
            }
            None => "",
        };
        attributes.push((attribute, value));
    }
}

fn attribute_value(rest: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = rest.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(rest.len());
    rest.split_at(end)
}

/// The text after the beginning of an element of raw text.
pub fn after_end_of<'a>(rest: &'a str, name: &str) -> &'a str {
    let is_end =
        |markup: &str| markup.get(2..2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
    let Some((at, _)) = rest.match_indices("</").find(|(at, _)| is_end(&rest[*at..])) else { return "" };
    rest[at..].find('>').map_or("", |end| &rest[at + end + 1..])
}

/// The text of a page as one reads it: white space and characters without width, as preheaders are padded with,
/// are one space.
pub fn words(text: &str) -> String {
    let invisible = |c: char| {
        c.is_whitespace()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{ad}' | '\u{34f}' | '\u{feff}' | '\u{2060}')
    };
    text.split(invisible).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_split_as_a_mail_client_reads_it() {
        let html = "<!doctype html><TITLE>a <b></TITLE><!--[if mso]><a href=x><![endif]-->\
                    <A HREF='http://e.example/?a=1&amp;b' disabled id=x>1 < 2 &amp; 3</A ><br/>";
        let pieces: Vec<Piece> = pieces(html).collect();
        let [Piece::Tag(title, _), Piece::Text(text), Piece::End(..), Piece::Tag(a, attributes), rest @ ..] =
            &pieces[..]
        else {
            panic!("{pieces:?}")
        };
        assert_eq!([title, text, a], ["title", "a <b>", "a"]);
        assert_eq!(
            ["href", "disabled", "id", "x"].map(|name| attributes.get(name)),
            [Some("http://e.example/?a=1&b"), Some(""), Some("x"), None]
        );
        assert!(html[attributes.end..].starts_with("1 <"), "{}", attributes.end);
        let text: String =
            rest.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "" }).collect();
        assert_eq!(text, "1 < 2 & 3");
        let Some(Piece::End(_, at)) = rest.iter().find(|piece| matches!(piece, Piece::End(..))) else {
            panic!()
        };
        assert_eq!(&html[at.clone()], "</A >");
    }

    #[test]
    fn whatever_stands_there_is_read_to_its_end() {
        for html in [
            "<",
            "<a",
            "<a href",
            "<a href=",
            "<a href='",
            "<!--",
            "<!",
            "</",
            "<style>",
            "é<é",
            "<a =>",
            "&#xZ;",
            "&",
        ] {
            let _ = pieces(html).count();
            let _ = starts(html);
        }
    }

    #[test]
    fn words_are_what_is_read() {
        assert_eq!(words(" Hello\u{a0}\u{200c} \u{200c}\u{34f}\u{2007} you & me "), "Hello you & me");
    }
}
