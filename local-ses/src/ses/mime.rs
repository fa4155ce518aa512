//! The source of a message in transit: RFC 5322 and MIME, with CRLF line ends.

use mail_builder::{
    MessageBuilder,
    headers::{date::Date, message_id::MessageId, raw::Raw, text::Text},
};

use super::message::{Message, since_epoch};

/// The source of a message: unchanged if it was sent as `Raw`, else built from its parts.
///
/// Blind copies are left out, as they are on the wire.
pub(super) fn source(message: &Message) -> Vec<u8> {
    if let Some(raw) = &message.raw {
        return raw.to_vec();
    }
    let seconds = i64::try_from(since_epoch(message.received).as_secs()).unwrap_or(i64::MAX);
    // Addresses are ASCII here, and display names are encoded by their sender.
    let mut builder = MessageBuilder::new()
        .header("From", Raw::new(message.from.as_str()))
        .header("To", Raw::new(message.to.join(", ")))
        .header("Subject", Text::new(message.subject.as_str()))
        .header("Date", Date::new(seconds))
        .header("Message-ID", MessageId::new(format!("{}@email.amazonses.com", message.id)));
    if !message.cc.is_empty() {
        builder = builder.header("Cc", Raw::new(message.cc.join(", ")));
    }
    if !message.reply_to.is_empty() {
        builder = builder.header("Reply-To", Raw::new(message.reply_to.join(", ")));
    }
    for header in &message.headers {
        builder = builder.header(header.name.as_str(), Raw::new(header.value.as_str()));
    }
    if let Some(text) = &message.text {
        builder = builder.text_body(&**text);
    }
    if let Some(html) = &message.html {
        builder = builder.html_body(&**html);
    }
    for file in message.attachments.iter() {
        let kind = file.content_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned());
        builder = if file.inline {
            builder.inline(kind, file.content_id.clone().unwrap_or_default(), file.content.to_vec())
        } else {
            builder.attachment(kind, file.file_name.clone(), file.content.to_vec())
        };
    }
    let mut source = Vec::new();
    builder.serialize(&mut source);
    source
}

/// The message that a template makes, without its envelope.
pub(super) fn rendered(subject: &str, html: Option<&str>, text: Option<&str>) -> String {
    let mut builder = MessageBuilder::new().header("Subject", Text::new(subject));
    if let Some(text) = text {
        builder = builder.text_body(text);
    }
    if let Some(html) = html {
        builder = builder.html_body(html);
    }
    let mut source = Vec::new();
    builder.serialize(&mut source);
    // The text that it encodes itself is ASCII.
    String::from_utf8_lossy(&source).into_owned()
}
