//! What SES's answer, or the lack of one, means for a message: one total match.
//!
//! SES has no idempotency token, so all depends on whether it can have accepted the message. Only what certainly
//! was not accepted may be sent again.

use std::error::Error;

use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::{SendEmailError, SendEmailOutput};

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Accepted, under this message id.
    Accepted(String),
    /// Certainly not accepted: too fast.
    Throttled(String),
    /// Certainly not accepted: no more today.
    QuotaExhausted(String),
    /// Certainly not accepted: the request never reached SES.
    NotSent(String),
    /// Certainly not accepted, and final for this recipient.
    Refused {
        /// SES's error code.
        code: String,
        /// SES's message.
        message: String,
    },
    /// Certainly not accepted, for a cause that holds for every recipient.
    Halt(String),
    /// It may have been accepted.
    Uncertain {
        /// `timed_out`, `connection_lost`, or SES's error code.
        code: String,
        /// What happened.
        message: String,
    },
}

impl Answer {
    fn uncertain(code: &str, message: &str) -> Answer {
        Answer::Uncertain { code: code.to_owned(), message: message.to_owned() }
    }
}

/// Classifies the result of a `SendEmail` call for one recipient.
pub fn classify<R>(
    result: Result<SendEmailOutput, SdkError<SendEmailError, R>>,
    status: impl Fn(&R) -> u16,
    recipient: &str,
) -> Answer
where
    R: std::fmt::Debug + 'static,
{
    let error = match result {
        Ok(output) => {
            return match output.message_id {
                Some(id) if !id.is_empty() => Answer::Accepted(id),
                _ => Answer::uncertain("no_message_id", "SES answered without a message id"),
            };
        }
        Err(error) => error,
    };
    match &error {
        SdkError::ServiceError(service) => {
            let (code, message) = (service.err().code(), service.err().message());
            by_code(status(service.raw()), code.unwrap_or_default(), message.unwrap_or_default(), recipient)
        }
        // The request could not be made or signed.
        SdkError::ConstructionFailure(_) => Answer::NotSent(root_cause(&error)),
        SdkError::DispatchFailure(failure) if failure.is_user() || never_connected(&error) => {
            Answer::NotSent(root_cause(&error))
        }
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            Answer::uncertain("timed_out", &root_cause(&error))
        }
        SdkError::TimeoutError(_) => Answer::uncertain("timed_out", &root_cause(&error)),
        SdkError::ResponseError(_) => Answer::uncertain("unreadable_answer", &root_cause(&error)),
        // The connection broke after it was made; and whatever the SDK may add.
        _ => Answer::uncertain("connection_lost", &root_cause(&error)),
    }
}

/// Classifies an error by its HTTP status and code; also the `Status` of a bulk call's entry, as 400.
///
/// Codes: Amazon SES API v2, `SendEmail`, Errors; and Common Errors of AWS's APIs.
pub fn by_code(status: u16, code: &str, message: &str, recipient: &str) -> Answer {
    let says = |word: &str| message.to_ascii_lowercase().contains(word);
    let halt = || Answer::Halt(format!("{code}: {message}"));
    let refused = || {
        let code = if code.is_empty() { format!("http_{status}") } else { code.to_owned() };
        Answer::Refused { code, message: message.to_owned() }
    };
    match code {
        _ if status >= 500 => {
            let code = if code.is_empty() { format!("http_{status}") } else { code.to_owned() };
            Answer::Uncertain { code, message: message.to_owned() }
        }
        "TooManyRequestsException" | "LimitExceededException" | "ThrottlingException" | "Throttling"
            if says("daily") =>
        {
            Answer::QuotaExhausted(message.to_owned())
        }
        "TooManyRequestsException" | "LimitExceededException" | "ThrottlingException" | "Throttling" => {
            Answer::Throttled(message.to_owned())
        }
        "AccountSuspendedException"
        | "SendingPausedException"
        | "MailFromDomainNotVerifiedException"
        | "NotFoundException"
        | "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired" => halt(),
        // Credentials that are renewed meanwhile, and a clock that is set.
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" | "RequestTimeTooSkewed" => {
            Answer::NotSent(format!("{code}: {message}"))
        }
        "MessageRejected" if says("not verified") && !only_about(recipient, message) => halt(),
        "MessageRejected" if says("paused") || says("suspended") => halt(),
        _ if status == 429 => Answer::Throttled(message.to_owned()),
        _ => refused(),
    }
}

/// Whether all the identities that SES lists as not verified are the recipient: in SES's sandbox recipients have
/// to be verified too ('… The following identities failed the check in region EU-WEST-1: a@example.com').
fn only_about(recipient: &str, message: &str) -> bool {
    message.rsplit_once(": ").is_some_and(|(_, identities)| {
        identities.split(',').all(|identity| identity.trim().eq_ignore_ascii_case(recipient))
    })
}

/// Whether the connection was never made: name resolution, connect and TLS handshake come before the request.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| {
        error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
    })
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str, message: &str) -> Answer {
        by_code(status, code, message, "ada@example.com")
    }

    #[test]
    fn what_holds_for_every_recipient_halts() {
        for (code, message) in [
            ("AccountSuspendedException", "Account suspended"),
            ("SendingPausedException", "Sending paused for this account."),
            ("MailFromDomainNotVerifiedException", "x"),
            ("NotFoundException", "Configuration set <x> does not exist."),
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
            ("SomethingNew", "x"),
        ] {
            assert_eq!(
                answer(400, code, message),
                Answer::Refused { code: code.into(), message: message.into() }
            );
        }
        assert_eq!(answer(413, "", ""), Answer::Refused { code: "http_413".into(), message: String::new() });
    }

    #[test]
    fn too_fast_is_never_a_failure() {
        let rate = "Maximum sending rate exceeded.";
        assert_eq!(answer(429, "TooManyRequestsException", rate), Answer::Throttled(rate.into()));
        assert_eq!(answer(400, "LimitExceededException", rate), Answer::Throttled(rate.into()));
        assert_eq!(answer(429, "", ""), Answer::Throttled(String::new()));
        let quota = "Daily message quota exceeded.";
        assert_eq!(answer(429, "TooManyRequestsException", quota), Answer::QuotaExhausted(quota.into()));
    }

    #[test]
    fn a_server_error_is_in_doubt_whatever_it_says() {
        for (status, code) in [
            (500, "InternalFailure"),
            (503, "ServiceUnavailable"),
            (504, ""),
            (500, "TooManyRequestsException"),
        ] {
            assert!(matches!(answer(status, code, ""), Answer::Uncertain { .. }), "{status} {code}");
        }
    }
}
