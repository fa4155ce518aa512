//! The parts of a template that every recipient gets, whatever its data: the text outside of expressions,
//! conditions and loops. Pure.
//!
//! The engine writes such a text to the output as one slice of the template's source. If a write has the
//! place and the length of the next such text, it is that text, and nothing is copied; everything else that
//! is written is the recipient's own.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use minijinja::machinery::{ast, parse};
use minijinja::syntax::SyntaxConfig;

use super::untracked::is_open_link;
use crate::message::part::{Part, Piece, Shared, pieces};

/// The variable with the unsubscribe link.
const LINK: &str = "unsubscribe_url";

/// A template, split into its texts.
#[derive(Debug)]
pub struct Outline {
    literals: Vec<Literal>,
    shared: Arc<Shared>,
    fragments: Vec<Vec<Bit>>,
    /// The template's place in memory, if texts within fragments are marked.
    source: Range<usize>,
    /// The size of the last recipient's fragments and the number of its marks. The next one's will be similar.
    last: Cell<(usize, usize)>,
}

/// A text of the template within a recipient's own fragments. The rest of them comes from its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its place in the fragments, in bytes.
    pub place: Range<usize>,
    /// The same number means the same text.
    pub text: usize,
}

/// The most marks of one rendering. Text beyond it is taken for data.
const MAX_MARKS: usize = 4096;

/// A text of the template outside of all tags.
#[derive(Debug)]
struct Literal {
    /// Its place in memory, and its length.
    place: (usize, usize),
    /// The text that is written in its place.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// Text that becomes part of the fragment.
    Own(String),
    /// The fragment ends, and a stretch follows.
    Stretch,
}

/// An element of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bit {
    /// Text that all recipients get.
    Text(String),
    /// A part that depends on the recipient.
    Dynamic,
}

/// The kind of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTML. A footer may be added, and the unsubscribe link gets an attribute, so text that these may change
    /// is not a stretch.
    Html,
    /// Text. A footer may be added to its end.
    Text,
}

impl Outline {
    /// Splits a template that compiles. `source` is the engine's own copy of it.
    pub fn new(source: &str, kind: Kind) -> Outline {
        let mut nodes = Vec::new();
        if let Ok(ast::Stmt::Template(template)) = parse(source, "", SyntaxConfig::default()) {
            collect(&template.children, &mut nodes);
        }
        let mut building = Building {
            source,
            kind,
            limit: footer_at(source, kind),
            link_renamed: gaps(source, &nodes).any(|(silent, text)| silent && text.contains(LINK)),
            literals: Vec::new(),
            stretches: Vec::new(),
            fragments: vec![Vec::new()],
        };
        for node in nodes {
            match node {
                Node::Literal(text) => building.literal(text),
                Node::Silent => {}
                Node::Dynamic => building.bit(Bit::Dynamic),
            }
        }
        let Building { literals, stretches, fragments, .. } = building;
        let letter = if kind == Kind::Html { 'h' } else { 't' };
        let from = source.as_ptr() as usize;
        let source = if kind == Kind::Html { from..from + source.len() } else { 0..0 };
        Outline {
            literals,
            shared: Arc::new(Shared::new(stretches, letter)),
            fragments,
            source,
            last: Cell::default(),
        }
    }

    /// A template without shared text.
    pub fn of_whole() -> Outline {
        let shared = Arc::new(Shared::new(Vec::new(), 's'));
        Outline { literals: Vec::new(), shared, fragments: Vec::new(), source: 0..0, last: Cell::default() }
    }

    /// The elements of each fragment.
    pub fn fragments(&self) -> &[Vec<Bit>] {
        &self.fragments
    }

    /// An output for one recipient, of at most `most` bytes including shared text.
    pub fn output(&self, most: usize) -> Output<'_> {
        let (own, marks) = self.last.get();
        Output {
            outline: self,
            next: 0,
            own: Vec::with_capacity(own + own / 8),
            ends: Vec::with_capacity(self.shared.stretches().len()),
            marks: Vec::with_capacity(marks),
            length: 0,
            most,
        }
    }
}

enum Node<'s> {
    Literal(&'s str),
    /// Writes nothing.
    Silent,
    Dynamic,
}

/// The statements outside of conditions and loops, in their order.
fn collect<'s>(statements: &[ast::Stmt<'s>], nodes: &mut Vec<Node<'s>>) {
    for statement in statements {
        match statement {
            // The engine does not write an empty text.
            ast::Stmt::EmitRaw(literal) if literal.raw.is_empty() => {}
            ast::Stmt::EmitRaw(literal) => nodes.push(Node::Literal(literal.raw)),
            ast::Stmt::WithBlock(block) => {
                nodes.push(Node::Silent);
                collect(&block.body, nodes);
            }
            ast::Stmt::AutoEscape(block) => collect(&block.body, nodes),
            ast::Stmt::Set(_) | ast::Stmt::SetBlock(_) | ast::Stmt::Macro(_) => nodes.push(Node::Silent),
            _ => nodes.push(Node::Dynamic),
        }
    }
}

/// The source between the literals, and true if it has something that writes nothing.
fn gaps<'s>(source: &'s str, nodes: &[Node<'s>]) -> impl Iterator<Item = (bool, &'s str)> {
    let between = nodes.split(|node| matches!(node, Node::Literal(_)));
    let literals =
        nodes.iter().filter_map(|node| if let Node::Literal(text) = node { Some(*text) } else { None });
    let starts = literals.clone().map(|text| offset(source, text)).chain([source.len()]);
    let ends = [0].into_iter().chain(literals.map(|text| offset(source, text) + text.len()));
    between.zip(ends.zip(starts)).map(|(nodes, (from, to))| {
        (nodes.iter().any(|node| matches!(node, Node::Silent)), source.get(from..to).unwrap_or_default())
    })
}

/// The place of a slice in the source.
fn offset(source: &str, slice: &str) -> usize {
    (slice.as_ptr() as usize).saturating_sub(source.as_ptr() as usize)
}

/// The earliest place for a footer: the last `</body`, or else `</html`, or the end.
fn footer_at(source: &str, kind: Kind) -> usize {
    let last = |tag: &str| {
        let found = |at: &usize| source.as_bytes()[*at..].get(..tag.len());
        let mut places = source.rmatch_indices("</").map(|(at, _)| at);
        places.find(|at| found(at).is_some_and(|found| found.eq_ignore_ascii_case(tag.as_bytes())))
    };
    match kind {
        Kind::Html => last("</body").or_else(|| last("</html")).unwrap_or(source.len()),
        Kind::Text => source.len(),
    }
}

struct Building<'s> {
    source: &'s str,
    kind: Kind,
    /// Text from here on is not a stretch.
    limit: usize,
    /// A variable or a macro of the template may have the link.
    link_renamed: bool,
    literals: Vec<Literal>,
    stretches: Vec<String>,
    fragments: Vec<Vec<Bit>>,
}

impl Building<'_> {
    fn literal(&mut self, text: &str) {
        let mut steps = Vec::new();
        let (shareable, own) = text.split_at(self.end_of_stretches(text));
        for piece in pieces(shareable).into_iter().chain([Piece::Own(own)]) {
            match piece {
                Piece::Own("") => {}
                Piece::Own(text) => {
                    steps.push(Step::Own(text.to_owned()));
                    self.bit(Bit::Text(text.to_owned()));
                }
                Piece::Shared(text) => {
                    steps.push(Step::Stretch);
                    self.stretches.push(text.to_owned());
                    self.fragments.push(Vec::new());
                }
            }
        }
        let place = (text.as_ptr() as usize, text.len());
        self.literals.push(Literal { place, steps });
    }

    fn bit(&mut self, bit: Bit) {
        if let Some(fragment) = self.fragments.last_mut() {
            fragment.push(bit);
        }
    }

    /// The end of stretches in a literal.
    fn end_of_stretches(&self, text: &str) -> usize {
        let from = offset(self.source, text);
        let end = self.limit.saturating_sub(from).min(text.len());
        let behind = self.source.get(from + text.len()..).unwrap_or_default();
        let of_tag = behind.split('<').next().unwrap_or_default();
        let has_link = self.kind == Kind::Html && (self.link_renamed || of_tag.contains(LINK));
        match text.rfind('<') {
            // The unsubscribe link gets an attribute in its tag, so the tag belongs to the fragment.
            Some(tag) if has_link && is_open_link(&text[tag..]) => end.min(tag),
            _ => end,
        }
    }
}

/// The output of one recipient's rendering.
pub struct Output<'o> {
    outline: &'o Outline,
    /// The next literal.
    next: usize,
    own: Vec<u8>,
    ends: Vec<usize>,
    marks: Vec<Mark>,
    /// The bytes so far, including literals.
    length: usize,
    most: usize,
}

impl Output<'_> {
    /// The written part, and its marks in their order. If a literal is missing, it has no stretches.
    ///
    /// # Errors
    /// Fails if it is not UTF-8.
    pub fn into_part(self) -> Result<(Part, Vec<Mark>), std::string::FromUtf8Error> {
        self.outline.last.set((self.own.len(), self.marks.len()));
        let part = Part::new(&self.outline.shared, String::from_utf8(self.own)?, self.ends);
        Ok((part, self.marks))
    }

    /// Adds a text of the template to the fragment.
    fn mark(&mut self, text: &[u8]) {
        let from = self.own.len();
        self.own.extend_from_slice(text);
        if !self.outline.source.is_empty() && !text.is_empty() && self.marks.len() < MAX_MARKS {
            self.marks.push(Mark { place: from..self.own.len(), text: text.as_ptr() as usize });
        }
    }
}

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len();
        if self.length > self.most {
            return Err(io::Error::other("too large"));
        }
        let outline = self.outline;
        match outline.literals.get(self.next) {
            Some(literal) if literal.place == (bytes.as_ptr() as usize, bytes.len()) => {
                self.next += 1;
                for step in &literal.steps {
                    match step {
                        Step::Own(text) => self.mark(text.as_bytes()),
                        Step::Stretch => self.ends.push(self.own.len()),
                    }
                }
            }
            // A text within a condition or a loop.
            _ if outline.source.contains(&(bytes.as_ptr() as usize)) => self.mark(bytes),
            _ => self.own.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
