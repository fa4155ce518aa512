//! The body of a `SendBulkEmail` request. It is most of what a campaign's bytes go through, so it is written once,
//! straight from what was rendered: the SDK's own types would be built, copied and escaped for each recipient.

use std::io;

use bytes::Bytes;
use serde::Serialize;

use super::compose::Message;
use super::request::Sender;

/// Template data of one entry, in bytes (Amazon SES API v2, `ReplacementTemplate`: 262,144 characters).
const MAX_TEMPLATE_DATA_BYTES: usize = 262_144;
/// A bulk call with as many bytes takes no more entries: it is to be on its way soon.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Entries of a bulk call: they were rendered here, so SES's template only takes them in.
pub struct Entries {
    size: usize,
    body: Vec<u8>,
    /// Which recipient of the batch each entry is of.
    pub indexes: Vec<usize>,
    /// Where each entry goes.
    pub addresses: Vec<String>,
    has_html: bool,
    has_text: bool,
}

/// What SES puts into its template. The order of the names is that of the template.
#[derive(Serialize)]
struct TemplateData<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NameAndValue<'a> {
    name: &'a str,
    value: &'a str,
}

impl Entries {
    /// No entry yet, of `size` at most.
    pub fn new(size: usize) -> Entries {
        let (body, indexes, addresses) =
            (br#"{"BulkEmailEntries":["#.to_vec(), Vec::with_capacity(size), Vec::with_capacity(size));
        Entries { size, body, indexes, addresses, has_html: false, has_text: false }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.indexes.len()
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.len() < self.size && self.bytes() < MAX_BYTES
    }

    /// The size of the request so far, in bytes.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Adds the message of a recipient; false, and nothing is added, if it is too large for an entry. All of an entry's
    /// tags and headers are its own: whether defaults are added to them or replaced, SES does not say.
    pub fn add(&mut self, sender: &Sender, index: usize, message: Message) -> bool {
        let before = self.body.len();
        let body = &mut self.body;
        if !self.indexes.is_empty() {
            body.push(b',');
        }
        body.extend_from_slice(br#"{"Destination":{"ToAddresses":["#);
        write(body, &message.address);
        body.extend_from_slice(br#"]},"ReplacementTags":"#);
        let tags = sender.tags(message.recipient_id);
        let tags = tags.iter().map(|tag| NameAndValue { name: tag.name(), value: tag.value() });
        write(body, &tags.collect::<Vec<_>>());
        body.extend_from_slice(br#","ReplacementHeaders":"#);
        let headers = sender.headers(message.list_unsubscribe.as_deref());
        let headers =
            headers.iter().map(|header| NameAndValue { name: header.name(), value: header.value() });
        write(body, &headers.collect::<Vec<_>>());
        body.extend_from_slice(
            br#","ReplacementEmailContent":{"ReplacementTemplate":{"ReplacementTemplateData":""#,
        );
        let content = &message.content;
        let (html, text) = (content.html.as_deref(), content.text.as_deref());
        let mut data = Quoted { json: body, bytes: 0 };
        write(&mut data, &TemplateData { subject: &content.subject, html, text });
        if data.bytes > MAX_TEMPLATE_DATA_BYTES {
            body.truncate(before);
            return false;
        }
        body.extend_from_slice(br#""}}}"#);
        if self.indexes.is_empty() {
            // The others will be about as large.
            body.reserve((body.len() * self.size).min(MAX_BYTES));
        }
        (self.has_html, self.has_text) = (html.is_some(), text.is_some());
        self.indexes.push(index);
        self.addresses.push(message.address);
        true
    }

    /// The whole request. All messages of a campaign have the same parts.
    pub fn into_body(self, sender: &Sender) -> Bytes {
        let mut body = self.body;
        body.extend_from_slice(br#"],"FromEmailAddress":"#);
        write(&mut body, sender.from());
        if !sender.reply_to().is_empty() {
            body.extend_from_slice(br#","ReplyToAddresses":"#);
            write(&mut body, sender.reply_to());
        }
        if let Some(name) = sender.configuration_set() {
            body.extend_from_slice(br#","ConfigurationSetName":"#);
            write(&mut body, name);
        }
        body.extend_from_slice(br#","DefaultContent":{"Template":{"TemplateData":"{}","TemplateContent":{"#);
        body.extend_from_slice(br#""Subject":"{{subject}}""#);
        if self.has_html {
            body.extend_from_slice(br#","Html":"{{{html}}}""#);
        }
        if self.has_text {
            body.extend_from_slice(br#","Text":"{{{text}}}""#);
        }
        body.extend_from_slice(b"}}}}");
        body.into()
    }
}

/// JSON within a string of JSON. What is written to it has no control characters, so quotes and backslashes are all
/// there is to escape.
struct Quoted<'a> {
    json: &'a mut Vec<u8>,
    /// Before escaping.
    bytes: usize,
}

impl io::Write for Quoted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
            self.json.extend_from_slice(&rest[..at]);
            self.json.extend_from_slice(&[b'\\', rest[at]]);
            rest = &rest[at + 1..];
        }
        self.json.extend_from_slice(rest);
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(json: &mut impl io::Write, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(json, value).expect("strings are JSON, and memory takes them");
}
