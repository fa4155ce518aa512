//! What all messages of a campaign share, and the request for one of them.

use aws_sdk_sesv2::operation::send_email::builders::SendEmailInputBuilder;
use aws_sdk_sesv2::types::{
    Body, ConfigurationOverrides, Content, Destination, EmailContent, FeatureStatus, Message as SesMessage,
    MessageHeader, MessageTag, TrackingConfigurationOverrides,
};
use uuid::Uuid;

use super::files::Files;
use crate::domain::campaign::{Campaign, Tracking};
use crate::domain::mailbox::Mailbox;
use crate::message::compose::Message;
use crate::message::headers::Headers;
use crate::message::link::{Link, Links};
use crate::message::token::RecipientIds;

/// What all messages of a campaign share.
#[derive(Clone, Debug)]
pub struct Sender {
    campaign_id: Uuid,
    from: String,
    reply_to: Vec<String>,
    configuration_set: Option<String>,
    tracking: Tracking,
    tenant: Option<String>,
    files: Files,
    shared_tags: [(&'static str, String); 2],
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
            from: header(&campaign.from_address),
            reply_to: campaign
                .reply_to
                .iter()
                .map(|text| header(text))
                .filter(|text| !text.is_empty())
                .collect(),
            configuration_set: campaign
                .configuration_set
                .as_deref()
                .filter(|name| !name.trim().is_empty())
                .or(configuration_set)
                .map(str::to_owned),
            tracking: campaign.tracking,
            tenant: campaign
                .tenant
                .as_deref()
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            files: Files::default(),
            shared_tags: [
                ("campaign_id", campaign.id.to_string()),
                ("organization_id", campaign.organization_id.to_string()),
            ],
        }
    }

    /// The same, with files in each email.
    #[must_use]
    pub fn with_files(self, files: Files) -> Sender {
        Sender { files, ..self }
    }

    /// The attachments of each email.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The campaign.
    pub fn campaign_id(&self) -> Uuid {
        self.campaign_id
    }

    /// The link of a recipient's email.
    pub fn link(&self, recipient_id: Uuid) -> Option<Link<'_>> {
        let ids = RecipientIds { recipient_id, organization_id: self.organization_id };
        self.links.as_ref().map(|links| links.of(ids))
    }

    /// `SendEmail` for one message.
    pub fn single(&self, message: Message) -> SendEmailInputBuilder {
        let content = message.content.join();
        let recipient_id = message.recipient_id.to_string();
        let headers = self.headers(message.list_unsubscribe.as_deref()).map(message_header).collect();
        let body = Body::builder().set_html(content.html.map(utf8)).set_text(content.text.map(utf8)).build();
        let simple = SesMessage::builder()
            .subject(utf8(content.subject))
            .body(body)
            .set_headers(Some(headers))
            .set_attachments(self.files.single())
            .build();
        SendEmailInputBuilder::default()
            .from_email_address(&self.from)
            .set_reply_to_addresses((!self.reply_to.is_empty()).then(|| self.reply_to.clone()))
            .destination(Destination::builder().to_addresses(message.address).build())
            .set_configuration_set_name(self.configuration_set.clone())
            .set_tenant_name(self.tenant.clone())
            .set_configuration_overrides(self.overrides())
            .content(EmailContent::builder().simple(simple).build())
            .set_email_tags(Some(self.tags(&recipient_id).map(tag).collect()))
    }

    /// The sender.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The reply-to addresses.
    pub fn reply_to(&self) -> &[String] {
        &self.reply_to
    }

    /// The configuration set.
    pub fn configuration_set(&self) -> Option<&str> {
        self.configuration_set.as_deref()
    }

    /// The tenant.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// What SES tracks, in the form of its API, without the settings that are left to the configuration set.
    pub fn tracking(&self) -> impl Iterator<Item = (&'static str, FeatureStatus)> {
        let status = |on| if on { FeatureStatus::Enabled } else { FeatureStatus::Disabled };
        let Tracking { opens, clicks } = self.tracking;
        [("OpenTrackingEnabled", opens), ("ClickTrackingEnabled", clicks)]
            .into_iter()
            .filter_map(move |(name, on)| Some((name, status(on?))))
    }

    fn overrides(&self) -> Option<ConfigurationOverrides> {
        let find = |wanted| self.tracking().find(|(name, _)| *name == wanted).map(|(_, status)| status);
        self.tracking().next()?;
        let tracking = TrackingConfigurationOverrides::builder()
            .set_open_tracking_enabled(find("OpenTrackingEnabled"))
            .set_click_tracking_enabled(find("ClickTrackingEnabled"));
        Some(ConfigurationOverrides::builder().tracking(tracking.build()).build())
    }

    /// The headers of one message, names and values; `list_unsubscribe` is what its link says.
    pub fn headers<'a>(
        &'a self,
        list_unsubscribe: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.headers.of(list_unsubscribe)
    }

    /// The tags by which SES's events are traced to a recipient, names and values.
    pub fn tags<'a>(&'a self, recipient_id: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let shared = self.shared_tags.iter().map(|(name, value)| (*name, value.as_str()));
        shared.chain([("recipient_id", recipient_id)])
    }
}

/// A mailbox as a header has it. What is none was found before anybody was claimed; a text that became one since is left
/// to SES's judgement, on one line.
fn header(text: &str) -> String {
    Mailbox::parse(text).map_or_else(
        |_| text.split(|character: char| character.is_control()).collect::<String>().trim().to_owned(),
        |mailbox| mailbox.to_string(),
    )
}

fn utf8(data: String) -> Content {
    Content::builder().data(data).charset("UTF-8").build().expect("data is set")
}

fn message_header((name, value): (&str, &str)) -> MessageHeader {
    MessageHeader::builder().name(name).value(value).build().expect("name and value are set")
}

fn tag((name, value): (&str, &str)) -> MessageTag {
    MessageTag::builder().name(name).value(value).build().expect("name and value are set")
}
