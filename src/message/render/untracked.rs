//! Links that SES must not follow up: with click tracking on, it would lead who unsubscribes through its own server,
//! and report the link, whose token lets anybody unsubscribe the recipient. Pure.
//!
//! <https://docs.aws.amazon.com/ses/latest/dg/faqs-metrics.html>

use crate::message::part::Part;
use crate::message::token;

/// The attribute of a link that SES is not to track.
const ATTRIBUTE: &str = "ses:no-track";

/// Gives each HTML link to `url`, which ends with its token, the attribute `ses:no-track`.
pub fn mark(html: &mut String, url: &str) {
    let token = token::of_url(url);
    let mut end = html.len();
    // From the last one on, so that what is put in moves nothing that is still to be looked at.
    while let Some(at) = html[..end].rfind(token) {
        let start = html[..at].rfind('<').unwrap_or(at);
        if is_open_link(&html[start..at]) && !of_tag(&html[start..]).contains(ATTRIBUTE) {
            html.insert_str(start + "<a".len(), &format!(" {ATTRIBUTE}"));
            end = start;
        } else {
            end = at;
        }
    }
}

/// The same of a page in pieces. Returns false, and changes nothing, where the attribute belongs into a stretch.
pub fn mark_pieces(html: &mut Part, url: &str) -> bool {
    let token = token::of_url(url);
    if !html.contains_word(token) {
        return true;
    }
    let mut marked = Vec::new();
    for (number, fragment) in html.fragments().enumerate() {
        let Some(first) = fragment.find(token) else { continue };
        if !fragment[..first].contains('<') && is_open_link_before(html, number) {
            return false;
        }
        // The tag may end in what follows.
        let mut rest = String::new();
        for text in html.pieces_behind(number) {
            let end = text.find('>');
            rest.push_str(&text[..end.map_or(text.len(), |end| end + 1)]);
            if end.is_some() {
                break;
            }
        }
        let mut text = [fragment, &rest].concat();
        mark(&mut text, url);
        text.truncate(text.len() - rest.len());
        marked.push((number, text));
    }
    // Elsewhere it stands across the end of a fragment.
    let within = !marked.is_empty();
    for (number, text) in marked {
        html.replace(number, &text);
    }
    within
}

/// Whether the tag of a link is open where this fragment begins.
fn is_open_link_before(html: &Part, fragment: usize) -> bool {
    let mut pieces = Vec::new();
    for text in html.pieces_before(fragment) {
        if let Some(tag) = text.rfind(['<', '>']) {
            pieces.push(&text[tag..]);
            break;
        }
        pieces.push(text);
    }
    pieces.reverse();
    is_open_link(&pieces.concat())
}

/// Whether a text from `<` on is the beginning of a link's tag.
pub fn is_open_link(start: &str) -> bool {
    let mut bytes = start.bytes();
    let name =
        bytes.next() == Some(b'<') && bytes.next().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'a'));
    name && bytes.next().is_some_and(|byte| byte.is_ascii_whitespace()) && !start.contains('>')
}

fn of_tag(html: &str) -> &str {
    html.split_once('>').map_or(html, |(tag, _)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url() -> String {
        format!("https://example.com/u/{}", "T".repeat(token::LENGTH))
    }

    fn marked(html: &str) -> String {
        let mut html = html.replace("URL", &url());
        mark(&mut html, &url());
        html.replace(&url(), "URL")
    }

    #[test]
    fn every_link_to_unsubscribe_is_marked_and_nothing_else() {
        for (html, expected) in [
            ("<a href=\"URL\">no more</a>", "<a ses:no-track href=\"URL\">no more</a>"),
            ("<A\nclass=x href='URL'>", "<A ses:no-track\nclass=x href='URL'>"),
            (
                "<a href=URL>URL</a><a href='URL'>",
                "<a ses:no-track href=URL>URL</a><a ses:no-track href='URL'>",
            ),
            ("<a href=\"URL\" ses:no-track>", "<a href=\"URL\" ses:no-track>"),
            ("<abbr title=\"URL\">, <img src=\"URL\">, URL", "<abbr title=\"URL\">, <img src=\"URL\">, URL"),
            ("<a href=\"https://example.com\">x</a> URL", "<a href=\"https://example.com\">x</a> URL"),
            ("URL", "URL"),
            ("", ""),
        ] {
            assert_eq!(marked(html), expected);
        }
    }

    proptest! {
        #[test]
        fn marking_twice_is_marking_once(html in "(<a |<|>|href=|'|\"|URL|é){0,20}") {
            let once = marked(&html);
            prop_assert_eq!(marked(&once), once.clone());
            prop_assert_eq!(once.replace(" ses:no-track", ""), html);
        }
    }
}
