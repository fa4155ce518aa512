//! Reads an island of a page without tokenizing it for each recipient. Pure.
//!
//! The texts of the template from which an island was rendered, in their order, are its shape. Values of the
//! recipient's data stand between them. An island of each shape is tokenized once, with a mark in the place of each
//! value, and kept as steps, into which the values of other recipients are put. A value that a tokenizer may take
//! for more than text is not: an island with such a value is tokenized.

use std::borrow::Cow;
use std::ops::Range;

use super::footer;
use super::outline::Mark;
use crate::message::html::{self, Attributes, Event, Look, Open, Piece, Walk};
use crate::message::part::Part;

/// Begins an element that is none of raw text. A tokenizer that takes it for a tag stands outside of all other tags,
/// comments and elements of raw text.
pub const PROBE: &str = "<i>";
/// The most shapes that are kept for an island.
const MAX_SHAPES: usize = 32;
/// The most texts and values of a shape.
const MAX_LENGTH: usize = 512;
/// The most texts and values of all shapes of a page, which bounds their memory.
const MAX_ELEMENTS: usize = 20_000;
/// Private-use characters, of which each is the mark of a value. The texts of a template usually have none of them.
const MARKS: Range<u32> = 0xf_0000..0xf_0400;
const _: () = assert!(MAX_LENGTH < (MARKS.end - MARKS.start) as usize);
/// The character references that the engine's escaping writes, and the characters for which they stand.
const REFERENCES: [(&str, &str); 6] =
    [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/")];

/// The fragments of an island, as they were rendered for one recipient.
#[derive(Default)]
pub struct Rendered {
    shape: Vec<Element>,
    /// Its beginning, and the place of each value, among the recipient's fragments.
    from: usize,
    values: Vec<Range<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    /// A text of the template, with its length.
    Text(usize, usize),
    Value,
    Stretch,
}

impl Rendered {
    /// Splits the fragments of an island into texts and values, and takes their marks from `marks`.
    pub fn split(&mut self, html: &Part, fragments: Range<usize>, marks: &mut &[Mark]) {
        self.shape.clear();
        self.values.clear();
        self.from = html.place(fragments.start).start;
        for number in fragments.clone() {
            if number > fragments.start {
                self.shape.push(Element::Stretch);
            }
            let fragment = html.place(number);
            let mut at = fragment.start;
            while let Some((mark, rest)) = marks.split_first()
                && mark.place.end <= fragment.end
            {
                self.value(at..mark.place.start);
                self.shape.push(Element::Text(mark.text, mark.place.len()));
                (at, *marks) = (mark.place.end, rest);
            }
            self.value(at..fragment.end);
        }
    }

    fn value(&mut self, place: Range<usize>) {
        if !place.is_empty() {
            self.shape.push(Element::Value);
            self.values.push(place);
        }
    }
}

/// An island's fragments, and the shared text around them.
#[derive(Clone, Copy)]
pub struct Around<'i> {
    /// Before the first fragment.
    pub before: &'i str,
    /// The stretches between its fragments.
    pub between: &'i [String],
    /// Behind the last fragment.
    pub behind: &'i str,
}

/// The shapes of each island that occurred.
pub struct Shapes {
    known: Vec<Vec<(Vec<Element>, Option<Shape>)>>,
    /// The number of texts and values that new shapes may have.
    left: usize,
}

impl Shapes {
    /// No shapes of this number of islands.
    pub fn new(islands: usize) -> Shapes {
        Shapes { known: (0..islands).map(|_| Vec::new()).collect(), left: MAX_ELEMENTS }
    }

    /// The shape of an island. It is learned when it occurs for the first time. `None`: such an island has to be
    /// tokenized.
    pub fn of(
        &mut self,
        island: usize,
        rendered: &Rendered,
        learn: impl FnOnce() -> Option<Shape>,
    ) -> Option<&Shape> {
        let known = &mut self.known[island];
        if let Some(at) = known.iter().position(|(known, _)| *known == rendered.shape) {
            return known[at].1.as_ref();
        }
        if known.len() == MAX_SHAPES || rendered.shape.len() > MAX_LENGTH.min(self.left) {
            return None;
        }
        self.left -= rendered.shape.len();
        known.push((rendered.shape.clone(), learn()));
        known.last()?.1.as_ref()
    }
}

/// The steps of reading an island of one shape.
pub struct Shape {
    steps: Vec<Step>,
    uses: Vec<Use>,
    footer: Option<Footer>,
}

/// A page's last island with a footer. The link is the last value.
struct Footer {
    steps: Vec<Step>,
    uses: Vec<Use>,
    /// The bytes of the island behind the footer.
    behind: usize,
}

/// The use of a value, on which the characters that it may have depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Text,
    Attribute,
    /// The value of a property in a `style`.
    Property,
}

enum Step {
    Start { name: String, attributes: Attributes, filled: Vec<(usize, Vec<Bit>)>, look: Look },
    End { name: String, look: Look, at: Option<usize> },
    Text { bits: Vec<Bit>, look: Look },
}

/// An element of a text or an attribute.
enum Bit {
    Text(String),
    Value(usize),
}

impl Shape {
    /// Reads an island at whose end these elements are open. `walk` stands at its beginning.
    pub fn of_island(
        rendered: &Rendered,
        html: &Part,
        around: Around<'_>,
        walk: Walk,
        open: &[Open],
    ) -> Option<Shape> {
        let text = marked(rendered, html, around)?;
        let (steps, uses) = steps(&text, rendered.values.len(), walk, Some(open))?;
        Some(Shape { steps, uses, footer: None })
    }

    /// Reads a page's last island. `walk` stands at its beginning.
    pub fn of_end(rendered: &Rendered, html: &Part, around: Around<'_>, walk: Walk) -> Option<Shape> {
        let text = marked(rendered, html, around)?;
        let count = rendered.values.len();
        let (own, uses) = steps(&text, count, walk.clone(), None)?;
        let body_end = own.iter().rev().find_map(|step| match step {
            Step::End { name, look, at } if name == "body" && look.is_seen() => *at,
            _ => None,
        });
        let footer = body_end.filter(|at| !has_mark(&text[*at..])).and_then(|at| {
            let (before, behind) = text.split_at(at);
            let with = [before, &footer::markup(&mark(count)), behind].concat();
            let (steps, uses) = steps(&with, count + 1, walk, None)?;
            Some(Footer { steps, uses, behind: behind.len() })
        });
        Some(Shape { steps: own, uses, footer })
    }

    /// The values of a recipient. `None`: one of them may be more than text.
    pub fn values<'v>(&self, rendered: &Rendered, html: &'v Part) -> Option<Values<'v>> {
        let values = rendered.values.iter().zip(&self.uses);
        values
            .map(|(place, used)| value(&html.own()[place.clone()], *used))
            .collect::<Option<_>>()
            .map(Values)
    }

    /// Goes through the island.
    pub fn tell(&self, values: &Values<'_>, see: impl FnMut(&Event<'_>)) {
        tell(&self.steps, &values.0, see);
    }

    /// Adds a footer with this link to a page's last island. Returns the number of bytes behind it. `None`: it may
    /// have to be elsewhere.
    pub fn add_footer<'v>(&self, values: &mut Values<'v>, url: &'v str) -> Option<usize> {
        let footer = self.footer.as_ref()?;
        values.0.push(value(url, *footer.uses.last()?)?);
        Some(footer.behind)
    }

    /// Goes through the island with the footer that was added.
    pub fn tell_with_footer(&self, values: &Values<'_>, see: impl FnMut(&Event<'_>)) {
        tell(self.footer.as_ref().map_or(&[], |footer| &footer.steps), &values.0, see);
    }
}

/// The values of a recipient, with character references resolved.
pub struct Values<'v>(Vec<Cow<'v, str>>);

fn tell(steps: &[Step], values: &[Cow<'_, str>], mut see: impl FnMut(&Event<'_>)) {
    let filled_in = |bits: &[Bit]| {
        let texts = bits.iter().map(|bit| match bit {
            Bit::Text(text) => text.as_str(),
            Bit::Value(number) => &values[*number],
        });
        texts.collect::<String>()
    };
    for step in steps {
        match step {
            Step::Start { name, attributes, filled, look } if filled.is_empty() => {
                see(&Event::Start(name, attributes, *look));
            }
            Step::Start { name, attributes, filled, look } => {
                let mut attributes = attributes.clone();
                for (number, bits) in filled {
                    attributes.set(*number, filled_in(bits));
                }
                see(&Event::Start(name, &attributes, *look));
            }
            Step::End { name, look, at } => see(&Event::End(name, *look, *at)),
            Step::Text { bits, look } => match &bits[..] {
                [Bit::Text(text)] => see(&Event::Text(text, *look)),
                [Bit::Value(number)] => see(&Event::Text(&values[*number], *look)),
                bits => see(&Event::Text(&filled_in(bits), *look)),
            },
        }
    }
}

/// A value as a tokenizer reads it. `None`: it may be more than text.
fn value(written: &str, used: Use) -> Option<Cow<'_, str>> {
    let is_special = |byte: u8| match byte {
        b'<' | b'&' | b'\r' | b'\0' => true,
        b'"' | b'\'' => used != Use::Text,
        _ => false,
    };
    let mut rest = written;
    let mut read = Cow::Borrowed("");
    while let Some(at) = rest.bytes().position(is_special) {
        let (plain, special) = rest.split_at(at);
        let (reference, character) = REFERENCES.iter().find(|(known, _)| special.starts_with(known))?;
        read.to_mut().push_str(plain);
        read.to_mut().push_str(character);
        rest = &special[reference.len()..];
    }
    match &mut read {
        Cow::Borrowed(_) => read = Cow::Borrowed(rest),
        Cow::Owned(read) => read.push_str(rest),
    }
    (used != Use::Property || !read.contains(';')).then_some(read)
}

/// The text of an island with a mark in the place of each value.
fn marked(rendered: &Rendered, html: &Part, around: Around<'_>) -> Option<String> {
    let (mut stretches, mut values) = (around.between.iter(), rendered.values.iter().enumerate());
    let mut text = around.before.to_owned();
    let mut at = rendered.from;
    for element in &rendered.shape {
        match element {
            Element::Text(_, length) => {
                text.push_str(&html.own()[at..at + length]);
                at += length;
            }
            Element::Value => {
                let (number, place) = values.next()?;
                // A value might complete a character reference or a line break.
                let name = text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '#');
                if name.ends_with('&') || text.ends_with('\r') {
                    return None;
                }
                text.push_str(&mark(number));
                at = place.end;
            }
            Element::Stretch => text.push_str(stretches.next()?),
        }
    }
    text.push_str(around.behind);
    (text.chars().filter(|c| is_mark(*c)).count() == rendered.values.len() * 2).then_some(text)
}

/// A text in the place of a value. [`bits`] finds it only where a tokenizer reads text or an attribute in quotes,
/// resolves character references, and does not interpret letters or `>`.
fn mark(number: usize) -> String {
    let character = MARKS.clone().nth(number).and_then(char::from_u32).unwrap_or_default();
    format!("a{character}> &lt;{character}")
}

fn is_mark(character: char) -> bool {
    MARKS.contains(&u32::from(character))
}

fn has_mark(text: &str) -> bool {
    text.chars().any(is_mark)
}

/// Splits a text or an attribute at its marks. `None`: a mark was not read as it is expected of a value.
fn bits(mut text: &str) -> Option<Vec<Bit>> {
    let mut bits = Vec::new();
    while let Some(at) = text.find(is_mark) {
        let (before, marked) = text.split_at(at);
        let character = marked.chars().next()?;
        let before = before.strip_suffix('a')?;
        if !before.is_empty() {
            bits.push(Bit::Text(before.to_owned()));
        }
        text = marked.strip_prefix(&format!("{character}> <{character}"))?;
        bits.push(Bit::Value(usize::try_from(u32::from(character) - MARKS.start).ok()?));
    }
    if !text.is_empty() {
        bits.push(Bit::Text(text.to_owned()));
    }
    Some(bits)
}

/// The steps of reading a text with this number of marks, and the use of each. `open`: the elements that are open at
/// its end; `None`: the page ends there.
fn steps(text: &str, marks: usize, mut walk: Walk, open: Option<&[Open]>) -> Option<(Vec<Step>, Vec<Use>)> {
    let mut reading = Steps { steps: Vec::new(), uses: vec![None; marks] };
    let probed = [text, if open.is_some() { PROBE } else { "" }].concat();
    let mut at_probe = false;
    for piece in html::pieces(&probed) {
        at_probe = matches!(&piece, Piece::Tag(_, attributes) if attributes.start == text.len());
        if at_probe {
            break;
        }
        reading.take(piece, &mut walk)?;
    }
    match open {
        Some(open) if at_probe && walk.open() == open => {}
        Some(_) => return None,
        None => walk.finish(&mut |event| reading.see(&event, &mut Vec::new(), &mut Vec::new())),
    }
    Some((reading.steps, reading.uses.into_iter().collect::<Option<_>>()?))
}

struct Steps {
    steps: Vec<Step>,
    uses: Vec<Option<Use>>,
}

impl Steps {
    fn take(&mut self, piece: Piece, walk: &mut Walk) -> Option<()> {
        let (mut of_text, mut of_tag) = (Vec::new(), Vec::new());
        match &piece {
            Piece::Text(text) => {
                of_text = bits(text)?;
                // Empty and visible values have different effects there.
                if self.note(&of_text, Use::Text)? && walk.is_in_head() {
                    return None;
                }
            }
            Piece::Tag(name, attributes) => {
                for (number, (attribute, value)) in attributes.iter().enumerate() {
                    let of_value = bits(value)?;
                    let used = if attribute == "style" { Use::Property } else { Use::Attribute };
                    if self.note(&of_value, used)? {
                        of_tag.push((number, of_value));
                    }
                    if used == Use::Property && !value.split(';').filter(|d| has_mark(d)).all(is_decoration) {
                        return None;
                    }
                }
                if has_mark(name) || attributes.names().any(has_mark) {
                    return None;
                }
            }
            Piece::End(name, _) if has_mark(name) => return None,
            Piece::End(..) => {}
        }
        walk.take(piece, &mut |event| self.see(&event, &mut of_text, &mut of_tag));
        Some(())
    }

    /// Notes the use of the values among these elements, each of which has one. Returns true if there are any.
    fn note(&mut self, bits: &[Bit], used: Use) -> Option<bool> {
        let mut found = false;
        for bit in bits {
            if let Bit::Value(number) = bit {
                found = true;
                if self.uses.get_mut(*number)?.replace(used).is_some() {
                    return None;
                }
            }
        }
        Some(found)
    }

    fn see(&mut self, event: &Event<'_>, of_text: &mut Vec<Bit>, of_tag: &mut Vec<(usize, Vec<Bit>)>) {
        match event {
            Event::Text(_, look) if look.is_seen() => {
                self.steps.push(Step::Text { bits: std::mem::take(of_text), look: *look });
            }
            Event::Text(..) => {}
            Event::Start(name, attributes, look) => {
                let (name, attributes) = ((*name).to_owned(), (*attributes).clone());
                let filled = std::mem::take(of_tag);
                self.steps.push(Step::Start { name, attributes, filled, look: *look });
            }
            Event::End(name, look, at) => {
                self.steps.push(Step::End { name: (*name).to_owned(), look: *look, at: *at });
            }
        }
    }
}

/// Returns true if the look of an element does not depend on the value of this declaration.
fn is_decoration(declaration: &str) -> bool {
    let property = declaration.split_once(':').map(|(property, _)| property);
    property.is_some_and(|property| !has_mark(property) && html::is_decoration(property))
}
