//! What a mail client sees in an HTML part: its tags with their attributes, and its text. Pure.
//!
//! This is no validating parser. It follows the HTML standard where emails depend on it (quoted attributes, comments,
//! elements of raw text), and takes anything else as browsers would: as text.

/// A piece of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The beginning of an element, with its attributes; names are in lower case, values with character references
    /// resolved.
    Tag(String, Vec<(String, String)>),
    /// The end of an element.
    End(String),
    /// Text that is shown, with character references as they stand.
    Text(&'a str),
}

/// Elements whose content is no markup.
const RAW: [&str; 4] = ["style", "script", "title", "textarea"];

/// Splits a page into its pieces. Comments (conditional ones too, which only Outlook reads) and the content of
/// `style`, `script`, `title` and `textarea` are left out.
pub fn pieces(html: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = html;
    while !rest.is_empty() {
        let Some(at) = rest.find('<') else {
            pieces.push(Piece::Text(rest));
            break;
        };
        let (before, markup) = rest.split_at(at);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        rest = if let Some(comment) = markup.strip_prefix("<!--") {
            comment.find("-->").map_or("", |end| &comment[end + 3..])
        } else if markup.starts_with("<!") || markup.starts_with("<?") {
            markup.find('>').map_or("", |end| &markup[end + 1..])
        } else if let Some((name, attributes, after)) = tag(markup) {
            match name.strip_prefix('/') {
                Some(name) => pieces.push(Piece::End(name.to_owned())),
                None => {
                    let resolved = attributes.into_iter().map(|(name, value)| (name, resolve(value)));
                    pieces.push(Piece::Tag(name.clone(), resolved.collect()));
                }
            }
            if RAW.contains(&name.as_str()) { after_end_of(after, &name) } else { after }
        } else {
            pieces.push(Piece::Text(&markup[..1]));
            &markup[1..]
        };
    }
    pieces
}

/// Where an element begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its name, in lower case.
    pub name: String,
    /// Behind the name: where an attribute can be added.
    pub after_name: usize,
    /// The value of its attribute `style`, without quotes.
    pub style: Option<std::ops::Range<usize>>,
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
type Attributes<'a> = Vec<(String, &'a str)>;

/// Reads `<name attribute="value" …>` or `</name>`; the name of the latter begins with a slash. `None`: it is no
/// tag, but a lone `<`.
fn tag(markup: &str) -> Option<(String, Attributes<'_>, &str)> {
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

/// What follows the element of raw text that has just begun.
fn after_end_of<'a>(rest: &'a str, name: &str) -> &'a str {
    let lower = rest.to_ascii_lowercase();
    let Some(at) = lower.find(&format!("</{name}")) else { return "" };
    rest[at..].find('>').map_or("", |end| &rest[at + end + 1..])
}

/// Resolves the character references that occur in links and words; others stay as they are.
pub fn resolve(text: &str) -> String {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        resolved.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest[1..].find(';').filter(|end| *end <= 8).map(|end| &rest[1..=end]);
        match reference.and_then(|name| Some((name, character(name)?))) {
            Some((name, character)) => {
                resolved.push(character);
                rest = &rest[name.len() + 2..];
            }
            None => {
                resolved.push('&');
                rest = &rest[1..];
            }
        }
    }
    resolved + rest
}

fn character(name: &str) -> Option<char> {
    let named = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "zwnj" => '\u{200c}',
        "zwj" => '\u{200d}',
        "shy" => '\u{ad}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            return char::from_u32(code);
        }
    };
    Some(named)
}

/// The text of a page as one reads it: white space and characters without width, as preheaders are padded with,
/// are one space.
pub fn words(text: &str) -> String {
    let invisible = |c: char| {
        c.is_whitespace()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{ad}' | '\u{34f}' | '\u{feff}' | '\u{2060}')
    };
    resolve(text).split(invisible).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_split_as_a_mail_client_reads_it() {
        let html = "<!doctype html><TITLE>a <b></TITLE><style>p>a{}</style>\
                    <!--[if mso]><a href=x><![endif]--><A HREF='http://e.example/?a=1&amp;b' disabled id=x>1 < 2 &amp; 3</A ><br/>";
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let link = vec![
            attribute("href", "http://e.example/?a=1&b"),
            attribute("disabled", ""),
            attribute("id", "x"),
        ];
        assert_eq!(
            pieces(html),
            [
                Piece::Tag("title".into(), vec![]),
                Piece::Tag("style".into(), vec![]),
                Piece::Tag("a".into(), link),
                Piece::Text("1 "),
                Piece::Text("<"),
                Piece::Text(" 2 &amp; 3"),
                Piece::End("a".into()),
                Piece::Tag("br".into(), vec![]),
            ]
        );
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
            let _ = pieces(html);
            let _ = words(html);
        }
    }

    #[test]
    fn words_are_what_is_read() {
        assert_eq!(
            words(" Hello&nbsp;&zwnj; &zwnj;\u{34f}&#8199; you &amp; me &euro; "),
            "Hello you & me &euro;"
        );
    }
}
