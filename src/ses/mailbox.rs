//! Sender addresses as SES wants them in a request.

use std::fmt::Write as _;

/// A mailbox such as `Zoë <news@example.com>` with its display name in encoded words where it is not ASCII
/// (RFC 2047; SES demands it in `FromEmailAddress` and `ReplyToAddresses`). Control characters are dropped.
pub fn header_mailbox(mailbox: &str) -> String {
    let mailbox: String = mailbox.chars().filter(|character| !character.is_control()).collect();
    let mailbox = mailbox.trim();
    match mailbox.rsplit_once('<') {
        Some((name, address)) if !name.is_ascii() => {
            let name = name.trim().trim_matches('"');
            format!("{} <{address}", encoded_words(name))
        }
        _ => mailbox.to_owned(),
    }
}

/// The `Q` encoding, in words of at most 75 characters that break between characters.
fn encoded_words(text: &str) -> String {
    let mut words = vec![String::new()];
    for character in text.chars() {
        let mut encoded = String::new();
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            if byte.is_ascii_alphanumeric() {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "={byte:02X}");
            }
        }
        if words.last().is_some_and(|word| word.len() + encoded.len() > 63) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push_str(&encoded);
        }
    }
    words.iter().map(|word| format!("=?UTF-8?Q?{word}?=")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_name_beyond_ascii_is_encoded() {
        assert_eq!(
            header_mailbox("Zoë & Co <news@example.com>"),
            "=?UTF-8?Q?Zo=C3=AB=20=26=20Co?= <news@example.com>"
        );
        assert_eq!(header_mailbox("\"Zoë\" <news@example.com>"), "=?UTF-8?Q?Zo=C3=AB?= <news@example.com>");
        let long = header_mailbox(&format!("{} <a@example.com>", "é".repeat(40)));
        assert!(long.split(' ').all(|word| word.len() <= 75), "{long}");
    }

    #[test]
    fn any_other_mailbox_stays_as_it_is_but_on_one_line() {
        for mailbox in ["news@example.com", "News <news@example.com>", "\"News, daily\" <news@example.com>"] {
            assert_eq!(header_mailbox(mailbox), mailbox);
        }
        assert_eq!(header_mailbox("a@example.com\r\nBcc: b@example.com"), "a@example.comBcc: b@example.com");
    }
}
