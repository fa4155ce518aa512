//! The text part of an email whose campaign has none: the visible text of its HTML. Pure; the time and the
//! result are proportional to the HTML's length.

use crate::message::html::{Attributes, Event, Look, Script, walk};

/// The most levels by which a list is indented.
const MAX_INDENT: usize = 8;

/// The text of a page: separate paragraphs, lists with their marks, the cells of a row beside each other,
/// links followed by their URLs, images as their `alt` texts. Invisible content is left out.
pub fn of_html(html: &str) -> String {
    let mut page = Page::default();
    walk(html, |event| page.see(&event));
    page.into_text()
}

/// The gap between two words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    None,
    Space,
    Cell,
    Line,
    Paragraph,
}

/// An open list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum List {
    Marked,
    /// The number of the next item.
    Numbered(i64),
}

/// An open link.
#[derive(Clone)]
struct Link {
    url: String,
    /// The beginning of its text.
    from: usize,
    /// True if it has an image, so that it is visible.
    image: bool,
}

/// The state, in addition to the open elements, on which the following text depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    gap: Gap,
    /// A list's mark, which is written before the next word.
    mark: String,
    lists: Vec<List>,
    struck: bool,
    /// Nothing was written yet.
    blank: bool,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing { gap: Gap::None, mark: String::new(), lists: Vec::new(), struck: false, blank: true }
    }
}

/// The text of a page, as far as it was read.
#[derive(Clone, Default)]
pub struct Page {
    /// The text, without the gap that may follow.
    pub written: String,
    /// Its state.
    pub standing: Standing,
    link: Option<Link>,
}

impl Page {
    /// Reads on.
    pub fn see(&mut self, event: &Event<'_>) {
        match event {
            Event::Text(text, look) if look.is_seen() => self.text(text, *look),
            Event::Text(..) => {}
            Event::Start(name, attributes, look) => self.start(name, attributes, *look),
            Event::End(name, look, _) => self.end(name, *look),
        }
    }

    /// The text of the page, which ends here.
    pub fn into_text(mut self) -> String {
        self.end_link();
        if self.standing.struck {
            self.written.push('~');
        }
        self.written.push('\n');
        self.written
    }

    /// Returns true if a link is open, whose text is not complete.
    pub fn is_in_link(&self) -> bool {
        self.link.is_some()
    }

    fn put(&mut self, text: &str) {
        self.standing.blank &= text.is_empty();
        self.written.push_str(text);
    }

    fn text(&mut self, text: &str, look: Look) {
        if look.preformatted {
            return self.preformatted(text, look);
        }
        let (mut rest, mut begun) = (text, false);
        while let Some(next) = rest.chars().next() {
            if is_invisible(next) {
                rest = &rest[next.len_utf8()..];
            } else if next.is_whitespace() {
                self.standing.gap = self.standing.gap.max(Gap::Space);
                rest = &rest[next.len_utf8()..];
            } else {
                let (word, behind) = rest.split_at(end_of_word(rest));
                if begun && look.script == Script::Line {
                    // Nothing but a space can be between two words of one text.
                    if std::mem::take(&mut self.standing.gap) != Gap::None {
                        self.written.push(' ');
                    }
                    self.written.push_str(word);
                } else {
                    self.word(word, look);
                }
                (begun, rest) = (true, behind);
            }
        }
    }

    fn word(&mut self, word: &str, look: Look) {
        let mut characters = word.chars();
        if let Some(first) = characters.next() {
            self.character(first, look);
        }
        // The gap is filled, and the word looks the same to its end.
        match look.script {
            Script::Line => self.written.push_str(characters.as_str()),
            Script::Above | Script::Below => characters.for_each(|next| self.character(next, look)),
        }
    }

    fn preformatted(&mut self, text: &str, look: Look) {
        for character in text.chars() {
            match character {
                '\n' if self.standing.gap == Gap::None => self.put("\n"),
                '\n' => {}
                character => self.character(character, look),
            }
        }
    }

    fn character(&mut self, character: char, look: Look) {
        if look.struck != self.standing.struck {
            // Struck-out text has a mark at both ends.
            if self.standing.struck {
                self.put("~");
            }
            self.fill_gap();
            if look.struck {
                self.put("~");
            }
            self.standing.struck = look.struck;
        }
        self.fill_gap();
        self.standing.blank = false;
        self.written.push(match look.script {
            Script::Line => character,
            Script::Above => above(character),
            Script::Below => below(character),
        });
    }

    fn fill_gap(&mut self) {
        let gap = match std::mem::take(&mut self.standing.gap) {
            _ if self.standing.blank => "",
            Gap::None => "",
            Gap::Space => " ",
            Gap::Cell => "  ",
            Gap::Line => "\n",
            Gap::Paragraph => "\n\n",
        };
        self.put(gap);
        let mark = std::mem::take(&mut self.standing.mark);
        self.put(&mark);
        if let Some(link) = &mut self.link
            && link.from == usize::MAX
        {
            link.from = self.written.len();
        }
    }

    fn apart(&mut self, gap: Gap) {
        // A paragraph at the beginning of an item is on the line of the item's mark.
        let gap = if self.standing.mark.is_empty() { gap } else { gap.min(Gap::Line) };
        self.standing.gap = self.standing.gap.max(gap);
    }

    fn start(&mut self, name: &str, attributes: &Attributes, look: Look) {
        if !look.is_seen() {
            if let Some(gap) = gap_around(name).filter(|_| !look.hidden) {
                self.apart(gap);
            }
            return;
        }
        match name {
            "br" => {
                // Two line breaks in a row are an empty line.
                self.standing.gap = if self.standing.gap >= Gap::Line { Gap::Paragraph } else { Gap::Line };
            }
            "hr" => {
                self.apart(Gap::Line);
                "----------".chars().for_each(|c| self.character(c, look));
                self.apart(Gap::Line);
            }
            "img" => {
                if let Some(link) = &mut self.link {
                    link.image = true;
                }
                if let Some(alt) = attributes.get("alt") {
                    self.text(alt, Look { preformatted: false, ..look });
                }
            }
            "a" => {
                self.end_link();
                let url = attributes.get("href").map(str::trim).filter(|url| leads_anywhere(url));
                self.link = url.map(|url| Link { url: url.to_owned(), from: usize::MAX, image: false });
            }
            "ul" | "menu" => self.standing.lists.push(List::Marked),
            "ol" => {
                let start = attributes.get("start").and_then(|start| start.trim().parse().ok());
                self.standing.lists.push(List::Numbered(start.unwrap_or(1)));
            }
            _ => {}
        }
        self.apart(match name {
            "ul" | "ol" | "menu" if self.standing.lists.len() > 1 => Gap::Line,
            _ => gap_around(name).unwrap_or_default(),
        });
        if name == "li" {
            self.standing.mark = self.item(attributes);
        }
    }

    /// The mark of the item that begins.
    fn item(&mut self, attributes: &Attributes) -> String {
        let indent = "  ".repeat(self.standing.lists.len().saturating_sub(1).min(MAX_INDENT));
        match self.standing.lists.last_mut() {
            Some(List::Numbered(next)) => {
                let value = attributes.get("value").and_then(|value| value.trim().parse().ok());
                let number = value.unwrap_or(*next);
                *next = number.saturating_add(1);
                format!("{indent}{number}. ")
            }
            _ => format!("{indent}- "),
        }
    }

    fn end(&mut self, name: &str, look: Look) {
        if self.standing.struck && gap_around(name).is_some() {
            self.put("~");
            self.standing.struck = false;
        }
        if !look.hidden
            && let Some(gap) = gap_around(name)
        {
            self.apart(gap);
        }
        if !look.is_seen() {
            return;
        }
        match name {
            "a" => self.end_link(),
            "ul" | "ol" | "menu" => {
                self.standing.lists.pop();
            }
            "li" => self.standing.mark.clear(),
            _ => {}
        }
    }

    fn end_link(&mut self) {
        let Some(Link { url, from, image }) = self.link.take() else { return };
        let text = self.written.get(from..).unwrap_or_default().trim();
        let address = url.strip_prefix("mailto:").or_else(|| url.strip_prefix("tel:")).unwrap_or(&url);
        if text == url || text == address {
            return;
        }
        if text.is_empty() {
            if image {
                self.fill_gap();
                self.put(&url);
            }
            return;
        }
        if std::mem::take(&mut self.standing.struck) {
            self.put("~");
        }
        self.put(" (");
        self.put(&url);
        self.written.push(')');
    }
}

/// The elements that are separated from their neighbours, and how.
fn gap_around(name: &str) -> Option<Gap> {
    match name {
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "menu" | "dl" | "blockquote"
        | "pre" => Some(Gap::Paragraph),
        "td" | "th" => Some(Gap::Cell),
        "div" | "table" | "thead" | "tbody" | "tfoot" | "tr" | "caption" | "li" | "dt" | "dd" | "section"
        | "article" | "header" | "footer" | "main" | "nav" | "aside" | "address" | "figure"
        | "figcaption" | "center" | "form" | "fieldset" | "body" | "option" => Some(Gap::Line),
        _ => None,
    }
}

fn leads_anywhere(url: &str) -> bool {
    let scheme = url.get(..11).unwrap_or_default();
    !url.is_empty() && !url.starts_with('#') && !scheme.eq_ignore_ascii_case("javascript:")
}

/// Characters without width that pages use for padding and hyphenation.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{34f}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// The place of the first white space or invisible character. Most texts are ASCII.
fn end_of_word(text: &str) -> usize {
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'\t'..=b'\r' | b' ' => return at,
            0..0x80 => at += 1,
            _ => match text[at..].chars().next() {
                Some(next) if !next.is_whitespace() && !is_invisible(next) => at += next.len_utf8(),
                _ => return at,
            },
        }
    }
    at
}

fn above(character: char) -> char {
    match character {
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' | '4'..='9' => shifted(character, 0x2070),
        '+' => '⁺',
        '-' | '−' => '⁻',
        other => other,
    }
}

fn below(character: char) -> char {
    match character {
        '0'..='9' => shifted(character, 0x2080),
        '+' => '₊',
        '-' | '−' => '₋',
        other => other,
    }
}

fn shifted(digit: char, zero: u32) -> char {
    digit.to_digit(10).and_then(|value| char::from_u32(zero + value)).unwrap_or(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_email_reads_well() {
        insta::assert_snapshot!(of_html(
            "<!doctype html><html><head><title>Offer</title><style>p{}</style></head><body>\
             <div style='display:none;max-height:0'>A preheader&zwnj;&nbsp;</div>\
             <h1>Hello&nbsp;Zo&euml;</h1><p>A first<br>\n line &amp; a <b>sec</b>ond&shy;&hellip;</p>\
             <ul><li>Apples<li>Pears<ol start=3><li>Conference</li><li><p>Bosc</p></li></ol></li></ul>\
             <table><thead><tr><th>Item</th><th>Price</th></tr></thead>\
             <tr><td>Coffee, 2 m<sup>2</sup></td><td><s>20.00</s> 15.00</td></tr><tr><td>CO<sub>2</sub><td>1</table>\
             <pre>a\n  b</pre><hr><p>Write to <a href='mailto:a@example.com'>a@example.com</a> or \
             <a href='https://example.com/'><img src=x alt='our shop'></a>, <a href='https://example.com/x'></a> \
             <a href='#top'>top</a> <a href=https://example.com/y>https://example.com/y</a></p>\
             <!-- <p>no</p> --><script>no</script><template>no</template></body></html>"
        ), @r"
        Hello Zoë

        A first
        line & a second…

        - Apples
        - Pears
          3. Conference
          4. Bosc

        Item  Price
        Coffee, 2 m²  ~20.00~ 15.00
        CO₂  1

        a
          b

        ----------

        Write to a@example.com or our shop (https://example.com/), top https://example.com/y
        ");
    }

    #[test]
    fn sizes_and_visibility_that_a_child_takes_back_are_seen() {
        let html = "<td style='font-size:0px'><div style='font-size:13px'>a</div><i style='font-size:100%'>no</i></td>\
                    <p style='visibility:hidden'>no<b style='visibility:visible'>b</b></p>\
                    <p style='font-size:0.9em;max-height:none;opacity:.5'>c</p><p hidden>no</p><p style='height:0;overflow:hidden'>no";
        assert_eq!(of_html(html), "a\n\nb\n\nc\n");
    }

    /// The test counts what grows: the events of the page and the written text.
    #[test]
    fn no_page_makes_more_of_itself_than_its_length() {
        for unit in [
            "<",
            "<!--",
            "&",
            "&amp",
            "<a href=",
            "<a href='",
            "<![CDATA[",
            "<div>",
            "</p>",
            "<div></p>",
            "<li>",
            "<ol><li>x",
            "<s>x</s>",
            "<a href=https://example.com/>",
            "<style>",
            "<table><td>x",
            "<p style='",
            "x<br>",
            "<pre>\n",
            "<sup>1",
            "</div><p>x",
        ] {
            for length in [10_000, 80_000] {
                let html = unit.repeat(length / unit.len());
                let mut events = 0;
                walk(&html, |_| events += 1);
                assert!(events <= html.len() + 1, "{unit}: {events} events");
                let text = of_html(&html);
                assert!(text.len() <= html.len() * 12 + 2, "{unit}: {}", text.len());
            }
        }
    }
}
