//! The subject or a body of an email in two kinds of pieces: stretches that all recipients of the campaign share, and
//! fragments that are one recipient's own. Pure.
//!
//! A part begins and ends with a fragment, which may be empty, and fragments and stretches take turns. A single message
//! carries the pieces joined; a bulk call carries the stretches once, as SES's template, and each recipient's fragments
//! as its data.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

/// A shared text below this size, in bytes, becomes part of a fragment, because a variable of SES's template
/// would cost more.
const MIN_STRETCH: usize = 96;

/// A piece of a text that all recipients get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// It becomes part of a recipient's fragment.
    Own(&'t str),
    /// It is a stretch.
    Shared(&'t str),
}

/// Splits a text that all recipients get. A stretch has nothing that SES's template engine (Handlebars) would
/// interpret: no `{{`, and no brace or backslash beside a variable. It does not end in white space either, so
/// that a part can be trimmed in its last fragment.
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let until = rest.find("{{").unwrap_or(rest.len());
        let (plain, braces) = rest.split_at(until);
        let start = plain.len() - plain.trim_start_matches(['{', '}']).len();
        let end = plain.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '{' | '\\')).len();
        if end >= start + MIN_STRETCH {
            pieces.extend([
                Piece::Own(&plain[..start]),
                Piece::Shared(&plain[start..end]),
                Piece::Own(&plain[end..]),
            ]);
        } else {
            pieces.push(Piece::Own(plain));
        }
        let after = braces.trim_start_matches('{');
        pieces.push(Piece::Own(&braces[..braces.len() - after.len()]));
        rest = after;
    }
    pieces.retain(|piece| *piece != Piece::Own(""));
    pieces
}

/// Returns true if a text has a word of at least this number of characters: ASCII letters and digits, `-` and
/// `_`.
pub fn has_word(text: &str, length: usize) -> bool {
    text.len() >= length && words(text).any(|word| word.len() >= length)
}

/// The stretches of a part.
#[derive(Debug)]
pub struct Shared {
    stretches: Vec<String>,
    /// As [`Shared::keys`] has them.
    keys: Vec<String>,
    template_bytes: usize,
    template: String,
    /// The lengths of the words at the beginning and the end of each stretch.
    edges: Vec<(usize, usize)>,
    longest_word: usize,
}

impl Shared {
    /// The stretches between fragments that are variables of this letter and a number in SES's template.
    pub fn new(stretches: Vec<String>, letter: char) -> Shared {
        let (mut template, mut template_bytes) = (String::new(), 0);
        for number in 0..=stretches.len() {
            let variable = template.len();
            let _ = write!(template, "{{{{{{{letter}{number}}}}}}}");
            template_bytes += template.len() - variable;
            if let Some(stretch) = stretches.get(number) {
                template_bytes += stretch.len();
                let json = serde_json::to_string(stretch).expect("a string is JSON");
                template.push_str(&json[1..json.len() - 1]);
            }
        }
        let length = |word: Option<&str>| word.map_or(0, str::len);
        let edges =
            stretches.iter().map(|text| (length(words(text).next()), length(words(text).next_back())));
        let edges = edges.collect();
        let longest_word = stretches.iter().flat_map(|text| words(text)).map(str::len).max().unwrap_or(0);
        let key = |number| format!(r#",\"{letter}{number}\":\""#);
        let keys = (0..=stretches.len()).map(key).collect();
        Shared { stretches, keys, template_bytes, template, edges, longest_word }
    }

    fn first_word(&self, stretch: usize) -> &str {
        self.stretches.get(stretch).map_or("", |text| &text[..self.edges[stretch].0])
    }

    fn last_word(&self, stretch: usize) -> &str {
        let text = &self.stretches[stretch];
        &text[text.len() - self.edges[stretch].1..]
    }

    /// The stretches.
    pub fn stretches(&self) -> &[String] {
        &self.stretches
    }

    /// The variables' names, in the order of the fragments, as keys of JSON in a string of JSON: each with the comma before
    /// it, and with the colon and the quote behind it.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The size of SES's template of this part, in bytes.
    pub fn template_bytes(&self) -> usize {
        self.template_bytes
    }

    /// SES's template of this part, as the content of a JSON string.
    pub fn template(&self) -> &str {
        &self.template
    }
}

/// A part of one recipient's email.
#[derive(Clone, Debug)]
pub struct Part {
    /// `None`: there are no stretches, and the whole is one fragment.
    shared: Option<Arc<Shared>>,
    /// The fragments, one after the other.
    own: String,
    /// The end of each fragment except the last.
    ends: Vec<usize>,
}

impl Part {
    /// A part without stretches.
    pub fn whole(text: String) -> Part {
        Part { shared: None, own: text, ends: Vec::new() }
    }

    /// The fragments of a recipient, one after the other, and the end of each except the last; or one
    /// fragment, if their number is not one more than the number of stretches.
    pub fn new(shared: &Arc<Shared>, own: String, ends: Vec<usize>) -> Part {
        if shared.stretches.is_empty() || ends.len() != shared.stretches.len() {
            let stretches = shared.stretches.iter().map(String::as_str);
            return Part::whole(join(&own, &ends, stretches));
        }
        Part { shared: Some(shared.clone()), own, ends }
    }

    /// Its stretches, if it has any.
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    fn stretches(&self) -> &[String] {
        self.shared.as_ref().map_or(&[], |shared| &shared.stretches)
    }

    /// The fragment of this number, from 0.
    pub fn fragment(&self, number: usize) -> &str {
        &self.own[self.place(number)]
    }

    /// The place of a fragment in all of them, one after the other.
    pub fn place(&self, number: usize) -> Range<usize> {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends.get(number).copied().unwrap_or(self.own.len())
    }

    /// The fragments, one after the other.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// The fragments, in their order: one more than there are stretches.
    pub fn fragments(&self) -> impl Iterator<Item = &str> {
        (0..=self.ends.len()).map(|number| self.fragment(number))
    }

    /// A piece by its number: fragments have even ones, stretches odd ones.
    fn piece(&self, number: usize) -> &str {
        match number % 2 {
            0 => self.fragment(number / 2),
            _ => self.stretches().get(number / 2).map_or("", String::as_str),
        }
    }

    /// The pieces before a fragment, the nearest first.
    pub fn pieces_before(&self, fragment: usize) -> impl Iterator<Item = &str> {
        (0..fragment * 2).rev().map(|number| self.piece(number))
    }

    /// The pieces behind a fragment, the nearest first.
    pub fn pieces_behind(&self, fragment: usize) -> impl Iterator<Item = &str> {
        (fragment * 2 + 1..=self.ends.len() * 2).map(|number| self.piece(number))
    }

    /// The size of the whole, in bytes.
    pub fn len(&self) -> usize {
        self.own.len() + self.stretches().iter().map(String::len).sum::<usize>()
    }

    /// Returns true if it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of the recipient's own fragments, in bytes.
    pub fn own_bytes(&self) -> usize {
        self.own.len()
    }

    /// The whole.
    pub fn join(&self) -> String {
        join(&self.own, &self.ends, self.stretches().iter().map(String::as_str))
    }

    /// The last fragment, to be changed.
    pub fn change_last(&mut self, change: impl FnOnce(&mut String)) {
        let start = self.ends.last().copied().unwrap_or(0);
        if start == 0 {
            return change(&mut self.own);
        }
        let mut last = self.own.split_off(start);
        change(&mut last);
        self.own.push_str(&last);
    }

    /// Replaces the text of a fragment.
    pub fn replace(&mut self, number: usize, fragment: &str) {
        let old = self.fragment(number).len();
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.own.replace_range(start..start + old, fragment);
        for end in &mut self.ends[number..] {
            *end = *end - old + fragment.len();
        }
    }

    /// Returns true if the whole text has this word: ASCII letters and digits, `-` and `_`.
    pub fn contains_word(&self, word: &str) -> bool {
        let Some(shared) = &self.shared else { return self.own.contains(word) };
        if shared.longest_word >= word.len().min(MIN_STRETCH) || !word.bytes().all(is_of_word) {
            return self.join().contains(word);
        }
        // Usually no stretch has the word, none is one word, and few fragments are long enough.
        (0..=shared.stretches.len()).any(|number| {
            let before = number.checked_sub(1).map_or("", |before| shared.last_word(before));
            let fragment = self.fragment(number);
            let after = shared.first_word(number);
            match before.len() + fragment.len() + after.len() {
                length if length < word.len() => false,
                length if length == fragment.len() => fragment.contains(word),
                _ => [before, fragment, after].concat().contains(word),
            }
        })
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !u8::try_from(c).is_ok_and(is_of_word))
}

impl From<Part> for String {
    fn from(part: Part) -> String {
        if part.shared.is_none() { part.own } else { part.join() }
    }
}

fn join<'s>(own: &str, ends: &[usize], stretches: impl Iterator<Item = &'s str> + Clone) -> String {
    let size = own.len() + stretches.clone().map(str::len).sum::<usize>();
    let mut whole = String::with_capacity(size);
    let mut from = 0;
    for (end, stretch) in ends.iter().zip(stretches) {
        whole.push_str(&own[from..*end]);
        whole.push_str(stretch);
        from = *end;
    }
    whole.push_str(&own[from..]);
    whole
}
