//! Links that SES must not follow up: with click tracking on, it would lead who unsubscribes through its own server,
//! and report the link, whose token lets anybody unsubscribe the recipient. Pure.
//!
//! <https://docs.aws.amazon.com/ses/latest/dg/faqs-metrics.html>

use crate::message::token;

/// The attribute of a link that SES is not to track.
const ATTRIBUTE: &str = "ses:no-track";

/// Gives each HTML link to `url`, which ends with its token, the attribute `ses:no-track`.
pub fn mark(html: &mut String, url: &str) {
    let token = url.get(url.len().saturating_sub(token::LENGTH)..).unwrap_or(url);
    let mut end = html.len();
    // From the last one on, so that what is put in moves nothing that is still to be looked at.
    while let Some(at) = html[..end].rfind(token) {
        let start = html[..at].rfind('<').unwrap_or(0);
        if is_within_link(&html[start..at]) && !of_tag(&html[start..]).contains(ATTRIBUTE) {
            html.insert_str(start + "<a".len(), &format!(" {ATTRIBUTE}"));
            end = start;
        } else {
            end = at;
        }
    }
}

/// Whether a text from `<` on is the beginning of a link's tag.
fn is_within_link(start: &str) -> bool {
    let mut bytes = start.bytes().skip(1);
    let name = bytes.next().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'a'));
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
