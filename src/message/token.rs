//! The token of an unsubscribe link, which identifies and authenticates its recipient. It has no personal
//! data and never expires.
//!
//! 65 bytes in base64url: a version, the recipient's id, the organization's id, and their HMAC-SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use uuid::Uuid;

/// The version of a token's form; another form would have another number.
const VERSION: u8 = 1;
/// The signed part: the version and two ids.
const SIGNED: usize = 33;
const BYTES: usize = SIGNED + 32;
/// The length of a token, in characters.
pub const LENGTH: usize = 87;
/// The shortest key, in characters. With a guessed key, anybody could unsubscribe anybody.
const MIN_KEY: usize = 32;

/// The ids that a token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientIds {
    /// `campaign_recipients.id`.
    pub recipient_id: Uuid,
    /// The recipient's organization.
    pub organization_id: Uuid,
}

impl RecipientIds {
    /// The token in the links of test emails, which belong to no recipient.
    pub const NOBODY: Uuid = Uuid::nil();

    /// Returns true if the token is that of a test email.
    pub fn is_of_a_test(&self) -> bool {
        self.recipient_id == RecipientIds::NOBODY
    }
}

/// The token with which a link ends, which looks the same however the rest is escaped; or the whole where it is
/// shorter.
pub fn of_url(url: &str) -> &str {
    url.get(url.len().saturating_sub(LENGTH)..).unwrap_or(url)
}

/// The keys of tokens: the first signs, and all verify. `Debug` does not show them.
#[derive(Clone)]
pub struct Keys(Vec<hmac::Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({}, …)", self.0.len())
    }
}

impl Keys {
    /// Reads keys that are separated by commas. `None`: one of them is shorter than 32 characters.
    pub fn parse(secret: &str) -> Option<Keys> {
        let key = |key: &str| {
            let key = key.trim();
            (key.chars().count() >= MIN_KEY).then(|| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))
        };
        secret.split(',').map(key).collect::<Option<Vec<_>>>().map(Keys)
    }

    /// The token for a recipient; it is always the same for the same first key.
    pub fn sign(&self, ids: RecipientIds) -> String {
        let mut bytes = [0; BYTES];
        bytes[0] = VERSION;
        bytes[1..17].copy_from_slice(ids.recipient_id.as_bytes());
        bytes[17..SIGNED].copy_from_slice(ids.organization_id.as_bytes());
        let tag = hmac::sign(&self.0[0], &bytes[..SIGNED]);
        bytes[SIGNED..].copy_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The recipient of a token, if one of the keys signed it. A forged token takes as long as any other.
    pub fn verify(&self, token: &str) -> Option<RecipientIds> {
        if token.len() != LENGTH {
            return None;
        }
        let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let (signed, tag) = bytes.split_at(SIGNED);
        let known = self.0.iter().any(|key| hmac::verify(key, signed, tag).is_ok());
        (known && bytes[0] == VERSION).then(|| RecipientIds {
            recipient_id: Uuid::from_slice(&signed[1..17]).unwrap_or_default(),
            organization_id: Uuid::from_slice(&signed[17..]).unwrap_or_default(),
        })
    }
}

/// The recipient that a token names, without checking its signature, for code that has no keys.
pub fn named(token: &[u8]) -> Option<RecipientIds> {
    let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
    (bytes[0] == VERSION).then(|| RecipientIds {
        recipient_id: Uuid::from_slice(&bytes[1..17]).unwrap_or_default(),
        organization_id: Uuid::from_slice(&bytes[17..SIGNED]).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OLD: &str = "the-key-of-last-year-0123456789abcdef";
    const NEW: &str = "the-key-of-this-year-0123456789abcdef";

    fn keys(secret: &str) -> Keys {
        Keys::parse(secret).unwrap()
    }

    fn ids(recipient: u128, organization: u128) -> RecipientIds {
        RecipientIds {
            recipient_id: Uuid::from_u128(recipient),
            organization_id: Uuid::from_u128(organization),
        }
    }

    #[test]
    fn a_token_is_url_safe_and_holds_two_ids_and_nothing_else() {
        let token = keys(NEW).sign(ids(1, 2));
        assert_eq!(token.len(), LENGTH);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_eq!(keys(NEW).verify(&token), Some(ids(1, 2)));
        // A change here would invalidate the links of all sent emails.
        insta::assert_snapshot!(token, @"AQAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAC0zKFnDp-WhLnyz3WjYmPNargAbtVoRfGu9qVBuu9il0");
    }

    #[test]
    fn after_a_rotation_old_links_work_and_new_ones_are_signed_with_the_new_key() {
        let rotated = keys(&format!("{NEW}, {OLD}"));
        let old = keys(OLD).sign(ids(1, 2));
        assert_eq!(rotated.verify(&old), Some(ids(1, 2)));
        assert_eq!(rotated.sign(ids(1, 2)), keys(NEW).sign(ids(1, 2)));
        assert_eq!(keys(NEW).verify(&old), None, "a key that was taken out verifies nothing");
    }

    #[test]
    fn a_token_of_another_form_is_none_of_ours_even_when_our_key_has_signed_it() {
        let mut bytes = URL_SAFE_NO_PAD.decode(keys(NEW).sign(ids(1, 2))).unwrap();
        bytes[0] = VERSION + 1;
        let tag = hmac::sign(&keys(NEW).0[0], &bytes[..SIGNED]);
        bytes[SIGNED..].copy_from_slice(tag.as_ref());
        assert_eq!(keys(NEW).verify(&URL_SAFE_NO_PAD.encode(bytes)), None);
    }

    #[test]
    fn keys_are_long_and_never_shown() {
        assert!(Keys::parse(&"k".repeat(31)).is_none() && Keys::parse(&"k".repeat(32)).is_some());
        for secret in ["", "short", &format!("{NEW},"), &format!("{NEW},short"), &" ".repeat(40)] {
            assert!(Keys::parse(secret).is_none(), "{secret:?}");
        }
        assert_eq!(format!("{:?}", keys(&format!("{NEW},{OLD}"))), "Keys(2, …)");
    }

    proptest! {
        #[test]
        fn any_two_ids_come_back(recipient: u128, organization: u128) {
            let keys = keys(NEW);
            let ids = ids(recipient, organization);
            prop_assert_eq!(keys.verify(&keys.sign(ids)), Some(ids));
        }

        /// This includes the last character, some of whose bits are unused.
        #[test]
        fn a_token_changed_anywhere_is_forged(at in 0..LENGTH, other in "[A-Za-z0-9_-]") {
            let keys = keys(NEW);
            let token = keys.sign(ids(1, 2));
            let mut forged = token.clone();
            forged.replace_range(at..=at, &other);
            prop_assert_eq!(keys.verify(&forged).is_some(), forged == token);
        }

        #[test]
        fn whatever_else_stands_in_a_path_is_forged(text in ".{0,200}") {
            prop_assert_eq!(keys(NEW).verify(&text), None);
        }

        #[test]
        fn so_is_what_has_only_the_length_of_a_token(text in "[A-Za-z0-9_-]{87}") {
            prop_assert_eq!(keys(NEW).verify(&text), None);
        }
    }
}
