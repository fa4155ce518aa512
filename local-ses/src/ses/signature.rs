//! Checks the AWS Signature Version 4 of a request: it is signed again with AWS's own crate, and the signatures are
//! compared. By default each request is checked.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use hyper::{HeaderMap, http::request::Parts};

use super::refusal::Refusal;

/// The longest difference between the time of a request and this machine's.
const MAX_SKEW: Duration = Duration::from_mins(5);
/// Headers that have to be signed.
const REQUIRED: [&str; 2] = ["host", "x-amz-date"];

pub(super) struct Verifier {
    access_key_id: String,
    secret_access_key: String,
    /// False: only the form of the header, the service and the access key id are checked.
    verify_signatures: bool,
}

struct Authorization<'a> {
    date: &'a str,
    region: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl Verifier {
    pub(super) fn new(access_key_id: String, secret_access_key: String, verify_signatures: bool) -> Self {
        Verifier { access_key_id, secret_access_key, verify_signatures }
    }

    /// Succeeds when `parts` and `body` were signed with the configured key within five minutes of `now`.
    pub(super) fn verify(&self, parts: &Parts, body: &[u8], now: SystemTime) -> Result<(), Refusal> {
        let authorization = self.parse(&parts.headers)?;
        let (timestamp, time) = request_time(&parts.headers)?;
        if !timestamp.starts_with(authorization.date) {
            return Err(incomplete("the credential's date is not that of x-amz-date"));
        }
        if !self.verify_signatures {
            return Ok(());
        }
        let skew = now.duration_since(time).unwrap_or_else(|ahead| ahead.duration());
        if skew > MAX_SKEW {
            return Err(invalid(format!("Signature expired: {timestamp} is more than 5 minutes off.")));
        }
        if self.sign(parts, body, &authorization, time)? != authorization.signature {
            return Err(invalid(
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method.",
            ));
        }
        Ok(())
    }

    fn parse<'a>(&self, headers: &'a HeaderMap) -> Result<Authorization<'a>, Refusal> {
        let header = headers.get("authorization").ok_or_else(|| {
            Refusal::new(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        })?;
        let fields =
            header.to_str().ok().and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 ")).ok_or_else(
                || incomplete("expected AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…"),
            )?;
        let field = |name: &'static str| {
            fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| incomplete(name))
        };
        let (credential, signed_headers, signature) =
            (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
        let mut scope = credential.split('/');
        let mut next = || scope.next().unwrap_or_default();
        let (key_id, date, region) = (next(), next(), next());
        if (next(), next(), next()) != ("ses", "aws4_request", "") || region.is_empty() {
            return Err(incomplete("Credential must be KEY/DATE/REGION/ses/aws4_request"));
        }
        if key_id != self.access_key_id {
            return Err(Refusal::new(
                403,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        }
        Ok(Authorization { date, region, signed_headers, signature })
    }

    /// The signature of the headers that the client has signed.
    fn sign(
        &self,
        parts: &Parts,
        body: &[u8],
        authorization: &Authorization<'_>,
        time: SystemTime,
    ) -> Result<String, Refusal> {
        let headers = signed_headers(&parts.headers, authorization.signed_headers)?;
        let host = headers.iter().find(|(name, _)| *name == "host").map_or("", |(_, value)| value);
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("http://{host}{path}");
        let identity =
            Credentials::new(&self.access_key_id, &self.secret_access_key, None, None, "local-ses").into();
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(authorization.region)
            .name("ses")
            .time(time)
            .settings(settings)
            .build()
            .map_err(|error| incomplete(error.to_string()))?;
        SignableRequest::new(parts.method.as_str(), uri, headers.into_iter(), SignableBody::Bytes(body))
            .and_then(|request| sign(request, &parameters.into()))
            .map(|signed| signed.into_parts().1)
            .map_err(|error| incomplete(error.to_string()))
    }
}

/// The headers with these names, which are separated by semicolons.
fn signed_headers<'a>(headers: &'a HeaderMap, names: &'a str) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
    if let Some(missing) = REQUIRED.iter().find(|name| names.split(';').all(|signed| signed != **name)) {
        return Err(incomplete(format!("the header {missing} must be signed")));
    }
    let mut signed = Vec::new();
    for name in names.split(';') {
        let before = signed.len();
        for value in headers.get_all(name) {
            let value = value.to_str().map_err(|_| incomplete(format!("the header {name} is not ASCII")))?;
            signed.push((name, value));
        }
        if signed.len() == before {
            return Err(incomplete(format!("the signed header {name} is missing")));
        }
    }
    Ok(signed)
}

fn request_time(headers: &HeaderMap) -> Result<(&str, SystemTime), Refusal> {
    let refusal = || incomplete("x-amz-date must be YYYYMMDD'T'HHMMSS'Z'");
    let value = headers.get("x-amz-date").and_then(|value| value.to_str().ok()).ok_or_else(refusal)?;
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", value).map_err(|_| refusal())?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| refusal())?;
    Ok((value, SystemTime::from(time.timestamp())))
}

fn incomplete(why: impl Into<String>) -> Refusal {
    Refusal::new(403, "IncompleteSignatureException", format!("Authorization header: {}.", why.into()))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(403, "InvalidSignatureException", message.into())
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    const BODY: &[u8] = br#"{"a":1}"#;
    const URI: &str = "http://127.0.0.1:1/v2/email/suppression/addresses?PageSize=2&NextToken=a%20b";

    fn signed(service: &str, key_id: &str, now: SystemTime) -> Parts {
        let identity = Credentials::new(key_id, "secret", None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-central-1")
            .name(service)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let spaced = ("x-spaced", " a   b ");
        let signable =
            SignableRequest::new("GET", URI, [spaced].into_iter(), SignableBody::Bytes(BODY)).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = Request::builder().uri(URI).header(spaced.0, spaced.1).body(()).unwrap();
        instructions.apply_to_request_http1x(&mut request);
        request.headers_mut().insert("host", "127.0.0.1:1".parse().unwrap());
        request.into_parts().0
    }

    fn verifier() -> Verifier {
        Verifier::new("AKID".into(), "secret".into(), true)
    }

    fn code(result: Result<(), Refusal>) -> String {
        result.unwrap_err().code.into_owned()
    }

    #[test]
    fn what_the_sdk_signs_is_valid_for_five_minutes() {
        let now = SystemTime::now();
        let parts = signed("ses", "AKID", now);
        let verifier = verifier();
        assert_eq!(verifier.verify(&parts, BODY, now), Ok(()));
        assert_eq!(verifier.verify(&parts, BODY, now + Duration::from_secs(290)), Ok(()));
        for late in [now + Duration::from_secs(310), now - Duration::from_secs(310)] {
            assert_eq!(code(verifier.verify(&parts, BODY, late)), "InvalidSignatureException");
        }
    }

    #[test]
    fn a_change_of_anything_signed_is_found() {
        let now = SystemTime::now();
        let verifier = verifier();
        assert!(verifier.verify(&signed("ses", "AKID", now), b"{}", now).is_err());
        let changes: [fn(&mut Parts); 4] = [
            |parts| parts.method = hyper::Method::DELETE,
            |parts| parts.uri = "/v2/email/account".parse().unwrap(),
            |parts| drop(parts.headers.insert("x-spaced", "c".parse().unwrap())),
            |parts| drop(parts.headers.remove("x-spaced")),
        ];
        for change in changes {
            let mut parts = signed("ses", "AKID", now);
            change(&mut parts);
            assert!(verifier.verify(&parts, BODY, now).is_err());
        }
    }

    #[test]
    fn a_foreign_key_another_service_and_no_signature_are_told_apart() {
        let now = SystemTime::now();
        let verify = |parts: &Parts| code(verifier().verify(parts, BODY, now));
        assert_eq!(verify(&signed("ses", "OTHER", now)), "UnrecognizedClientException");
        assert_eq!(verify(&signed("s3", "AKID", now)), "IncompleteSignatureException");
        let mut parts = signed("ses", "AKID", now);
        parts.headers.remove("authorization");
        assert_eq!(verify(&parts), "MissingAuthenticationTokenException");
    }
}
