//! The attachments of a message with `Simple` or `Template` content.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, de::IgnoredAny};

use super::refusal::Refusal;

/// The field `Attachments` of a request.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct RequestedAttachment {
    file_name: String,
    raw_content: String,
    content_type: Option<String>,
    content_disposition: Option<Disposition>,
    content_id: Option<String>,
    content_transfer_encoding: Option<TransferEncoding>,
    #[serde(rename = "ContentDescription")]
    _description: Option<IgnoredAny>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Disposition {
    Attachment,
    Inline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum TransferEncoding {
    Base64,
    QuotedPrintable,
    SevenBit,
}

/// A file of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub file_name: String,
    pub content_type: Option<String>,
    pub content: Arc<[u8]>,
    /// Its name in `cid:` links.
    pub content_id: Option<String>,
    pub inline: bool,
}

/// Some of the extensions that SES refuses (Amazon SES Developer Guide, Unsupported attachment types).
const REFUSED_ENDINGS: [&str; 16] = [
    "ade", "adp", "app", "asp", "bas", "bat", "cer", "chm", "cmd", "com", "cpl", "exe", "js", "msi", "scr",
    "vbs",
];

impl RequestedAttachment {
    fn checked(self) -> Result<Attachment, Refusal> {
        let name = &self.file_name;
        let refuse = |why: &str| Err(Refusal::bad_request(format!("Attachment {name:?}: {why}.")));
        if name.is_empty() || name.contains(char::is_control) {
            return refuse("FileName is empty or has a control character");
        }
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        if ending.is_some_and(|ending| REFUSED_ENDINGS.contains(&ending.as_str())) {
            return refuse("the file type is not supported");
        }
        let Ok(content) = BASE64_STANDARD.decode(&self.raw_content) else {
            return refuse("RawContent is not base64");
        };
        let encoding = self.content_transfer_encoding.unwrap_or(TransferEncoding::SevenBit);
        if encoding == TransferEncoding::SevenBit && !content.is_ascii() {
            return refuse("ContentTransferEncoding is SEVEN_BIT, and RawContent has other bytes");
        }
        let inline = self.content_disposition == Some(Disposition::Inline);
        if inline && self.content_id.is_none() {
            return refuse("an inline file needs a ContentId");
        }
        Ok(Attachment {
            content: content.into(),
            inline,
            file_name: self.file_name,
            content_type: self.content_type,
            content_id: self.content_id,
        })
    }
}

/// Reads the files of a request. If SES refuses one of them, the request is refused.
pub(super) fn read(requested: Vec<RequestedAttachment>) -> Result<Arc<[Attachment]>, Refusal> {
    requested.into_iter().map(RequestedAttachment::checked).collect()
}

/// The number of bytes that the files add to a message: base64 in lines of 76 characters.
pub(super) fn bytes_in_message(attachments: &[Attachment]) -> usize {
    attachments.iter().map(|file| file.content.len().div_ceil(57) * 78).sum()
}
