//! Email addresses: the canonical form, by which mailboxes are compared, and the form that SES accepts.
//!
//! SES accepts an ASCII local part and a domain in Punycode (RFC 3492), and answers anything else with an
//! error for the whole request (Amazon SES API v2, `SendEmail`, `Destination`).

mod unicode;

use std::borrow::Cow;

use idna_adapter::Adapter;

/// The longest domain, and the longest label of one (RFC 1035, 2.3.4).
const MAX_DOMAIN: usize = 253;
const MAX_LABEL: usize = 63;

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Not `local@domain`.
    #[error("it is not of the form local@domain")]
    Form,
    /// White space within the address: most likely two words, so the mailbox is unknown.
    #[error("white space or a control character stands within it")]
    Space,
    /// RFC 5321, 4.5.3.1.1: 64 octets; RFC 5322, 3.2.3: a dot-atom.
    #[error(
        "the part before @ must be 1 to 64 ASCII letters, digits and !#$%&'*+-/=?^_`{{|}}~, with single dots between"
    )]
    LocalPart,
    /// RFC 5321, 4.1.2, and RFC 5890 for names beyond ASCII.
    #[error("the domain is not a valid host name with at least one dot")]
    Domain,
}

/// The canonical form of an address. Two addresses are one mailbox if they have the same one; it is the form in which
/// suppressions are stored, and in which SES is given an address.
///
/// White space and invisible characters do not count, letter case does not, and a domain beyond ASCII is its
/// Punycode. It is the same as the SQL function `canonical_address` for every text that PostgreSQL can hold;
/// a test compares the two. The canonical form of a canonical form is itself.
pub fn canonical(address: &str) -> Cow<'_, str> {
    if address.bytes().all(|byte| byte.is_ascii_graphic()) {
        return ascii_lowercase(address);
    }
    let address: String =
        address.chars().filter(|character| !unicode::is_ignored(*character)).map(unicode::folded).collect();
    let Some((local, domain)) = address.rsplit_once('@') else { return Cow::Owned(address) };
    match ascii_domain(domain) {
        Some(domain) => Cow::Owned([local, "@", &domain].concat()),
        None => Cow::Owned(address),
    }
}

/// The address as SES accepts it, which is its canonical form. White space around it is ignored. White space
/// within it is an error, because the canonical form of `Ada ada@example.com` would be somebody else's
/// address.
///
/// # Errors
/// Says what is wrong with it.
pub fn sendable(address: &str) -> Result<String, InvalidAddress> {
    let within = address.trim_matches(unicode::is_ignored);
    if within.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err(InvalidAddress::Space);
    }
    let canonical = canonical(address);
    let (local, domain) = canonical.rsplit_once('@').ok_or(InvalidAddress::Form)?;
    let atom = |atom: &[u8]| !atom.is_empty() && atom.iter().copied().all(is_atext);
    if local.len() > 64 || !local.as_bytes().split(|byte| *byte == b'.').all(atom) {
        return Err(InvalidAddress::LocalPart);
    }
    if !is_host_name(domain) || !is_registrable(address, domain) {
        return Err(InvalidAddress::Domain);
    }
    Ok(canonical.into_owned())
}

/// A sender's address as SES accepts it. It is as in [`sendable`], but the part before @ keeps its letter
/// case, in which SES compares it with the account's verified addresses.
///
/// # Errors
/// Says what is wrong with it.
pub fn sendable_from(address: &str) -> Result<String, InvalidAddress> {
    let sendable = sendable(address)?;
    let visible = visible(address);
    let (local, _) = visible.rsplit_once('@').ok_or(InvalidAddress::Form)?;
    let (_, domain) = sendable.rsplit_once('@').ok_or(InvalidAddress::Form)?;
    Ok([local, "@", domain].concat())
}

/// A text without its white space and invisible characters.
fn visible(text: &str) -> String {
    text.chars().filter(|character| !unicode::is_ignored(*character)).collect()
}

fn ascii_lowercase(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// A domain beyond ASCII as DNS has it; `None` if it cannot be mapped.
fn ascii_domain(domain: &str) -> Option<String> {
    let known = |character: char| character.is_ascii() || unicode::is_mappable(character);
    if domain.is_ascii() || domain.chars().count() > MAX_DOMAIN || !domain.chars().all(known) {
        return None;
    }
    let mapped: String = Adapter::new().map_normalize(domain.chars()).collect();
    let labels: Option<Vec<Cow<'_, str>>> = mapped
        .split('.')
        .map(|label| match label {
            label if label.is_ascii() => Some(ascii_lowercase(label)),
            label if label.chars().count() > MAX_LABEL => None,
            label => Some(Cow::Owned(["xn--", &idna::punycode::encode_str(label)?].concat())),
        })
        .collect();
    Some(labels?.join("."))
}

/// Returns true if IDNA allows the domain beyond ASCII (RFC 5890); `ascii` is its Punycode.
fn is_registrable(address: &str, ascii: &str) -> bool {
    let visible = visible(address);
    let domain = visible.rsplit_once('@').map_or("", |(_, domain)| domain);
    domain.is_ascii() || idna::domain_to_ascii_strict(domain).is_ok_and(|domain| domain == ascii)
}

fn is_atext(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9')
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

fn is_host_name(domain: &str) -> bool {
    let label = |label: &[u8]| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    domain.len() <= MAX_DOMAIN
        && domain.contains('.')
        && domain.as_bytes().split(|byte| *byte == b'.').all(label)
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
    use proptest::prelude::*;

    #[test]
    fn one_mailbox_has_one_form_however_it_is_written() {
        for (form, spellings) in [
            (
                "bob@example.com",
                &[
                    "bob@example.com",
                    "Bob@EXAMPLE.com",
                    " bob@example.com",
                    "bob@example.com\u{a0}",
                    "\u{2003}bob@example.com\u{3000}",
                    "bob@example.com\u{2028}\u{85}\u{202f}\r\n",
                    "bob@example.com\u{200b}",
                    "\u{feff}bob@exam\u{ad}ple.com",
                    "b\u{2060}ob\u{fe0f}@example\u{3002}com",
                    "bob@\u{ff25}xample\u{ff0e}com",
                    "bob@\u{24d4}xample.\u{1d41c}om",
                    "bob\u{e0061}@example\u{ff61}com",
                ][..],
            ),
            (
                "info@xn--mnchen-3ya.example",
                &[
                    "info@m\u{fc}nchen.example",
                    "INFO@M\u{dc}NCHEN.example",
                    "info@mu\u{308}nchen.Example",
                    "info@XN--Mnchen-3ya.example",
                ],
            ),
            ("a@xn--r8jz45g.xn--zckzah", &["a@\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}"]),
            ("a@xn--fa-hia.example", &["a@fa\u{df}.example", "a@FA\u{1e9e}.example"]),
        ] {
            for spelling in spellings {
                assert_eq!(canonical(spelling), form, "{spelling:?}");
                assert_eq!(sendable(spelling).as_deref(), Ok(form), "{spelling:?}");
            }
        }
    }

    /// Each of them would be another mailbox's, or nobody's.
    #[test]
    fn what_is_another_mailbox_stays_another() {
        for (one, other) in [
            ("bob+crm@example.com", "bob@example.com"),
            ("b.ob@gmail.com", "bob@gmail.com"),
            ("a@fa\u{df}.example", "a@fass.example"),
            ("\u{212a}im@example.com", "kim@example.com"),
            ("\u{131}nfo@example.com", "info@example.com"),
            ("a@m\u{fc}nchen.example", "a@munchen.example"),
        ] {
            assert_ne!(canonical(one), canonical(other));
        }
    }

    #[test]
    fn a_visible_address_of_ascii_in_lower_case_is_its_own_form() {
        assert!(matches!(canonical("ada.o'neil+crm@example.com"), Cow::Borrowed(_)));
        assert_eq!(sendable(" Ada.O'Neil+crm@Example.COM ").unwrap(), "ada.o'neil+crm@example.com");
    }

    #[test]
    fn a_senders_local_part_keeps_its_letter_case() {
        assert_eq!(sendable_from(" News@B\u{fc}cher.Example").unwrap(), "News@xn--bcher-kva.example");
        assert_eq!(sendable_from("news"), Err(InvalidAddress::Form));
    }

    #[test]
    fn what_ses_would_refuse_is_refused_here() {
        use InvalidAddress::{Domain, Form, LocalPart, Space};
        for (address, error) in [
            ("", Form),
            ("ada", Form),
            ("bob\u{ff20}example.com", Form),
            ("@example.com", LocalPart),
            ("ada..b@example.com", LocalPart),
            (".ada@example.com", LocalPart),
            ("j\u{fc}rgen@example.com", LocalPart),
            ("\u{212a}im@example.com", LocalPart),
            ("ada\r\nBcc: x@example.com", Space),
            ("a b@example.com", Space),
            ("ada@exam ple.com", Space),
            ("ada\u{a0}@example.com", Space),
            ("Ada<ada@example.com>", LocalPart),
            ("ada@localhost", Domain),
            ("ada@-example.com", Domain),
            ("ada@example.com>", Domain),
            ("ada@example.com\r\nBcc: x", Space),
            ("ada@example..com", Domain),
            ("ada@\u{fffd}.example", Domain),
            ("ada@\u{1f80}.example", Domain),
            ("ada@-\u{fc}.example", Domain),
            ("ada@\u{308}u.example", Domain),
            ("ada@\u{5d0}a.example", Domain),
        ] {
            assert_eq!(sendable(address), Err(error), "{address:?}");
        }
        assert_eq!(sendable(&format!("{}@example.com", "a".repeat(65))), Err(LocalPart));
        assert_eq!(sendable(&format!("a@{}.example", "\u{fc}".repeat(64))), Err(Domain));
    }

    /// The oracle, which has no frozen lists: the `idna` crate's result for a domain of one such character.
    #[test]
    fn every_character_of_a_domain_is_what_idna_makes_of_it_or_is_not_sendable() {
        let mut sent = 0;
        // Beyond these there are only private and unassigned code points.
        for character in ('\u{80}'..'\u{33480}').chain('\u{e0000}'..'\u{e1000}') {
            let domain = format!("x{character}x.example");
            let Ok(ours) = sendable(&format!("a@{domain}")) else { continue };
            sent += 1;
            if unicode::is_ignored(character) {
                assert!(!character.is_whitespace() && !character.is_control());
                assert_eq!(ours, "a@xx.example");
                continue;
            }
            let theirs = idna::domain_to_ascii_strict(&domain);
            assert_eq!(ours.strip_prefix("a@"), theirs.ok().as_deref(), "{character:?}");
        }
        assert!(sent > 140_000, "{sent}");
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_the_form(address in "[a-zA-Z\\PC\\s]{0,20}@?[a-z\\PC]{0,20}") {
            let form = canonical(&address);
            prop_assert_eq!(canonical(&form), form.clone());
            if let Ok(sendable) = sendable(&address) {
                prop_assert!(sendable == form && form.is_ascii());
            }
        }
    }

    #[test]
    fn a_log_shows_no_address() {
        assert_eq!(masked("ada@example.com"), "a…@example.com");
        assert_eq!(masked("nonsense"), "…");
    }
}
