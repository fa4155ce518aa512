//! The answer to a function URL: payload format 2.0, with headers that allow a page nothing but to be read.

use std::collections::BTreeMap;

use serde::Serialize;

/// An answer as Lambda takes it.
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
    /// A page whose only style sheet has this hash (`sha256-…`). `more` are headers of this answer alone.
    pub fn html(status_code: u16, body: String, style: &str, more: &[(&'static str, &str)]) -> Response {
        let policy = format!(
            "default-src 'none'; style-src '{style}'; img-src data:; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        );
        let fixed = [
            ("content-type", "text/html; charset=utf-8"),
            // A page says what holds now; and what it says of a person is for nobody's cache.
            ("cache-control", "no-store"),
            ("content-security-policy", policy.as_str()),
            ("strict-transport-security", "max-age=31536000"),
            // The address of the page is all that it takes to unsubscribe somebody.
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-robots-tag", "noindex, nofollow"),
        ];
        let headers = fixed.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect();
        Response { status_code, headers, body, is_base64_encoded: false }
    }
}
