//! The campaign as it stands, before it is rendered for anybody. Pure and cheap: the function does this before the
//! first batch.

use super::Finding;
use super::html::{Piece, pieces};
use super::link::{Problem, examine};
use crate::batch::address;

/// What would be wrong for every recipient: a sender that is no address, and links without variables that no
/// client can follow.
pub fn examine_campaign(from_address: &str, html: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = address::normalize(bare(from_address)) {
        findings.push(Finding::error("from_address", format!("from_address is no mailbox: {error}")));
    }
    for link in static_links(html.unwrap_or_default()) {
        if let Some(Problem::Broken(problem)) = examine(&link) {
            findings.push(Finding::error("link_broken", format!("the link {link:?} {problem}")));
        }
    }
    findings
}

/// The address of a mailbox such as `News <news@example.com>`.
pub fn bare(mailbox: &str) -> &str {
    let mailbox = mailbox.trim();
    match mailbox.rsplit_once('<') {
        Some((_, address)) => address.trim_end().trim_end_matches('>'),
        None => mailbox,
    }
}

/// The links of a template that are the same for everybody.
fn static_links(template: &str) -> Vec<String> {
    let markup = without_template_tags(template);
    let mut links = Vec::new();
    for piece in pieces(&markup) {
        let Piece::Tag(name, attributes) = piece else { continue };
        if name != "a" {
            continue;
        }
        links.extend(attributes.get("href").filter(|link| !link.contains(VARIABLE)).map(str::to_owned));
    }
    links
}

/// Stands for what a template tag makes.
const VARIABLE: char = '\u{fffc}';

/// The template with a mark in place of each tag, whose own `<`, `>` and quotes would read as markup.
fn without_template_tags(template: &str) -> String {
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
        examine_campaign(from, Some(html)).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn what_would_fail_for_everybody_is_found_before_anybody_is_claimed() {
        insta::assert_snapshot!(found("News <news@example>", "<a href='http://'>x</a><a href=\"https://exa mple.com\">y</a>").join("\n"), @r#"
        from_address is no mailbox: the domain is not a valid host name with at least one dot
        the link "http://" is not a valid address of the web
        the link "https://exa mple.com" is not a valid address of the web
        "#);
    }

    #[test]
    fn what_may_be_right_is_let_pass() {
        let html = "<a href=\"{{ 'https://' ~ host }}/x\">a</a> <a href=\"https://{% if a < b %}x y{% endif %}\">b</a> \
                    {# <a href='http://'> #}<a>c</a><a href='/offers'>d</a><a href='https://example.com/?a={b}'>e</a><img src='http://'>";
        for from in ["news@example.com", "\"News, daily\" <news@example.com>", "Zoë <zoe@münchen.example> "]
        {
            assert_eq!(found(from, html), Vec::<String>::new(), "{from}");
        }
    }
}
