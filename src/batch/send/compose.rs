//! From a recipient to a request: what can be decided without SES is decided here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aws_sdk_sesv2::operation::send_email::builders::SendEmailInputBuilder;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message as SesMessage, MessageTag};
use uuid::Uuid;

use crate::batch::address;
use crate::batch::claim::{MAX_VARIABLES_BYTES, Recipient};
use crate::batch::load::Campaign;
use crate::batch::render::{Person, RenderError, Templates};
use crate::outcome::Outcome;
use crate::ses::header_mailbox;

/// What all messages of a campaign share.
#[derive(Clone, Debug)]
pub struct Sender {
    campaign_id: Uuid,
    from: String,
    reply_to: Vec<String>,
    configuration_set: Option<String>,
    shared_tags: Vec<MessageTag>,
}

impl Sender {
    /// The sender of `campaign`; `configuration_set` is for a campaign that names none.
    pub fn new(campaign: &Campaign, configuration_set: Option<&str>) -> Sender {
        Sender {
            campaign_id: campaign.id,
            from: header_mailbox(&campaign.from_address),
            reply_to: campaign.reply_to.iter().map(|mailbox| header_mailbox(mailbox)).collect(),
            configuration_set: campaign
                .configuration_set
                .as_deref()
                .filter(|name| !name.trim().is_empty())
                .or(configuration_set)
                .map(str::to_owned),
            shared_tags: vec![
                tag("campaign_id", campaign.id.to_string()),
                tag("organization_id", campaign.organization_id.to_string()),
            ],
        }
    }

    /// The campaign.
    pub fn campaign_id(&self) -> Uuid {
        self.campaign_id
    }
}

/// A message that is ready for SES.
pub struct Message {
    pub request: SendEmailInputBuilder,
    pub address: String,
    pub subject: String,
}

/// What became of a recipient before SES was asked.
pub enum Prepared {
    /// It is to be sent.
    Message(Box<Message>),
    /// It is not.
    Outcome(Outcome),
}

pub fn prepare(templates: &Templates, sender: &Sender, recipient: &Recipient) -> Prepared {
    if recipient.suppressed {
        return Prepared::Outcome(Outcome::Suppressed);
    }
    let failed =
        |code: &str, error: String| Prepared::Outcome(Outcome::Failed { code: code.to_owned(), error });
    let address = match address::normalize(&recipient.email) {
        Ok(address) => address,
        Err(error) => return failed("invalid_address", error.to_string()),
    };
    if recipient.variables_bytes > MAX_VARIABLES_BYTES {
        let error = format!(
            "the recipient's variables have {} bytes: at most {MAX_VARIABLES_BYTES}",
            recipient.variables_bytes
        );
        return failed("render", error);
    }
    let person = Person {
        email: &recipient.email,
        name: recipient.name.as_deref(),
        variables: recipient.variables.as_deref(),
    };
    // A defect that one recipient's data brings to light costs that recipient, not the batch.
    let rendered = catch_unwind(AssertUnwindSafe(|| templates.render(&person)))
        .unwrap_or_else(|_| Err(RenderError::crashed()));
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return failed("render", error.to_string()),
    };
    let subject = rendered.subject.clone();
    let body = Body::builder().set_html(rendered.html.map(utf8)).set_text(rendered.text.map(utf8)).build();
    let message = SesMessage::builder().subject(utf8(rendered.subject)).body(body).build();
    let mut tags = Vec::with_capacity(3);
    tags.extend_from_slice(&sender.shared_tags);
    tags.push(tag("recipient_id", recipient.id.to_string()));
    let request = SendEmailInputBuilder::default()
        .from_email_address(&sender.from)
        .set_reply_to_addresses((!sender.reply_to.is_empty()).then(|| sender.reply_to.clone()))
        .destination(Destination::builder().to_addresses(&address).build())
        .set_configuration_set_name(sender.configuration_set.clone())
        .content(EmailContent::builder().simple(message).build())
        .set_email_tags(Some(tags));
    Prepared::Message(Box::new(Message { request, address, subject }))
}

fn utf8(data: String) -> Content {
    Content::builder().data(data).charset("UTF-8").build().expect("data is set")
}

fn tag(name: &str, value: String) -> MessageTag {
    MessageTag::builder().name(name).value(value).build().expect("name and value are set")
}
