//! Finds placeholders of other template languages that nothing filled in. Pure.

/// The placeholders of other template languages.
pub fn placeholders(part: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (open, close) in [("{{", "}}"), ("*|", "|*"), ("%%", "%%"), ("[[", "]]"), ("<%", "%>")] {
        let mut rest = part;
        while let Some(at) = rest.find(open) {
            let inner = &rest[at + 2..];
            let Some(end) = inner.find(close) else { break };
            let name = inner[..end].trim();
            let plausible = (1..=40).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-. :|".contains(c));
            if plausible {
                found.push(&rest[at..at + end + 4]);
            }
            rest = if plausible { &inner[end + 2..] } else { inner };
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_and_brackets_of_ordinary_text_are_no_placeholders() {
        for text in ["100%% sure, 50%% off", "a [[ b", "{{", "if (a [[1]])", "<% %>"] {
            let found = placeholders(text);
            assert!(found.iter().all(|found| *found == "[[1]]"), "{text}: {found:?}");
        }
    }
}
