//! Adds parameters to every web link of a campaign (`link_parameters`), for example those by which a site's
//! statistics recognize where a visitor comes from. Pure.
//!
//! A literal link of the template is changed in the template. A link that comes from variables, or has some
//! in it, is changed by a filter around it when it is rendered. Parameters that a link already has are kept,
//! so a second change has no effect. Fragments are kept, and the unsubscribe link is not changed.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use url::form_urlencoded;

use crate::message::html::{Piece, after_end_of, pieces, tag};

/// The filter around the address of a link in the HTML part.
pub const HTML_FILTER: &str = "with_link_parameters";
/// The filter around a word of the text part that may be a link.
pub const TEXT_FILTER: &str = "with_link_parameters_in_text";

/// Elements whose content is not markup.
const RAW: [&str; 4] = ["style", "script", "title", "textarea"];
/// Characters that may follow a link in a text and do not belong to it.
const PUNCTUATION: [char; 12] = ['.', ',', ';', ':', '!', '?', ')', ']', '>', '"', '\'', '»'];

thread_local! {
    /// The unsubscribe link of the current recipient.
    static UNSUBSCRIBE_URL: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Renders for a recipient with this unsubscribe link.
pub fn rendering_for<T>(unsubscribe_url: Option<&str>, render: impl FnOnce() -> T) -> T {
    let before = UNSUBSCRIBE_URL.replace(unsubscribe_url.map(str::to_owned));
    let rendered = render();
    UNSUBSCRIBE_URL.replace(before);
    rendered
}

/// The parameters, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkParameters(Arc<[(String, String)]>);

impl LinkParameters {
    /// Reads the column: a JSON object of texts, numbers and booleans. Null values are left out.
    ///
    /// # Errors
    /// Says what is wrong, as the end of a sentence that begins with the column's name.
    pub fn parse(json: Option<&str>) -> Result<LinkParameters, String> {
        let Some(json) = json else { return Ok(LinkParameters::default()) };
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|error| format!("not JSON: {error}"))?;
        let serde_json::Value::Object(object) = value else {
            return Err("no object: expected one, for example {\"utm_source\": \"newsletter\"}".to_owned());
        };
        let mut parameters = Vec::new();
        for (name, value) in object {
            if name.trim().is_empty() {
                return Err("an object with an empty name".to_owned());
            }
            match value {
                serde_json::Value::Null => {}
                serde_json::Value::String(text) => parameters.push((name, text)),
                serde_json::Value::Number(number) => parameters.push((name, number.to_string())),
                serde_json::Value::Bool(value) => parameters.push((name, value.to_string())),
                serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                    return Err(format!("an object whose {name:?} is neither text nor a number"));
                }
            }
        }
        Ok(LinkParameters(parameters.into()))
    }

    /// Returns true if links are not changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The link with the parameters that it lacks. `None`: nothing is added, or it is not a web link that may
    /// be changed.
    pub fn added(&self, link: &str) -> Option<String> {
        let url = link.trim();
        if self.is_empty() || !is_web(url) || is_unsubscribe_url(url) {
            return None;
        }
        let (address, fragment) = url.find('#').map_or((url, ""), |at| url.split_at(at));
        let query = address.split_once('?').map(|(_, query)| query);
        let has = |name: &str| {
            form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(known, _)| known == name)
        };
        let mut changed = address.to_owned();
        for (name, value) in self.0.iter().filter(|(name, _)| !has(name)) {
            changed.push(match changed.split_once('?') {
                None => '?',
                Some((_, query)) if query.is_empty() || query.ends_with('&') => '\0',
                Some(_) => '&',
            });
            if changed.ends_with('\0') {
                changed.pop();
            }
            changed.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            changed.push('=');
            changed.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        }
        changed.push_str(fragment);
        (changed != url).then_some(changed)
    }

    /// The filter of the HTML part. It takes and returns the value of an attribute in HTML's escaped form.
    pub fn in_html(&self, written: &str) -> Option<String> {
        self.added(&decoded(written)).map(|link| encoded(&link))
    }

    /// The filter of the text part. It changes a word that is a link, except for punctuation behind it.
    pub fn in_text(&self, word: &str) -> Option<String> {
        if word.contains(char::is_whitespace) {
            return None;
        }
        let (link, rest) = word.split_at(word.trim_end_matches(PUNCTUATION).len());
        self.added(link).map(|link| link + rest)
    }

    /// HTML from a variable, with its links changed.
    pub fn in_markup(&self, html: &str) -> Option<String> {
        if self.is_empty() || !html.contains('<') {
            return None;
        }
        let edits = links(html).into_iter().filter_map(|range| {
            let link = self.in_html(&html[range.clone()])?;
            Some((range, link))
        });
        let changed = with(html, edits);
        (changed != html).then_some(changed)
    }

    /// The template of the HTML part with its links changed.
    ///
    /// # Errors
    /// Returns the line of a link if a block begins or ends within its address, because no filter fits around
    /// that.
    pub fn in_html_template(&self, template: String) -> Result<String, usize> {
        if self.is_empty() {
            return Ok(template);
        }
        let source = Masked::new(&template);
        let mut changes = Vec::new();
        for range in links(&source.text) {
            let written = &template[range.clone()];
            if !source.has_tag_in(&range) {
                changes.extend(self.in_html(written).map(|link| (range, link)));
            } else if may_be_web(written) {
                if !is_balanced(written) {
                    return Err(template[..range.start].matches('\n').count() + 1);
                }
                changes.push((range, filtered(HTML_FILTER, written)));
            }
        }
        Ok(with(&template, changes))
    }

    /// The template of the text part with its links changed.
    pub fn in_text_template(&self, template: String) -> String {
        if self.is_empty() {
            return template;
        }
        let source = Masked::new(&template);
        let edits = words(&source.text).into_iter().filter_map(|range| {
            let word = &template[range.clone()];
            // A link may stand in brackets.
            let inner = word.trim_start_matches(['(', '<', '[', '"', '\'', '«']);
            let range = range.end - inner.len()..range.end;
            let changed = if !source.has_tag_in(&range) {
                self.in_text(inner)?
            } else if may_be_web(inner) && is_balanced(inner) {
                filtered(TEXT_FILTER, inner)
            } else {
                return None;
            };
            Some((range, changed))
        });
        with(&template, edits)
    }
}

/// A text with replacements at some places, which are in order.
fn with(text: &str, edits: impl IntoIterator<Item = (Range<usize>, String)>) -> String {
    let (mut edited, mut from) = (String::with_capacity(text.len() * 5 / 4), 0);
    for (range, part) in edits {
        edited.push_str(&text[from..range.start]);
        edited.push_str(&part);
        from = range.end;
    }
    edited + &text[from..]
}

fn filtered(filter: &str, written: &str) -> String {
    format!("{{% filter {filter} %}}{written}{{% endfilter %}}")
}

fn is_web(url: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// Returns true if this is the variable with the unsubscribe link, and nothing else.
fn is_unsubscribe_tag(written: &str) -> bool {
    let inner = written.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| inner.trim_matches(['-', '+']).trim() == "unsubscribe_url")
}

fn is_unsubscribe_url(url: &str) -> bool {
    UNSUBSCRIBE_URL.with_borrow(|known| known.as_deref() == Some(url))
}

/// Returns true if a text with template tags may become a web link, because the text before the first tag is
/// the beginning of one.
fn may_be_web(written: &str) -> bool {
    if is_unsubscribe_tag(written) {
        return false;
    }
    let start = written.split(['{']).next().unwrap_or_default().trim_start().to_ascii_lowercase();
    ["http://", "https://"]
        .iter()
        .any(|scheme| start.starts_with(scheme) || scheme.starts_with(start.as_str()))
}

/// The value of an attribute without character references.
fn decoded(written: &str) -> String {
    let quote = if written.contains('"') { '\'' } else { '"' };
    match pieces(&format!("<a href={quote}{written}{quote}>")).next() {
        Some(Piece::Tag(_, attributes)) => attributes.get("href").unwrap_or_default().to_owned(),
        _ => written.to_owned(),
    }
}

/// The value of an attribute, between quotes of either kind or without quotes, with nothing that the template
/// engine would read as a tag.
fn encoded(value: &str) -> String {
    let mut written = String::with_capacity(value.len() + 16);
    for character in value.chars() {
        match character {
            '&' => written.push_str("&amp;"),
            '"' => written.push_str("&quot;"),
            '\'' => written.push_str("&#39;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '{' => written.push_str("&#123;"),
            '}' => written.push_str("&#125;"),
            other => written.push(other),
        }
    }
    written
}

/// The places of the links' addresses in a page: those of `a` and `area`, and those of shapes that only
/// Outlook shows, which are in conditional comments.
fn links(html: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let markup = &rest[at..];
        rest = if let Some(conditional) = markup.strip_prefix("<!--[if") {
            conditional
        } else if let Some(comment) = markup.strip_prefix("<!--") {
            comment.find("-->").map_or("", |end| &comment[end + 3..])
        } else if let Some((name, attributes, after)) = tag(markup) {
            if matches!(name.as_str(), "a" | "area") || name.starts_with("v:") {
                let link = attributes.iter().find(|(name, value)| name == "href" && !value.is_empty());
                if let Some((_, value)) = link {
                    let start = value.as_ptr() as usize - html.as_ptr() as usize;
                    found.push(start..start + value.len());
                }
            }
            if RAW.contains(&name.as_str()) { after_end_of(after, &name) } else { after }
        } else {
            &markup[1..]
        };
    }
    found
}

/// The words of a text.
fn words(text: &str) -> Vec<Range<usize>> {
    let place = |word: &str| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        start..start + word.len()
    };
    text.split_whitespace().map(place).collect()
}

/// A template whose tags are filled with `x`, so that nothing in them is read as markup or as the end of a
/// word.
struct Masked {
    text: String,
    tags: Vec<Range<usize>>,
}

impl Masked {
    fn new(template: &str) -> Masked {
        let mut text = template.as_bytes().to_vec();
        let (mut tags, mut at) = (Vec::new(), 0);
        while let Some(tag) = next_tag(template, at) {
            text[tag.clone()].fill(b'x');
            at = tag.end;
            if block_name(&template[tag.clone()]) == Some("raw") {
                // The following text is not a template until the block ends.
                let mut blocks = template[at..].match_indices("{%");
                let end = blocks.find(|(place, _)| block_name(&template[at + place..]) == Some("endraw"));
                at = end.map_or(template.len(), |(place, _)| at + place);
            }
            tags.push(tag);
        }
        // Tags begin and end with ASCII, so the text between them is whole.
        Masked { text: String::from_utf8(text).unwrap_or_default(), tags }
    }

    fn has_tag_in(&self, range: &Range<usize>) -> bool {
        let next = self.tags.partition_point(|tag| tag.end <= range.start);
        self.tags.get(next).is_some_and(|tag| tag.start < range.end)
    }
}

/// The next `{{ … }}`, `{% … %}` or `{# … #}`.
fn next_tag(template: &str, from: usize) -> Option<Range<usize>> {
    let bytes = template.as_bytes();
    let start = (from..bytes.len().saturating_sub(1))
        .find(|at| bytes[*at] == b'{' && matches!(bytes[*at + 1], b'{' | b'%' | b'#'))?;
    let end = match bytes[start + 1] {
        b'{' => b'}',
        other => other,
    };
    let mut quote = None;
    let mut at = start + 2;
    while at + 1 < bytes.len() {
        match (quote, bytes[at]) {
            (None, byte) if byte == end && bytes[at + 1] == b'}' => return Some(start..at + 2),
            (None, byte @ (b'"' | b'\'')) if end != b'#' => quote = Some(byte),
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            _ => {}
        }
        at += 1;
    }
    Some(start..bytes.len())
}

/// The first word of a `{% … %}`.
fn block_name(tag: &str) -> Option<&str> {
    let inner = tag.strip_prefix("{%")?;
    inner.trim_start_matches(['-', '+']).split_whitespace().next()
}

/// Returns true if each block that begins in a part of a template ends in it.
fn is_balanced(written: &str) -> bool {
    let (mut open, mut at) = (0, 0);
    while let Some(tag) = next_tag(written, at) {
        at = tag.end;
        let tag = &written[tag];
        match block_name(tag) {
            Some("else" | "elif") if open == 0 => return false,
            Some("else" | "elif" | "include" | "import" | "from" | "extends" | "do") | None => {}
            Some("set") if tag.contains('=') => {}
            Some(name) if name.starts_with("end") => open -= 1,
            Some(_) => open += 1,
        }
        if open < 0 {
            return false;
        }
    }
    open == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parameters() -> LinkParameters {
        LinkParameters::parse(Some(r#"{"utm_source": "news letter", "utm_id": 7, "none": null}"#)).unwrap()
    }

    const ADDED: &str = "utm_id=7&utm_source=news+letter";

    #[test]
    fn parameters_go_to_the_query_and_what_is_there_is_kept() {
        for (link, expected) in [
            ("https://example.com", "https://example.com?~"),
            ("https://example.com/a", "https://example.com/a?~"),
            ("HTTPS://example.com/a?", "HTTPS://example.com/a?~"),
            ("http://example.com/a?b=c%20d&e", "http://example.com/a?b=c%20d&e&~"),
            ("https://example.com/a?b&", "https://example.com/a?b&~"),
            ("https://example.com/a#top?x=1", "https://example.com/a?~#top?x=1"),
            ("https://example.com/a?b=1#", "https://example.com/a?b=1&~#"),
            (
                "https://example.com/?utm_source=mine&x=%26#a",
                "https://example.com/?utm_source=mine&x=%26&utm_id=7#a",
            ),
            ("https://example.com/?utm%5Fid=1&utm_source", "https://example.com/?utm%5Fid=1&utm_source"),
            (" https://münchen.example/ä ", "https://münchen.example/ä?~"),
        ] {
            let added = parameters().added(link).unwrap_or_else(|| link.to_owned());
            assert_eq!(added, expected.replace('~', ADDED), "{link}");
        }
        for link in ["mailto:a@example.com", "tel:+47", "#top", "/offers", "cid:logo", "", "https:x", "{{"] {
            assert_eq!(parameters().added(link), None, "{link}");
        }
    }

    #[test]
    fn the_link_to_unsubscribe_is_left_alone() {
        let url = "https://unsubscribe.example/u/TOKEN";
        rendering_for(Some(url), || {
            assert_eq!(parameters().added(url), None);
            assert!(parameters().added("https://example.com/").is_some());
        });
        assert!(parameters().added(url).is_some());
    }

    #[test]
    fn the_links_of_a_template_are_changed_or_get_a_filter() {
        let changed = |html: &str| parameters().in_html_template(html.to_owned()).unwrap();
        let added = ADDED.replace('&', "&amp;");
        for (html, expected) in [
            (
                "<a href=\"https://a.example/?b=1&amp;c=2\">x</a>",
                "<a href=\"https://a.example/?b=1&amp;c=2&amp;~\">x</a>",
            ),
            ("<A HREF='https://a.example/?b=1&c=2#d'>", "<A HREF='https://a.example/?b=1&amp;c=2&amp;~#d'>"),
            ("<a href=https://a.example/&#63;b=1&#35;c>", "<a href=https://a.example/?b=1&amp;~#c>"),
            (
                "<area href=\"https://a.example\"><img src=\"https://a.example/i.png\">",
                "<area href=\"https://a.example?~\"><img src=\"https://a.example/i.png\">",
            ),
            (
                "<!-- <a href='https://a.example'> --><style>a[href='https://a.example']{}</style>",
                "<!-- <a href='https://a.example'> --><style>a[href='https://a.example']{}</style>",
            ),
            (
                "<!--[if mso]><v:roundrect href=\"https://a.example/\"><![endif]-->",
                "<!--[if mso]><v:roundrect href=\"https://a.example/?~\"><![endif]-->",
            ),
            ("<a href=\"mailto:{{ email }}\">", "<a href=\"mailto:{{ email }}\">"),
            (
                "<a href=\"{{ url }}\">",
                "<a href=\"{% filter with_link_parameters %}{{ url }}{% endfilter %}\">",
            ),
            ("<a href={{ url }}>", "<a href={% filter with_link_parameters %}{{ url }}{% endfilter %}>"),
            (
                "<a class='{{ \"<a href='x'\" }}' href='https://{% if a < 1 %}b{% else %}c{% endif %}/'>",
                "<a class='{{ \"<a href='x'\" }}' href='{% filter with_link_parameters %}https://{% if a < 1 %}b{% else %}c{% endif %}/{% endfilter %}'>",
            ),
            (
                "{% raw %}<a href=\"https://a.example/{{x}}\">{% endraw %}",
                "{% raw %}<a href=\"https://a.example/&#123;&#123;x&#125;&#125;?~\">{% endraw %}",
            ),
            (
                "{# <a href=\"https://a.example\"> #}é<a href=\"https://a.example/é\">",
                "{# <a href=\"https://a.example\"> #}é<a href=\"https://a.example/é?~\">",
            ),
        ] {
            assert_eq!(changed(html), expected.replace('~', &added), "{html}");
        }
        let across = "<p>\n<a href=\"https://a.example/{% if x %}b\" title=\"c{% endif %}\">";
        assert_eq!(parameters().in_html_template(across.to_owned()), Err(2));
        assert_eq!(LinkParameters::default().in_html_template(across.to_owned()).unwrap(), across);
    }

    #[test]
    fn the_links_of_a_text_are_changed_and_the_punctuation_behind_them_is_not() {
        let text = "Hello {{ name }},\nsee https://a.example/b?c=1. Or (https://a.example), or <{{ url }}>: {{ a.b }}/x! mailto:a@b.example";
        assert_eq!(
            parameters().in_text_template(text.to_owned()),
            "Hello {% filter F %}{{ name }},{% endfilter %}\nsee https://a.example/b?c=1&ADDED. Or (https://a.example?ADDED), \
             or <{% filter F %}{{ url }}>:{% endfilter %} {% filter F %}{{ a.b }}/x!{% endfilter %} mailto:a@b.example"
                .replace("ADDED", ADDED)
                .replace('F', TEXT_FILTER)
        );
        assert_eq!(
            parameters().in_text("https://a.example/>:").unwrap(),
            format!("https://a.example/?{ADDED}>:")
        );
        assert_eq!(parameters().in_text("Ada, https://a.example/"), None);
    }

    #[test]
    fn what_is_no_object_of_texts_is_told() {
        let told = |json| LinkParameters::parse(Some(json)).unwrap_err();
        insta::assert_snapshot!(told("[]"), @r#"no object: expected one, for example {"utm_source": "newsletter"}"#);
        insta::assert_snapshot!(told(r#"{"a": []}"#), @r#"an object whose "a" is neither text nor a number"#);
        insta::assert_snapshot!(told(r#"{" ": "x"}"#), @"an object with an empty name");
        assert!(LinkParameters::parse(None).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn the_rest_of_a_link_stays_as_it_is_and_twice_is_once(
            path in "[a-z/%éä.]{0,12}", query in proptest::option::of("[a-z=&%20;é]{0,16}"), fragment in proptest::option::of("[a-z?&=#]{0,8}"),
        ) {
            let query = query.map_or(String::new(), |query| format!("?{query}"));
            let fragment = fragment.map_or(String::new(), |fragment| format!("#{fragment}"));
            let link = format!("https://example.com/{path}{query}{fragment}");
            let once = parameters().added(&link).unwrap_or_else(|| link.clone());
            prop_assert_eq!(parameters().added(&once), None);
            let (before, after) = (url::Url::parse(&link).unwrap(), url::Url::parse(&once).unwrap());
            prop_assert_eq!(before.fragment(), after.fragment());
            prop_assert_eq!(before.path(), after.path());
            let pairs = |url: &url::Url| url.query_pairs().map(|(a, b)| (a.into_owned(), b.into_owned())).collect::<Vec<_>>();
            let mut expected = pairs(&before);
            expected.push(("utm_id".to_owned(), "7".to_owned()));
            expected.push(("utm_source".to_owned(), "news letter".to_owned()));
            prop_assert_eq!(expected, pairs(&after));
        }

        #[test]
        fn any_page_and_any_template_is_read_to_its_end(text in "(<a href=|<!--|\\[if|-->|\"|'|https://a.example|[{][{]|[}][}]|[{]%|%[}]|[{]#| raw |é|>|<|&){0,24}") {
            let _ = parameters().in_markup(&text);
            let _ = parameters().in_html_template(text.clone());
            let _ = parameters().in_text_template(text);
        }
    }
}
