use std::borrow::Cow;

use http_body_util::Full;
use hyper::{Response, body::Bytes, header};

/// An error answer of Amazon SES: HTTP status, `x-amzn-ErrorType` and `{"message": …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
    pub(super) status: u16,
}

impl Refusal {
    pub(super) fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Refusal { code: code.into(), message: message.into(), status }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "BadRequestException", message)
    }

    pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404, "NotFoundException", message)
    }

    pub(super) fn rate_exceeded() -> Self {
        Self::new(429, "TooManyRequestsException", "Maximum sending rate exceeded.")
    }

    pub(super) fn daily_quota_exceeded() -> Self {
        Self::new(400, "LimitExceededException", "Daily message quota exceeded.")
    }

    pub(super) fn sending_paused() -> Self {
        Self::new(400, "SendingPausedException", "Email sending is disabled for this account.")
    }

    pub(super) fn account_suspended() -> Self {
        Self::new(
            400,
            "AccountSuspendedException",
            "Sending suspended for this account. Contact AWS Support for details.",
        )
    }

    pub(super) fn internal() -> Self {
        Self::new(500, "InternalFailure", "The request processing has failed because of an unknown error.")
    }

    /// The `Status` of a `BulkEmailEntryResult` for the error code of a single message.
    pub(super) fn bulk_status(&self) -> &'static str {
        match self.code.as_ref() {
            "MessageRejected" => "MESSAGE_REJECTED",
            "MailFromDomainNotVerifiedException" => "MAIL_FROM_DOMAIN_NOT_VERIFIED",
            "TooManyRequestsException" => "ACCOUNT_THROTTLED",
            "LimitExceededException" => "ACCOUNT_DAILY_QUOTA_EXCEEDED",
            "SendingPausedException" => "ACCOUNT_SENDING_PAUSED",
            "AccountSuspendedException" => "ACCOUNT_SUSPENDED",
            "BadRequestException" => "INVALID_PARAMETER",
            _ if self.status >= 500 => "TRANSIENT_FAILURE",
            _ => "FAILED",
        }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let body = serde_json::json!({ "message": self.message }).to_string();
        Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-amzn-errortype", self.code.as_ref())
            .body(Full::new(Bytes::from(body)))
            // A rule may hold a status or a code that HTTP cannot carry.
            .unwrap_or_else(|_| Self::internal().into_response())
    }
}
