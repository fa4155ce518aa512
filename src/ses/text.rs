//! Cuts texts of others (SES, proxies, the SDK) to a maximum length. Pure.

/// The most characters of an error's message that are kept.
pub const MAX_TEXT: usize = 1000;
/// The most characters of an error's code that are kept.
pub const MAX_CODE: usize = 100;

/// The text in one line: control characters become spaces, and it is cut to `max` characters.
pub fn bounded(text: &str, max: usize) -> String {
    let mut rest = text.chars();
    let kept = rest.by_ref().take(max).map(|c| if is_control(c) { ' ' } else { c });
    let mut kept: String = kept.collect();
    if rest.next().is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// Control characters, and the two Unicode separators that end a line.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The beginning of a body as text, without addresses, for a reason that a person reads.
pub fn excerpt(body: &[u8]) -> String {
    const MAX: usize = 200;
    // At most four bytes per character, and room for white space.
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX * 8)]);
    let words = text.split(|c: char| c.is_whitespace() || is_control(c));
    let words = words.filter(|word| !word.is_empty()).map(|word| if word.contains('@') { "…" } else { word });
    bounded(&words.collect::<Vec<_>>().join(" "), MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_has_no_control_characters() {
        assert_eq!(bounded("a\r\n\0b\u{7f}\u{85}\u{2028}c", 20), "a   b   c");
        assert_eq!(bounded(&"é".repeat(1000), MAX_TEXT), "é".repeat(1000));
        assert_eq!(bounded(&"😀".repeat(1_000_000), MAX_TEXT), "😀".repeat(999) + "…");
        assert_eq!(bounded("", 0), "");
    }

    #[test]
    fn an_excerpt_names_no_address() {
        let page = b"<html>\r\n <p>Blocked:\tada@example.com\xff";
        assert_eq!(excerpt(page), "<html> <p>Blocked: …");
        assert!(excerpt(&vec![b'x'; 100_000]).chars().count() == 200);
    }
}
