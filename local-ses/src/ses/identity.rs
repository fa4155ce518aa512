//! `GetEmailIdentity`: which senders are verified.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::refusal::Refusal;

/// The verified identities; unless they are set, every identity is verified.
#[derive(Default)]
pub(super) struct Identities(pub(super) Option<Vec<String>>);

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
        Ok(json!({
            "IdentityType": if is_domain { "DOMAIN" } else { "EMAIL_ADDRESS" },
            "FeedbackForwardingStatus": true,
            "VerifiedForSendingStatus": true,
            "VerificationStatus": "SUCCESS",
            "DkimAttributes": {"SigningEnabled": is_domain, "Status": dkim, "SigningAttributesOrigin": "AWS_SES"},
        }))
    }
}
