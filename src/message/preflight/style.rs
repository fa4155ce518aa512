//! Finds rules in `<style>` elements that are not written into the `style` attributes of the elements that
//! they apply to.

use std::collections::HashSet;

use crate::message::html::Attributes;

/// The style sheets of a page, and its elements that have no `style`.
#[derive(Default)]
pub struct Styles {
    selectors: Vec<String>,
    bare: Vec<Element>,
    /// The names, `.classes` and `#ids` of all elements.
    known: HashSet<String>,
}

struct Element {
    name: String,
    id: String,
    classes: Vec<String>,
}

/// The most elements that are looked at. Later ones are like the first ones.
const MAX_ELEMENTS: usize = 2000;
/// The most selectors that are looked at.
const MAX_SELECTORS: usize = 500;

impl Styles {
    /// Adds the text of a `<style>` element.
    pub fn add_sheet(&mut self, css: &str) {
        self.selectors.extend(selectors(css));
        self.selectors.truncate(MAX_SELECTORS);
    }

    /// Adds an element, if it has no `style` attribute.
    pub fn add_element(&mut self, name: &str, attributes: &Attributes) {
        if self.known.len() < MAX_ELEMENTS {
            let classes = attributes.get("class").unwrap_or_default().split_whitespace();
            self.known.extend(classes.map(|class| format!(".{class}")));
            self.known.extend(attributes.get("id").map(|id| format!("#{id}")));
            self.known.insert(name.to_owned());
        }
        let has_look =
            !matches!(name, "html" | "head" | "title" | "meta" | "style" | "script" | "link" | "base");
        if has_look && attributes.get("style").is_none() && self.bare.len() < MAX_ELEMENTS {
            let classes = attributes.get("class").unwrap_or_default();
            self.bare.push(Element {
                name: name.to_owned(),
                id: attributes.get("id").unwrap_or_default().to_owned(),
                classes: classes.split_whitespace().map(str::to_owned).collect(),
            });
        }
    }

    /// The first rule that applies to an element without a `style` attribute.
    pub fn not_inlined(&self) -> Option<&str> {
        let is_for_one = |selector: &&String| {
            self.has_all_of(selector) && self.bare.iter().any(|element| element.is_meant_by(selector))
        };
        self.selectors.iter().find(is_for_one).map(String::as_str)
    }

    /// Returns true if the page has each name, class and id of a selector. Rules for one mail program name what it puts
    /// around the email, for example `#outlook a` and `.ExternalClass td`.
    fn has_all_of(&self, selector: &str) -> bool {
        let compounds = selector.split([' ', '>', '+', '~']);
        compounds
            .flat_map(parts)
            .all(|part| self.known.contains(&part.to_ascii_lowercase()) || self.known.contains(part))
    }
}

impl Element {
    /// Compares the last part of the selector with the element's name, classes and id; the parts before it
    /// count as matching.
    fn is_meant_by(&self, selector: &str) -> bool {
        let last = selector.rsplit([' ', '>', '+', '~']).next().unwrap_or_default();
        let fits = |part: &str| match part.split_at(1) {
            (".", class) => self.classes.iter().any(|own| own == class),
            ("#", id) => self.id == id,
            _ => part.eq_ignore_ascii_case(&self.name),
        };
        !last.is_empty() && parts(last).all(fits)
    }
}

/// The name, `.classes` and `#ids` of a selector for one element.
fn parts(compound: &str) -> impl Iterator<Item = &str> {
    let mut rest = compound;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.len_utf8();
        let end = rest[first..].find(['.', '#']).map_or(rest.len(), |at| at + first);
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

/// The selectors of the rules that can be inlined: those of no `@media`, without pseudo-classes, attributes and `*`.
fn selectors(css: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = without_comments(css);
    while let Some(open) = rest.find('{') {
        let head = rest[..open].rsplit([';', '}']).next().unwrap_or_default().trim().to_owned();
        let Some(length) = block(&rest[open..]) else { break };
        if !head.starts_with('@') {
            let plain = head.split(',').map(str::trim).filter(|selector| {
                let is_plain = |c: char| {
                    c.is_alphanumeric() || matches!(c, '.' | '#' | '-' | '_' | ' ' | '>' | '+' | '~')
                };
                !selector.is_empty() && selector.is_ascii() && selector.chars().all(is_plain)
            });
            found.extend(plain.map(str::to_owned));
        }
        rest = rest[open + length..].to_owned();
    }
    found
}

/// The length of a block in braces, with the blocks in it.
fn block(css: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, character) in css.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

fn without_comments(css: &str) -> String {
    let mut parts = css.split("/*");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(part.split_once("*/").map_or("", |(_, after)| after));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_can_be_inlined_are_told_from_those_that_cannot() {
        let css = "@import 'x'; /* p{} */ h1, h2.big { a: b } a:hover{c:d} @media (max-width: 9px) { p { e: f } } * {g:h} \
                   td > .x#y { i: j } [lang=en]{} p";
        assert_eq!(selectors(css), ["h1", "h2.big", "td > .x#y"]);
    }

    #[test]
    fn a_rule_is_for_an_element_by_its_last_part() {
        let element = Element { name: "td".into(), id: "y".into(), classes: vec!["x".into(), "z".into()] };
        for selector in ["td", "TD", ".x", "table td.x", "tr>td.z.x", "#y"] {
            assert!(element.is_meant_by(selector), "{selector}");
        }
        for selector in ["tr", ".a", "td .a", "td.x.a", "#z", ""] {
            assert!(!element.is_meant_by(selector), "{selector}");
        }
    }
}
