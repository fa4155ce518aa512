//! Keeps web pages of others away from what is served on this machine.
//!
//! A page that somebody has open in a browser can send requests to this machine. By a name of its own that leads here (DNS
//! rebinding) it could also read the answers. Its requests are known by their `Host` and `Origin`.

use std::net::IpAddr;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, Response, StatusCode};

/// The name by which a container reaches the machine it runs on.
const OF_CONTAINERS: &str = "host.docker.internal";

/// Returns true if the request was made for a name that somebody else may own.
pub fn is_for_another_host(headers: &HeaderMap) -> bool {
    // HTTP/1.0, and tools that send none: no browser.
    let Some(host) = headers.get(HOST) else { return false };
    let Ok(host) = host.to_str() else { return true };
    let name = name_of(host);
    let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let is_local = !name.contains('.') || name.ends_with(".localhost") || name == OF_CONTAINERS;
    !(is_address || is_local)
}

/// Returns true if a request that changes something comes from a page of another origin. Browsers send `Origin` with each
/// such request; the SDKs send none.
pub fn is_from_another_origin(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    let site = HeaderName::from_static("sec-fetch-site");
    if headers.get(site).is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return true;
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let own = headers.get(HOST).and_then(|host| host.to_str().ok());
    own.is_none_or(|host| origin.as_bytes() != format!("http://{host}").as_bytes())
}

/// The answer to such a request.
pub fn refusal() -> Response<Full<Bytes>> {
    let words =
        "This server is for this machine alone: open it by http://127.0.0.1:PORT or http://localhost:PORT.\n";
    let mut refusal = Response::new(Full::from(words));
    *refusal.status_mut() = StatusCode::FORBIDDEN;
    refusal
}

/// The host without its port, in lower case.
fn name_of(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_of_this_machine_are_served() {
        for host in [
            "127.0.0.1:8025",
            "localhost:8025",
            "LOCALHOST",
            "[::1]:8025",
            "::1",
            "local-ses:8025",
            "mail.localhost",
            "host.docker.internal:8025",
            "192.168.1.7:80",
        ] {
            assert!(!is_for_another_host(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example.com",
            "evil.example.com:8025",
            "localhost.evil.com",
            "127.0.0.1.evil.com:80",
            "evil.com.",
            "localhost@evil.com",
        ] {
            assert!(is_for_another_host(&headers(&[("host", host)])), "{host}");
        }
        assert!(!is_for_another_host(&HeaderMap::new()));
    }

    #[test]
    fn only_the_own_page_changes_anything() {
        let from = |origin| headers(&[("host", "127.0.0.1:8025"), ("origin", origin)]);
        assert!(!is_from_another_origin(&Method::DELETE, &from("http://127.0.0.1:8025")));
        for origin in
            ["http://127.0.0.1:9000", "https://127.0.0.1:8025", "http://evil.example.com", "null", ""]
        {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                assert!(is_from_another_origin(&method, &from(origin)), "{method} {origin}");
            }
            assert!(!is_from_another_origin(&Method::GET, &from(origin)));
        }
        let site = |site| headers(&[("host", "127.0.0.1:8025"), ("sec-fetch-site", site)]);
        assert!(is_from_another_origin(&Method::POST, &site("cross-site")));
        assert!(is_from_another_origin(&Method::POST, &site("same-site")));
        assert!(!is_from_another_origin(&Method::POST, &site("same-origin")));
        assert!(!is_from_another_origin(&Method::POST, &headers(&[("host", "127.0.0.1:8025")])), "an SDK");
    }
}
