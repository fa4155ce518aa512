//! The response of a function URL: payload format 2.0, with headers that allow a page to do nothing but be
//! displayed.

use std::collections::BTreeMap;

use serde::Serialize;

/// A response in Lambda's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The HTTP status.
    pub status_code: u16,
    /// The header fields, their names in lower case.
    pub headers: BTreeMap<&'static str, String>,
    /// HTML; empty for HEAD.
    pub body: String,
    /// Always false: it is text.
    pub is_base64_encoded: bool,
}

impl Response {
    /// A page whose only style sheet has this hash (`sha256-…`). `more` are additional headers.
    pub fn html(status_code: u16, body: String, style: &str, more: &[(&'static str, &str)]) -> Response {
        let policy = format!(
            "default-src 'none'; style-src '{style}'; img-src data:; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        );
        let fixed = [
            ("content-type", "text/html; charset=utf-8"),
            // A page shows the current state, and personal data must not be cached.
            ("cache-control", "no-store"),
            ("content-security-policy", policy.as_str()),
            ("strict-transport-security", "max-age=31536000"),
            // Anybody who knows the page's URL can unsubscribe the recipient, so no referrer is sent.
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-robots-tag", "noindex, nofollow"),
        ];
        let headers = fixed.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect();
        Response { status_code, headers, body, is_base64_encoded: false }
    }
}
