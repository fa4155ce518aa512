//! Checks a campaign before it is rendered for a recipient. Pure and cheap, because the function does it
//! before the first batch.

use super::Finding;
use super::Severity;
use super::link;
use crate::domain::mailbox::{InvalidMailbox, Mailbox, mailbox_shape};
use crate::message::html::{Piece, pieces};
use crate::message::render::with_css_admitted;

/// Errors for every recipient: a sender or a reply-to address that is not a mailbox, and links without
/// variables that no mail program can follow.
pub fn examine_campaign(from_address: &str, reply_to: &[String], html: Option<&str>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = not_a_mailbox("from_address", from_address).into_iter().collect();
    // Empty elements are ignored.
    let given = reply_to.iter().filter(|text| Mailbox::parse(text) != Err(InvalidMailbox::Empty));
    findings.extend(given.filter_map(|text| not_a_mailbox("reply_to", text)));
    for link in static_links(html.unwrap_or_default()) {
        findings.extend(link::finding("link", &link).filter(|finding| finding.severity == Severity::Error));
    }
    findings
}

/// The error if the text of a column is not a mailbox. It shows the shape of the text and not the text,
/// because it goes to the log.
fn not_a_mailbox(column: &'static str, text: &str) -> Option<Finding> {
    let error = Mailbox::parse(text).err()?;
    let text = format!(
        "{column} is no mailbox: {error} (it has the form {}); expected ADDRESS or NAME <ADDRESS>, for example \
         News <news@example.com>",
        mailbox_shape(text)
    );
    Some(Finding::error(column, text))
}

/// The links of a template that are the same for everybody.
fn static_links(template: &str) -> Vec<String> {
    let markup = without_template_tags(&with_css_admitted(template));
    let mut links = Vec::new();
    for piece in pieces(&markup) {
        let Piece::Tag(name, attributes) = piece else { continue };
        if !matches!(name.as_str(), "a" | "area") {
            continue;
        }
        links.extend(attributes.get("href").filter(|link| !link.contains(VARIABLE)).map(str::to_owned));
    }
    links
}

/// The placeholder for the output of a template tag.
const VARIABLE: char = '\u{fffc}';

/// The template with a placeholder in place of each tag, because the `<`, `>` and quotes in a tag would be
/// read as markup.
pub fn without_template_tags(template: &str) -> String {
    let mut markup = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, tag) = rest.split_at(at);
        markup.push_str(before);
        let end = match tag.get(..2) {
            Some("{{") => "}}",
            Some("{%") => "%}",
            Some("{#") => "#}",
            _ => {
                markup.push('{');
                rest = &tag[1..];
                continue;
            }
        };
        markup.push(VARIABLE);
        rest = tag.find(end).map_or("", |at| &tag[at + 2..]);
    }
    markup + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(from: &str, html: &str) -> Vec<String> {
        examine_campaign(from, &[], Some(html)).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn what_would_fail_for_everybody_is_found_before_anybody_is_claimed() {
        insta::assert_snapshot!(found("News <news@example>", "<a href='http://'>x</a><a href=\"https://exa mple.com\">y</a>").join("\n"), @r#"
        from_address is no mailbox: the domain is not a valid host name with at least one dot (it has the form … <…@…>); expected ADDRESS or NAME <ADDRESS>, for example News <news@example.com>
        the link "http://" is not a valid address of the web
        the link "https://exa mple.com" is not a valid address of the web
        "#);
    }

    #[test]
    fn a_reply_to_that_is_no_mailbox_is_found_and_an_empty_one_is_not_missed() {
        let reply_to = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().copied().map(str::to_owned).collect();
            let findings = examine_campaign("news@example.com", &texts, None);
            findings.into_iter().map(|finding| finding.text).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(reply_to(&["", " ", "Help <help@example.com>", "hilfe@b\u{fc}cher.example"]), "");
        insta::assert_snapshot!(reply_to(&["a@example.com, b@example.com", "nobody"]), @r"
        reply_to is no mailbox: it has more than one address (it has the form …@….…, …@….…); expected ADDRESS or NAME <ADDRESS>, for example News <news@example.com>
        reply_to is no mailbox: it is not of the form local@domain (it has the form …); expected ADDRESS or NAME <ADDRESS>, for example News <news@example.com>
        ");
    }

    #[test]
    fn what_may_be_right_is_let_pass() {
        let html = "<a href=\"{{ 'https://' ~ host }}/x\">a</a> <a href=\"https://{% if a < b %}x y{% endif %}\">b</a> \
                    {# <a href='http://'> #}<style>@media a{#b{}}</style><a>c</a><a href='/offers'>d</a><a href='https://example.com/?a={b}'>e</a><img src='http://'>";
        for from in ["news@example.com", "\"News, daily\" <news@example.com>", "Zoë <zoe@münchen.example> "]
        {
            assert_eq!(found(from, html), Vec::<String>::new(), "{from}");
        }
    }
}
