//! The meaning of SES's answer, or of its absence, for a message.
//!
//! SES has no idempotency token, so everything depends on whether it can have accepted the message. A message
//! may be sent again only if it certainly was not accepted.

use std::error::Error;

use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_bulk_email::{SendBulkEmailError, SendBulkEmailOutput};
use aws_sdk_sesv2::operation::send_email::{SendEmailError, SendEmailOutput};
use aws_sdk_sesv2::types::BulkEmailEntryResult;

use super::error_code::Said;
use super::text::{MAX_CODE, MAX_TEXT, bounded, excerpt};
use super::wording::wording;
use crate::domain::answer::Answer;

/// The headers of AWS's answers: the error's code, and the id of the request.
const MARKS: [&str; 2] = ["x-amzn-errortype", "x-amzn-requestid"];
/// The longest valid message id, in bytes. SES's ids have 60.
const MAX_MESSAGE_ID: usize = 500;

/// The result of a `SendEmail` call.
pub type SingleResult = Result<SendEmailOutput, SdkError<SendEmailError, HttpResponse>>;
/// The result of a `SendBulkEmail` call.
pub type BulkResult = Result<SendBulkEmailOutput, SdkError<SendBulkEmailError, HttpResponse>>;

/// Classifies the result of a `SendEmail` call for one recipient.
pub fn classify(result: SingleResult, recipient: &str) -> Answer {
    match result {
        Ok(output) => accepted(output.message_id),
        Err(error) => match failure(&error, recipient) {
            // The message was already sent singly.
            Answer::Singly(reason) => Answer::Halt(reason),
            answer => answer,
        },
    }
}

/// Classifies the result of a `SendBulkEmail` call: one answer for each recipient, in their order.
///
/// If SES refused the call as a whole (one malformed entry is enough), or if the endpoint does not support
/// the call, its entries are sent singly. If the answer cannot be read, all entries are uncertain; so they
/// are if the number of results differs from the number of entries, because the results cannot be assigned.
pub fn classify_bulk(result: BulkResult, recipients: &[String]) -> Vec<Answer> {
    let whole = match result {
        Ok(output) if output.bulk_email_entry_results.len() == recipients.len() => {
            let entries = output.bulk_email_entry_results.into_iter().zip(recipients);
            return entries.map(|(result, recipient)| entry(result, recipient)).collect();
        }
        Ok(output) => {
            let (results, entries) = (output.bulk_email_entry_results.len(), recipients.len());
            Answer::unreadable(&format!("SES answered with {results} results for {entries} entries"))
        }
        Err(error) => match failure(&error, "") {
            Answer::Refused { code, message } => Answer::Singly(format!("{code}: {message}")),
            Answer::Intercepted(reason) if has_no_such_call(&error) => Answer::Singly(reason),
            answer => answer,
        },
    };
    vec![whole; recipients.len()]
}

/// The endpoint's message that it does not support `SendBulkEmail`, so that further bulk calls would fail
/// too.
pub fn no_bulk_calls(result: &BulkResult) -> Option<String> {
    let error = result.as_ref().err()?;
    let SdkError::ServiceError(service) = error else { return None };
    let words = Words::of(service.err(), service.raw());
    let said = words.said();
    // The missing thing may also be the configuration set.
    let names = said.message.to_ascii_lowercase().contains("configuration");
    (said.has_no_such_call() && wording(said.message, "").is_none() && !names).then(|| said.reason())
}

fn has_no_such_call<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(service) = error else { return false };
    Words::of(service.err(), service.raw()).said().has_no_such_call()
}

/// One result of a bulk call. If its status is unknown, only its message is considered.
fn entry(result: BulkEmailEntryResult, recipient: &str) -> Answer {
    let status = result.status.as_ref().map_or("", |status| status.as_str());
    let (code, message) = (bounded(status, MAX_CODE), result.error.as_deref().unwrap_or_default());
    let message = bounded(message, MAX_TEXT);
    let has_id = result.message_id.as_deref().is_some_and(|id| !id.is_empty());
    let said = |code| Said { status: 400, code, message: &message, has_mark: true };
    match code_of(&code) {
        Some("SUCCESS") => accepted(result.message_id),
        Some(code) if !has_id => said(code).answer(recipient),
        // Without an error, only an accepted message has an id.
        None if has_id && message.is_empty() => accepted(result.message_id),
        None if !has_id && !code.is_empty() => {
            let by_words = said(&code).by_words(recipient);
            by_words.unwrap_or_else(|| Answer::unreadable(&said(&code).reason()))
        }
        _ => Answer::unreadable(format!("a result without a clear status: {code} {message}").trim_end()),
    }
}

/// `SendEmail`'s error code for the status of an entry, if it has one, so that a cause has the same code for
/// both calls. `None`: the status is unknown. SES API version 1 writes them in the form `MessageRejected`.
fn code_of(status: &str) -> Option<&'static str> {
    let name: String = status.chars().filter(|c| *c != '_').map(|c| c.to_ascii_uppercase()).collect();
    Some(match name.as_str() {
        "SUCCESS" => "SUCCESS",
        "MESSAGEREJECTED" => "MessageRejected",
        "INVALIDPARAMETER" | "INVALIDPARAMETERVALUE" => "BadRequestException",
        "MAILFROMDOMAINNOTVERIFIED" => "MailFromDomainNotVerifiedException",
        "ACCOUNTSUSPENDED" => "AccountSuspendedException",
        "ACCOUNTSENDINGPAUSED" => "SendingPausedException",
        "ACCOUNTTHROTTLED" => "ACCOUNT_THROTTLED",
        "ACCOUNTDAILYQUOTAEXCEEDED" => "ACCOUNT_DAILY_QUOTA_EXCEEDED",
        "CONFIGURATIONSETNOTFOUND" => "CONFIGURATION_SET_NOT_FOUND",
        "CONFIGURATIONSETDOESNOTEXIST" => "CONFIGURATION_SET_DOES_NOT_EXIST",
        "CONFIGURATIONSETSENDINGPAUSED" => "CONFIGURATION_SET_SENDING_PAUSED",
        "TEMPLATENOTFOUND" => "TEMPLATE_NOT_FOUND",
        "TEMPLATEDOESNOTEXIST" => "TEMPLATE_DOES_NOT_EXIST",
        "INVALIDSENDINGPOOLNAME" => "INVALID_SENDING_POOL_NAME",
        "TRANSIENTFAILURE" => "TRANSIENT_FAILURE",
        "FAILED" => "FAILED",
        _ => return None,
    })
}

fn accepted(message_id: Option<String>) -> Answer {
    match message_id {
        Some(id) if id.len() > MAX_MESSAGE_ID || id.chars().any(char::is_control) => {
            Answer::unreadable(&format!("a message id that is none: {}", bounded(&id, MAX_CODE)))
        }
        Some(id) if !id.is_empty() => Answer::Accepted(id),
        _ => Answer::uncertain("no_message_id", "SES answered without a message id"),
    }
}

/// Classifies a call without a success answer.
fn failure<E>(error: &SdkError<E, HttpResponse>, recipient: &str) -> Answer
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ServiceError(service) => Words::of(service.err(), service.raw()).said().answer(recipient),
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
        SdkError::ResponseError(_) => Answer::unreadable(&root_cause(error)),
        // The connection broke after it was made; future variants of the SDK's error count as this too.
        _ => Answer::uncertain("connection_lost", &root_cause(error)),
    }
}

/// The code and the message of an error answer, cut to a maximum length.
struct Words {
    status: u16,
    code: String,
    message: String,
    has_mark: bool,
}

impl Words {
    fn of(error: &impl ProvideErrorMetadata, raw: &HttpResponse) -> Words {
        let headers = raw.headers();
        let body = raw.body().bytes().unwrap_or_default();
        // If the SDK cannot read the body, it has no code, but the header has it.
        let header = || headers.get(MARKS[0]).map(|code| code.split(':').next().unwrap_or_default());
        let code = error.code().or_else(header).unwrap_or_default();
        let message = match error.message() {
            Some(message) => bounded(message, MAX_TEXT),
            None if code.is_empty() => excerpt(body),
            None => String::new(),
        };
        Words {
            status: raw.status().as_u16(),
            code: bounded(code, MAX_CODE),
            message,
            has_mark: MARKS.into_iter().any(|name| headers.contains_key(name)),
        }
    }

    fn said(&self) -> Said<'_> {
        let Words { status, code, message, has_mark } = self;
        Said { status: *status, code, message, has_mark: *has_mark }
    }
}

/// Returns true if the connection was never made: name resolution, connect and TLS handshake come before the
/// request.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| {
        error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
    })
}

/// Returns true if the HTTP client never got the request, because there was no endpoint, no region or no
/// credentials. Errors of that client have their own error type in the chain.
fn never_dispatched(error: &(dyn Error + 'static)) -> bool {
    !chain(error).any(|error| error.is::<hyper_util::client::legacy::Error>() || error.is::<std::io::Error>())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    // The error for missing credentials has several lines.
    let cause = chain(error).last().map(ToString::to_string).unwrap_or_default();
    bounded(&cause.split_whitespace().collect::<Vec<_>>().join(" "), MAX_TEXT)
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests;
