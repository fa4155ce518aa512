//! The footer with the unsubscribe link, for a part in which the link is not visible. Pure.

use crate::message::html::{Event, walk};
use crate::message::part::Part;
use crate::message::token;

/// The style of the footer's element, by which it is recognized.
pub const STYLE: &str = "margin-top:32px;padding:16px 0;border-top:1px solid #c9cfd6;font-family:Arial,Helvetica,\
                         sans-serif;font-size:13px;line-height:1.5;text-align:center";
/// The beginning of the footer of a text part.
pub const TEXT: &str = "\n\nUnsubscribe from these emails: ";

/// Adds the footer to an HTML part, unless the link is visible in it: before the last `</body>`, before the
/// last `</html>`, at the end, after `<body>` or at the beginning, at the first of these places where it is
/// visible.
pub fn add_to_html(html: &mut String, url: &str) {
    let Places { seen, body, body_end, html_end, .. } = Places::of(html, url);
    if seen {
        return;
    }
    let footer = markup(url);
    if let Some(place) = body_end.or(html_end) {
        return html.insert_str(place, &footer);
    }
    for place in [Some(html.len()), body, Some(0)].into_iter().flatten() {
        html.insert_str(place, &footer);
        if Places::of(html, url).seen {
            return;
        }
        // An open comment or hidden element hides the footer there.
        html.replace_range(place..place + footer.len(), "");
    }
}

/// The footer of an HTML part.
pub fn markup(url: &str) -> String {
    format!("<div style=\"{STYLE}\"><a href=\"{url}\">Unsubscribe</a> from these emails</div>\n")
}

/// Adds the footer to a text part, unless that has the link. No stretch ends in white space, so white space
/// that is removed from the end is the last fragment's.
pub fn add_to_text(text: &mut Part, url: &str) {
    if !text.contains_word(token::of_url(url)) {
        text.change_last(|last| {
            let end = last.trim_end().len();
            last.truncate(end);
            last.push_str(TEXT);
            last.push_str(url);
            last.push('\n');
        });
    }
}

/// The properties of a page that decide about its footer.
#[derive(Clone)]
pub struct Places<'u> {
    /// The link's token, which escaping does not change.
    token: &'u str,
    /// The link is visible, as text or as a link with visible content.
    pub seen: bool,
    /// The link is open.
    pub in_link: bool,
    /// The place after `<body>`.
    body: Option<usize>,
    /// The place before the last `</body>` at which content is visible.
    pub body_end: Option<usize>,
    /// The place before the last `</html>` at which content is visible.
    pub html_end: Option<usize>,
}

impl<'u> Places<'u> {
    /// The state before anything is read.
    pub fn new(url: &'u str) -> Places<'u> {
        let token = token::of_url(url);
        Places { token, seen: false, in_link: false, body: None, body_end: None, html_end: None }
    }

    fn of(html: &str, url: &'u str) -> Places<'u> {
        let mut places = Places::new(url);
        walk(html, |event| places.see(&event));
        places
    }

    /// Reads on.
    pub fn see(&mut self, event: &Event<'_>) {
        match event {
            Event::Text(text, look) if look.is_seen() => {
                self.seen |= text.contains(self.token) || self.in_link && !text.trim().is_empty();
            }
            Event::Start("a", attributes, _) => {
                self.in_link = attributes.get("href").is_some_and(|href| href.contains(self.token));
            }
            Event::Start("img", _, look) => self.seen |= self.in_link && look.is_seen(),
            Event::Start("body", attributes, _) => {
                self.body.get_or_insert(attributes.end);
            }
            Event::End("a", ..) => self.in_link = false,
            Event::End("body", look, Some(at)) if look.is_seen() => self.body_end = Some(*at),
            Event::End("html", look, Some(at)) if look.is_seen() => self.html_end = Some(*at),
            _ => {}
        }
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
        let mut text = Part::whole(format!("Enough: {}", url()));
        add_to_text(&mut text, &url());
        assert_eq!(text.join(), format!("Enough: {}", url()));
    }

    #[test]
    fn the_text_ends_with_the_link_on_a_line_of_its_own() {
        let mut text = Part::whole("Good day\n\n\n".to_owned());
        add_to_text(&mut text, &url());
        assert_eq!(text.join(), format!("Good day\n\nUnsubscribe from these emails: {}\n", url()));
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
