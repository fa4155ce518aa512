//! What of a template every recipient gets, whatever its data: the text outside of expressions, conditions and loops.
//! Pure.
//!
//! The engine hands such a text to the output as one write of a slice of the template's source. Where a write has the
//! place and the length of the text that comes next, it is that text, and nothing of it is copied; whatever else is
//! written is the recipient's own.

use std::io;
use std::sync::Arc;

use minijinja::machinery::{ast, parse};
use minijinja::syntax::SyntaxConfig;

use super::untracked::is_open_link;
use crate::message::part::{Part, Piece, Shared, pieces};

/// The variable that holds the link to unsubscribe.
const LINK: &str = "unsubscribe_url";

/// A template, taken apart.
#[derive(Debug)]
pub struct Outline {
    literals: Vec<Literal>,
    shared: Arc<Shared>,
    fragments: Vec<Vec<Bit>>,
}

/// A text of the template outside of all tags.
#[derive(Debug)]
struct Literal {
    /// Where it is in memory, and its length.
    place: (usize, usize),
    /// What is written where it stands.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// Text that goes into the fragment.
    Own(String),
    /// The fragment ends, and a stretch follows.
    Stretch,
}

/// What a fragment consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bit {
    /// Text that all recipients get.
    Text(String),
    /// What depends on the recipient.
    Dynamic,
}

/// How a template is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTML, to which a footer may be added and in whose links the one to unsubscribe is marked: what may be changed by
    /// that is no stretch.
    Html,
    /// Text, to whose end a footer may be added.
    Text,
}

impl Outline {
    /// Takes a template apart that compiles. `source` is the engine's own copy of it.
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
        Outline { literals, shared: Arc::new(Shared::new(stretches, letter)), fragments }
    }

    /// A template of which nothing is shared.
    pub fn of_whole() -> Outline {
        let shared = Arc::new(Shared::new(Vec::new(), 's'));
        Outline { literals: Vec::new(), shared, fragments: Vec::new() }
    }

    /// What each fragment consists of.
    pub fn fragments(&self) -> &[Vec<Bit>] {
        &self.fragments
    }

    /// An output for one recipient, of `most` bytes together with what all get.
    pub fn output(&self, most: usize) -> Output<'_> {
        Output { outline: self, next: 0, own: Vec::new(), ends: Vec::new(), length: 0, most }
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
            // Nothing is written of an empty text.
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

/// What of the source stands between the literals, and whether something silent is in it.
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

/// Where a slice of the source stands in it.
fn offset(source: &str, slice: &str) -> usize {
    (slice.as_ptr() as usize).saturating_sub(source.as_ptr() as usize)
}

/// Where the part may begin that a footer is put into: the last `</body`, or else `</html`, or the end.
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
    /// Text from here on is no stretch.
    limit: usize,
    /// A variable or a macro of the template's own may hold the link.
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

    /// How far stretches may go in a literal.
    fn end_of_stretches(&self, text: &str) -> usize {
        let from = offset(self.source, text);
        let end = self.limit.saturating_sub(from).min(text.len());
        let behind = self.source.get(from + text.len()..).unwrap_or_default();
        let of_tag = behind.split('<').next().unwrap_or_default();
        let has_link = self.kind == Kind::Html && (self.link_renamed || of_tag.contains(LINK));
        match text.rfind('<') {
            // The link to unsubscribe gets an attribute in its tag, so the tag belongs to the fragment.
            Some(tag) if has_link && is_open_link(&text[tag..]) => end.min(tag),
            _ => end,
        }
    }
}

/// What one recipient's rendering is written to.
pub struct Output<'o> {
    outline: &'o Outline,
    /// The literal that comes next.
    next: usize,
    own: Vec<u8>,
    ends: Vec<usize>,
    /// Bytes so far, with those of literals.
    length: usize,
    most: usize,
}

impl Output<'_> {
    /// What was written. Where a literal did not come, it shares nothing.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn into_part(self) -> Result<Part, std::string::FromUtf8Error> {
        Ok(Part::new(&self.outline.shared, String::from_utf8(self.own)?, self.ends))
    }
}

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len();
        if self.length > self.most {
            return Err(io::Error::other("too large"));
        }
        match self.outline.literals.get(self.next) {
            Some(literal) if literal.place == (bytes.as_ptr() as usize, bytes.len()) => {
                self.next += 1;
                for step in &literal.steps {
                    match step {
                        Step::Own(text) => self.own.extend_from_slice(text.as_bytes()),
                        Step::Stretch => self.ends.push(self.own.len()),
                    }
                }
            }
            _ => self.own.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
