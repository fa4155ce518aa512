//! The footer with the link to unsubscribe, for a part that does not show the link itself. Pure.

use crate::message::html::{Event, walk};
use crate::message::token;

/// The style of the footer's element, by which it is known.
pub const STYLE: &str = "margin-top:32px;padding:16px 0;border-top:1px solid #c9cfd6;font-family:Arial,Helvetica,\
                         sans-serif;font-size:13px;line-height:1.5;text-align:center";
/// How the footer of a text part begins.
pub const TEXT: &str = "\n\nUnsubscribe from these emails: ";

/// Adds the footer to an HTML part, unless the link is seen in it: before the last `</body>`, before the last
/// `</html>`, at the end, behind `<body>` or at the beginning, at the first of these places where it is seen.
pub fn add_to_html(html: &mut String, url: &str) {
    let Places { seen, body, body_end, html_end } = Places::of(html, url);
    if seen {
        return;
    }
    let footer =
        format!("<div style=\"{STYLE}\"><a href=\"{url}\">Unsubscribe</a> from these emails</div>\n");
    if let Some(place) = body_end.or(html_end) {
        return html.insert_str(place, &footer);
    }
    for place in [Some(html.len()), body, Some(0)].into_iter().flatten() {
        html.insert_str(place, &footer);
        if Places::of(html, url).seen {
            return;
        }
        // What is open there, such as a comment or a hidden element, hides it.
        html.replace_range(place..place + footer.len(), "");
    }
}

/// Adds the footer to a text part, unless that has the link.
pub fn add_to_text(text: &mut String, url: &str) {
    if !has_link(text, url) {
        let end = text.trim_end().len();
        text.truncate(end);
        text.push_str(TEXT);
        text.push_str(url);
        text.push('\n');
    }
}

fn has_link(part: &str, url: &str) -> bool {
    part.contains(token_of(url))
}

/// The link's token, which looks the same however the rest is escaped.
fn token_of(url: &str) -> &str {
    url.get(url.len().saturating_sub(token::LENGTH)..).unwrap_or(url)
}

/// What matters of a page.
#[derive(Default)]
struct Places {
    /// The link is seen: as text, or as a link that has something to be seen.
    seen: bool,
    /// Behind `<body>`.
    body: Option<usize>,
    /// Before the last `</body>` at which something is seen.
    body_end: Option<usize>,
    /// Before the last `</html>`, likewise.
    html_end: Option<usize>,
}

impl Places {
    fn of(html: &str, url: &str) -> Places {
        let token = token_of(url);
        let mut places = Places::default();
        let mut in_link = false;
        walk(html, |event| match event {
            Event::Text(text, look) if look.is_seen() => {
                places.seen |= text.contains(token) || in_link && !text.trim().is_empty();
            }
            Event::Start("a", attributes, _) => {
                in_link = attributes.get("href").is_some_and(|href| href.contains(token));
            }
            Event::Start("img", _, look) => places.seen |= in_link && look.is_seen(),
            Event::Start("body", attributes, _) => {
                places.body.get_or_insert(attributes.end);
            }
            Event::End("a", ..) => in_link = false,
            Event::End("body", look, Some(at)) if look.is_seen() => places.body_end = Some(at),
            Event::End("html", look, Some(at)) if look.is_seen() => places.html_end = Some(at),
            _ => {}
        });
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url() -> String {
        format!("https://example.com/u/{}", "T".repeat(token::LENGTH))
    }

    fn html(html: &str) -> String {
        let mut html = html.to_owned();
        add_to_html(&mut html, &url());
        html
    }

    #[test]
    fn the_footer_stands_at_the_end_of_the_body_whatever_there_is_of_one() {
        for (before, after) in [
            ("<html><body><p>Hi</p>", "</body></html>"),
            ("<HTML><BODY><p>Hi</p>", "</BODY ></HTML>"),
            ("<p>How </body> is written</p>", "</body>"),
            ("<html><p>Hi</p>", "</html>"),
            ("<p>Zoë</p>", ""),
            ("", ""),
        ] {
            let with = html(&format!("{before}{after}"));
            let rest = with.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap();
            assert!(rest.starts_with("<div ") && rest.ends_with("</div>\n"), "{with}");
            assert!(rest.contains(&format!("<a href=\"{}\">Unsubscribe</a>", url())), "{with}");
        }
    }

    #[test]
    fn the_footer_stands_where_it_is_seen() {
        for (before, after) in [
            ("<body><p>Hi</p>", "</body><!-- </body> -->"),
            ("<body>", "<p>Hi<!-- </body>"),
            ("<html><body class='a>b'>", "<div style='display:none'>Hi</body></html>"),
            ("", "<div hidden>Hi"),
        ] {
            let with = html(&format!("{before}{after}"));
            let footer = with.rfind("<div style=\"margin-top").unwrap();
            assert_eq!((&with[..footer], with.ends_with(after)), (before, true), "{with}");
        }
    }

    #[test]
    fn a_part_that_has_the_link_stays_as_it_is() {
        let own = format!("<p><a href='{}'>Enough</a></p>", url());
        assert_eq!(html(&own), own);
        assert_eq!(html(&own.replace('/', "&#x2f;")), own.replace('/', "&#x2f;"));
        let mut text = format!("Enough: {}", url());
        add_to_text(&mut text, &url());
        assert_eq!(text, format!("Enough: {}", url()));
    }

    #[test]
    fn the_text_ends_with_the_link_on_a_line_of_its_own() {
        let mut text = "Good day\n\n\n".to_owned();
        add_to_text(&mut text, &url());
        assert_eq!(text, format!("Good day\n\nUnsubscribe from these emails: {}\n", url()));
    }

    proptest! {
        #[test]
        fn any_part_has_the_link_afterwards_and_has_it_once(part in ".{0,80}(</body>)?.{0,10}") {
            let once = html(&part);
            prop_assert!(once.contains(&url()));
            prop_assert_eq!(html(&once), once);
        }
    }
}
