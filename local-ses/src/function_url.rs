//! A function URL on this machine: an HTTP request becomes an event of payload format 2.0, and the answer
//! becomes an HTTP response.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>

use std::convert::Infallible;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::lambda::serve;

/// Lambda's limit.
const MAX_BODY: usize = 6 * 1024 * 1024;

/// A function behind its own URL, until this value is dropped.
pub struct FunctionUrl {
    url: String,
    _serving: oneshot::Sender<()>,
}

impl FunctionUrl {
    /// Serves a function that answers events; `None` means a failed invocation.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start<H, F>(function: H) -> io::Result<FunctionUrl>
    where
        H: Fn(Value) -> F + Clone + Send + 'static,
        F: Future<Output = Option<Value>> + Send + 'static,
    {
        let (serving, stopped) = oneshot::channel();
        let address = serve(move |request| pass_on(function.clone(), request), stopped)?;
        Ok(FunctionUrl { url: format!("http://{address}"), _serving: serving })
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn pass_on<H, F>(function: H, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible>
where
    H: Fn(Value) -> F,
    F: Future<Output = Option<Value>>,
{
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(empty(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let answer = function(event(&parts, &body.to_bytes())).await;
    Ok(answer.and_then(|answer| response(&answer)).unwrap_or_else(|| empty(StatusCode::BAD_GATEWAY)))
}

fn event(parts: &Parts, body: &Bytes) -> Value {
    let path = parts.uri.path();
    let text = |value: &hyper::header::HeaderValue| Value::from(String::from_utf8_lossy(value.as_bytes()));
    let headers: Map<String, Value> =
        parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {"http": {"method": parts.method.as_str(), "path": path, "protocol": "HTTP/1.1"}},
        "body": (!body.is_empty()).then(|| STANDARD.encode(body)),
        "isBase64Encoded": !body.is_empty(),
    })
}

/// `None`: the answer is not of payload format 2.0.
fn response(answer: &Value) -> Option<Response<Full<Bytes>>> {
    let status = u16::try_from(answer["statusCode"].as_u64()?).ok()?;
    let mut response = Response::builder().status(status);
    for (name, value) in answer["headers"].as_object()? {
        response = response.header(name, value.as_str()?);
    }
    response.body(Full::from(answer["body"].as_str()?.to_owned())).ok()
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    /// The whole response to a request, in bytes.
    fn ask(url: &FunctionUrl, request: &str) -> String {
        let mut stream = TcpStream::connect(url.url().strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_request_becomes_an_event_and_the_answer_a_page() {
        let url = FunctionUrl::start(|event: Value| async move {
            let told = format!(
                "{} {} {} {} {}",
                event["requestContext"]["http"]["method"],
                event["rawPath"],
                event["rawQueryString"],
                event["headers"]["content-type"],
                event["body"]
            );
            Some(json!({"statusCode": 405, "headers": {"allow": "GET"}, "body": told}))
        })
        .unwrap();
        let answer = ask(
            &url,
            "POST /a/TOKEN?b=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\r\n\
             Content-Length: 5\r\n\r\nHello",
        );
        assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\nallow: GET\r\n"), "{answer}");
        assert!(answer.ends_with(r#""POST" "/a/TOKEN" "b=1" "text/plain" "SGVsbG8=""#), "{answer}");
    }

    #[test]
    fn a_failed_invocation_and_an_answer_of_another_form_are_a_bad_gateway() {
        for answer in [None, Some(json!({"ok": true}))] {
            let url = FunctionUrl::start(move |_| std::future::ready(answer.clone())).unwrap();
            let answer = ask(&url, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        }
    }
}
