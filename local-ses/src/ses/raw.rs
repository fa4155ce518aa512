//! Messages sent as `Raw`: whole MIME messages, whose fields are read from their headers.

use std::sync::Arc;

use mail_parser::{Address, MessageParser, PartType, decoders::base64::base64_decode};

use super::{check, message::Message, refusal::Refusal, request::NameValue};

/// Fills a message from a MIME message in base64.
///
/// Addresses that the request named itself stay; the others come from the MIME headers.
pub(super) fn put(message: &mut Message, base64: &str) -> Result<(), Refusal> {
    let mime =
        base64_decode(base64.as_bytes()).ok_or_else(|| Refusal::bad_request("Raw.Data is not base64."))?;
    check::size(mime.len())?;
    let parsed =
        MessageParser::default().parse(&mime).ok_or_else(|| Refusal::bad_request("Raw.Data is not MIME."))?;
    if message.from.is_empty() {
        message.from = addresses(parsed.from()).into_iter().next().unwrap_or_default();
    }
    if message.recipients().next().is_none() {
        message.to = addresses(parsed.to());
        message.cc = addresses(parsed.cc());
        message.bcc = addresses(parsed.bcc());
    }
    if message.reply_to.is_empty() {
        message.reply_to = addresses(parsed.reply_to());
    }
    parsed.subject().unwrap_or_default().clone_into(&mut message.subject);
    message.html = parsed.html_bodies().find_map(|part| match &part.body {
        PartType::Html(html) => Some(Arc::from(&**html)),
        _ => None,
    });
    message.text = parsed.text_bodies().find_map(|part| match &part.body {
        PartType::Text(text) => Some(Arc::from(&**text)),
        _ => None,
    });
    message.headers = parsed
        .headers_raw()
        .map(|(name, value)| NameValue { name: name.to_owned(), value: value.trim().to_owned() })
        .collect();
    message.raw = Some(Arc::from(mime.as_slice()));
    Ok(())
}

fn addresses(header: Option<&Address<'_>>) -> Vec<String> {
    let all = header.into_iter().flat_map(Address::iter);
    all.filter_map(|address| address.address().map(str::to_owned)).collect()
}
