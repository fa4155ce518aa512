//! Checks the message that a recipient would get. Pure.

use super::Finding;
use super::link::{Problem, examine};
use crate::message::html::{Event, walk, words};

/// The most bytes of an HTML part that Gmail shows.
const CLIPPING: usize = 102 * 1024;
/// The approximate number of characters of a subject that a desktop mail program shows.
const SUBJECT_SHOWN: usize = 70;
/// The longest header line (RFC 5322, 2.1.1).
const SUBJECT_MAX: usize = 998;
/// The approximate number of characters that mail programs show beside the subject.
const PREVIEW_SHOWN: usize = 140;
/// With fewer characters beside the subject, the preheader looks forgotten.
const PREVIEW_WANTED: usize = 30;
/// With fewer words around images, a message looks like an advertisement in a picture, which filters
/// distrust.
const WORDS_WANTED: usize = 20;

/// A message, as it would be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// The HTML part.
    pub html: Option<String>,
    /// The text part.
    pub text: Option<String>,
    /// Headers beyond the common ones.
    pub headers: Vec<(String, String)>,
    /// True for a transactional message, which needs no unsubscribe link.
    pub transactional: bool,
}

/// All findings on a message, each one once.
pub fn examine_message(message: &Message) -> Vec<Finding> {
    let mut findings = Vec::new();
    subject(&message.subject, &mut findings);
    if let Some(html) = &message.html {
        let page = Page::read(html);
        page.findings(html.len(), &mut findings);
    }
    if message.text.as_ref().is_none_or(|text| text.trim().is_empty()) {
        let text = "there is no text part: clients without HTML, and spam filters, see an empty message";
        findings.push(Finding::warning("text_missing", text));
    }
    if !message.transactional && !message.headers.iter().any(|(name, _)| name == "List-Unsubscribe") {
        let text = "there is no List-Unsubscribe header, without which mailbox providers refuse bulk mail and send-batch \
                    halts: set UNSUBSCRIBE_URL and UNSUBSCRIBE_SECRET, or the campaign's column transactional";
        findings.push(Finding::error("unsubscribe_missing", text));
    }
    let parts = [Some(&message.subject), message.html.as_ref(), message.text.as_ref()];
    if let Some(rest) = parts.into_iter().flatten().find_map(|part| placeholder(part)) {
        let text = format!("{rest:?} looks like a placeholder that was not filled in");
        findings.push(Finding::warning("placeholder", text));
    }
    findings.dedup();
    findings
}

fn subject(subject: &str, findings: &mut Vec<Finding>) {
    let length = subject.chars().count();
    if length == 0 {
        findings.push(Finding::error("subject_empty", "the subject is empty"));
    } else if subject.len() > SUBJECT_MAX {
        let text = format!("the subject has {} bytes: at most {SUBJECT_MAX}", subject.len());
        findings.push(Finding::error("subject_too_long", text));
    } else if length > SUBJECT_SHOWN {
        let text = format!("the subject has more than the {SUBJECT_SHOWN} characters that clients show");
        findings.push(Finding::warning("subject_long", text));
    }
}

/// The beginning of a placeholder of another template language.
fn placeholder(part: &str) -> Option<&str> {
    ["{{", "*|", "%%", "[[", "<%"].into_iter().find_map(|open| {
        let close = match open {
            "{{" => "}}",
            "*|" => "|*",
            "%%" => "%%",
            "[[" => "]]",
            _ => "%>",
        };
        let at = part.find(open)?;
        let inner = &part[at + 2..];
        let end = inner.find(close)?;
        let name = &inner[..end];
        let plausible = (1..=40).contains(&name.trim().len())
            && name.trim().chars().all(|c| c.is_ascii_alphanumeric() || "_-. :|".contains(c));
        plausible.then(|| &part[at..at + end + 4])
    })
}

/// The content of an HTML part.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    images: Vec<String>,
    without_alt: usize,
    shown: String,
    /// The preheader: the text of a hidden element at the beginning, which is shown in the list of messages.
    preheader: Option<String>,
    has_style: bool,
    has_inline_style: bool,
}

impl Page {
    fn read(html: &str) -> Page {
        let mut page = Page::default();
        let mut seen_anything = false;
        // The number of open elements whose content is not text.
        let mut unread = 0;
        walk(html, |event| match event {
            Event::Text(text, look) if look.is_seen() => {
                seen_anything |= !words(text).is_empty();
                page.shown.push_str(text);
                page.shown.push(' ');
            }
            Event::Text(text, _) if unread == 0 && !seen_anything => {
                page.preheader.get_or_insert_default().push_str(text);
            }
            Event::Text(..) => {}
            Event::End(name, ..) => unread -= usize::from(is_unread(name)),
            Event::Start(name, attributes, _) => {
                unread += usize::from(is_unread(name));
                page.has_style |= name == "style";
                page.has_inline_style |= attributes.get("style").is_some();
                match name {
                    "a" => page.links.extend(attributes.get("href").map(str::to_owned)),
                    "img" => {
                        page.images.extend(attributes.get("src").map(str::to_owned));
                        page.without_alt += usize::from(attributes.get("alt").is_none());
                    }
                    _ => {}
                }
            }
        });
        page.shown = words(&page.shown);
        page.preheader = page.preheader.map(|text| words(&text)).filter(|text| !text.is_empty());
        page
    }

    fn findings(&self, bytes: usize, findings: &mut Vec<Finding>) {
        if bytes > CLIPPING {
            let text = format!("the HTML is larger than the {CLIPPING} bytes at which Gmail clips a message");
            findings.push(Finding::warning("clipped", text));
        }
        self.preview(findings);
        for link in &self.links {
            findings.extend(of_link("link", link));
        }
        for image in &self.images {
            findings.extend(of_link("image", image));
        }
        if self.without_alt > 0 {
            let text = "images have no alt text: many clients show that first, screen readers nothing else";
            findings.push(Finding::warning("image_alt", text));
        }
        let count = self.shown.split(' ').filter(|word| !word.is_empty()).count();
        if !self.images.is_empty() && count < WORDS_WANTED {
            let text =
                "it is mostly images: spam filters mistrust that, and clients that load none show little";
            findings.push(Finding::warning("mostly_images", text));
        }
        if self.has_style && !self.has_inline_style {
            let text = "its styles are in <style> alone, which some clients drop: inline them (--inline-css)";
            findings.push(Finding::warning("css_not_inline", text));
        }
    }

    fn preview(&self, findings: &mut Vec<Finding>) {
        if let Some(preheader) = &self.preheader {
            if preheader.chars().count() > PREVIEW_SHOWN {
                let text =
                    format!("the preheader has more than the {PREVIEW_SHOWN} characters that clients show");
                findings.push(Finding::warning("preheader_long", text));
            }
        } else if self.shown.chars().count() < PREVIEW_WANTED {
            let text = "beside the subject, clients will show next to nothing: there is no preheader and little text";
            findings.push(Finding::warning("preheader_missing", text));
        }
    }
}

fn of_link(what: &str, link: &str) -> Option<Finding> {
    // The text is the same for many recipients whose links differ by their data.
    let shown: String = link.chars().take(60).collect();
    Some(match examine(link)? {
        Problem::Broken(problem) => Finding::error("link_broken", format!("the {what} {shown:?} {problem}")),
        Problem::Doubtful(problem) => {
            Finding::warning("link_doubtful", format!("the {what} {shown:?} {problem}"))
        }
    })
}

fn is_unread(name: &str) -> bool {
    matches!(name, "head" | "title" | "style" | "script" | "template" | "noscript" | "textarea" | "object")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(message: &Message) -> Vec<&'static str> {
        examine_message(message).into_iter().map(|finding| finding.kind).collect()
    }

    fn good() -> Message {
        Message {
            subject: "Your spring coffee".into(),
            html: Some(
                "<div style='display: none'>The new harvest from Huila is here&zwnj;&nbsp;</div><p style='margin:0'>\
                 Dear Ada, the new harvest is here: <a href='https://example.com/a'>have a look</a>. \
                 We roasted it on Monday, and send it to you within a day of your order, as ever.</p>\
                 <img src='https://example.com/a.png' alt='A cup'>"
                    .into(),
            ),
            text: Some("Dear Ada".into()),
            headers: vec![("List-Unsubscribe".into(), "<https://example.com/u>".into())],
            transactional: false,
        }
    }

    fn with_html(html: &str) -> Message {
        Message { html: Some(html.into()), ..good() }
    }

    #[test]
    fn a_good_message_has_no_findings() {
        assert_eq!(kinds(&good()), Vec::<&str>::new());
    }

    #[test]
    fn each_thing_is_found_by_itself() {
        assert_eq!(kinds(&Message { subject: String::new(), ..good() }), ["subject_empty"]);
        assert_eq!(kinds(&Message { subject: "é".repeat(71), ..good() }), ["subject_long"]);
        assert_eq!(kinds(&Message { subject: "x".repeat(999), ..good() }), ["subject_too_long"]);
        assert_eq!(kinds(&Message { text: Some(" ".into()), ..good() }), ["text_missing"]);
        assert_eq!(kinds(&Message { headers: vec![], ..good() }), ["unsubscribe_missing"]);
        assert_eq!(kinds(&Message { headers: vec![], transactional: true, ..good() }), Vec::<&str>::new());
        assert_eq!(kinds(&Message { subject: "Hi *|FNAME|*".into(), ..good() }), ["placeholder"]);
        assert_eq!(kinds(&Message { text: Some("Hi {{ name }}".into()), ..good() }), ["placeholder"]);
        let text = "word ".repeat(40);
        let html = |more: &str| kinds(&with_html(&format!("<p style='a:b'>{text}</p>{more}")));
        assert_eq!(html(&"x".repeat(104_448)), ["clipped"], "102 KiB");
        assert_eq!(html(&"x".repeat(104_448 - 300)), Vec::<&str>::new());
        assert_eq!(html("<a href='http://'>a</a>"), ["link_broken"]);
        assert_eq!(html("<a href='/a'>a</a><img src='a.png' alt=''>"), ["link_doubtful", "link_doubtful"]);
        assert_eq!(html("<img src='https://example.com/a.png'>"), ["image_alt"]);
        assert_eq!(kinds(&with_html(&format!("<style>p{{}}</style><p>{text}</p>"))), ["css_not_inline"]);
        assert_eq!(kinds(&with_html("<p style='a:b'>Hi</p>")), ["preheader_missing"]);
        let hidden = format!("<div style='max-height:0'><div>{text}</div></div><p>{text}</p>");
        assert_eq!(kinds(&with_html(&hidden)), ["preheader_long"]);
        let image = "<p style='a:b'>Something to read before the picture</p><img src='https://example.com/a.png' alt='a'>";
        assert_eq!(kinds(&with_html(image)), ["mostly_images"]);
    }

    #[test]
    fn percent_signs_and_brackets_of_ordinary_text_are_no_placeholders() {
        for text in ["100%% sure, 50%% off", "a [[ b", "{{", "if (a [[1]])", "<% %>"] {
            let found = placeholder(text);
            assert!(found.is_none_or(|found| found == "[[1]]"), "{text}: {found:?}");
        }
    }
}
