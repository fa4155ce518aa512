//! The operations of the SES API: authenticates a request, reads it, and answers.

use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::{Method, Response, body::Bytes, header, http::request::Parts};
use serde_json::{Value, json};

use super::{
    behaviour::Effect,
    refusal::Refusal,
    send::{self, Submission},
    state::{Control, State},
    suppression,
};

const IDENTITIES: &str = "/v2/email/identities/";
const TEMPLATES: &str = "/v2/email/templates/";
const RENDER: &str = "/render";
const EXPORTS: &str = "/v2/email/export-jobs";
const INSIGHTS: &str = "/v2/email/insights/";

/// A request without an answer: the connection is closed instead.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
pub(super) struct HangUp;

pub(super) type Answer = Result<Response<Full<Bytes>>, HangUp>;

/// Answers a request to the SES API, after the configured latency.
pub(super) async fn answer(state: &State, parts: &Parts, body: &[u8]) -> Answer {
    state.control().counts.requests += 1;
    let answer = match authenticated(state, parts, body).await {
        Ok(answer) => answer,
        Err(refusal) => {
            state.control().count_refusal(&refusal);
            Ok(refusal.into_response())
        }
    };
    let latency = state.control().latency;
    wait(latency).await;
    answer
}

/// Answers a request whose signature is valid. The outer error is an answer too; the inner one means no
/// answer.
async fn authenticated(state: &State, parts: &Parts, body: &[u8]) -> Result<Answer, Refusal> {
    let now = SystemTime::now();
    state.verifier.verify(parts, body, now).inspect_err(|_| state.control().counts.unauthenticated += 1)?;
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/v2/email/outbound-emails") => {
            state.control().count_send(body);
            send_email(state, send::single(body, now)?).await
        }
        (&Method::POST, "/v2/email/outbound-bulk-emails") => {
            state.control().count_send(body);
            send_bulk_email(state, send::bulk(body, now)?).await
        }
        (&Method::GET, "/v2/email/account") => Ok(Ok(json_response(&state.control().account.answer()))),
        (&Method::GET, "/v2/email/suppression/addresses") => {
            let query = parts.uri.query().unwrap_or_default();
            let control = state.control();
            let answer = match suppression::tenant_of(query) {
                Some(tenant) => control.tenants.suppressed(&tenant)?.answer(query)?,
                None => control.suppressed.answer(query)?,
            };
            Ok(Ok(json_response(&answer)))
        }
        (&Method::GET, path) if path.starts_with(IDENTITIES) => {
            let answer = state.control().identities.answer(&path[IDENTITIES.len()..])?;
            Ok(Ok(json_response(&answer)))
        }
        (&Method::POST, "/v2/email/templates") => {
            let mut control = state.control();
            control.templates.create(body)?;
            control.counts.templates_created += 1;
            Ok(Ok(json_response(&json!({}))))
        }
        (&Method::POST, path) if path.starts_with(TEMPLATES) && path.ends_with(RENDER) => {
            let name = &path[TEMPLATES.len()..path.len() - RENDER.len()];
            let message = state.control().templates.render(name, body)?;
            Ok(Ok(json_response(&json!({ "RenderedTemplate": message }))))
        }
        (&Method::DELETE, path) if path.starts_with(TEMPLATES) => {
            let mut control = state.control();
            control.templates.delete(&path[TEMPLATES.len()..])?;
            control.counts.templates_deleted += 1;
            Ok(Ok(json_response(&json!({}))))
        }
        (&Method::POST, EXPORTS) => {
            let messages = state.mailbox.all();
            Ok(Ok(json_response(&state.control().insights.create(body, &messages)?)))
        }
        (&Method::GET, path) if path.starts_with(EXPORTS) => {
            let host =
                parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let id = path[EXPORTS.len()..].trim_start_matches('/');
            Ok(Ok(json_response(&state.control().insights.answer(id, host)?)))
        }
        (&Method::GET, path) if path.starts_with(INSIGHTS) => {
            let id = path[INSIGHTS.len()..].trim_end_matches('/');
            let message = state.mailbox.get(id);
            Ok(Ok(json_response(&state.control().insights.message(id, message.as_deref())?)))
        }
        (method, path) => Err(Refusal::new(
            404,
            "UnknownOperationException",
            format!("{method} {path} is not served here."),
        )),
    }
}

async fn send_email(state: &State, submission: Submission) -> Result<Answer, Refusal> {
    let decision = state.control().rules.decide_single(&submission.message);
    let after = before_accepting(decision.effect).await?;
    if let Some(answer) = after.at_once(state) {
        return Ok(answer);
    }
    let id = {
        let mut control = state.control();
        control.account.check()?;
        control.tenants.check(submission.message.tenant.as_deref())?;
        control.spend(&submission.message)?;
        accept(state, &mut control, submission)
    };
    let answer = if after == After::Empty { json!({}) } else { json!({ "MessageId": id }) };
    finish(state, after, &answer).await
}

async fn send_bulk_email(state: &State, submissions: Vec<Submission>) -> Result<Answer, Refusal> {
    let decision = {
        let messages: Vec<_> = submissions.iter().map(|submission| &submission.message).collect();
        state.control().rules.decide_bulk(&messages)
    };
    let after = before_accepting(decision.effect).await?;
    if let Some(answer) = after.at_once(state) {
        return Ok(answer);
    }
    let mut results: Vec<Value> = {
        let mut control = state.control();
        control.account.check()?;
        // All messages of a call have the same tenant.
        control.tenants.check(submissions.first().and_then(|first| first.message.tenant.as_deref()))?;
        let entries = submissions.into_iter().zip(decision.refused_entries);
        entries.map(|(submission, refused)| bulk_result(state, &mut control, submission, refused)).collect()
    };
    for (result, _) in results.iter_mut().zip(decision.empty_results).filter(|(_, is_empty)| *is_empty) {
        *result = json!({});
    }
    if after == After::FewerResults {
        results.pop();
    }
    finish(state, after, &json!({ "BulkEmailEntryResults": results })).await
}

fn bulk_result(
    state: &State,
    control: &mut Control,
    submission: Submission,
    refused: Option<Refusal>,
) -> Value {
    let spent = refused.map_or_else(|| control.spend(&submission.message), Err);
    match spent {
        Ok(()) => json!({ "Status": "SUCCESS", "MessageId": accept(state, control, submission) }),
        Err(refusal) => {
            control.count_refusal(&refusal);
            json!({ "Status": refusal.bulk_status(), "Error": refusal.message })
        }
    }
}

/// What a rule does after the request is accepted.
#[derive(PartialEq)]
enum After {
    Answer,
    /// An empty object.
    Empty,
    /// All results of a bulk call but the last.
    FewerResults,
    /// This answer, whatever the result; or without accepting the request.
    Other(Other),
    OtherNow(Other),
    AnswerLate(Duration),
    HangUp,
    /// The request is not accepted.
    HangUpNow,
}

/// Marks an answer that a rule gives in place of SES: it has no request id.
#[derive(Clone)]
pub(super) struct OfRule;

/// The answer of a rule.
#[derive(PartialEq)]
struct Other {
    status: u16,
    content_type: String,
    body: String,
}

impl Other {
    fn response(&self) -> Response<Full<Bytes>> {
        let body: Vec<u8> = self.body.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect();
        let response = Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, self.content_type.as_str())
            .extension(OfRule)
            .body(Full::new(Bytes::from(body)));
        // A rule may hold a status or a content type that HTTP cannot carry.
        response.unwrap_or_else(|_| Refusal::internal().into_response())
    }
}

impl After {
    /// The answer to a request that is not to be accepted.
    fn at_once(&self, state: &State) -> Option<Answer> {
        match self {
            After::HangUpNow => Some(hang_up(state)),
            After::OtherNow(other) => Some(Ok(other.response())),
            _ => None,
        }
    }
}

async fn before_accepting(effect: Option<Effect>) -> Result<After, Refusal> {
    if let Some(refusal) = effect.as_ref().and_then(Effect::refusal) {
        return Err(refusal);
    }
    match effect {
        Some(Effect::DropBeforeAccept) => Ok(After::HangUpNow),
        Some(Effect::DropAfterAccept) => Ok(After::HangUp),
        Some(Effect::Answer { accept, status, content_type, body }) => {
            let other = Other { status, content_type, body };
            Ok(if accept { After::Other(other) } else { After::OtherNow(other) })
        }
        Some(Effect::AcceptWithEmptyResult) => Ok(After::Empty),
        Some(Effect::AcceptWithFewerResults) => Ok(After::FewerResults),
        Some(Effect::AcceptThenDelay { ms }) => Ok(After::AnswerLate(Duration::from_millis(ms))),
        Some(Effect::Delay { ms }) => {
            wait(Duration::from_millis(ms)).await;
            Ok(After::Answer)
        }
        Some(Effect::Refuse { .. } | Effect::Throttle | Effect::ServerError) | None => Ok(After::Answer),
    }
}

/// Puts the message into the mailbox; returns its id.
fn accept(state: &State, control: &mut Control, submission: Submission) -> String {
    let Submission { mut message, rendering_failed } = submission;
    let id = message.id.clone();
    control.counts.accepted += 1;
    if rendering_failed {
        control.counts.rendering_failures += 1;
    } else {
        let suppressed = message.recipients().find_map(|address| control.suppressed.reason(address));
        message.suppressed = suppressed.or_else(|| control.tenants.reason(&message));
        state.mailbox.accept(message);
    }
    id
}

async fn finish(state: &State, after: After, answer: &Value) -> Result<Answer, Refusal> {
    match after {
        After::HangUp | After::HangUpNow => return Ok(hang_up(state)),
        After::Other(other) | After::OtherNow(other) => return Ok(Ok(other.response())),
        After::AnswerLate(delay) => wait(delay).await,
        After::Answer | After::Empty | After::FewerResults => {}
    }
    Ok(Ok(json_response(answer)))
}

fn hang_up(state: &State) -> Answer {
    state.control().counts.dropped += 1;
    Err(HangUp)
}

async fn wait(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

pub(super) fn json_response(body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
