//! `/_local/…`: sets and shows what the endpoint does, over HTTP, for other processes and for the inbox page.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /` | the inbox page |
//! | `GET /_local/messages?after=&q=&limit=` | accepted messages after a sequence number, in order, without bodies; `last` is the next request's `after`, `mailbox` differs once it was emptied |
//! | `DELETE /_local/messages` | empties the mailbox |
//! | `GET /_local/messages/ID` | one message, whole |
//! | `GET /_local/messages/ID/raw`, `…/html?images=` | its MIME source (`.eml`), its HTML body; with `images=true` the images that are elsewhere are loaded |
//! | `GET /_local/preview` | what `campaign preview` has found of the messages, or null |
//! | `GET /_local/duplicates` | addresses that received more than one message, and how many |
//! | `GET /_local/events?after=&limit=` | the events of accepted messages, in EventBridge's form |
//! | `GET`, `POST`, `DELETE /_local/rules` | shows the rules; adds one or an array of them; removes all |
//! | `PUT /_local/account`, `/_local/rate`, `/_local/latency`, `/_local/suppressions`, `/_local/tenants`, `/_local/identities`, `/_local/mail-from`, `/_local/vdm` | sets them |
//! | `GET /_local/exports/JOB` | the file of an export job, at the URL that `GetExportJob` names |
//! | `POST /_local/close-idle-connections` | closes them |
//! | `GET /_local/statistics` | counts since the start |

use std::time::Duration;

use http_body_util::Full;
use hyper::{Method, Response, body::Bytes, header, http::request::Parts};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    api::json_response,
    behaviour::Rule,
    events::events,
    message::Message,
    mime,
    refusal::Refusal,
    state::State,
    suppression::{SuppressedDestination, SuppressionList},
    tenant::Tenants,
};

const INBOX: &str = include_str!("inbox.html");
/// The page loads nothing but this endpoint's own answers.
const INBOX_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    connect-src 'self'; frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";
/// An email's HTML runs no script, loads nothing, and opens its links in a new tab.
const EMAIL_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
    img-src data:; style-src 'unsafe-inline'; font-src data:; frame-ancestors 'self'";
/// The same with images, which a person asked for.
const EMAIL_POLICY_WITH_IMAGES: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
    img-src http: https: data:; style-src 'unsafe-inline'; font-src data:; frame-ancestors 'self'";
const DEFAULT_LIMIT: usize = 200;
const MAX_LIMIT: usize = 2000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    ms: u64,
}

type Outcome = Result<Response<Full<Bytes>>, Refusal>;

pub(super) fn answer(state: &State, parts: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
    outcome(state, parts, body).unwrap_or_else(Refusal::into_response)
}

fn outcome(state: &State, parts: &Parts, body: &[u8]) -> Outcome {
    let path = parts.uri.path();
    let query = Query::of(parts)?;
    match (&parts.method, path.strip_prefix("/_local/").unwrap_or(path)) {
        (&Method::GET, "/") => Ok(content(INBOX, "text/html; charset=utf-8", INBOX_POLICY)),
        (&Method::GET, "statistics") => Ok(json_response(&json!(state.statistics()))),
        (&Method::GET, "messages") => {
            let page = state.mailbox.page(query.after, &query.text, query.limit);
            let summaries: Vec<Value> = page.messages.iter().map(|message| summary(message)).collect();
            let total = state.mailbox.len();
            Ok(json_response(
                &json!({ "messages": summaries, "last": page.last, "total": total, "mailbox": state.mailbox.id() }),
            ))
        }
        (&Method::DELETE, "messages") => {
            state.mailbox.clear();
            Ok(done())
        }
        (&Method::GET, "duplicates") => Ok(json_response(&json!(state.mailbox.received_more_than_once()))),
        (&Method::GET, "events") => {
            let page = state.mailbox.page(query.after, &query.text, query.limit);
            let all: Vec<Value> = page.messages.iter().flat_map(|message| events(message)).collect();
            Ok(json_response(&json!({ "events": all, "last": page.last })))
        }
        (&Method::GET, "rules") => Ok(json_response(&json!(state.control().rules.list()))),
        (&Method::POST, "rules") => {
            let many = body.trim_ascii_start().starts_with(b"[");
            let rules: Vec<Rule> = if many { read(body)? } else { vec![read(body)?] };
            let mut control = state.control();
            for rule in rules {
                control.rules.add(rule);
            }
            Ok(done())
        }
        (&Method::DELETE, "rules") => {
            state.control().rules.clear();
            Ok(done())
        }
        (&Method::PUT, "account") => {
            state.control().account = read(body)?;
            Ok(done())
        }
        (&Method::PUT, "rate") => {
            state.control().set_rate(read(body)?);
            Ok(done())
        }
        (&Method::PUT, "latency") => {
            state.control().latency = Duration::from_millis(read::<Latency>(body)?.ms);
            Ok(done())
        }
        (&Method::PUT, "suppressions") => {
            state.control().suppressed = SuppressionList::new(read::<Vec<SuppressedDestination>>(body)?);
            Ok(done())
        }
        (&Method::PUT, "mail-from") => {
            state.control().identities.1 = Some(read(body)?);
            Ok(done())
        }
        (&Method::PUT, "tenants") => {
            state.control().tenants = Tenants::new(read(body)?);
            Ok(done())
        }
        (&Method::PUT, "vdm") => {
            state.control().insights.vdm = read(body)?;
            Ok(done())
        }
        (&Method::PUT, "identities") => {
            state.control().identities.0 = Some(read(body)?);
            Ok(done())
        }
        (&Method::POST, "close-idle-connections") => {
            state.connections.close_idle();
            Ok(done())
        }
        (&Method::GET, "preview") => Ok(json_response(&json!(state.control().preview))),
        (&Method::GET, rest) if rest.starts_with("exports/") => {
            let file = state.control().insights.file(&rest["exports/".len()..]);
            let file = file.ok_or_else(|| Refusal::not_found(format!("There is nothing at {path}.")))?;
            Ok(content(file, "text/plain; charset=utf-8", "sandbox"))
        }
        (&Method::GET, rest) => one_message(state, rest, query.images),
        (method, _) => Err(Refusal::not_found(format!("{method} {path} is not served here."))),
    }
}

fn one_message(state: &State, path: &str, images: bool) -> Outcome {
    let not_found = || Refusal::not_found(format!("There is nothing at {path}."));
    let mut steps = path.split('/');
    let (Some("messages"), Some(id), view, None) = (steps.next(), steps.next(), steps.next(), steps.next())
    else {
        return Err(not_found());
    };
    let message = state.mailbox.get(id).ok_or_else(not_found)?;
    match view {
        None => Ok(json_response(&whole(&message))),
        Some("raw") => Ok(content(mime::source(&message), "message/rfc822", "sandbox")),
        Some("html") => {
            let html = message.html.as_deref().ok_or_else(not_found)?;
            let policy = if images { EMAIL_POLICY_WITH_IMAGES } else { EMAIL_POLICY };
            Ok(content(with_links_outside(html), "text/html; charset=utf-8", policy))
        }
        Some(_) => Err(not_found()),
    }
}

/// The page with its links opening in a new tab, as a mail program opens them beside itself. A doctype stays
/// first: without it browsers would lay the page out by older rules.
fn with_links_outside(html: &str) -> String {
    let start = html.trim_start();
    let has_doctype = start.get(..9).is_some_and(|begin| begin.eq_ignore_ascii_case("<!doctype"));
    let end = if has_doctype { start.find('>').map_or(0, |at| at + 1) } else { 0 };
    let (doctype, rest) = start.split_at(end);
    format!("{doctype}<base target=\"_blank\">{rest}")
}

/// The query of a request to the control interface.
struct Query {
    after: u64,
    limit: usize,
    text: String,
    images: bool,
}

impl Query {
    fn of(parts: &Parts) -> Result<Query, Refusal> {
        let mut query = Query { after: 0, limit: DEFAULT_LIMIT, text: String::new(), images: false };
        let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let refusal = || Refusal::bad_request(format!("{name}: unexpected value {value:?}."));
            match name {
                "after" => query.after = value.parse().map_err(|_| refusal())?,
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                    query.limit = limit.ok_or_else(refusal)?;
                }
                "images" => query.images = value.parse().map_err(|_| refusal())?,
                "q" => query.text = percent_decoded(value).ok_or_else(refusal)?,
                _ => return Err(refusal()),
            }
        }
        Ok(query)
    }
}

fn percent_decoded(value: &str) -> Option<String> {
    let mut bytes = value.bytes();
    let mut decoded = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(bytes.next()?)? * 16 + digit(bytes.next()?)?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("Malformed body: {error}.")))
}

fn done() -> Response<Full<Bytes>> {
    json_response(&json!({}))
}

fn content(body: impl Into<Bytes>, kind: &'static str, policy: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, header::HeaderValue::from_static("no-referrer"));
    response
}

fn summary(message: &Message) -> Value {
    json!({
        "sequence": message.sequence,
        "id": message.id,
        "kind": message.kind,
        "received": message.received_iso(),
        "from": message.from,
        "to": message.to,
        "subject": message.subject,
    })
}

fn whole(message: &Message) -> Value {
    json!({
        "sequence": message.sequence,
        "id": message.id,
        "kind": message.kind,
        "received": message.received_iso(),
        "from": message.from,
        "to": message.to,
        "cc": message.cc,
        "bcc": message.bcc,
        "replyTo": message.reply_to,
        "feedbackForwarding": message.feedback_forwarding,
        "subject": message.subject,
        "html": message.html.as_deref(),
        "text": message.text.as_deref(),
        "headers": message.headers,
        "tags": message.tags,
        "configurationSet": message.configuration_set,
        "tenant": message.tenant,
        "openTracking": message.open_tracking,
        "clickTracking": message.click_tracking,
        "attachments": message.attachments.iter().map(|file| json!({
            "fileName": file.file_name,
            "contentType": file.content_type,
            "contentId": file.content_id,
            "inline": file.inline,
            "bytes": file.content.len(),
        })).collect::<Vec<_>>(),
        "suppressed": message.suppressed.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doctype_stays_first_before_the_base() {
        assert_eq!(with_links_outside(" <!DOCTYPE html><p>x"), "<!DOCTYPE html><base target=\"_blank\"><p>x");
        assert_eq!(with_links_outside("<p>x"), "<base target=\"_blank\"><p>x");
        assert_eq!(with_links_outside("é"), "<base target=\"_blank\">é");
    }

    #[test]
    fn a_query_is_decoded_and_its_errors_are_told() {
        assert_eq!(percent_decoded("a+b%20%C3%A9%40").as_deref(), Some("a b é@"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
