//! `GetEmailIdentity`: which senders are verified.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;

/// The custom MAIL FROM domain of an identity. It is empty if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MailFrom {
    pub domain: String,
    /// SES has found its records.
    pub found: bool,
}

/// The verified identities and their MAIL FROM domain. Unless they are set, every identity is verified, and
/// the MAIL FROM domain is `bounce.` before its domain.
#[derive(Default)]
pub(super) struct Identities(pub(super) Option<Vec<String>>, pub(super) Option<MailFrom>);

impl Identities {
    /// The answer for the identity in a path.
    pub(super) fn answer(&self, encoded: &str) -> Result<Value, Refusal> {
        let identity = percent_decode_str(encoded).decode_utf8_lossy().to_lowercase();
        let known = self.0.as_ref().is_none_or(|verified| verified.contains(&identity));
        if !known {
            return Err(Refusal::not_found(format!("Email identity {identity} does not exist.")));
        }
        let is_domain = !identity.contains('@');
        let dkim = if is_domain { "SUCCESS" } else { "NOT_STARTED" };
        let mail_from = match &self.1 {
            Some(mail_from) => mail_from.clone(),
            None if is_domain => MailFrom { domain: format!("bounce.{identity}"), found: true },
            None => MailFrom::default(),
        };
        let status = if mail_from.found { "SUCCESS" } else { "PENDING" };
        let mail_from = json!({
            "MailFromDomain": mail_from.domain,
            "MailFromDomainStatus": status,
            "BehaviorOnMxFailure": "USE_DEFAULT_VALUE",
        });
        Ok(json!({
            "MailFromAttributes": mail_from,
            "IdentityType": if is_domain { "DOMAIN" } else { "EMAIL_ADDRESS" },
            "FeedbackForwardingStatus": true,
            "VerifiedForSendingStatus": true,
            "VerificationStatus": "SUCCESS",
            "DkimAttributes": {"SigningEnabled": is_domain, "Status": dkim, "SigningAttributesOrigin": "AWS_SES"},
        }))
    }
}
