//! From messages to SES's requests: what arrives is the same, whichever of the two calls carries it.

use aws_sdk_sesv2::operation::send_bulk_email::builders::SendBulkEmailInputBuilder;
use aws_sdk_sesv2::operation::send_email::builders::SendEmailInputBuilder;
use aws_sdk_sesv2::types::{
    Body, BulkEmailContent, BulkEmailEntry, Content, Destination, EmailContent, EmailTemplateContent,
    Message as SesMessage, MessageTag, ReplacementEmailContent, ReplacementTemplate, Template,
};
use serde::Serialize;
use uuid::Uuid;

use super::compose::Message;
use super::headers::Headers;
use crate::batch::load::Campaign;
use crate::ses::header_mailbox;
use crate::unsubscribe::link::{Link, Links};
use crate::unsubscribe::token::Subject;

/// Template data of one entry of a bulk call, in bytes (Amazon SES API v2, `ReplacementTemplate`: 262,144
/// characters).
const MAX_TEMPLATE_DATA_BYTES: usize = 262_144;

/// What all messages of a campaign share.
#[derive(Clone, Debug)]
pub struct Sender {
    campaign_id: Uuid,
    from: String,
    reply_to: Vec<String>,
    configuration_set: Option<String>,
    shared_tags: Vec<MessageTag>,
    headers: Headers,
    organization_id: Uuid,
    links: Option<Links>,
}

impl Sender {
    /// The sender of `campaign`; `configuration_set` is for a campaign that names none, `links` make the recipients'
    /// links to unsubscribe.
    pub fn new(campaign: &Campaign, configuration_set: Option<&str>, links: Option<&Links>) -> Sender {
        Sender {
            campaign_id: campaign.id,
            organization_id: campaign.organization_id,
            headers: Headers::new(campaign),
            links: links.cloned(),
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

    /// The link of a recipient's email.
    pub fn link(&self, recipient_id: Uuid) -> Option<Link<'_>> {
        let subject = Subject { recipient_id, organization_id: self.organization_id };
        self.links.as_ref().map(|links| links.of(subject))
    }

    /// `SendEmail` for one message.
    pub fn single(&self, message: Message) -> SendEmailInputBuilder {
        let content = message.content;
        let body = Body::builder().set_html(content.html.map(utf8)).set_text(content.text.map(utf8)).build();
        let simple = SesMessage::builder()
            .subject(utf8(content.subject))
            .body(body)
            .set_headers(Some(self.headers.of(message.list_unsubscribe.as_deref())))
            .build();
        SendEmailInputBuilder::default()
            .from_email_address(&self.from)
            .set_reply_to_addresses(self.reply_to())
            .destination(Destination::builder().to_addresses(message.address).build())
            .set_configuration_set_name(self.configuration_set.clone())
            .content(EmailContent::builder().simple(simple).build())
            .set_email_tags(Some(self.tags(message.recipient_id)))
    }

    /// `SendBulkEmail` for several: they were rendered here, so SES's template only takes them in.
    pub fn bulk<'m>(&self, messages: impl Iterator<Item = &'m BulkMessage>) -> SendBulkEmailInputBuilder {
        let mut call = SendBulkEmailInputBuilder::default()
            .from_email_address(&self.from)
            .set_reply_to_addresses(self.reply_to())
            .set_configuration_set_name(self.configuration_set.clone());
        let mut parts = (false, false);
        for message in messages {
            parts = (message.has_html, message.has_text);
            call = call.bulk_email_entries(self.entry(message));
        }
        call.default_content(BulkEmailContent::builder().template(template(parts)).build())
    }

    /// All of an entry's tags and headers are its own: whether defaults are added to them or replaced, SES does not say.
    fn entry(&self, message: &BulkMessage) -> BulkEmailEntry {
        let template = ReplacementTemplate::builder().replacement_template_data(&message.data).build();
        let content = ReplacementEmailContent::builder().replacement_template(template).build();
        BulkEmailEntry::builder()
            .destination(Destination::builder().to_addresses(&message.address).build())
            .replacement_email_content(content)
            .set_replacement_tags(Some(self.tags(message.recipient_id)))
            .set_replacement_headers(Some(self.headers.of(message.list_unsubscribe.as_deref())))
            .build()
    }

    fn tags(&self, recipient_id: Uuid) -> Vec<MessageTag> {
        let mut tags = Vec::with_capacity(self.shared_tags.len() + 1);
        tags.extend_from_slice(&self.shared_tags);
        tags.push(tag("recipient_id", recipient_id.to_string()));
        tags
    }

    fn reply_to(&self) -> Option<Vec<String>> {
        (!self.reply_to.is_empty()).then(|| self.reply_to.clone())
    }
}

/// A message in the form of a bulk call's entry.
pub struct BulkMessage {
    /// Where it goes.
    pub address: String,
    recipient_id: Uuid,
    list_unsubscribe: Option<String>,
    data: String,
    has_html: bool,
    has_text: bool,
}

#[derive(Serialize)]
struct TemplateData<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl BulkMessage {
    /// The message as an entry; `None` if it is too large for one. All messages of a campaign have the same parts.
    pub fn new(message: &Message) -> Option<BulkMessage> {
        let content = &message.content;
        let (html, text) = (content.html.as_deref(), content.text.as_deref());
        let data = TemplateData { subject: &content.subject, html, text };
        let data = serde_json::to_string(&data).expect("strings are JSON");
        (data.len() <= MAX_TEMPLATE_DATA_BYTES).then(|| BulkMessage {
            address: message.address.clone(),
            recipient_id: message.recipient_id,
            list_unsubscribe: message.list_unsubscribe.clone(),
            data,
            has_html: html.is_some(),
            has_text: text.is_some(),
        })
    }

    /// The size of its content, in bytes.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }
}

fn template((has_html, has_text): (bool, bool)) -> Template {
    let content = EmailTemplateContent::builder()
        .subject("{{subject}}")
        .set_html(has_html.then(|| "{{{html}}}".to_owned()))
        .set_text(has_text.then(|| "{{{text}}}".to_owned()))
        .build();
    Template::builder().template_content(content).template_data("{}").build()
}

fn utf8(data: String) -> Content {
    Content::builder().data(data).charset("UTF-8").build().expect("data is set")
}

fn tag(name: &str, value: String) -> MessageTag {
    MessageTag::builder().name(name).value(value).build().expect("name and value are set")
}
