//! The attachments of every email of a campaign. Pure.
//!
//! <https://docs.aws.amazon.com/ses/latest/dg/attachments.html>

use std::collections::BTreeSet;

use super::html::{Piece, pieces};
use super::preflight::Finding;
use super::preflight::campaign::without_template_tags;

/// The most bytes of a whole message: Amazon SES accepts 40 MB, with files in base64.
pub const MAX_MESSAGE_BYTES: usize = 40_000_000;
/// Extensions that SES refuses (Unsupported attachment types,
/// <https://docs.aws.amazon.com/ses/latest/dg/mime-types.html>).
const REFUSED_ENDINGS: [&str; 87] = [
    "ade", "adp", "app", "asp", "bas", "bat", "cer", "chm", "cmd", "com", "cpl", "crt", "csh", "der", "exe",
    "fxp", "gadget", "hlp", "hta", "inf", "ins", "isp", "its", "js", "jse", "ksh", "lib", "lnk", "mad",
    "maf", "mag", "mam", "maq", "mar", "mas", "mat", "mau", "mav", "maw", "mda", "mdb", "mde", "mdt", "mdw",
    "mdz", "msc", "msh", "msh1", "msh2", "mshxml", "msh1xml", "msh2xml", "msi", "msp", "mst", "ops", "pcd",
    "pif", "plg", "prf", "prg", "reg", "scf", "scr", "sct", "shb", "shs", "sys", "ps1", "ps1xml", "ps2",
    "ps2xml", "psc1", "psc2", "tmp", "url", "vb", "vbe", "vbs", "vps", "vsmacros", "vss", "vst", "vsw",
    "vxd", "ws", "wsc",
];
/// Further extensions of files that SES refuses.
const MORE_REFUSED_ENDINGS: [&str; 3] = ["wsf", "wsh", "xnk"];

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The name that the recipient sees.
    pub file_name: String,
    /// For example `application/pdf`. `None`: derived from the name's extension.
    pub content_type: Option<String>,
    /// Its content. Empty if it was too large to be read.
    pub content: Vec<u8>,
    /// The size of the content, in bytes.
    pub bytes: usize,
    /// Its name in `cid:` links.
    pub content_id: Option<String>,
    /// The file is shown at the place of such a link, and not below the email.
    pub inline: bool,
}

impl Attachment {
    /// The number of bytes that the file adds to a message: base64 in lines of 76 characters.
    pub fn bytes_in_message(&self) -> usize {
        self.bytes.div_ceil(57) * 78
    }
}

/// Finds what would be wrong with every email: files that SES refuses, files that are too large together, and
/// `cid:` links that name no file. An inline file without such a link is a warning.
pub fn examine_attachments(files: &[Attachment], html: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let size: usize = files.iter().map(Attachment::bytes_in_message).sum();
    if size > MAX_MESSAGE_BYTES {
        findings.push(Finding::error(
            "attachments_too_large",
            format!(
                "the attachments have {size} bytes in base64: Amazon SES takes messages of up to {MAX_MESSAGE_BYTES}"
            ),
        ));
    }
    let mut content_ids = BTreeSet::new();
    for file in files {
        let name = &file.file_name;
        let mut refuse = |why: &str| {
            findings.push(Finding::error("attachment", format!("the attachment {name:?} {why}")));
        };
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            None | Some("") => refuse("has no ending, by which its kind is known"),
            Some(ending) if REFUSED_ENDINGS.contains(&ending) || MORE_REFUSED_ENDINGS.contains(&ending) => {
                refuse("has an ending that Amazon SES refuses");
            }
            Some(_) => {}
        }
        if name.contains(|character: char| character.is_control() || matches!(character, '/' | '\\')) {
            refuse("has a control character or a slash in its name");
        }
        if let Some(id) = &file.content_id {
            if id.is_empty()
                || id.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>'))
            {
                refuse("has a content_id that is empty, or has white space or < > in it");
            } else if !content_ids.insert(id.as_str()) {
                refuse(&format!("has the content_id {id:?} of another one"));
            }
        }
    }
    let links = cid_links(html.unwrap_or_default());
    for id in links.iter().filter(|id| !content_ids.contains(id.as_str())) {
        let text = format!("the link \"cid:{id}\" names no attachment of the campaign by its content_id");
        findings.push(Finding::error("cid_missing", text));
    }
    for file in files.iter().filter(|file| file.inline) {
        if file.content_id.as_ref().is_some_and(|id| !links.contains(id)) {
            let text =
                format!("the attachment {:?} is inline, and no \"cid:\" link shows it", file.file_name);
            findings.push(Finding::warning("cid_unused", text));
        }
    }
    findings
}

/// The files that a template names by `cid:` in attributes and in styles, without names that come from
/// variables.
fn cid_links(template: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if !template.contains("cid:") {
        return found;
    }
    let markup = without_template_tags(template);
    let mut add = |text: &str| {
        for (at, scheme) in text.match_indices("cid:") {
            let before = text[..at].chars().next_back();
            if before.is_some_and(char::is_alphanumeric) {
                continue;
            }
            let id = text[at + scheme.len()..]
                .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ')' | '<' | '>'))
                .next()
                .unwrap_or_default();
            if !id.is_empty() && !id.contains('\u{fffc}') {
                found.insert(percent_decoded(id));
            }
        }
    };
    let mut in_style = false;
    for piece in pieces(&markup) {
        match piece {
            Piece::Tag(name, attributes) => {
                in_style = name == "style";
                ["src", "href", "background", "style", "srcset"]
                    .iter()
                    .filter_map(|name| attributes.get(name))
                    .for_each(&mut add);
            }
            Piece::Text(text) if in_style => add(&text),
            Piece::End(..) => in_style = false,
            Piece::Text(_) => {}
        }
    }
    found
}

/// Decodes a content id in a link; RFC 2392 has characters escaped that a URL cannot have.
fn percent_decoded(id: &str) -> String {
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[2..]).1,
            None => (bytes.push(*first), rest = after).1,
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: usize, content_id: Option<&str>) -> Attachment {
        Attachment {
            file_name: name.to_owned(),
            content_type: None,
            content: Vec::new(),
            bytes,
            content_id: content_id.map(str::to_owned),
            inline: content_id.is_some(),
        }
    }

    fn found(files: &[Attachment], html: &str) -> String {
        let findings = examine_attachments(files, Some(html));
        findings
            .iter()
            .map(|finding| format!("{}: {}", finding.kind, finding.text))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn what_ses_refuses_is_found() {
        insta::assert_snapshot!(found(&[file("a.EXE", 1, None), file("b", 1, None), file("c/d.pdf", 1, None), file("e.pdf", 29_300_000, None)], ""), @r#"
        attachments_too_large: the attachments have 40095042 bytes in base64: Amazon SES takes messages of up to 40000000
        attachment: the attachment "a.EXE" has an ending that Amazon SES refuses
        attachment: the attachment "b" has no ending, by which its kind is known
        attachment: the attachment "c/d.pdf" has a control character or a slash in its name
        "#);
        assert_eq!(found(&[file("e.pdf", 29_200_000, None)], "<p>"), "");
    }

    #[test]
    fn links_by_cid_are_checked_both_ways() {
        let files = [
            file("logo.png", 1, Some("logo")),
            file("b.png", 1, Some("b@x")),
            file("c.png", 1, Some("logo")),
        ];
        let html = "<img src=\"cid:logo\"><td background='cid:none'><p style=\"background:url('cid:b%40x')\">\
                    cid:text <img src='cid:{{ which }}'><style>p{background:url(cid:styled)}</style>";
        insta::assert_snapshot!(found(&files, html), @r#"
        attachment: the attachment "c.png" has the content_id "logo" of another one
        cid_missing: the link "cid:none" names no attachment of the campaign by its content_id
        cid_missing: the link "cid:styled" names no attachment of the campaign by its content_id
        "#);
        insta::assert_snapshot!(found(&files[..1], "<p>acid:x</p>"), @r#"cid_unused: the attachment "logo.png" is inline, and no "cid:" link shows it"#);
    }
}
