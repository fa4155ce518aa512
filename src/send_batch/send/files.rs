//! The attachments of every email of a campaign, in the form of SES's requests.

use std::rc::Rc;

use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{
    Attachment as SesAttachment, AttachmentContentDisposition, AttachmentContentTransferEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::message::attachment::Attachment;

/// Larger files (in bytes of base64) are sent by single calls, because few emails would fit into a bulk call
/// beside them.
const MAX_BYTES_IN_BULK: usize = 500_000;

/// The files of a campaign, prepared once.
#[derive(Clone, Debug, Default)]
pub struct Files {
    single: Rc<[SesAttachment]>,
    bulk: Rc<str>,
    bytes: usize,
}

impl Files {
    /// Prepares the files.
    pub fn new(files: &[Attachment]) -> Files {
        let bulk: Vec<_> = files.iter().map(in_bulk).collect();
        Files {
            single: files.iter().map(in_single).collect(),
            bulk: if bulk.is_empty() { "".into() } else { json!(bulk).to_string().into() },
            bytes: files.iter().map(Attachment::bytes_in_message).sum(),
        }
    }

    /// Returns true if there are no files.
    pub fn is_empty(&self) -> bool {
        self.single.is_empty()
    }

    /// The number of bytes that the files add to a message.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns true if a bulk call has room for emails beside the files.
    pub fn fit_bulk_calls(&self) -> bool {
        self.bytes <= MAX_BYTES_IN_BULK
    }

    /// The field `Attachments` of `SendEmail`.
    pub fn single(&self) -> Option<Vec<SesAttachment>> {
        (!self.is_empty()).then(|| self.single.to_vec())
    }

    /// The field `Attachments` of `SendBulkEmail`, as JSON. It is empty if there are no files.
    pub fn bulk(&self) -> &Rc<str> {
        &self.bulk
    }
}

fn in_single(file: &Attachment) -> SesAttachment {
    let disposition = if file.inline {
        AttachmentContentDisposition::Inline
    } else {
        AttachmentContentDisposition::Attachment
    };
    SesAttachment::builder()
        .file_name(&file.file_name)
        .raw_content(Blob::new(file.content.clone()))
        .content_disposition(disposition)
        .set_content_id(file.content_id.clone())
        .set_content_type(file.content_type.clone())
        .content_transfer_encoding(AttachmentContentTransferEncoding::Base64)
        .build()
        .expect("name and content are set")
}

fn in_bulk(file: &Attachment) -> serde_json::Value {
    let mut value = json!({
        "FileName": file.file_name,
        "RawContent": STANDARD.encode(&file.content),
        "ContentDisposition": if file.inline { "INLINE" } else { "ATTACHMENT" },
        "ContentTransferEncoding": "BASE64",
    });
    for (name, text) in [("ContentId", &file.content_id), ("ContentType", &file.content_type)] {
        if let Some(text) = text {
            value[name] = text.as_str().into();
        }
    }
    value
}
