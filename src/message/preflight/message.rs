//! Checks the message that a recipient would get. Pure.

use std::collections::{BTreeSet, HashSet};

use super::Finding;
use super::link;
use super::style::Styles;
use crate::message::html::{Attributes, Event, walk, words};
use crate::message::render::footer;

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
    if is_empty(message) {
        let text = "the email is empty: it has nothing to be seen but the link to unsubscribe";
        findings.push(Finding::error("empty", text));
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
    let mut said = HashSet::new();
    findings.retain(|finding| said.insert((finding.kind, finding.text.clone())));
    findings
}

/// Neither part shows any content of the campaign.
fn is_empty(message: &Message) -> bool {
    let html = message.html.as_deref().map(Page::read);
    let text = message.text.as_deref().unwrap_or_default();
    let text = text.split(footer::TEXT.trim_start()).next().unwrap_or_default();
    match html {
        Some(page) => page.shown.is_empty() && page.images.is_empty(),
        None => text.trim().is_empty(),
    }
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
    /// The footer's text.
    footer: String,
    /// The preheader: the text of a hidden element at the beginning, which is shown in the list of messages.
    preheader: Option<String>,
    styles: Styles,
    /// Elements that mail programs do not run or show, for example `script`, `form` and `iframe`, each once.
    unsupported: BTreeSet<&'static str>,
    /// A `base` element completes relative links in programs that support it.
    has_base: bool,
}

impl Page {
    fn read(html: &str) -> Page {
        let mut page = Page::default();
        let mut seen_anything = false;
        // The numbers of open elements whose content is not text, and of those of the footer.
        let (mut unread, mut in_style, mut in_footer) = (0, false, 0);
        walk(html, |event| match event {
            Event::Start("div", attributes, _)
                if in_footer > 0 || attributes.get("style") == Some(footer::STYLE) =>
            {
                in_footer += 1;
            }
            Event::End("div", ..) if in_footer > 0 => in_footer -= 1,
            Event::Text(text, _) if in_footer > 0 => page.footer.push_str(text),
            // The footer is not written by the campaign's author.
            _ if in_footer > 0 => {}
            Event::Text(text, _) if in_style => page.styles.add_sheet(text),
            Event::Text(text, look) if look.is_seen() => {
                seen_anything |= !words(text).is_empty();
                page.shown.push_str(text);
                page.shown.push(' ');
            }
            Event::Text(text, _) if unread == 0 && !seen_anything => {
                page.preheader.get_or_insert_default().push_str(text);
            }
            Event::Text(..) => {}
            Event::End(name, ..) => {
                unread -= usize::from(is_unread(name));
                in_style &= name != "style";
            }
            Event::Start(name, attributes, _) => {
                unread += usize::from(is_unread(name));
                in_style |= name == "style";
                page.styles.add_element(name, attributes);
                page.unsupported.extend(unsupported(name, attributes));
                match name {
                    "a" | "area" => page.links.extend(attributes.get("href").map(str::to_owned)),
                    "base" => page.has_base |= attributes.get("href").is_some(),
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
        for address in &self.links {
            findings.extend(link::finding("link", address));
        }
        for address in &self.images {
            findings.extend(link::finding("image", address));
        }
        if self.has_base {
            let text = "it has a <base> element, which most mail programs do not heed: write whole addresses";
            findings.push(Finding::warning("base", text));
        }
        for what in &self.unsupported {
            findings.push(Finding::warning(what, words_for(what)));
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
        if let Some(selector) = self.styles.not_inlined() {
            let text = format!(
                "the rule {selector:?} and perhaps others stand in <style> only, which some mail programs drop: inline them in the template"
            );
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
        } else if self.shown.chars().count() + self.footer.trim().chars().count() < PREVIEW_WANTED {
            let text = "beside the subject, clients will show next to nothing: there is no preheader and little text";
            findings.push(Finding::warning("preheader_missing", text));
        }
    }
}

/// The kind of finding for an element that mail programs do not run or show.
fn unsupported(name: &str, attributes: &Attributes) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    if name == "script" || attributes.names().any(|name| name.starts_with("on")) {
        kinds.push("script");
    }
    match name {
        "form" | "input" | "button" | "select" | "textarea" => kinds.push("form"),
        "iframe" | "object" | "embed" | "applet" | "video" | "audio" => kinds.push("embedded"),
        "link" if attributes.get("rel").is_some_and(|rel| rel.eq_ignore_ascii_case("stylesheet")) => {
            kinds.push("stylesheet_linked");
        }
        _ => {}
    }
    kinds
}

fn words_for(kind: &str) -> &'static str {
    match kind {
        "script" => "it has scripts, which no mail program runs and which filters mistrust",
        "form" => {
            "it has a form, which most mail programs do not show or warn of: link to a page that has it"
        }
        "stylesheet_linked" => {
            "it links a style sheet, which no mail program loads: write the styles into the elements"
        }
        _ => {
            "it embeds something (iframe, object, video and the like), which most mail programs do not show: link to it"
        }
    }
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
        let footer = "<div style='margin-top:32px;padding:16px 0;border-top:1px solid #c9cfd6;font-family:Arial,Helvetica,sans-serif;font-size:13px;line-height:1.5;text-align:center'><a href='https://example.com/u'>Unsubscribe</a> from these emails</div>";
        let sheet = "<style>.x{color:red} p{margin:0} @media print{p{margin:9px}}</style>";
        assert_eq!(kinds(&with_html(&format!("{sheet}<p>{text}</p>{footer}"))), ["css_not_inline"]);
        assert_eq!(
            kinds(&with_html(&format!("{sheet}<p style='margin:0'>{text}</p>{footer}"))),
            Vec::<&str>::new()
        );
        assert_eq!(html("<script>x()</script>"), ["script"]);
        assert_eq!(html("<p style='a:b' onclick='x()'>a</p>"), ["script"]);
        assert_eq!(html("<form action='/a'><input name=a><button>a</button></form>"), ["form"]);
        assert_eq!(html("<iframe src='https://example.com'></iframe><video src='a'></video>"), ["embedded"]);
        assert_eq!(html("<link rel='Stylesheet' href='https://example.com/a.css'>"), ["stylesheet_linked"]);
        assert_eq!(html("<a href='javascript:x()'>a</a>"), ["link_broken"]);
        assert_eq!(html("<map><area href='/a'></map>"), ["link_doubtful"]);
        assert_eq!(
            html("<a href='/a'>a</a><a href='#'>b</a><a href='/a'>c</a>"),
            ["link_doubtful", "link_doubtful"]
        );
        for empty in ["", "<p>&nbsp;</p>", footer] {
            assert!(kinds(&with_html(empty)).contains(&"empty"), "{empty}");
        }
        let text_alone = |text: &str| kinds(&Message { html: None, text: Some(text.into()), ..good() });
        assert_eq!(text_alone("\n\nUnsubscribe from these emails: https://example.com/u\n"), ["empty"]);
        assert_eq!(
            text_alone("Hi\n\nUnsubscribe from these emails: https://example.com/u\n"),
            Vec::<&str>::new()
        );
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
