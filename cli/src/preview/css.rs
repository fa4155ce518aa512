//! The rules of `<style>` elements, written into the elements that they are for: some mail clients read no other
//! styles.
//!
//! It is done to the template, once, and not to each email. An inliner parses a page and writes it anew, which a
//! template does not survive: loops move out of their tables, `&` and `<` in expressions become references. So only
//! what the inliner says of each element's `style` is taken over into the template, which stays as it is otherwise.

use std::collections::HashMap;

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::soon;
use campaign_sender::message::html::{Piece, Start, pieces, starts};
use campaign_sender::store::Database;

/// By which an element of the inliner's page is known.
const MARK: &str = "data-inlined-element";
/// A template tag, while the page is parsed as CSS and HTML: `␟12␟` with these around its number, which is a word
/// in both.
const MASK: (char, char) = ('\u{e000}', '\u{e001}');

/// The template with the styles in its elements. The `<style>` elements stay, for what cannot be inlined (`@media`,
/// `:hover`).
///
/// # Errors
/// Fails if a `{% … %}` stands in a `<style>` element, where a rule's condition would be lost, or the CSS cannot be
/// read.
pub fn inline(template: &str) -> Result<String, String> {
    let (masked, tags) = mask(template);
    let (elements, styles) = starts(&masked);
    for style in styles {
        if let Some(tag) = tags_in(style, &tags).find(|tag| tag.starts_with("{%")) {
            let line = template.find(tag).map_or(0, |at| template[..at].lines().count().max(1));
            return Err(format!(
                "{tag} stands in a <style> element (line {line}), whose rules would be inlined for everybody"
            ));
        }
    }
    let page = css_inline::CSSInliner::options()
        .load_remote_stylesheets(false)
        .keep_style_tags(true)
        .build()
        .inline(&marked(&masked, &elements))
        .map_err(|error| format!("the styles cannot be read: {error}"))?;
    Ok(unmask(&spliced(&masked, &elements, &styles_of(&page)), &tags))
}

/// The page with each template tag as a word, and the tags.
fn mask(template: &str) -> (String, Vec<&str>) {
    let (mut masked, mut tags) = (String::with_capacity(template.len()), Vec::new());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        masked.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match rest.get(..2) {
            Some("{{") => "}}",
            Some("{%") => "%}",
            Some("{#") => "#}",
            _ => {
                masked.push('{');
                rest = &rest[1..];
                continue;
            }
        };
        let length = rest.find(end).map_or(rest.len(), |at| at + 2);
        masked.push_str(&format!("{}{}{}", MASK.0, tags.len(), MASK.1));
        tags.push(&rest[..length]);
        rest = &rest[length..];
    }
    (masked + rest, tags)
}

fn tags_in<'a>(text: &'a str, tags: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    text.split(MASK.0).skip(1).filter_map(|word| {
        let number: usize = word.split(MASK.1).next()?.parse().ok()?;
        tags.get(number).copied()
    })
}

fn unmask(masked: &str, tags: &[&str]) -> String {
    let mut words = masked.split(MASK.0);
    let mut template = words.next().unwrap_or_default().to_owned();
    for word in words {
        match word.split_once(MASK.1) {
            Some((number, rest)) => {
                template.push_str(number.parse::<usize>().ok().and_then(|n| tags.get(n)).unwrap_or(&""));
                template.push_str(rest);
            }
            None => template.push_str(word),
        }
    }
    template
}

/// The page with a number on each element.
fn marked(page: &str, elements: &[Start]) -> String {
    let mut marked = String::with_capacity(page.len() * 2);
    let mut from = 0;
    for (number, element) in elements.iter().enumerate() {
        marked.push_str(&page[from..element.after_name]);
        marked.push_str(&format!(" {MARK}=\"{number}\""));
        from = element.after_name;
    }
    marked + &page[from..]
}

/// What the inliner made of each element's style.
fn styles_of(page: &str) -> HashMap<usize, String> {
    let mut styles = HashMap::new();
    for piece in pieces(page) {
        let Piece::Tag(_, attributes) = piece else { continue };
        let number = attributes.get(MARK).and_then(|number| number.parse().ok());
        if let (Some(number), Some(style)) = (number, attributes.get("style")) {
            // A parser that mends a page may repeat an element; the first is the one that stands there.
            styles.entry(number).or_insert_with(|| style.to_owned());
        }
    }
    styles
}

/// The page with these styles in its elements, and otherwise as it was.
fn spliced(page: &str, elements: &[Start], styles: &HashMap<usize, String>) -> String {
    let mut result = String::with_capacity(page.len() * 2);
    let mut from = 0;
    for (number, element) in elements.iter().enumerate() {
        let Some(style) = styles.get(&number) else { continue };
        let value = format!("\"{}\"", style.trim().replace('&', "&amp;").replace('"', "&quot;"));
        match &element.style {
            Some(range) => {
                let quoted = page[..range.start].ends_with(['"', '\'']);
                let (start, end) = (range.start - usize::from(quoted), range.end + usize::from(quoted));
                result.push_str(&page[from..start]);
                result.push_str(&value);
                from = end.min(page.len());
            }
            None => {
                result.push_str(&page[from..element.after_name]);
                result.push_str(" style=");
                result.push_str(&value);
                from = element.after_name;
            }
        }
    }
    result + &page[from..]
}

/// Stores `inlined` as the campaign's HTML, where it still is `html` and nobody has been sent to.
pub async fn store(database: &Database, id: Uuid, html: &str, inlined: &str) -> Result<(), Failure> {
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&id, Type::UUID), (&html, Type::TEXT), (&inlined, Type::TEXT)];
    let rows = database.query(include_str!("store_css.sql"), &parameters, soon()).await?;
    if rows.is_empty() {
        let message = format!(
            "--write: campaign {id} is being sent, was sent, or was changed meanwhile: its HTML stays as it is"
        );
        return Err(Failure::new(Exit::Data, message));
    }
    println!("The campaign's HTML is stored with its styles in the elements.\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_go_into_their_elements_and_the_template_stays_as_it_is() {
        let template = r#"<style>
p { color: {{ accent or "red" }}; margin: 0 }
td { font-family: "Open Sans", serif; width: {{ n }}px }
.btn { padding: 4px } a:hover { color: blue }
@media (max-width: 600px) { p { margin: 9px } }
</style>
{% if name %}<p class="x">Dear {{ name | e }} & {{ 'a' if x < 3 else "b" }}</p>{% endif %}
<table>{% for i in items %}<tr><td style="color: {{ i.color }}">{{ i.n }}</td></tr>{% endfor %}</table>
<a class=btn href="{{ url }}?a=1&b={{ x }}" {% if y %}title="x>y"{% endif %} style='margin:0'>go &nbsp;</a>
<!-- <p>not an element</p> --><P>Bye<br/></P>"#;
        insta::assert_snapshot!(inline(template).unwrap(), @r#"
        <style>
        p { color: {{ accent or "red" }}; margin: 0 }
        td { font-family: "Open Sans", serif; width: {{ n }}px }
        .btn { padding: 4px } a:hover { color: blue }
        @media (max-width: 600px) { p { margin: 9px } }
        </style>
        {% if name %}<p style="color: {{ accent or "red" }};margin: 0;" class="x">Dear {{ name | e }} & {{ 'a' if x < 3 else "b" }}</p>{% endif %}
        <table>{% for i in items %}<tr><td style="font-family: 'Open Sans', serif;width: {{ n }}px;color: {{ i.color }}">{{ i.n }}</td></tr>{% endfor %}</table>
        <a class=btn href="{{ url }}?a=1&b={{ x }}" {% if y %}title="x>y"{% endif %} style="padding: 4px;margin: 0">go &nbsp;</a>
        <!-- <p>not an element</p> --><P style="color: {{ accent or "red" }};margin: 0;">Bye<br/></P>
        "#);
    }

    #[test]
    fn inlining_twice_changes_nothing_more() {
        let once = inline("<style>p{margin:0}</style><p>a</p><p style='color:red'>b").unwrap();
        assert_eq!(
            once,
            "<style>p{margin:0}</style><p style=\"margin: 0;\">a</p><p style=\"margin: 0;color: red\">b"
        );
        assert_eq!(inline(&once).unwrap().matches("margin").count(), 3);
    }

    #[test]
    fn a_condition_among_the_rules_is_refused_with_its_line() {
        let template =
            "<p>{% if a %}x{% endif %}</p>\n<style>\n{% if dark %}p{color:#fff}{% endif %}</style>";
        insta::assert_snapshot!(inline(template).unwrap_err(), @"{% if dark %} stands in a <style> element (line 2), whose rules would be inlined for everybody");
    }
}
