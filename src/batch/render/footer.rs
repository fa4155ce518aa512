//! The footer with the link to unsubscribe, for a part that does not show the link itself. Pure.

use crate::unsubscribe::token;

/// Adds the footer to an HTML part, unless that has the link: before `</body>` where there is one, else at the end.
pub fn add_to_html(html: &mut String, url: &str) {
    if has_link(html, url) {
        return;
    }
    let at = last_tag(html, "</body").or_else(|| last_tag(html, "</html")).unwrap_or(html.len());
    let footer = format!(
        "<div style=\"margin-top:32px;padding:16px 0;border-top:1px solid #c9cfd6;font-family:Arial,Helvetica,\
         sans-serif;font-size:13px;line-height:1.5;text-align:center\"><a href=\"{url}\">Unsubscribe</a> from \
         these emails</div>\n"
    );
    html.insert_str(at, &footer);
}

/// Adds the footer to a text part, unless that has the link.
pub fn add_to_text(text: &mut String, url: &str) {
    if !has_link(text, url) {
        let end = text.trim_end().len();
        text.truncate(end);
        text.push_str("\n\nUnsubscribe from these emails: ");
        text.push_str(url);
        text.push('\n');
    }
}

/// By the link's token, which looks the same however the rest is escaped.
fn has_link(part: &str, url: &str) -> bool {
    let token = url.get(url.len().saturating_sub(token::LENGTH)..).unwrap_or(url);
    part.contains(token)
}

/// Where the last closing tag of this name begins, whatever its letter case.
fn last_tag(html: &str, tag: &str) -> Option<usize> {
    let windows = html.as_bytes().windows(tag.len());
    windows
        .rev()
        .position(|found| found.eq_ignore_ascii_case(tag.as_bytes()))
        .map(|from_end| html.len() - tag.len() - from_end)
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
            prop_assert_eq!(once.matches(&url()).count(), 1);
            prop_assert_eq!(html(&once), once);
        }
    }
}
