//! `{#` in minified CSS does not open a comment: `@media print{#footer{…}}`. Pure.

use std::borrow::Cow;

/// A comment that its author most likely did not intend.
#[derive(Debug, PartialEq, Eq)]
pub struct Doubtful {
    /// What is wrong, and how to write it.
    pub what: &'static str,
    /// The line, from 1.
    pub line: usize,
}

const UNCLOSED: &str = "{# opens a comment, and no #} closes it: write { # (with a space), or {{ '{#' }}";
const SWALLOWS: &str = "{# opens a comment that ends at a distant #}: write { # (with a space) or {{ '{#' }} where none \
                        is meant, and {# (with a space after it) where one is";

/// The template with `{#` written as an expression where it is CSS or script: in a `style` or `script`
/// element, before a name, if the braces after it show that it is not a comment.
///
/// # Errors
/// Fails if a comment does not end, or contains another one or half of a pair of braces: its text would
/// disappear.
pub fn admit(template: &str) -> Result<Cow<'_, str>, Doubtful> {
    let mut result = String::new();
    let (mut copied, mut at, mut raw) = (0, 0, false);
    // The place of the next `#}`, which is searched once.
    let mut end_known = 0;
    while let Some(found) = template[at..].find(['{', '<']) {
        at += found;
        let rest = &template[at..];
        if rest.starts_with('<') {
            raw = after_tag(rest).unwrap_or(raw);
            at += 1;
        } else if rest.starts_with("{{") {
            at += tag_length(rest, "}}");
        } else if rest.starts_with("{%") {
            at += raw_block(rest).unwrap_or_else(|| tag_length(rest, "%}"));
        } else if let Some(behind) = rest.strip_prefix("{#") {
            if end_known < at + 2 {
                end_known = template[at + 2..].find("#}").map_or(usize::MAX, |end| at + 2 + end);
            }
            let content = template.get(at + 2..end_known);
            let named = behind.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '\\'));
            match (content, named) {
                (Some(content), _) if is_comment(content, named) => at = end_known + 2,
                (_, true) if raw => {
                    result.push_str(&template[copied..at]);
                    result.push_str("{{ '{#' }}");
                    (at, copied) = (at + 2, at + 2);
                }
                (content, _) => {
                    let line = 1 + template[..at].bytes().filter(|byte| *byte == b'\n').count();
                    return Err(Doubtful { what: content.map_or(UNCLOSED, |_| SWALLOWS), line });
                }
            }
        } else {
            at += 1;
        }
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(template));
    }
    Ok(Cow::Owned(result + &template[copied..]))
}

/// Decides by the text: a comment does not contain the beginning of another one, and if it begins like a
/// selector, its braces are balanced.
fn is_comment(content: &str, named: bool) -> bool {
    let mut open = 0_usize;
    let mut before = ' ';
    for character in content.chars() {
        match character {
            '#' if before == '{' => return false,
            '{' => open += 1,
            '}' if open == 0 && named => return false,
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        before = character;
    }
    open == 0 || !named
}

/// Returns whether this tag begins or ends an element of raw text; `None`: neither.
fn after_tag(rest: &str) -> Option<bool> {
    let is = |tag: &str| rest.get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag));
    match () {
        () if is("<style") || is("<script") => Some(true),
        () if is("</style") || is("</script") => Some(false),
        () => None,
    }
}

/// The length of a tag; strings in it may contain the characters of its end.
fn tag_length(rest: &str, end: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if byte == b'\\' => escaped = true,
            Some(open) if open == byte => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None if rest.as_bytes()[at..].starts_with(end.as_bytes()) => return at + 2,
            None => {}
        }
    }
    rest.len()
}

/// The length of `{% raw %} … {% endraw %}`.
fn raw_block(rest: &str) -> Option<usize> {
    let word = rest[2..].trim_start_matches(['-', '+']).trim_start().strip_prefix("raw")?;
    word.trim_start().trim_start_matches(['-', '+']).strip_prefix("%}")?;
    let mut from = 2;
    while let Some(at) = rest[from..].find("{%") {
        from += at + 2;
        if rest[from..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw") {
            return Some(from);
        }
    }
    Some(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(template: &str) -> String {
        admit(template).map_or_else(|found| format!("{}: {}", found.line, found.what), Cow::into_owned)
    }

    #[test]
    fn a_selector_in_a_style_element_is_no_comment() {
        for template in [
            "<style>@media print{#footer{color:red}}</style>",
            "<STYLE>@media a{#b{c:d}}@media e{#f{g:h}}</STYLE>{# x #}",
            "<!--[if mso]><style>@media a{#b}.c#}</style><![endif]-->",
            "<script>class A{#b=1}</script>",
        ] {
            let (style, rest) = template.split_at(template.rfind("</").unwrap_or_default());
            assert_eq!(admitted(template), style.replace("{#", "{{ '{#' }}") + rest);
        }
    }

    #[test]
    fn comments_stay_comments() {
        for template in [
            "{# a #}<style>{# colours: {a} #}p{}{#hidden#}{#p{color:red}#}</style>{#- b -#}{##}",
            "{{ '{#' }}{% raw %}{#{% endraw %}{% if x == \"{#\" %}{% endif %}<p>{ #a}</p>",
        ] {
            assert_eq!(admitted(template), template);
        }
    }

    #[test]
    fn text_that_a_comment_would_swallow_is_told() {
        insta::assert_snapshot!(admitted("<p>\n{#footer{}</p>"), @"2: {# opens a comment, and no #} closes it: write { # (with a space), or {{ '{#' }}");
        insta::assert_snapshot!(admitted("Hello {#name}, your {# order #}"), @"1: {# opens a comment that ends at a distant #}: write { # (with a space) or {{ '{#' }} where none is meant, and {# (with a space after it) where one is");
        insta::assert_snapshot!(admitted("<style>p{# a </style>"), @"1: {# opens a comment, and no #} closes it: write { # (with a space), or {{ '{#' }}");
    }
}
