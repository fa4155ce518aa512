//! Unsubscribe links in events. Everybody who has such a link can unsubscribe the recipient, so it is removed
//! from every text that is stored. Pure.

use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::message::token;

/// How often a link may have been percent-encoded, for example as a parameter of another link.
const MAX_ENCODINGS: usize = 3;
/// The replacement of a token.
const PLACEHOLDER: &str = "…";

/// Returns true if a link has the token of this recipient, at any place and percent-encoded any number of
/// times.
pub fn is_of(link: &str, recipient_id: Uuid) -> bool {
    let names_recipient = |part: &[u8]| {
        part[0] == b'A' && token::named(part).is_some_and(|ids| ids.recipient_id == recipient_id)
    };
    let mut link = link.to_owned();
    for _ in 0..=MAX_ENCODINGS {
        if runs(&link).any(|run| run.as_bytes().windows(token::LENGTH).any(names_recipient)) {
            return true;
        }
        link = percent_decode_str(&link).decode_utf8_lossy().into_owned();
    }
    false
}

/// A text without any recipient's token.
pub fn without_tokens(text: &str) -> String {
    let is_token = |run: &str| run.len() == token::LENGTH && token::named(run.as_bytes()).is_some();
    let mut clean = text.to_owned();
    for run in runs(text).filter(|run| is_token(run)) {
        clean = clean.replace(run, PLACEHOLDER);
    }
    let mut decoded = clean.clone();
    for _ in 0..MAX_ENCODINGS {
        decoded = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
        if runs(&decoded).any(is_token) {
            return PLACEHOLDER.to_owned();
        }
    }
    clean
}

/// The longest parts of a text that consist of a token's characters only and are long enough for a token.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .filter(|run| run.len() >= token::LENGTH)
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;
    use crate::message::token::{Keys, RecipientIds};

    const RECIPIENT: Uuid = Uuid::from_u128(7);

    fn token() -> String {
        let keys = Keys::parse("a-key-of-thirty-two-characters-or-more").unwrap();
        keys.sign(RecipientIds { recipient_id: RECIPIENT, organization_id: Uuid::from_u128(u128::MAX) })
    }

    fn encoded(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    #[test]
    fn a_link_with_the_recipients_token_is_recognized_however_it_is_wrapped() {
        let link = format!("https://example.com/u/{}", token());
        for wrapped in [
            link.clone(),
            format!("{link}?utm_source=news#top"),
            format!("{link}abc"),
            format!("https://r.example.com/?to={}", encoded(&link)),
            format!("https://r.example.com/?to={}", encoded(&encoded(&link))),
        ] {
            assert!(is_of(&wrapped, RECIPIENT), "{wrapped}");
            assert!(!is_of(&wrapped, Uuid::from_u128(8)), "{wrapped}");
        }
        for other in ["", "https://example.com/u/", "https://example.com/%", &"A".repeat(500)] {
            assert!(!is_of(other, RECIPIENT), "{other}");
        }
    }

    #[test]
    fn no_text_keeps_a_token_and_what_is_none_stays() {
        let link = format!("see https://example.com/u/{} again", token());
        assert_eq!(without_tokens(&link), "see https://example.com/u/… again");
        assert_eq!(without_tokens(&encoded(&encoded(&link))), "…");
        for text in ["Mozilla/5.0 (X11; Linux)", "50 % off", &"x".repeat(87), &"A".repeat(90)] {
            assert_eq!(without_tokens(text), *text);
        }
    }
}
