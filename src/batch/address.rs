//! Recipient addresses, checked before SES sees them.
//!
//! SES takes an ASCII local part and a domain in Punycode (RFC 3492), and answers anything else with an error
//! for the whole request (Amazon SES API v2, `SendEmail`, `Destination`).

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Not `local@domain`.
    #[error("it is not of the form local@domain")]
    Form,
    /// RFC 5321, 4.5.3.1.1: 64 octets; RFC 5322, 3.2.3: a dot-atom.
    #[error(
        "the part before @ must be 1 to 64 ASCII letters, digits and !#$%&'*+-/=?^_`{{|}}~, with single dots between"
    )]
    LocalPart,
    /// RFC 5321, 4.1.2, and RFC 5890 for names beyond ASCII.
    #[error("the domain is not a valid host name with at least one dot")]
    Domain,
}

/// The address as SES takes it: without surrounding space, the domain in Punycode.
///
/// # Errors
/// What is wrong with it.
pub fn normalize(address: &str) -> Result<String, InvalidAddress> {
    let (local, domain) = address.trim().rsplit_once('@').ok_or(InvalidAddress::Form)?;
    let atom = |atom: &[u8]| !atom.is_empty() && atom.iter().copied().all(is_atext);
    if local.len() > 64 || !local.as_bytes().split(|byte| *byte == b'.').all(atom) {
        return Err(InvalidAddress::LocalPart);
    }
    let domain = if is_host_name(domain) {
        domain.to_owned()
    } else {
        idna::domain_to_ascii_strict(domain).ok().filter(|d| is_host_name(d)).ok_or(InvalidAddress::Domain)?
    };
    Ok([local, "@", &domain].concat())
}

fn is_atext(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9')
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

fn is_host_name(domain: &str) -> bool {
    let label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    domain.len() <= 253 && domain.contains('.') && domain.as_bytes().split(|byte| *byte == b'.').all(label)
}

/// An address as a log may show it: the first letter and the domain.
pub fn masked(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}…@{domain}", local.chars().next().unwrap_or_default()),
        None => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reaches_ses_in_its_own_form() {
        assert_eq!(normalize(" Ada.O'Neil+crm@Example.COM ").unwrap(), "Ada.O'Neil+crm@Example.COM");
        assert_eq!(normalize("info@münchen.example").unwrap(), "info@xn--mnchen-3ya.example");
        assert_eq!(normalize("a@例え.テスト").unwrap(), "a@xn--r8jz45g.xn--zckzah");
    }

    #[test]
    fn what_ses_would_refuse_is_refused_here() {
        use InvalidAddress::{Domain, Form, LocalPart};
        for (address, error) in [
            ("", Form),
            ("ada", Form),
            ("@example.com", LocalPart),
            ("ada..b@example.com", LocalPart),
            (".ada@example.com", LocalPart),
            ("jürgen@example.com", LocalPart),
            ("a b@example.com", LocalPart),
            ("ada\r\nBcc: x@example.com", LocalPart),
            ("Ada <ada@example.com>", LocalPart),
            ("ada@localhost", Domain),
            ("ada@-example.com", Domain),
            ("ada@exam ple.com", Domain),
            ("ada@example.com>", Domain),
            ("ada@example.com\r\nBcc: x", Domain),
            ("ada@example..com", Domain),
        ] {
            assert_eq!(normalize(address), Err(error), "{address:?}");
        }
        assert_eq!(normalize(&format!("{}@example.com", "a".repeat(65))), Err(LocalPart));
    }

    #[test]
    fn a_log_shows_no_address() {
        assert_eq!(masked("ada@example.com"), "a…@example.com");
        assert_eq!(masked("nonsense"), "…");
    }
}
