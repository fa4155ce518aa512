//! Checks a template's size and nesting before it is compiled. Pure.
//!
//! The compiler and the renderer call themselves for each level of an expression, a block or a value. A
//! template that is nested deeply enough ends the process by a stack overflow, which cannot be caught.
//! Therefore the engine's own lexer, which is not recursive, reads the template first, and too deep nesting
//! is an error of that campaign.

use std::collections::HashMap;

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::MAX_PART_BYTES;
use super::namespace::FILTER;

/// The most consecutive operators, filters and attributes of one expression; each item of a list counts
/// separately.
const MAX_OPERATORS: usize = 100;
/// The most brackets of an expression that are open at once.
const MAX_BRACKETS: usize = 20;
/// The most blocks that are open at once; each `elif` counts as one.
const MAX_BLOCKS: usize = 100;
/// The deepest nesting of values by repeated `{% set %}` and `{% with %}`.
const MAX_VALUE_DEPTH: usize = 100;
/// Filters whose result is not nested more deeply than their input.
const FLAT: [&str; 27] = [
    "abs",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "indent",
    "int",
    "join",
    "last",
    "length",
    "lower",
    "max",
    "min",
    "replace",
    "round",
    "safe",
    "string",
    "title",
    "trim",
    "upper",
    "urlencode",
];
/// The most lines of one template: the engine counts them in 16 bits.
const MAX_LINES: usize = 60_000;

/// A template that is too deep or too long: the limit, and the line.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// The exceeded limit and its value.
    pub what: String,
    /// The line, from 1.
    pub line: usize,
}

/// Checks a template, and returns it with [`FILTER`] applied to values that are assigned to a namespace's
/// attributes.
///
/// A template that the lexer cannot read is returned unchanged: the compiler reports the error.
pub fn check(template: String) -> Result<String, TooMuch> {
    let too_much = |what: String| Err(TooMuch { what, line: 1 });
    if template.len() > MAX_PART_BYTES {
        return too_much(format!("the template has {} bytes: at most {MAX_PART_BYTES}", template.len()));
    }
    if template.bytes().filter(|byte| *byte == b'\n').count() > MAX_LINES {
        return too_much(format!("the template has more than {MAX_LINES} lines"));
    }
    let mut scan = Scan::default();
    for token in tokenize(&template, false, SyntaxConfig::default()) {
        let Ok((token, place)) = token else { break };
        scan.take(&token, place)
            .map_err(|what| TooMuch { what, line: 1 + newlines(&template[..place.start_offset as usize]) })?;
    }
    let insertions = scan.insertions;
    Ok(if insertions.is_empty() { template } else { with(&template, &insertions) })
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn with(template: &str, insertions: &[(usize, String)]) -> String {
    let mut result = String::with_capacity(template.len() + insertions.len() * 24);
    let mut from = 0;
    for (at, text) in insertions {
        result.push_str(&template[from..*at]);
        result.push_str(text);
        from = *at;
    }
    result + &template[from..]
}

/// The state of the scan: the open blocks, and the tag that is being read.
#[derive(Default)]
struct Scan {
    /// The depth that each open block adds.
    blocks: Vec<usize>,
    block_depth: usize,
    /// How deep the values of each assigned name may be nested.
    depths: HashMap<String, usize>,
    tag: Tag,
    insertions: Vec<(usize, String)>,
}

/// One tag.
#[derive(Default)]
struct Tag {
    keyword: Option<String>,
    /// Operators of the current item, for each open bracket; the first is the tag's own.
    operators: Vec<usize>,
    total: usize,
    /// Filters of the current item, for each open bracket.
    filters: Vec<usize>,
    filter_total: usize,
    /// A filter's name comes next.
    names_filter: bool,
    assigned: bool,
    /// The names that are assigned, until `=` or `in`.
    targets: Vec<String>,
    dotted: bool,
    /// The deepest value that the assigned expression names, and how much deeper the expression makes it.
    named: usize,
    added: usize,
}

impl Scan {
    fn take(&mut self, token: &Token<'_>, span: Span) -> Result<(), String> {
        match token {
            Token::TemplateData(_) => Ok(()),
            Token::VariableStart | Token::BlockStart => {
                self.tag = Tag { operators: vec![0], filters: vec![0], ..Tag::default() };
                if matches!(token, Token::VariableStart) {
                    self.tag.keyword = Some(String::new());
                }
                Ok(())
            }
            Token::VariableEnd => Ok(()),
            Token::BlockEnd => self.end_tag(span),
            Token::Ident(word) if self.tag.keyword.is_none() => {
                self.tag.keyword = Some((*word).to_owned());
                Ok(())
            }
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => self.open(),
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                self.tag.close();
                Ok(())
            }
            Token::Comma | Token::Colon => {
                if self.tag.operators.len() == 1 && self.tag.is("with") && self.tag.assigned {
                    self.assign()?;
                }
                self.tag.next_item();
                Ok(())
            }
            Token::Assign => {
                if self.tag.operators.len() == 1 && !self.tag.assigned {
                    self.tag.assigned = true;
                    self.tag.next_item();
                    if self.tag.dotted && self.tag.is("set") {
                        self.insertions.push((span.end_offset as usize, "(".to_owned()));
                    }
                }
                Ok(())
            }
            Token::Ident(word) => self.word(word),
            Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => Ok(()),
            Token::Pipe => {
                self.tag.names_filter = true;
                self.operator()
            }
            Token::Dot => {
                self.tag.dotted |= !self.tag.assigned;
                self.operator()
            }
            // All other tokens are between two operands or before one.
            _ => self.operator(),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if std::mem::take(&mut self.tag.names_filter) {
            self.tag.filter(word);
            return Ok(());
        }
        if matches!(word, "not" | "and" | "or" | "is" | "if" | "else" | "in") {
            if word == "in" && self.tag.is("for") && !self.tag.assigned {
                self.tag.assigned = true;
                self.tag.next_item();
                return Ok(());
            }
            return self.operator();
        }
        if self.tag.assigned {
            self.tag.named = self.tag.named.max(self.depths.get(word).copied().unwrap_or_default());
        } else if self.tag.is("set") || self.tag.is("with") || self.tag.is("for") {
            self.tag.targets.push(word.to_owned());
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        // The called or subscripted value is before the bracket.
        self.operator()?;
        self.tag.operators.push(0);
        self.tag.filters.push(0);
        self.tag.added();
        if self.tag.operators.len() - 1 > MAX_BRACKETS {
            return Err(format!("brackets are nested more than {MAX_BRACKETS} deep"));
        }
        Ok(())
    }

    fn operator(&mut self) -> Result<(), String> {
        let Some(count) = self.tag.operators.last_mut() else { return Ok(()) };
        *count += 1;
        self.tag.total += 1;
        if self.tag.total > MAX_OPERATORS {
            return Err(format!(
                "an expression has more than {MAX_OPERATORS} operators, filters and attributes in a row"
            ));
        }
        Ok(())
    }

    /// The assigned names get their depth.
    fn assign(&mut self) -> Result<(), String> {
        let depth = self.tag.named + self.tag.added;
        if depth > MAX_VALUE_DEPTH {
            return Err(format!("assignments nest values more than {MAX_VALUE_DEPTH} deep"));
        }
        for target in self.tag.targets.drain(..) {
            let known = self.depths.entry(target).or_default();
            *known = (*known).max(depth);
        }
        (self.tag.assigned, self.tag.named, self.tag.added) = (false, 0, 0);
        Ok(())
    }

    fn end_tag(&mut self, span: Span) -> Result<(), String> {
        let keyword = self.tag.keyword.take().unwrap_or_default();
        let block = match keyword.as_str() {
            "set" => !self.tag.assigned,
            "for" | "if" | "with" | "filter" | "autoescape" | "macro" | "call" => true,
            _ => false,
        };
        if self.tag.assigned && self.tag.dotted && keyword == "set" {
            self.insertions.push((span.start_offset as usize, format!(")|{FILTER} ")));
        }
        self.assign()?;
        if block {
            self.blocks.push(0);
            self.deeper_block()?;
        } else if keyword == "elif" {
            self.deeper_block()?;
        } else if keyword.starts_with("end") {
            self.block_depth -= self.blocks.pop().unwrap_or_default();
        }
        Ok(())
    }

    fn deeper_block(&mut self) -> Result<(), String> {
        if let Some(depth) = self.blocks.last_mut() {
            *depth += 1;
            self.block_depth += 1;
        }
        if self.block_depth > MAX_BLOCKS {
            return Err(format!("blocks are nested more than {MAX_BLOCKS} deep (each elif counts as one)"));
        }
        Ok(())
    }
}

impl Tag {
    fn is(&self, keyword: &str) -> bool {
        self.keyword.as_deref() == Some(keyword)
    }

    /// After a comma, the operators before it do not apply any more.
    fn next_item(&mut self) {
        if let Some(count) = self.operators.last_mut() {
            self.total -= std::mem::take(count);
        }
        if let Some(count) = self.filters.last_mut() {
            self.filter_total -= std::mem::take(count);
        }
    }

    /// A filter, which may put its value into a list.
    fn filter(&mut self, name: &str) {
        if !FLAT.contains(&name)
            && let Some(filters) = self.filters.last_mut()
        {
            *filters += 1;
            self.filter_total += 1;
            self.added();
        }
    }

    fn close(&mut self) {
        if self.operators.len() > 1 {
            self.next_item();
            self.operators.pop();
            self.filters.pop();
        }
    }

    fn added(&mut self) {
        if self.assigned {
            self.added = self.added.max(self.operators.len() - 1 + self.filter_total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(template: &str) -> Option<(String, usize)> {
        check(template.to_owned()).err().map(|found| (found.what, found.line))
    }

    #[test]
    fn what_real_templates_have_is_let_pass() {
        let items = "{'name': order.items[0].name|upper, 'price': -1 * (2 + x)},".repeat(2_000);
        for template in [
            format!(
                "{{% set items = [{items}] %}}{{% for a, b in items|dictsort if a %}}{{{{ a }}}}{{% endfor %}}"
            ),
            "{% if a %}b{% endif %}{% set x = x|trim|upper %}".repeat(60),
            "{% for a in b %}".repeat(30) + &"{% endfor %}".repeat(30),
            "{{ a ~ ', ' ~ b ~ c.d.e if f else (g or h) }}\n".repeat(5_000),
            format!("{{% if a == 0 %}}{}{{% else %}}{{% endif %}}", "{% elif a == 1 %}".repeat(99)),
            "{% raw %}{{{{{{ {% if %}{% endraw %}{# {{ {{ #}".repeat(500),
            "{{ 'unclosed }}".to_owned(),
        ] {
            assert_eq!(check(template.clone()), Ok(template));
        }
    }

    #[test]
    fn what_is_too_deep_is_told_with_its_line() {
        let (open, close) = ("[".repeat(21), "]".repeat(21));
        insta::assert_snapshot!(
            [
                format!("\n{{{{ 1{} }}}}", "+1".repeat(101)),
                format!("{{{{ {open}{close} }}}}"),
                "{% if a %}\n".repeat(101),
                "{% set x = [x] %}\n".repeat(101),
                "\n".repeat(60_001),
                "x".repeat(2_097_153),
            ]
            .map(|template| found(&template).map(|(what, line)| format!("{line}: {what}")).unwrap_or_default())
            .join("\n"),
            @r"
        2: an expression has more than 100 operators, filters and attributes in a row
        1: brackets are nested more than 20 deep
        101: blocks are nested more than 100 deep (each elif counts as one)
        101: assignments nest values more than 100 deep
        1: the template has more than 60000 lines
        1: the template has 2097153 bytes: at most 2097152
        ");
    }

    #[test]
    fn what_a_namespace_is_given_goes_through_the_filter() {
        assert_eq!(
            check("{% set n = namespace(a=1) %}{% set n.a = n.a + 1 -%}".to_owned()).unwrap(),
            "{% set n = namespace(a=1) %}{% set n.a =( n.a + 1 )|namespace_value -%}"
        );
    }
}
