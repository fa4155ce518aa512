//! Walks through a page, element by element, with its visibility. Pure.

use std::collections::HashMap;
use std::rc::Rc;

use super::look::{Look, Script};
use super::{Attributes, Piece, pieces, style};

/// The next step in a page. Each start of an element with content is followed by its end.
pub enum Event<'a> {
    /// An element begins; an element without content does not end.
    Start(&'a str, &'a Attributes, Look),
    /// An element ends; the place of its end tag, in bytes, where it has one.
    End(&'a str, Look, Option<usize>),
    /// Text.
    Text(&'a str, Look),
}

/// An element that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    name: Rc<str>,
    look: Look,
}

/// Elements whose content no mail program shows.
const UNSEEN: [&str; 12] = [
    "head", "title", "style", "script", "template", "noscript", "iframe", "noembed", "noframes", "object",
    "textarea", "datalist",
];
/// Elements that a `head` may have; anything else ends it.
const OF_HEAD: [&str; 8] = ["title", "meta", "link", "style", "script", "base", "noscript", "template"];
/// Elements that end where another of their kind begins beside them.
const SELF_ENDING: [&str; 9] = ["p", "li", "td", "th", "tr", "dt", "dd", "option", "a"];

/// Goes through a page.
pub fn walk(html: &str, mut see: impl FnMut(Event<'_>)) {
    let mut walk = Walk::default();
    for piece in pieces(html) {
        walk.take(piece, &mut see);
    }
    walk.finish(&mut see);
}

/// A way through a page, piece by piece.
#[derive(Clone, Default)]
pub struct Walk {
    open: Vec<Open>,
    /// The number of open elements by name.
    counts: HashMap<Rc<str>, usize>,
    /// The number of elements that have been open since [`Walk::go_to`].
    untouched: usize,
}

impl Walk {
    /// The next piece of the page.
    pub fn take(&mut self, piece: Piece, see: &mut impl FnMut(Event<'_>)) {
        match piece {
            Piece::Text(text) => {
                if !text.trim().is_empty() {
                    self.end_head(see);
                }
                see(Event::Text(&text, self.look()));
            }
            Piece::End(name, at) => self.end(&name, at.start, see),
            Piece::Tag(name, attributes) => self.start(&name, &attributes, see),
        }
    }

    /// The end of the page: what is open ends.
    pub fn finish(&mut self, see: &mut impl FnMut(Event<'_>)) {
        while self.close(None, see) {}
    }

    /// The elements that are open.
    pub fn open(&self) -> &[Open] {
        &self.open
    }

    /// Returns true if exactly these elements are open; the first `same` of them were open when
    /// [`Walk::go_to`] was called.
    pub fn stands_at(&self, open: &[Open], same: usize) -> bool {
        let same = same.min(self.untouched);
        self.open.len() == open.len() && self.open[same..] == open[same..]
    }

    /// Continues at a place where these elements are open; the first `same` of them are open here too.
    pub fn go_to(&mut self, open: &[Open], same: usize) {
        for left in self.open.drain(same..) {
            if let Some(count) = self.counts.get_mut(&left.name) {
                *count -= 1;
            }
        }
        for entered in &open[same..] {
            *self.counts.entry(entered.name.clone()).or_default() += 1;
            self.open.push(entered.clone());
        }
        self.untouched = self.open.len();
    }

    fn look(&self) -> Look {
        self.open.last().map(|open| open.look).unwrap_or_default()
    }

    /// Returns true if visible content would end the page's head.
    pub fn is_in_head(&self) -> bool {
        self.is_last("head")
    }

    fn is_last(&self, name: &str) -> bool {
        self.open.last().is_some_and(|open| &*open.name == name)
    }

    fn end_head(&mut self, see: &mut impl FnMut(Event<'_>)) {
        if self.is_in_head() {
            self.close(None, see);
        }
    }

    fn start(&mut self, name: &str, attributes: &Attributes, see: &mut impl FnMut(Event<'_>)) {
        if !OF_HEAD.contains(&name) {
            self.end_head(see);
        }
        if SELF_ENDING.contains(&name) && self.is_last(name)
            || matches!(name, "td" | "th") && (self.is_last("td") || self.is_last("th"))
        {
            self.close(None, see);
        }
        let mut look = self.look();
        look.hidden |= UNSEEN.contains(&name) || attributes.get("hidden").is_some();
        match name {
            "pre" => look.preformatted = true,
            "s" | "del" | "strike" => look.struck = true,
            "sup" => look.script = Script::Above,
            "sub" => look.script = Script::Below,
            _ => {}
        }
        if let Some(style) = attributes.get("style") {
            style::apply(style, &mut look);
        }
        see(Event::Start(name, attributes, look));
        if !is_void(name) {
            let name = Rc::<str>::from(name);
            *self.counts.entry(name.clone()).or_default() += 1;
            self.open.push(Open { name, look });
        }
    }

    fn end(&mut self, name: &str, at: usize, see: &mut impl FnMut(Event<'_>)) {
        match name {
            // A browser puts the following content where it would be without them.
            "body" | "html" => see(Event::End(name, self.look(), Some(at))),
            _ if self.counts.get(name).is_some_and(|count| *count > 0) => {
                while !self.is_last(name) {
                    self.close(None, see);
                }
                self.close(Some(at), see);
            }
            _ => {}
        }
    }

    fn close(&mut self, at: Option<usize>, see: &mut impl FnMut(Event<'_>)) -> bool {
        let Some(Open { name, look }) = self.open.pop() else { return false };
        self.untouched = self.untouched.min(self.open.len());
        if let Some(count) = self.counts.get_mut(&name) {
            *count -= 1;
        }
        see(Event::End(&name, look, at));
        true
    }
}

fn is_void(name: &str) -> bool {
    matches!(
        name,
        "img"
            | "br"
            | "hr"
            | "input"
            | "meta"
            | "link"
            | "col"
            | "area"
            | "base"
            | "source"
            | "wbr"
            | "embed"
            | "track"
    )
}
