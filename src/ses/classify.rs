//! What SES's answer, or the lack of one, means for a message: one total match.
//!
//! SES has no idempotency token, so all depends on whether it can have accepted the message. Only what certainly
//! was not accepted may be sent again.

use std::error::Error;

use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_bulk_email::{SendBulkEmailError, SendBulkEmailOutput};
use aws_sdk_sesv2::operation::send_email::{SendEmailError, SendEmailOutput};
use aws_sdk_sesv2::types::BulkEmailEntryResult;

use super::wording::{Wording, wording};

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
    /// Certainly not accepted as part of a bulk call; by itself it gets an answer that is its own.
    Singly(String),
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
    match result {
        Ok(output) => accepted(output.message_id),
        Err(error) => match failure(&error, status, recipient) {
            // It was by itself.
            Answer::Singly(reason) => Answer::Halt(reason),
            answer => answer,
        },
    }
}

/// Classifies the result of a `SendBulkEmail` call: one answer for each recipient, in their order.
///
/// A call that was refused as a whole (one malformed entry is enough) says nothing of its entries: they are to be
/// sent singly. So are those of a call that the endpoint does not have. A call without an answer leaves all of them
/// in doubt.
pub fn classify_bulk<R>(
    result: Result<SendBulkEmailOutput, SdkError<SendBulkEmailError, R>>,
    status: impl Fn(&R) -> u16,
    recipients: &[String],
) -> Vec<Answer>
where
    R: std::fmt::Debug + 'static,
{
    let results = match result {
        Ok(output) => output.bulk_email_entry_results,
        Err(error) => {
            let answer = match failure(&error, status, "") {
                Answer::Refused { code, message } => Answer::Singly(format!("{code}: {message}")),
                answer => answer,
            };
            return vec![answer; recipients.len()];
        }
    };
    let mut results = results.into_iter();
    recipients
        .iter()
        .map(|recipient| results.next().map_or_else(|| accepted(None), |result| entry(result, recipient)))
        .collect()
}

/// Why the endpoint has no `SendBulkEmail`, if that is what it says: the next bulk call would be in vain too.
pub fn no_bulk_calls<R>(
    result: &Result<SendBulkEmailOutput, SdkError<SendBulkEmailError, R>>,
    status: impl Fn(&R) -> u16,
) -> Option<String> {
    let Err(SdkError::ServiceError(service)) = result else { return None };
    let (code, message) = (service.err().code().unwrap_or_default(), service.err().message());
    let (status, message) = (status(service.raw()), message.unwrap_or_default());
    // What is not there may also be the configuration set.
    let names = message.to_ascii_lowercase().contains("configuration");
    (has_no_such_call(status, code) && wording(message, "").is_none() && !names)
        .then(|| format!("{}: {message}", name(status, code)))
}

fn entry(result: BulkEmailEntryResult, recipient: &str) -> Answer {
    let status = result.status.as_ref().map_or("", |status| status.as_str());
    match status {
        "SUCCESS" => accepted(result.message_id),
        // A status of another name: without an error, only what was accepted has an id.
        _ if result.error.as_deref().is_none_or(str::is_empty)
            && result.message_id.as_deref().is_some_and(|id| !id.is_empty()) =>
        {
            accepted(result.message_id)
        }
        _ => by_code(400, code_of(status), result.error.as_deref().unwrap_or_default(), recipient),
    }
}

/// The code by which `SendEmail` calls what the status of an entry says, where it has one: a cause has one name,
/// whichever call met it.
fn code_of(status: &str) -> &str {
    match status {
        "MESSAGE_REJECTED" => "MessageRejected",
        "INVALID_PARAMETER" => "BadRequestException",
        "MAIL_FROM_DOMAIN_NOT_VERIFIED" => "MailFromDomainNotVerifiedException",
        "ACCOUNT_SUSPENDED" => "AccountSuspendedException",
        "ACCOUNT_SENDING_PAUSED" => "SendingPausedException",
        _ => status,
    }
}

fn accepted(message_id: Option<String>) -> Answer {
    match message_id {
        Some(id) if !id.is_empty() => Answer::Accepted(id),
        _ => Answer::uncertain("no_message_id", "SES answered without a message id"),
    }
}

/// A call that was not answered with success.
fn failure<E, R>(error: &SdkError<E, R>, status: impl Fn(&R) -> u16, recipient: &str) -> Answer
where
    E: Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let (code, message) = (service.err().code(), service.err().message());
            by_code(status(service.raw()), code.unwrap_or_default(), message.unwrap_or_default(), recipient)
        }
        // The request could not be made or signed.
        SdkError::ConstructionFailure(_) => Answer::NotSent(root_cause(error)),
        SdkError::DispatchFailure(failure)
            if failure.is_user()
                || never_connected(error)
                || failure.is_other() && never_dispatched(error) =>
        {
            Answer::NotSent(root_cause(error))
        }
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            Answer::uncertain("timed_out", &root_cause(error))
        }
        SdkError::TimeoutError(_) => Answer::uncertain("timed_out", &root_cause(error)),
        SdkError::ResponseError(_) => Answer::uncertain("unreadable_answer", &root_cause(error)),
        // The connection broke after it was made; and whatever the SDK may add.
        _ => Answer::uncertain("connection_lost", &root_cause(error)),
    }
}

/// Classifies an error by its HTTP status and code; also the `Status` of a bulk call's entry, as 400.
///
/// Codes: Amazon SES API v2, `SendEmail`, Errors; `BulkEmailEntryResult`, Status; Amazon SES API version 1; Common
/// Errors of AWS's APIs; and what AWS's SDKs take for throttling (`aws_runtime::retries::classifiers`). What the words
/// say of all recipients goes before the code, for endpoints other than SES have codes of their own. A server error is
/// in doubt whatever it says, but for 501: the server cannot do it at all (RFC 9110, 15.6.2).
fn by_code(status: u16, code: &str, message: &str, recipient: &str) -> Answer {
    let says = |word: &str| message.to_ascii_lowercase().contains(word);
    let reason = || format!("{}: {message}", name(status, code));
    let words = wording(message, recipient);
    match code {
        _ if status >= 500 && status != 501 => Answer::uncertain(&name(status, code), message),
        _ if words == Some(Wording::QuotaUsedUp) => Answer::QuotaExhausted(message.to_owned()),
        _ if words == Some(Wording::MayNotSend) => Answer::Halt(reason()),
        _ if words == Some(Wording::TooFast) => Answer::Throttled(message.to_owned()),
        "ACCOUNT_DAILY_QUOTA_EXCEEDED" => Answer::QuotaExhausted(message.to_owned()),
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
                Answer::QuotaExhausted(message.to_owned())
            } else {
                Answer::Throttled(message.to_owned())
            }
        }
        // SES says that it did not get to this entry, and not whose fault that was.
        "TRANSIENT_FAILURE" => Answer::Singly(reason()),
        _ if has_no_such_call(status, code) => Answer::Singly(reason()),
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
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "CONFIGURATION_SET_SENDING_PAUSED"
        | "CONFIGURATION_SET_NOT_FOUND"
        | "CONFIGURATION_SET_DOES_NOT_EXIST"
        | "TEMPLATE_NOT_FOUND"
        | "TEMPLATE_DOES_NOT_EXIST"
        | "INVALID_SENDING_POOL_NAME" => Answer::Halt(reason()),
        // Credentials that are renewed meanwhile, and a clock that is set.
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" | "RequestTimeTooSkewed" => {
            Answer::NotSent(reason())
        }
        "MessageRejected" if says("not verified") && !only_about(recipient, message) => {
            Answer::Halt(reason())
        }
        _ if status == 429 => Answer::Throttled(message.to_owned()),
        _ => Answer::Refused { code: name(status, code), message: message.to_owned() },
    }
}

/// An error's code, or what stands for it where it has none.
fn name(status: u16, code: &str) -> String {
    if code.is_empty() { format!("http_{status}") } else { code.to_owned() }
}

/// Whether the endpoint does not have the call that was made; or, by `NotFoundException`, what it names: that too
/// is said of the call alone.
fn has_no_such_call(status: u16, code: &str) -> bool {
    matches!(status, 404 | 405 | 501)
        || matches!(code, "NotFoundException" | "UnknownOperationException" | "InvalidAction")
        || code.starts_with("UnsupportedOperation")
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

/// Whether the HTTP client has never had the request: there was no endpoint, no region, or nothing to sign with. All
/// that goes wrong in that client has an error of its own in the chain.
fn never_dispatched(error: &(dyn Error + 'static)) -> bool {
    !chain(error).any(|error| error.is::<hyper_util::client::legacy::Error>() || error.is::<std::io::Error>())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    // The cause of credentials that are not there is a list of several lines.
    let cause = chain(error).last().map(ToString::to_string).unwrap_or_default();
    cause.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use aws_sdk_sesv2::error::ErrorMetadata;

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
            ("AccountSendingPausedException", "x"),
            ("ConfigurationSetSendingPausedException", "x"),
            ("CONFIGURATION_SET_DOES_NOT_EXIST", "x"),
            ("BadRequestException", "Sending paused for this account."),
            ("FAILED", "Sending paused for this configuration set."),
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
        assert_eq!(answer(413, "", ""), Answer::Refused { code: "http_413".into(), message: String::new() });
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
    fn the_entries_of_a_bulk_call_have_answers_of_their_own() {
        let results = [
            ("SUCCESS", "", "id-1"),
            ("ACCOUNT_THROTTLED", "Maximum sending rate exceeded.", ""),
            ("ACCOUNT_DAILY_QUOTA_EXCEEDED", "x", ""),
            ("MESSAGE_REJECTED", "Address blacklisted.", ""),
            ("INVALID_PARAMETER", "x", ""),
            ("FAILED", "x", ""),
            ("FAILED", "Maximum sending rate exceeded.", ""),
            ("ACCOUNT_THROTTLED", "Daily message quota exceeded.", ""),
            ("TRANSIENT_FAILURE", "x", ""),
            ("TRANSIENT_FAILURE", "Maximum sending rate exceeded.", ""),
            ("ACCOUNT_SUSPENDED", "x", ""),
            ("SOMETHING_NEW", "x", ""),
            ("SUCCESS", "", ""),
            ("Success", "", "id-2"),
        ]
        .map(|(status, error, id)| {
            BulkEmailEntryResult::builder().status(status.into()).error(error).message_id(id).build()
        });
        let output =
            SendBulkEmailOutput::builder().set_bulk_email_entry_results(Some(results.to_vec())).build();
        let recipients = ["ada@example.com"; 15].map(str::to_owned);
        let answers = classify_bulk(output.map_err(SdkError::construction_failure), |(): &()| 0, &recipients);
        let refused =
            |code: &str, message: &str| Answer::Refused { code: code.into(), message: message.into() };
        assert_eq!(
            answers,
            [
                Answer::Accepted("id-1".into()),
                Answer::Throttled("Maximum sending rate exceeded.".into()),
                Answer::QuotaExhausted("x".into()),
                refused("MessageRejected", "Address blacklisted."),
                refused("BadRequestException", "x"),
                refused("FAILED", "x"),
                Answer::Throttled("Maximum sending rate exceeded.".into()),
                Answer::QuotaExhausted("Daily message quota exceeded.".into()),
                Answer::Singly("TRANSIENT_FAILURE: x".into()),
                Answer::Throttled("Maximum sending rate exceeded.".into()),
                Answer::Halt("AccountSuspendedException: x".into()),
                refused("SOMETHING_NEW", "x"),
                accepted(None),
                Answer::Accepted("id-2".into()),
                accepted(None),
            ]
        );
    }

    #[test]
    fn a_server_error_is_in_doubt_whatever_it_says() {
        for (status, code, message) in [
            (500, "InternalFailure", ""),
            (503, "ServiceUnavailable", "Maximum sending rate exceeded."),
            (502, "BadRequestException", "Sending paused for this account."),
            (504, "", "Daily message quota exceeded."),
            (505, "UnknownOperationException", ""),
            (500, "TooManyRequestsException", ""),
        ] {
            assert!(matches!(answer(status, code, message), Answer::Uncertain { .. }), "{status} {code}");
        }
    }

    /// What a bulk call and a single one come to when they are answered so, and whether more bulk calls are in vain.
    fn calls(status: u16, code: &str, message: &str) -> (Answer, Answer, bool) {
        let metadata = ErrorMetadata::builder().code(code).message(message).build();
        let bulk = || SdkError::service_error(SendBulkEmailError::generic(metadata.clone()), ());
        let single = Err(SdkError::service_error(SendEmailError::generic(metadata.clone()), ()));
        let answers = classify_bulk(Err(bulk()), |(): &()| status, &["ada@example.com".to_owned()]);
        let in_vain = no_bulk_calls(&Err(bulk()), |(): &()| status).is_some();
        (answers[0].clone(), classify(single, |(): &()| status, "ada@example.com"), in_vain)
    }

    #[test]
    fn an_endpoint_without_a_call_has_accepted_nothing_by_it() {
        for (status, code) in [
            (501, ""),
            (501, "NotImplemented"),
            (404, ""),
            (404, "UnknownOperationException"),
            (404, "NotFoundException"),
            (400, "NotFoundException"),
            (405, ""),
            (400, "UnknownOperationException"),
            (400, "UnsupportedOperation"),
            (400, "UnsupportedOperationException"),
            (400, "InvalidAction"),
        ] {
            let reason = format!("{}: no", name(status, code));
            let expected = (Answer::Singly(reason.clone()), Answer::Halt(reason), true);
            assert_eq!(calls(status, code, "no"), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_bulk_call_that_is_refused_for_another_cause_says_nothing_of_the_next_one() {
        let missing = "Configuration set <x> does not exist.";
        let reason = format!("NotFoundException: {missing}");
        assert_eq!(
            calls(404, "NotFoundException", missing),
            (Answer::Singly(reason.clone()), Answer::Halt(reason), false)
        );
        for (status, code, message) in [
            (400, "BadRequestException", "x"),
            (404, "", "Sending paused for this account."),
            (501, "", "Maximum sending rate exceeded."),
            (403, "AccessDeniedException", "not authorized to perform ses:SendBulkEmail"),
            (429, "", ""),
            (500, "", ""),
        ] {
            assert!(!calls(status, code, message).2, "{status} {code} {message}");
        }
        assert!(matches!(calls(403, "AccessDeniedException", "x").0, Answer::Halt(_)));
    }
}
