//! Checks the message that a recipient would get. Pure.

use std::collections::HashSet;

use super::Finding;
use super::page::Page;
use super::placeholder::placeholders;
use crate::message::render::footer;

/// The approximate number of characters of a subject that a desktop mail program shows.
const SUBJECT_SHOWN: usize = 70;
/// The longest header line (RFC 5322, 2.1.1).
const SUBJECT_MAX: usize = 998;

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
    for rest in parts.into_iter().flatten().flat_map(|part| placeholders(part)) {
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
        Some(page) => page.is_empty(),
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

    /// The kinds of findings on an email of some text with this in its head, and this in its body.
    fn in_email(head: &str, body: &str) -> String {
        let text =
            "We roasted it on Monday, and send it to you within a day of your order, as ever. ".repeat(3);
        let page = format!(
            "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Spring</title>{head}</head>\
             <body style='margin:0'><p style='margin:0'>{text}</p>{body}</body></html>"
        );
        kinds(&with_html(&page)).join(" ")
    }

    #[test]
    fn what_newsletters_usually_have_is_let_pass() {
        // As MJML writes it, with its fonts and the rules for single mail programs.
        let mjml = "<!--[if !mso]><!--><meta http-equiv='X-UA-Compatible' content='IE=edge'><!--<![endif]-->\
            <style type='text/css'>#outlook a { padding:0; } body { margin:0;padding:0; } table, td { border-collapse:collapse; } \
            .ExternalClass p, .ExternalClass td { line-height: 100%; } .moz-text-html .column { max-width:100%; } \
            u + #body a { color: inherit; }</style>\
            <!--[if !mso]><!--><link href='https://fonts.googleapis.com/css?family=Ubuntu:300,400' rel='stylesheet' type='text/css'>\
            <style type='text/css'>@import url(https://fonts.googleapis.com/css?family=Ubuntu);</style><!--<![endif]-->\
            <style type='text/css'>@media only screen and (min-width:480px) { .column { width:100% !important; } }</style>";
        for (head, body) in [
            (mjml, "<div class='column' style='width:100%'><a href='https://example.com/a'>Shop</a></div>"),
            (
                "",
                "<!--[if mso]><v:roundrect href='x'><![endif]--><a href='https://example.com/a'>Shop</a><!--[if mso]></v:roundrect><![endif]-->",
            ),
            ("", "<script type='application/ld+json'>{\"@context\": \"http://schema.org\"}</script>"),
            ("", "<img src='https://count.example.com/o.gif' width='1' height=1>"),
            ("", "<a href='#top'>Up</a> <a name='more'></a><a href='#more'>More</a> <a id=x></a>"),
            ("", "<A HREF=https://example.com/a?b=1&amp;c=2>Shop</A>"),
            (
                "",
                "<a href='mailto:hi@example.com?subject=Hello%20you'>Write</a> <a href='tel:+49 30 123'>Call</a>",
            ),
            ("", "<a href='https://example.com/männer'>Für Männer</a>"),
            (
                "",
                "<a href='https://click.example.com/x'>www.example.com</a> <a href='https://nodejs.example/x'>Node.js</a>",
            ),
            ("", "<a href='https://example.com/a'><img src='https://example.com/a.png' alt='Shop'></a>"),
            ("", "<map name=m><area href='https://example.com/a' shape=rect></map>"),
            (
                "",
                "<img src='https://example.com/a.png' srcset='https://example.com/a.png 1x, https://example.com/b.png 2x' alt=''>",
            ),
            (
                "",
                "<table background='https://example.com/a.png' style=\"background:url('https://example.com/b.png')\"><tr><td style='a:b'>x</td></tr></table>",
            ),
            ("", &"<table role='presentation' style='width:100%'><tr><td style='padding:0'>".repeat(20)),
        ] {
            assert_eq!(in_email(head, body), "", "{body}");
        }
    }

    #[test]
    fn what_readers_or_filters_trip_over_is_found_once() {
        for (body, found) in [
            ("<a href='https://example.com/a'></a>", "link_empty"),
            (
                "<a href='https://example.com/a'><img src='https://example.com/a.png' alt=''></a>",
                "link_empty",
            ),
            ("<a href='https://example.com/a'><img src='https://example.com/a.png'></a>", "image_alt"),
            ("<a href='https://evil.example/a'>https://bank.example</a>", "link_text"),
            ("<a href='http://example.com/a'>a</a><img src='http://example.com/b.png' alt='b'>", "http"),
            ("<a href='#nowhere'>a</a>", "link_doubtful"),
            ("<a href='//cdn.example.com/a'>a</a>", "link_doubtful"),
            ("<img src='//cdn.example.com/a.png' alt='a'>", "link_doubtful"),
            ("<img src='data:image/png;base64,AA' alt='a'>", "link_doubtful"),
            ("<img src='https://example.com/a.png' srcset='a2.png 2x' alt='a'>", "link_doubtful"),
            ("<table background='a.png' style='a:b'></table>", "link_doubtful"),
            ("<div style='background-image: url(&quot;a.png&quot;)'>a</div>", "link_doubtful"),
            ("<img src='file:///C:/Users/ada/image001.png' alt='a'>", "link_broken"),
            ("<a href='https://example.com/a b'>a</a>", "link_broken"),
            ("<base href='https://example.com/'><a href='a'>a</a><img src='b.png' alt='b'>", "base"),
            ("<a href='*|UNSUB|*'>a</a>", "placeholder"),
            ("<p style='a:b'>*|FNAME|* *|LNAME|*</p>", "placeholder placeholder"),
            ("<button style='a:b'>Shop</button>", "form"),
            ("<video src='https://example.com/a.mp4' style='a:b'></video>", "embedded"),
            ("<script async src='https://cdn.ampproject.org/v0.js'></script>", "script"),
            ("<style>p.MsoNormal { margin: 0 }</style><p class=MsoNormal>a<o:p></o:p></p>", "css_not_inline"),
            ("<link rel='stylesheet' href='https://example.com/all.css'>", "stylesheet_linked"),
        ] {
            assert_eq!(in_email("", body), found, "{body}");
        }
    }
}
