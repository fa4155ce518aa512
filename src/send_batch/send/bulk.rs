//! The body of a `SendBulkEmail` request. It is most of what a campaign's bytes go through, so it is written once,
//! straight from what was rendered: the SDK's own types would be built, copied and escaped for each recipient.
//!
//! What all recipients share is carried once, in SES's inline template; a recipient's entry has its own fragments, as
//! the template's data. Variables have three braces, the subject's too: AWS says that SES escapes nothing, and Handlebars
//! escapes what has two.

use std::collections::BTreeMap;
use std::io;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::request::Sender;
use crate::message::compose::Message;
use crate::message::part::{Part, Shared};
use crate::message::render::Parts;

/// Template data of one entry, in bytes (Amazon SES API v2, `ReplacementTemplate`: 262,144 characters).
const MAX_TEMPLATE_DATA_BYTES: usize = 262_144;
/// SES's template, in bytes (Amazon SES Developer Guide, quotas: 500 KB, HTML and text together).
const MAX_TEMPLATE_BYTES: usize = 500_000;
/// A whole request, in bytes: Amazon SES API v2 documents 1 MB for requests with an inline template.
const MAX_REQUEST_BYTES: usize = 1_000_000;
/// The subject in SES's template.
const SUBJECT: &str = "{{{subject}}}";

/// The result of adding a message to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is an entry of the call now.
    Added,
    /// The call is full, or its template is another one; the next one has room for it.
    NextCall,
    /// It is too large for any bulk call, or shares nothing with the messages of a call that share much.
    NoCall,
}

/// Entries of a bulk call: they were rendered here, so SES's template only takes them in.
pub struct Entries {
    size: usize,
    /// The parts that all entries have in common, which follow the entries.
    end: Vec<u8>,
    body: Vec<u8>,
    /// Which recipient of the batch each entry is of.
    pub indexes: Vec<usize>,
    /// The destination of each entry.
    pub addresses: Vec<String>,
    /// SES's template, which is that of the first message.
    template: Option<Template>,
}

/// What a body is in SES's template.
#[derive(Clone)]
enum Slot {
    /// One variable of this name.
    Whole(&'static str),
    /// Stretches, and variables between them.
    Shared(Arc<Shared>),
}

/// SES's template.
struct Template {
    html: Option<Slot>,
    text: Option<Slot>,
}

impl Template {
    /// The template for messages like this one.
    fn of(content: &Parts) -> Template {
        let shared = |part: &Option<Part>| part.as_ref().and_then(|part| part.shared().cloned());
        let (html, text) = (shared(&content.html), shared(&content.text));
        let bytes: usize = [&html, &text].into_iter().flatten().map(|shared| shared.template_bytes()).sum();
        let fits = SUBJECT.len() + bytes <= MAX_TEMPLATE_BYTES;
        let slot = |shared: Option<Arc<Shared>>, name| {
            shared.filter(|_| fits).map_or(Slot::Whole(name), Slot::Shared)
        };
        Template {
            html: content.html.is_some().then(|| slot(html, "html")),
            text: content.text.is_some().then(|| slot(text, "text")),
        }
    }

    /// Returns true if a message can be an entry with this template.
    fn fit(&self, content: &Parts) -> Fit {
        let of = |slot: &Option<Slot>, part: &Option<Part>| match (slot, part) {
            (Some(Slot::Shared(known)), Some(part)) => match part.shared() {
                Some(shared) if Arc::ptr_eq(known, shared) => Fit::Added,
                Some(_) => Fit::NextCall,
                None => Fit::NoCall,
            },
            (Some(Slot::Whole(_)), Some(_)) | (None, None) => Fit::Added,
            (Some(_), None) | (None, Some(_)) => Fit::NextCall,
        };
        match (of(&self.html, &content.html), of(&self.text, &content.text)) {
            (Fit::NoCall, _) | (_, Fit::NoCall) => Fit::NoCall,
            (Fit::NextCall, _) | (_, Fit::NextCall) => Fit::NextCall,
            (Fit::Added, Fit::Added) => Fit::Added,
        }
    }

    /// The end of a request.
    fn write(&self, json: &mut Vec<u8>, sender: &Sender) {
        json.extend_from_slice(br#","DefaultContent":{"Template":{"#);
        if !sender.files().is_empty() {
            let _ = write!(json, r#""Attachments":{},"#, sender.files().bulk());
        }
        json.extend_from_slice(br#""TemplateData":"{}","TemplateContent":{"Subject":""#);
        json.extend_from_slice(SUBJECT.as_bytes());
        json.push(b'"');
        for (name, slot) in [("Html", &self.html), ("Text", &self.text)] {
            let Some(slot) = slot else { continue };
            let _ = match slot {
                Slot::Whole(variable) => write!(json, r#","{name}":"{{{{{{{variable}}}}}}}""#),
                Slot::Shared(shared) => write!(json, r#","{name}":"{}""#, shared.template()),
            };
        }
        json.extend_from_slice(b"}}}}");
    }
}

impl Entries {
    /// No entry yet, of `size` at most.
    pub fn new(sender: &Sender, size: usize) -> Entries {
        let mut end = br#"],"FromEmailAddress":"#.to_vec();
        write(&mut end, sender.from());
        if !sender.reply_to().is_empty() {
            end.extend_from_slice(br#","ReplyToAddresses":"#);
            write(&mut end, sender.reply_to());
        }
        if let Some(name) = sender.configuration_set() {
            end.extend_from_slice(br#","ConfigurationSetName":"#);
            write(&mut end, name);
        }
        if let Some(name) = sender.tenant() {
            end.extend_from_slice(br#","TenantName":"#);
            write(&mut end, name);
        }
        let mut tracking = sender.tracking().peekable();
        if tracking.peek().is_some() {
            let tracking: BTreeMap<_, _> =
                tracking.map(|(name, status)| (name, status.to_string())).collect();
            end.extend_from_slice(br#","ConfigurationOverrides":{"Tracking":"#);
            write(&mut end, &tracking);
            end.push(b'}');
        }
        Entries {
            size,
            end,
            body: br#"{"BulkEmailEntries":["#.to_vec(),
            indexes: Vec::with_capacity(size),
            addresses: Vec::with_capacity(size),
            template: None,
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.indexes.len()
    }

    /// Returns true if there is room for one more entry of the same size as the others.
    pub fn has_room(&self) -> bool {
        // The first one is always tried, so that the caller makes progress.
        if self.len() == 0 {
            return true;
        }
        let average = self.body.len() / self.len();
        self.len() < self.size && self.bytes() + average <= MAX_REQUEST_BYTES
    }

    /// The size of the request if it were made now, in bytes.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.end.len()
    }

    /// Adds the message of a recipient, unless the request would be too large with it. All of an entry's tags and
    /// headers are its own: whether defaults are added to them or replaced, SES does not say.
    pub fn add(&mut self, sender: &Sender, index: usize, message: Message) -> Fit {
        let end = self.end.len();
        let template = match self.template.take() {
            Some(template) => template,
            None => {
                let template = Template::of(&message.content);
                template.write(&mut self.end, sender);
                template
            }
        };
        let fit = match template.fit(&message.content) {
            Fit::Added => self.put(&template, sender, index, message),
            other => other,
        };
        if self.indexes.is_empty() {
            // The first that is an entry decides about the template.
            self.end.truncate(end);
        } else {
            self.template = Some(template);
        }
        fit
    }

    fn put(&mut self, template: &Template, sender: &Sender, index: usize, message: Message) -> Fit {
        let before = self.body.len();
        let body = &mut self.body;
        if !self.indexes.is_empty() {
            body.push(b',');
        }
        body.extend_from_slice(br#"{"Destination":{"ToAddresses":["#);
        write_string(body, &message.address);
        body.extend_from_slice(br#"]},"ReplacementTags":["#);
        let mut id = Uuid::encode_buffer();
        write_pairs(body, sender.tags(message.recipient_id.hyphenated().encode_lower(&mut id)));
        body.extend_from_slice(br#"],"ReplacementHeaders":["#);
        write_pairs(body, sender.headers(message.list_unsubscribe.as_deref()));
        body.extend_from_slice(
            br#"],"ReplacementEmailContent":{"ReplacementTemplate":{"ReplacementTemplateData":""#,
        );
        if write_data(body, template, message.content) > MAX_TEMPLATE_DATA_BYTES {
            body.truncate(before);
            return Fit::NoCall;
        }
        body.extend_from_slice(br#""}}}"#);
        if self.bytes() > MAX_REQUEST_BYTES {
            self.body.truncate(before);
            return if self.indexes.is_empty() { Fit::NoCall } else { Fit::NextCall };
        }
        if self.indexes.is_empty() {
            // The others will be about as large.
            self.body.reserve((self.body.len() * self.size).min(MAX_REQUEST_BYTES));
        }
        self.indexes.push(index);
        self.addresses.push(message.address);
        Fit::Added
    }

    /// The whole request, of [`MAX_REQUEST_BYTES`] at most. All messages of a campaign have the same parts.
    pub fn into_body(self) -> Bytes {
        let mut body = self.body;
        body.extend_from_slice(&self.end);
        assert!(body.len() <= MAX_REQUEST_BYTES, "a bulk request has {} bytes", body.len());
        body.into()
    }
}

/// The `SendBulkEmail` request for these messages, as JSON, and the numbers of those that are its entries; `None` where
/// the first of them is too large for a bulk call.
pub fn request(sender: &Sender, messages: Vec<Message>) -> Option<(Vec<usize>, Bytes)> {
    let mut entries = Entries::new(sender, messages.len());
    for (number, message) in messages.into_iter().enumerate() {
        if entries.has_room() {
            entries.add(sender, number, message);
        }
    }
    let numbers = entries.indexes.clone();
    (!numbers.is_empty()).then(|| (numbers, entries.into_body()))
}

/// The template data of SES, as JSON within a string of JSON; returns its size in bytes before it is escaped
/// for that.
fn write_data(json: &mut Vec<u8>, template: &Template, content: Parts) -> usize {
    json.extend_from_slice(br#"{\"subject\":\""#);
    let mut size = r#"{"subject":""}"#.len() + escape_twice(json, content.subject.as_bytes());
    json.extend_from_slice(br#"\""#);
    for (slot, part) in [(&template.html, content.html), (&template.text, content.text)] {
        match (slot, part) {
            (Some(Slot::Whole(name)), Some(part)) => {
                size += write_value(json, &format!(r#",\"{name}\":\""#), &String::from(part));
            }
            (Some(Slot::Shared(shared)), Some(part)) => {
                for (key, fragment) in shared.keys().iter().zip(part.fragments()) {
                    size += write_value(json, key, fragment);
                }
            }
            _ => {}
        }
    }
    json.push(b'}');
    size
}

/// One more entry of the data; returns its size before it is escaped. The key has the quotes around it.
fn write_value(json: &mut Vec<u8>, key: &str, value: &str) -> usize {
    json.extend_from_slice(key.as_bytes());
    // The backslashes before its quotes are not there, and the last quote is.
    let size = key.len() - 3 + 1 + escape_twice(json, value.as_bytes());
    json.extend_from_slice(br#"\""#);
    size
}

/// Appends the content of a string within a string of JSON (RFC 8259, section 7). Returns its size when it is escaped
/// once.
fn escape_twice(json: &mut Vec<u8>, mut text: &[u8]) -> usize {
    let mut size = text.len();
    while let Some(at) = first_to_escape(text) {
        let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
        json.extend_from_slice(&text[..at]);
        size += 1;
        match text[at] {
            b'"' => json.extend_from_slice(br#"\\\""#),
            b'\\' => json.extend_from_slice(br"\\\\"),
            b'\x08' => json.extend_from_slice(br"\\b"),
            b'\t' => json.extend_from_slice(br"\\t"),
            b'\n' => json.extend_from_slice(br"\\n"),
            b'\x0c' => json.extend_from_slice(br"\\f"),
            b'\r' => json.extend_from_slice(br"\\r"),
            control => {
                json.extend_from_slice(br"\\u00");
                json.extend_from_slice(&[hex(control >> 4), hex(control & 0xf)]);
                size += r"\u00".len();
            }
        }
        text = &text[at + 1..];
    }
    json.extend_from_slice(text);
    size
}

/// The place of the first quote, backslash or control character. It reads eight bytes at a time, because a
/// newsletter has few of them.
fn first_to_escape(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let (words, rest) = text.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest bit that is set is that of the first byte below so much; those above it may be wrong.
        let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH_BITS;
        let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let found = below(word, b' ') | equal(b'"') | equal(b'\\');
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| matches!(byte, 0..b' ' | b'"' | b'\\'))?;
    Some(words.len() * 8 + at)
}

/// The elements of an array of names and values.
fn write_pairs<'a>(json: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    for (number, (name, value)) in pairs.enumerate() {
        json.extend_from_slice(if number == 0 { br#"{"Name":"# } else { br#",{"Name":"# });
        write_string(json, name);
        json.extend_from_slice(br#","Value":"#);
        write_string(json, value);
        json.push(b'}');
    }
}

/// A string; few strings have anything to escape.
fn write_string(json: &mut Vec<u8>, text: &str) {
    if first_to_escape(text.as_bytes()).is_some() {
        return write(json, text);
    }
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
}

fn write(json: &mut impl io::Write, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(json, value).expect("strings are JSON, and memory takes them");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::campaign::Campaign;
    use crate::domain::campaign::{CampaignStatus, Source, Tracking};
    use crate::domain::result::Progress;
    use crate::message::render::{Person, Templates};

    fn sender(reply_to: Vec<String>) -> Sender {
        let campaign = Campaign {
            id: Uuid::from_u128(0xca),
            organization_id: Uuid::from_u128(0x0a),
            status: CampaignStatus::Sending,
            sendable: true,
            unscheduled: false,
            resumed_with_uncertain: false,
            status_reason: None,
            from_address: "Néws <news@example.com>".to_owned(),
            reply_to,
            configuration_set: Some("marketing".to_owned()),
            tracking: Tracking { opens: Some(true), clicks: Some(false) },
            tenant: Some("tenant".to_owned()),
            attachments: None,
            source: Source {
                campaign_name: "Spring".to_owned(),
                subject: "x".to_owned(),
                html: None,
                text: Some("x".to_owned()),
                variables: None,
                transactional: false,
                link_parameters: None,
            },
            progress: Progress::default(),
            templates_hash: String::new(),
            attempted: false,
        };
        Sender::new(&campaign, None, None)
    }

    fn parts(subject: &str, html: String, text: Option<String>) -> Parts {
        Parts { subject: subject.to_owned(), html: Some(Part::whole(html)), text: text.map(Part::whole) }
    }

    fn message(html: String, text: Option<String>) -> Message {
        Message {
            recipient_id: Uuid::from_u128(1),
            address: "ada@example.com".to_owned(),
            content: parts("Hello", html, text),
            list_unsubscribe: None,
        }
    }

    /// Fills calls with messages of these sizes, as it is done while sending, and returns their bodies and how many
    /// messages fit into none.
    fn fill(sender: &Sender, size: usize, bodies: &[(String, Option<String>)]) -> (Vec<Bytes>, usize) {
        let (mut calls, mut alone, mut next) = (Vec::new(), 0, 0);
        while next < bodies.len() {
            let mut entries = Entries::new(sender, size);
            while entries.has_room() && next < bodies.len() {
                let (html, text) = bodies[next].clone();
                match entries.add(sender, next, message(html, text)) {
                    Fit::Added => next += 1,
                    Fit::NextCall => break,
                    Fit::NoCall => (alone, next) = (alone + 1, next + 1),
                }
            }
            if entries.len() > 0 {
                let (count, body) = (entries.len(), entries.into_body());
                let text = std::str::from_utf8(&body).unwrap();
                assert_eq!(text.matches(r#"{"Destination":"#).count(), count);
                calls.push(body);
            }
        }
        (calls, alone)
    }

    #[test]
    fn a_request_is_never_larger_than_the_limit() {
        // Characters that grow when they are escaped, twice: up to seven bytes for one.
        for character in ["a", "é", "\"", "\u{1}"] {
            for length in [0, 9_990, 19_990, 60_000, 130_000, 262_000, 600_000] {
                let count = if length < 60_000 { 60 } else { 9 };
                let html = character.repeat(length / character.len());
                let (calls, alone) = fill(&sender(Vec::new()), 50, &vec![(html, None); count]);
                assert!(calls.iter().all(|body| body.len() <= 1_000_000), "{character:?} {length}");
                assert!(alone == 0 || alone == count, "{character:?} {length}");
                // No more calls than are needed.
                let entry = calls.iter().map(Bytes::len).sum::<usize>() / count;
                let fit = (1_000_000 / entry.max(1)).clamp(1, 50);
                assert!(alone == count || calls.len() <= count.div_ceil(fit) + 1, "{character:?} {length}");
            }
        }
        let many = (0..60_000).map(|n| format!("reply{n}@example.com")).collect();
        assert_eq!(fill(&sender(many), 50, &vec![("x".to_owned(), None); 3]).1, 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_request_of_any_mixture_is_within_the_limit(
            bodies in proptest::collection::vec(
                (0usize..120_000, proptest::option::of(0usize..60_000), "[a-z\"\\\\\n\u{1}é😀]{1,3}"), 1..24,
            ),
        ) {
            let part = |length: usize, text: &str| text.repeat(length / text.len());
            let bodies: Vec<_> = bodies
                .iter()
                .map(|(html, text, pattern)| (part(*html, pattern), text.map(|length| part(length, pattern))))
                .collect();
            for body in fill(&sender(vec!["a@example.com".to_owned()]), 50, &bodies).0 {
                prop_assert!(body.len() <= 1_000_000);
            }
        }
    }

    proptest! {
        #[test]
        fn template_data_is_json_within_json(
            subject in "\\PC{0,40}", html in "[ -~\u{0}-\u{1f}é😀\"\\\\]{0,200}", text in proptest::option::of("(?s).{0,40}"),
        ) {
            let mut json = b"\"".to_vec();
            let content = parts(&subject, html.clone(), text.clone());
            let size = write_data(&mut json, &Template::of(&content), content);
            json.push(b'"');
            let data: String = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(size, data.len());
            let mut expected = serde_json::json!({"subject": subject, "html": html});
            if let Some(text) = text {
                expected["text"] = text.into();
            }
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap(), expected);
        }
    }

    /// A newsletter with text that SES's template engine could read as tags, and data that either engine
    /// could.
    const HTML: [&str; 8] = [
        "<html><body><p>The first paragraph of the newsletter, which is long enough to be shared by all of its recipients, ",
        "{{ name }}{% raw %}, and then text with {{name}} and {{{name}}} and \\{{name}} in it, which is as long as it has to be, \\{% endraw %}{{ name }}",
        "{% for item in items %}<li>{{ item }} of a loop, whose text is as long as that of the others, and is not shared</li>{% endfor %}",
        "<style>@media print{.a{color:red}}</style><p title=\"{{ name }}\">A paragraph with an attribute that holds a variable, and this text}</p>{% raw %}{{% endraw %}{{ name }}",
        "{{ name|safe }}}<p>A brace before it, and then some text that goes on until it is long enough for a stretch of the template {</p>\\",
        "{% if items %}<b>{{ items|length }}</b>{% endif %}<p>After a condition there is text as well, which everybody gets as it is here</p>\r\n",
        "<p>Zo\u{eb} \u{1F600} \t \u{2028} and quotes \"a\" 'b' in a paragraph that is long enough to be shared with all who get this newsletter</p>",
        "</body></html>",
    ];

    /// The result of Handlebars for a request: subject, HTML and text of each entry.
    fn expand(
        body: &[u8],
        engine: &handlebars::Handlebars<'_>,
    ) -> Vec<(String, Option<String>, Option<String>)> {
        let request: serde_json::Value = serde_json::from_slice(body).unwrap();
        let content = &request["DefaultContent"]["Template"]["TemplateContent"];
        let entries = request["BulkEmailEntries"].as_array().unwrap().iter();
        let entry = |entry: &serde_json::Value| {
            let data = &entry["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"];
            let data: serde_json::Value = serde_json::from_str(data.as_str().unwrap()).unwrap();
            let part =
                |name: &str| content[name].as_str().map(|text| engine.render_template(text, &data).unwrap());
            (part("Subject").unwrap(), part("Html"), part("Text"))
        };
        entries.map(entry).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn handlebars_makes_of_a_bulk_call_what_single_calls_carry(
            html in proptest::collection::vec(proptest::sample::select(&HTML[..]), 1..10),
            text in proptest::option::of(proptest::collection::vec(proptest::sample::select(&HTML[..]), 1..5)),
            people in proptest::collection::vec(
                ("(\\PC|[{}\\\\\"<>&\n]){0,8}", proptest::collection::vec("[a-z{}<&]{0,6}", 0..3)), 1..5,
            ),
            escapes: bool,
        ) {
            let templates = Templates::compile(Source {
                campaign_name: "Spring".to_owned(),
                subject: "Hello {{ name }}".to_owned(),
                html: Some(html.concat()),
                text: text.map(|text| text.concat()),
                variables: None,
                link_parameters: None,
                transactional: false,
            }).unwrap();
            let (sender, token) = (sender(Vec::new()), "A".repeat(87));
            let (mut single, mut entries) = (Vec::new(), Entries::new(&sender, 50));
            for (number, (name, items)) in people.iter().enumerate() {
                let (variables, url) = (serde_json::json!({"name": name, "items": items}).to_string(), format!("https://example.com/{token}"));
                let person = Person { email: "ada@example.com", name: None, variables: Some(&variables), unsubscribe_url: Some(&url) };
                let content = templates.parts(&person).unwrap();
                let joined = content.clone().join();
                let message = Message { content, ..message(String::new(), None) };
                if entries.add(&sender, number, message) == Fit::Added {
                    single.push((joined.subject, joined.html, joined.text));
                }
            }
            let mut engine = handlebars::Handlebars::new();
            engine.set_strict_mode(true);
            if !escapes {
                engine.register_escape_fn(handlebars::no_escape);
            }
            prop_assert!(!single.is_empty());
            prop_assert_eq!(expand(&entries.into_body(), &engine), single);
        }
    }
}
