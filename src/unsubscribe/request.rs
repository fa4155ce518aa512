//! Parses a request to the function URL: payload format 2.0 of Lambda function URLs and HTTP APIs.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// The longest body that is read; a form with one field is shorter.
const MAX_BODY: usize = 4096;

/// The action of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The page that asks for confirmation. It changes nothing, because mail scanners follow links too.
    Look,
    /// To unsubscribe: RFC 8058's one click, or the page's button, which posts the same.
    Unsubscribe,
    /// To subscribe again: the other page's button.
    SubscribeAgain,
    /// A form with neither field.
    Unknown,
    /// Another method.
    WrongMethod,
}

/// A request to the function URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The action.
    pub wish: Wish,
    /// The end of the path, where a link has its token.
    pub token: String,
    /// `HEAD`: the answer has no body.
    pub head: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(default)]
    raw_path: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    request_context: Context,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct Context {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

impl Request {
    /// Reads an event.
    ///
    /// # Errors
    /// Fails if it is not an event of payload format 2.0.
    pub fn read(event: &Value) -> Result<Request, String> {
        let payload = Payload::deserialize(event)
            .map_err(|error| format!("the event is not of payload format 2.0 of a function URL: {error}"))?;
        let method = payload.request_context.http.method.as_str();
        let wish = match method {
            "GET" | "HEAD" => Wish::Look,
            "POST" => payload.form(),
            _ => Wish::WrongMethod,
        };
        let path = payload.raw_path.trim_end_matches('/');
        let token = path.rsplit_once('/').map_or(path, |(_, last)| last).to_owned();
        Ok(Request { wish, token, head: method == "HEAD" })
    }
}

impl Payload {
    /// RFC 8058, 3.2: the body is one field, in one of the two encodings of HTML forms.
    fn form(&self) -> Wish {
        let Some(body) = self.decoded_body() else { return Wish::Unknown };
        let content_type = self
            .headers
            .iter()
            .find_map(|(name, value)| name.eq_ignore_ascii_case("content-type").then_some(value.as_str()));
        let fields = match content_type.and_then(multipart_boundary) {
            Some(boundary) => multipart_fields(&body, boundary),
            None => form_urlencoded::parse(body.trim().as_bytes()).into_owned().collect(),
        };
        let has = |field: &str, value: &str| {
            fields.iter().any(|(name, text)| {
                name.eq_ignore_ascii_case(field) && text.trim().eq_ignore_ascii_case(value)
            })
        };
        if has("List-Unsubscribe", "One-Click") {
            Wish::Unsubscribe
        } else if has("subscribe", "again") {
            Wish::SubscribeAgain
        } else {
            Wish::Unknown
        }
    }

    fn decoded_body(&self) -> Option<Cow<'_, str>> {
        let body = self.body.as_deref().unwrap_or_default();
        if body.len() > MAX_BODY {
            return None;
        }
        if !self.is_base64_encoded {
            return Some(Cow::Borrowed(body));
        }
        String::from_utf8(STANDARD.decode(body).ok()?).ok().map(Cow::Owned)
    }
}

/// The boundary of `multipart/form-data` (RFC 7578), if that is the content type.
fn multipart_boundary(content_type: &str) -> Option<&str> {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next()?;
    let boundary = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (media.eq_ignore_ascii_case("multipart/form-data") && !boundary.is_empty()).then_some(boundary)
}

/// The fields of a multipart body, with line ends of either kind. A body of another form has none.
fn multipart_fields(body: &str, boundary: &str) -> Vec<(String, String)> {
    let body = body.replace("\r\n", "\n");
    let delimiter = format!("--{boundary}");
    let mut fields = Vec::new();
    for part in body.split(delimiter.as_str()).skip(1).take_while(|part| !part.starts_with("--")) {
        let Some((head, content)) = part.split_once("\n\n") else { continue };
        let disposition = head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))
            .unwrap_or_default();
        let name = disposition.split(';').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case("name").then(|| value.trim().trim_matches('"'))
        });
        if let Some(name) = name {
            fields.push((name.to_owned(), content.strip_suffix('\n').unwrap_or(content).to_owned()));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

    fn event(method: &str, content_type: &str, body: &str) -> Value {
        json!({
            "version": "2.0",
            "rawPath": "/u/TOKEN",
            "headers": {"content-type": content_type},
            "requestContext": {"http": {"method": method, "path": "/u/TOKEN"}},
            "body": body,
            "isBase64Encoded": false,
        })
    }

    fn wish(event: &Value) -> Wish {
        Request::read(event).unwrap().wish
    }

    /// The body of RFC 8058, 8.2, with its line ends in transit.
    fn multipart() -> (&'static str, String) {
        let body = "--FormBoundaryjWmhtjORrn\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\n\n\
                    One-Click\n--FormBoundaryjWmhtjORrn--\n";
        ("multipart/form-data; boundary=\"FormBoundaryjWmhtjORrn\"", body.replace('\n', "\r\n"))
    }

    #[test]
    fn one_click_is_read_in_both_encodings_of_a_form_and_from_base64() {
        let (content_type, body) = multipart();
        let mut encoded = event("POST", "application/x-www-form-urlencoded", &STANDARD.encode(ONE_CLICK));
        encoded["isBase64Encoded"] = json!(true);
        for event in [
            event("POST", "application/x-www-form-urlencoded", ONE_CLICK),
            event(
                "POST",
                "application/x-www-form-urlencoded; charset=UTF-8",
                "List-Unsubscribe=One%2DClick\r\n",
            ),
            event("POST", "", ONE_CLICK),
            event("POST", content_type, &body),
            event("POST", content_type, &body.replace("\r\n", "\n")),
            encoded,
        ] {
            assert_eq!(wish(&event), Wish::Unsubscribe, "{event}");
        }
    }

    #[test]
    fn only_a_post_with_the_field_changes_anything() {
        let form = "application/x-www-form-urlencoded";
        for (method, body, expected) in [
            ("GET", ONE_CLICK, Wish::Look),
            ("HEAD", ONE_CLICK, Wish::Look),
            ("POST", "", Wish::Unknown),
            ("POST", "List-Unsubscribe=", Wish::Unknown),
            ("POST", "note=List-Unsubscribe=One-Click", Wish::Unknown),
            ("POST", "subscribe=again", Wish::SubscribeAgain),
            ("PUT", ONE_CLICK, Wish::WrongMethod),
            ("OPTIONS", "", Wish::WrongMethod),
        ] {
            assert_eq!(wish(&event(method, form, body)), expected, "{method} {body}");
        }
        let long = format!("{ONE_CLICK}&more={}", "x".repeat(MAX_BODY));
        assert_eq!(wish(&event("POST", form, &long)), Wish::Unknown);
    }

    #[test]
    fn the_token_is_the_end_of_the_path_whatever_stands_before_it() {
        for (path, token) in [("/TOKEN", "TOKEN"), ("/a/b/TOKEN/", "TOKEN"), ("/", ""), ("", "")] {
            let mut event = event("GET", "", "");
            event["rawPath"] = json!(path);
            assert_eq!(Request::read(&event).unwrap().token, token, "{path}");
        }
    }

    #[test]
    fn another_event_is_told_apart() {
        let error = Request::read(&json!({"Records": []})).unwrap_err();
        insta::assert_snapshot!(error, @"the event is not of payload format 2.0 of a function URL: missing field `requestContext`");
    }

    proptest! {
        #[test]
        fn no_body_and_no_content_type_make_it_panic(body in ".{0,300}", content_type in ".{0,80}", encoded: bool) {
            let mut event = event("POST", &content_type, &body);
            event["isBase64Encoded"] = json!(encoded);
            prop_assert!(Request::read(&event).is_ok());
        }

        #[test]
        fn no_damage_to_a_multipart_body_makes_it_panic(at in 0_usize..150, with in ".{0,4}") {
            let (content_type, mut body) = multipart();
            let at = at.min(body.len());
            body.replace_range(at..(at + 1).min(body.len()), &with);
            prop_assert!(Request::read(&event("POST", content_type, &body)).is_ok());
        }
    }
}
