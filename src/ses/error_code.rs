//! The meaning of an error answer for a message, by its HTTP status, its code and its message: one total
//! match. Pure.

use super::wording::{Wording, wording};
use crate::domain::answer::Answer;

/// An error answer, from SES or from something on the network path.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The HTTP status; 400 for an entry of a bulk call.
    pub status: u16,
    /// The error's code; empty where it has none.
    pub code: &'a str,
    /// SES's message; else the beginning of the body.
    pub message: &'a str,
    /// True if it has headers that only AWS's answers have, so that any code is SES's.
    pub has_mark: bool,
}

impl Said<'_> {
    /// The code, or its replacement if there is none.
    pub fn name(&self) -> String {
        if self.code.is_empty() { format!("http_{}", self.status) } else { self.code.to_owned() }
    }

    /// The code and the message.
    pub fn reason(&self) -> String {
        match self.message {
            "" => self.name(),
            message => format!("{}: {message}", self.name()),
        }
    }

    /// Returns true if the endpoint does not support the call, or, for `NotFoundException`, lacks what the
    /// call names; both are about the call and not about a recipient.
    pub fn has_no_such_call(&self) -> bool {
        matches!(self.status, 404 | 405 | 501)
            || matches!(self.code, "NotFoundException" | "UnknownOperationException" | "InvalidAction")
            || self.code.starts_with("UnsupportedOperation")
    }

    /// Classifies it, for `recipient` if it is about one.
    ///
    /// - A status below 400 is not an error, but the answer was not understood: uncertain.
    /// - 408, 460 and 499 mean that something on the network path did not wait for the answer: uncertain.
    /// - 5xx is uncertain whatever the message, except 501: the server does not support it at all (RFC 9110,
    ///   15.6.2).
    /// - Any other 4xx was not accepted. Only with an AWS error code does it concern the recipient.
    pub fn answer(&self, recipient: &str) -> Answer {
        match self.status {
            ..400 => Answer::unreadable(&self.reason()),
            408 | 460 | 499 | 500 | 502.. => Answer::uncertain(&self.name(), self.message),
            _ => self.by_words(recipient).unwrap_or_else(|| self.by_code(recipient)),
        }
    }

    /// A message about all recipients takes precedence over the code, because endpoints other than SES have
    /// other codes.
    pub fn by_words(&self, recipient: &str) -> Option<Answer> {
        wording(self.message, recipient).map(|words| match words {
            Wording::QuotaUsedUp => Answer::QuotaExhausted(self.message.to_owned()),
            Wording::MayNotSend => Answer::Halt(self.reason()),
            Wording::TooFast => Answer::Throttled(self.message.to_owned()),
        })
    }

    /// Codes: Amazon SES API v2, `SendEmail`, Errors; `BulkEmailEntryResult`, Status; Amazon SES API version
    /// 1; Common Errors of AWS's APIs; and what AWS's SDKs classify as throttling
    /// (`aws_runtime::retries::classifiers`).
    fn by_code(&self, recipient: &str) -> Answer {
        let says = |words: &str| self.message.to_ascii_lowercase().contains(words);
        match self.code {
            "ACCOUNT_DAILY_QUOTA_EXCEEDED" => Answer::QuotaExhausted(self.message.to_owned()),
            "ACCOUNT_THROTTLED"
            | "TooManyRequestsException"
            | "LimitExceededException"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "SlowDown"
            | "BandwidthLimitExceeded"
            | "PriorRequestNotComplete"
            | "ProvisionedThroughputExceededException"
            | "TransactionInProgressException"
            | "EC2ThrottledException" => {
                if says("daily") {
                    Answer::QuotaExhausted(self.message.to_owned())
                } else {
                    Answer::Throttled(self.message.to_owned())
                }
            }
            // SES says that it did not process this entry, and does not say why.
            "TRANSIENT_FAILURE" => Answer::Singly(self.reason()),
            _ if self.has_no_such_call() && self.is_of_ses() => Answer::Singly(self.reason()),
            // A clock that is being corrected: each attempt is signed again.
            "InvalidSignatureException" | "SignatureDoesNotMatch"
                if says("signature expired") || says("signature not yet current") =>
            {
                Answer::NotSent(self.reason())
            }
            // Credentials that are being renewed, a clock that is being corrected, and concurrent changes.
            "ExpiredTokenException"
            | "ExpiredToken"
            | "RequestExpired"
            | "RequestInTheFuture"
            | "RequestTimeTooSkewed"
            | "ConcurrentModificationException" => Answer::NotSent(self.reason()),
            "AccountSuspendedException"
            | "SendingPausedException"
            | "AccountSendingPausedException"
            | "ConfigurationSetSendingPausedException"
            | "ConfigurationSetDoesNotExist"
            | "ConfigurationSetDoesNotExistException"
            | "MailFromDomainNotVerifiedException"
            | "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized"
            | "OptInRequired"
            | "CONFIGURATION_SET_SENDING_PAUSED"
            | "CONFIGURATION_SET_NOT_FOUND"
            | "CONFIGURATION_SET_DOES_NOT_EXIST"
            | "TEMPLATE_NOT_FOUND"
            | "TEMPLATE_DOES_NOT_EXIST"
            | "INVALID_SENDING_POOL_NAME" => Answer::Halt(self.reason()),
            // A failure or a time-out of SES itself, whatever the status.
            "InternalFailure"
            | "InternalServerError"
            | "InternalServiceErrorException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "RequestTimeout"
            | "RequestTimeoutException" => Answer::uncertain(self.code, self.message),
            "MessageRejected" if says("not verified") && !only_about(recipient, self.message) => {
                Answer::Halt(self.reason())
            }
            _ if self.status == 429 => Answer::Throttled(self.message.to_owned()),
            _ if !self.is_of_ses() => Answer::Intercepted(self.reason()),
            // The sender's identity does not depend on the recipient.
            _ if matches!(self.status, 401 | 403) => Answer::Halt(self.reason()),
            _ => Answer::Refused { code: self.code.to_owned(), message: self.message.to_owned() },
        }
    }

    /// Returns true if the answer is SES's. A code that a proxy may use as well is SES's only with AWS's
    /// headers.
    fn is_of_ses(&self) -> bool {
        let is_known = matches!(
            self.code,
            "MessageRejected"
                | "BadRequestException"
                | "NotFoundException"
                | "UnknownOperationException"
                | "ValidationException"
                | "SerializationException"
        );
        !self.code.is_empty() && (self.has_mark || is_known)
    }
}

/// Returns true if the recipient is the only identity that SES lists as not verified: in SES's sandbox
/// recipients have to be verified too ('… The following identities failed the check in region EU-WEST-1:
/// a@example.com').
fn only_about(recipient: &str, message: &str) -> bool {
    message.rsplit_once(": ").is_some_and(|(_, identities)| {
        identities.split(',').all(|identity| identity.trim().eq_ignore_ascii_case(recipient))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str, message: &str) -> Answer {
        Said { status, code, message, has_mark: true }.answer("ada@example.com")
    }

    #[test]
    fn what_holds_for_every_recipient_halts() {
        for (code, message) in [
            ("AccountSuspendedException", "Account suspended"),
            ("SendingPausedException", "Sending paused for this account."),
            ("MailFromDomainNotVerifiedException", "x"),
            ("AccountSendingPausedException", "x"),
            ("ConfigurationSetSendingPausedException", "x"),
            ("CONFIGURATION_SET_DOES_NOT_EXIST", "x"),
            ("BadRequestException", "Sending paused for this account."),
            ("FAILED", "Sending paused for this configuration set."),
            ("SendingPausedException", "Sending is paused for configuration set news."),
            ("MessageRejected", "Tenant acme is paused."),
            (
                "BadRequestException",
                "Tenant not associated with resources [arn:aws:ses:us-east-1:1:identity/a.example]",
            ),
            ("MessageRejected", "Sending suspended for this account."),
            ("AccessDeniedException", "x"),
            (
                "MessageRejected",
                "Email address is not verified. The following identities failed the check in region US-EAST-1: news@example.com",
            ),
            (
                "MessageRejected",
                "Email address is not verified. The following identities failed the check in region US-EAST-1: news@example.com, ada@example.com",
            ),
        ] {
            assert_eq!(answer(400, code, message), Answer::Halt(format!("{code}: {message}")));
        }
    }

    #[test]
    fn what_is_the_recipients_own_is_refused() {
        for (code, message) in [
            ("BadRequestException", "Missing final '@domain'"),
            (
                "MessageRejected",
                "Email address is not verified. The following identities failed the check in region US-EAST-1: Ada@example.com",
            ),
            ("MessageRejected", "Address blacklisted."),
            ("MessageRejected", "The recipient's account is suspended."),
            ("FAILED", "Email address is on the suppression list for your account."),
            ("SomethingNew", "x"),
        ] {
            assert_eq!(
                answer(400, code, message),
                Answer::Refused { code: code.into(), message: message.into() }
            );
        }
    }

    #[test]
    fn too_fast_is_never_a_failure() {
        let rate = "Maximum sending rate exceeded.";
        assert_eq!(answer(429, "TooManyRequestsException", rate), Answer::Throttled(rate.into()));
        assert_eq!(answer(400, "LimitExceededException", rate), Answer::Throttled(rate.into()));
        assert_eq!(answer(429, "", ""), Answer::Throttled(String::new()));
        for code in ["FAILED", "TRANSIENT_FAILURE", "BadRequestException", "ACCOUNT_THROTTLED", ""] {
            assert_eq!(answer(400, code, rate), Answer::Throttled(rate.into()), "{code}");
        }
        for code in [
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottledException",
            "TooManyRequestsException",
            "ProvisionedThroughputExceededException",
            "TransactionInProgressException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "LimitExceededException",
            "RequestThrottled",
            "SlowDown",
            "PriorRequestNotComplete",
            "EC2ThrottledException",
        ] {
            assert_eq!(answer(400, code, "x"), Answer::Throttled("x".into()), "{code}");
            let daily = "The daily limit is reached.";
            assert_eq!(answer(400, code, daily), Answer::QuotaExhausted(daily.into()), "{code}");
        }
    }

    #[test]
    fn no_more_today_waits_whatever_the_code() {
        let quota = "Daily message quota exceeded.";
        for (status, code) in [
            (429, "TooManyRequestsException"),
            (400, "ACCOUNT_THROTTLED"),
            (400, "FAILED"),
            (400, "MessageRejected"),
        ] {
            assert_eq!(answer(status, code, quota), Answer::QuotaExhausted(quota.into()), "{code}");
        }
    }

    #[test]
    fn a_signature_of_another_time_is_made_again_and_any_other_that_is_wrong_halts() {
        for message in [
            "Signature expired: 20261126T100000Z is now earlier than 20261126T101000Z (20261126T101500Z - 5 min.)",
            "Signature not yet current: 20261126T102000Z is still later than 20261126T101500Z (20261126T101000Z + 5 min.)",
        ] {
            for code in ["InvalidSignatureException", "SignatureDoesNotMatch"] {
                assert_eq!(answer(403, code, message), Answer::NotSent(format!("{code}: {message}")));
            }
        }
        for code in ["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "ExpiredTokenException"]
        {
            assert_eq!(answer(403, code, "x"), Answer::NotSent(format!("{code}: x")));
        }
        let message = "The request signature we calculated does not match the signature you provided.";
        for code in ["InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature"] {
            assert_eq!(answer(403, code, message), Answer::Halt(format!("{code}: {message}")));
        }
    }

    #[test]
    fn a_code_that_is_not_known_is_ses_s_by_its_mark_alone() {
        let said = |has_mark| Said { status: 400, code: "SomethingNew", message: "x", has_mark };
        let refused = Answer::Refused { code: "SomethingNew".into(), message: "x".into() };
        assert_eq!(said(true).answer(""), refused);
        assert_eq!(said(false).answer(""), Answer::Intercepted("SomethingNew: x".into()));
        assert_eq!(answer(403, "ForbiddenException", "x"), Answer::Halt("ForbiddenException: x".into()));
    }
}
