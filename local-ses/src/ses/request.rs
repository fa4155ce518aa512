//! The bodies of `SendEmail` and `SendBulkEmail`, as the API reference of Amazon SES v2 gives them.
//!
//! A field that the reference does not have is an error. Fields that would change nothing here are ignored.

use super::attachment::RequestedAttachment;
use serde::{Deserialize, Serialize, de::IgnoredAny};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct SendEmail {
    pub(super) content: EmailContent,
    #[serde(default)]
    pub(super) destination: Destination,
    pub(super) from_email_address: Option<String>,
    #[serde(default)]
    pub(super) reply_to_addresses: Vec<String>,
    pub(super) feedback_forwarding_email_address: Option<String>,
    #[serde(default)]
    pub(super) email_tags: Vec<NameValue>,
    pub(super) configuration_set_name: Option<String>,
    #[serde(rename = "FromEmailAddressIdentityArn")]
    _from_arn: Option<IgnoredAny>,
    #[serde(rename = "FeedbackForwardingEmailAddressIdentityArn")]
    _feedback_arn: Option<IgnoredAny>,
    #[serde(rename = "ListManagementOptions")]
    _list_management: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) configuration_overrides: ConfigurationOverrides,
    #[serde(rename = "EndpointId")]
    _endpoint_id: Option<IgnoredAny>,
    pub(super) tenant_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct SendBulkEmail {
    pub(super) default_content: BulkEmailContent,
    pub(super) bulk_email_entries: Vec<BulkEmailEntry>,
    pub(super) from_email_address: Option<String>,
    #[serde(default)]
    pub(super) reply_to_addresses: Vec<String>,
    pub(super) feedback_forwarding_email_address: Option<String>,
    #[serde(default)]
    pub(super) default_email_tags: Vec<NameValue>,
    pub(super) configuration_set_name: Option<String>,
    #[serde(rename = "FromEmailAddressIdentityArn")]
    _from_arn: Option<IgnoredAny>,
    #[serde(rename = "FeedbackForwardingEmailAddressIdentityArn")]
    _feedback_arn: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) configuration_overrides: ConfigurationOverrides,
    #[serde(rename = "EndpointId")]
    _endpoint_id: Option<IgnoredAny>,
    pub(super) tenant_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct EmailContent {
    pub(super) simple: Option<Simple>,
    pub(super) raw: Option<Raw>,
    pub(super) template: Option<Template>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Simple {
    pub(super) subject: Content,
    pub(super) body: Body,
    #[serde(default)]
    pub(super) headers: Vec<NameValue>,
    #[serde(default)]
    pub(super) attachments: Vec<RequestedAttachment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Body {
    pub(super) html: Option<Content>,
    pub(super) text: Option<Content>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Content {
    pub(super) data: String,
    #[serde(rename = "Charset")]
    _charset: Option<IgnoredAny>,
}

/// A whole MIME message, in base64.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Template {
    pub(super) template_name: Option<String>,
    pub(super) template_arn: Option<String>,
    pub(super) template_content: Option<TemplateContent>,
    pub(super) template_data: Option<String>,
    #[serde(default)]
    pub(super) headers: Vec<NameValue>,
    #[serde(default)]
    pub(super) attachments: Vec<RequestedAttachment>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TemplateContent {
    pub(super) subject: Option<String>,
    pub(super) html: Option<String>,
    pub(super) text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct BulkEmailContent {
    pub(super) template: Template,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct BulkEmailEntry {
    pub(super) destination: Destination,
    #[serde(default)]
    pub(super) replacement_tags: Vec<NameValue>,
    pub(super) replacement_email_content: Option<ReplacementEmailContent>,
    #[serde(default)]
    pub(super) replacement_headers: Vec<NameValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ReplacementEmailContent {
    pub(super) replacement_template: Option<ReplacementTemplate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ReplacementTemplate {
    pub(super) replacement_template_data: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Destination {
    #[serde(default)]
    pub(super) to_addresses: Vec<String>,
    #[serde(default)]
    pub(super) cc_addresses: Vec<String>,
    #[serde(default)]
    pub(super) bcc_addresses: Vec<String>,
}

/// A header or a tag of a message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all(deserialize = "PascalCase", serialize = "camelCase"), deny_unknown_fields)]
pub struct NameValue {
    pub name: String,
    pub value: String,
}

/// The settings of one request that override the configuration set.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ConfigurationOverrides {
    #[serde(default)]
    pub(super) tracking: TrackingOverrides,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TrackingOverrides {
    pub(super) open_tracking_enabled: Option<FeatureStatus>,
    pub(super) click_tracking_enabled: Option<FeatureStatus>,
}

/// A setting: on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FeatureStatus {
    Enabled,
    Disabled,
}
