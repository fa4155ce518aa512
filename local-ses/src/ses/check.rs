//! Checks what Amazon SES refuses in a well-formed request: invalid addresses, headers and tags, and sizes
//! above the limits.

use super::{message::Message, refusal::Refusal, request::NameValue};

/// Recipients of one message, and entries of one bulk call.
pub(super) const MAX_DESTINATIONS: usize = 50;
/// Bytes of one message.
pub(super) const MAX_MESSAGE: usize = 40 * 1024 * 1024;
const MAX_HEADERS: usize = 15;
const MAX_HEADER_NAME: usize = 126;
const MAX_HEADER_VALUE: usize = 995;
const MAX_HEADER: usize = 996;
const MAX_TAG: usize = 256;

/// Headers that SES sets itself from other fields of the request, or overrides.
const HEADERS_OF_SES: [&str; 14] = [
    "bcc",
    "cc",
    "content-transfer-encoding",
    "content-type",
    "date",
    "dkim-signature",
    "from",
    "message-id",
    "mime-version",
    "received",
    "reply-to",
    "return-path",
    "subject",
    "to",
];

pub(super) fn recipients(message: &Message) -> Result<(), Refusal> {
    let addresses = || message.to.iter().chain(&message.cc).chain(&message.bcc);
    match addresses().count() {
        0 => Err(Refusal::bad_request("Destination: at least one address is required.")),
        1..=MAX_DESTINATIONS => addresses().try_for_each(|value| address(value)),
        _ => Err(Refusal::bad_request(format!("Recipient count exceeds {MAX_DESTINATIONS}."))),
    }
}

/// Checks one address, with or without a display name, by the rules that SES has beyond RFC 5322: the local
/// part is ASCII, the domain is ASCII (Punycode), and a display name that is not ASCII is an encoded word.
pub(super) fn address(value: &str) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::bad_request(format!("{why}: {value:?}")));
    if value.chars().any(char::is_control) {
        return refuse("Address contains a line break or another control character");
    }
    let bare = bare_address(value);
    if !value[..value.len() - bare.len()].is_ascii() {
        return refuse("Display name is not ASCII and not an RFC 2047 encoded word");
    }
    let Some((local, domain)) = bare.rsplit_once('@') else {
        return refuse("Missing final '@domain'");
    };
    if local.is_empty() {
        return refuse("Missing local part before '@'");
    }
    if !local.is_ascii() {
        return refuse("Local part contains non-ASCII characters");
    }
    let quoted = local.len() > 1 && local.starts_with('"') && local.ends_with('"');
    if !quoted && local.contains(|c: char| c.is_ascii_whitespace() || "@,;:<>()[]\\\"".contains(c)) {
        return refuse("Local part contains an illegal character");
    }
    if domain.len() > 255 || !domain.split('.').all(is_label) {
        return refuse("Domain contains an illegal character or an empty label");
    }
    Ok(())
}

/// The address within `Name <address>`, or the whole of it.
pub(super) fn bare_address(value: &str) -> &str {
    match value.trim_end().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((_, bare)) => bare.trim(),
        None => value.trim(),
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

pub(super) fn subject(value: &str) -> Result<(), Refusal> {
    if value.contains(['\r', '\n']) {
        return Err(Refusal::bad_request("Subject contains a line break."));
    }
    Ok(())
}

pub(super) fn headers(headers: &[NameValue]) -> Result<(), Refusal> {
    if headers.len() > MAX_HEADERS {
        return Err(Refusal::bad_request(format!(
            "Headers: {} given, at most {MAX_HEADERS} allowed.",
            headers.len()
        )));
    }
    headers.iter().try_for_each(header)
}

fn header(NameValue { name, value }: &NameValue) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::bad_request(format!("Header {name:?}: {why}.")));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return refuse("the name must be printable ASCII without a colon or a space");
    }
    if HEADERS_OF_SES.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return refuse("Amazon SES sets this header itself");
    }
    if !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return refuse("the value must be printable ASCII on one line");
    }
    if value.is_empty()
        || name.len() > MAX_HEADER_NAME
        || value.len() > MAX_HEADER_VALUE
        || name.len() + value.len() > MAX_HEADER
    {
        return refuse("name or value is empty or too long (126 and 995 characters, 996 together)");
    }
    Ok(())
}

pub(super) fn tags(tags: &[NameValue]) -> Result<(), Refusal> {
    for (index, NameValue { name, value }) in tags.iter().enumerate() {
        for part in [name, value] {
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-.@".contains(&b);
            if part.is_empty() || part.len() > MAX_TAG || !part.bytes().all(legal) {
                return Err(Refusal::bad_request(format!(
                    "Invalid tag <{name}={value}>: only 1 to {MAX_TAG} alphanumeric ASCII characters, \
                     '_', '-', '.', '@' are allowed."
                )));
            }
        }
        if tags[..index].iter().any(|earlier| earlier.name == *name) {
            return Err(Refusal::bad_request(format!("Duplicate tag name: {name}.")));
        }
    }
    Ok(())
}

pub(super) fn size(bytes: usize) -> Result<(), Refusal> {
    if bytes > MAX_MESSAGE {
        return Err(Refusal::bad_request(format!("Message length is more than {MAX_MESSAGE} bytes long.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> NameValue {
        NameValue { name: name.into(), value: value.into() }
    }

    #[test]
    fn plain_and_named_addresses_are_taken() {
        for good in [
            "a@example.com",
            "Ann Lee <ann.lee+x@sub.example.com>",
            "\"Lee, Ann\" <a@b.io>",
            "=?utf-8?q?=C3=84?= <a@xn--bcher-kva.example>",
            "\"odd local\"@example.com",
        ] {
            assert_eq!(address(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn addresses_that_ses_refuses_are_refused() {
        for bad in [
            "",
            "example.com",
            "@example.com",
            "a@",
            "a@b..c",
            "a@bücher.example",
            "ü@example.com",
            "Änn <a@example.com>",
            "a b@example.com",
            "a@b@example.com",
            "a@example.com\r\nBcc: x@example.com",
            "a@-x.com",
        ] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn headers_out_of_bounds_are_refused() {
        let sixteen: Vec<_> = (0..16).map(|i| pair(&format!("X-{i}"), "v")).collect();
        assert!(headers(&sixteen[..15]).is_ok());
        assert!(headers(&sixteen).is_err());
        assert!(headers(&[pair("List-Unsubscribe", "<https://example.com/u?t=1>")]).is_ok());
        let (long_name, long_value) = ("n".repeat(127), "v".repeat(996));
        for (name, value) in [
            ("X:Y", "v"),
            ("X Y", "v"),
            ("", "v"),
            ("X", ""),
            ("X", "a\r\nBcc: b"),
            ("X", "é"),
            ("Subject", "v"),
            (long_name.as_str(), "v"),
            ("X", long_value.as_str()),
        ] {
            assert!(headers(&[pair(name, value)]).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn tags_with_illegal_characters_or_one_name_twice_are_refused() {
        assert!(tags(&[pair("campaign_id", "a-b.c@d"), pair("k", "v")]).is_ok());
        assert!(tags(&[pair("k", "a b")]).is_err());
        assert!(tags(&[pair("k", "")]).is_err());
        assert!(tags(&[pair("k", &"v".repeat(257))]).is_err());
        assert!(tags(&[pair("k", "1"), pair("k", "2")]).is_err());
    }
}
