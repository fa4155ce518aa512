//! Removes personal data from messages of PostgreSQL, Amazon SES, the template engine and panics.
//!
//! All text that others than the CRM may read (logs, results, the history of Step Functions, `status_reason`)
//! passes through [`masked`].

use std::borrow::Cow;

/// The forms of the sign between a local part and a domain: `@`, its compatibility forms, and its escape in
/// URLs.
const AT_SIGNS: [&str; 4] = ["@", "\u{ff20}", "\u{fe6b}", "%40"];
/// The text in place of what is left out.
const LEFT_OUT: char = '…';

/// The text with each address as `a…@example.com`, and without the user and password of each URL. Idempotent.
pub fn masked(text: &str) -> Cow<'_, str> {
    if !AT_SIGNS.iter().any(|sign| text.contains(sign)) {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, sign, after)) = next_sign(rest) {
        let domain = &after[..domain_length(after)];
        if let Some(start) = userinfo(before) {
            masked.push_str(&before[..start]);
            masked.push(LEFT_OUT);
        } else if domain.contains('.') {
            let (start, end) = local_part(before);
            masked.push_str(&before[..start]);
            masked.extend(before[start..end].chars().next());
            if start < end {
                masked.push(LEFT_OUT);
            }
            masked.push_str(&before[end..]);
        } else {
            masked.push_str(before);
        }
        masked.push_str(sign);
        masked.push_str(domain);
        rest = &after[domain.len()..];
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// The text before the first sign, the sign, and what comes after it.
fn next_sign(text: &str) -> Option<(&str, &str, &str)> {
    let found = AT_SIGNS.iter().filter_map(|sign| Some((text.find(sign)?, sign.len())));
    let (at, length) = found.min()?;
    Some((&text[..at], &text[at..at + length], &text[at + length..]))
}

/// The length of a host name at the beginning of the text, without a dot that ends a sentence.
fn domain_length(text: &str) -> usize {
    let end =
        text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.' | '_'))).unwrap_or(text.len());
    text[..end].trim_end_matches('.').len()
}

/// The place where the user of a URL begins, if the text before the sign ends with one.
fn userinfo(before: &str) -> Option<usize> {
    let start = before.rfind("://")? + 3;
    let is_userinfo =
        before[start..].chars().all(|c| !c.is_whitespace() && !matches!(c, '/' | '"' | '<' | '>'));
    is_userinfo.then_some(start)
}

/// The beginning and the end of the local part before the sign. They are equal if it is left out already.
fn local_part(before: &str) -> (usize, usize) {
    // "ada lovelace"@example.com, also as JSON has it.
    for quote in ["\\\"", "\""] {
        if let Some(inside) = before.strip_suffix(quote)
            && let Some(start) = inside.rfind(quote)
        {
            return (start + quote.len(), inside.len());
        }
    }
    // In a URL they delimit; a local part that has them is escaped there.
    let in_url = before.rsplit(char::is_whitespace).next().is_some_and(|word| word.contains("://"));
    let delimits = |c: char| {
        in_url && matches!(c, '/' | '?' | '&' | '=' | '#')
            || c.is_whitespace()
            || c.is_control()
            || matches!(c, '"' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '\\')
    };
    let start = before.char_indices().rev().find(|(_, c)| delimits(*c)).map_or(0, |(i, c)| i + c.len_utf8());
    // One quote may belong to the text around the address, if something is left without it.
    let local = &before[start..];
    let local = local.strip_prefix(['\'', '`', '=']).filter(|rest| !rest.is_empty()).unwrap_or(local);
    let start = before.len() - local.len();
    if before.ends_with(LEFT_OUT) { (before.len(), before.len()) } else { (start, before.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_masked_wherever_it_stands() {
        for (text, shown) in [
            ("ada@example.com", "a…@example.com"),
            (
                "Email address is not verified: ada@example.com.",
                "Email address is not verified: a…@example.com.",
            ),
            ("<ada.b+c@example.com>, 'o'neil@example.com'", "<a…@example.com>, 'o…@example.com'"),
            ("(email)=(ada@example.com) exists", "(email)=(a…@example.com) exists"),
            (r#"{"to":["ada@example.com","b@x.example"]}"#, r#"{"to":["a…@example.com","b…@x.example"]}"#),
            ("line\\nada@example.com", "line\\nada@example.com".replace("nada", "n…").as_str()),
            (r#"\"ada lovelace\"@example.com"#, r#"\"a…\"@example.com"#),
            ("\"ada lovelace\"@example.com", "\"a…\"@example.com"),
            ("mailto:ada%40example.com?x", "mailto:a…%40example.com?x"),
            ("j\u{fc}rgen@m\u{fc}nchen.example", "j…@m\u{fc}nchen.example"),
            ("ada\u{ff20}example.com", "a…\u{ff20}example.com"),
            ("a@b.c@example.com", "a…@b.c@example.com"),
            ("postgres://crm:p@ss w@db.example.com", "postgres://…@ss w…@db.example.com"),
            ("postgres://crm:secret@db/crm", "postgres://…@db/crm"),
            ("at https://example.com/ada by ada@example.com", "at https://example.com/ada by a…@example.com"),
            ("local@domain, 3 @ 4, @media, x@", "local@domain, 3 @ 4, @media, x@"),
            ("a…@example.com", "a…@example.com"),
            ("no address", "no address"),
            ("not verified: ada@example.com", "not verified: a…@example.com"),
            ("<ada@example.com>, at once", "<a…@example.com>, at once"),
            ("Key (email)=(ada@example.com) exists.", "Key (email)=(a…@example.com) exists."),
            ("\"ada@example.com\".", "\"a…@example.com\"."),
            ("https://example.com/?to=ada@example.com.", "https://example.com/?to=a…@example.com."),
            ("no address @ all", "no address @ all"),
            ("\"''''@example.com", "\"''…@example.com"),
            ("'''ada@example.com'", "''…@example.com'"),
            ("'@example.com", "'…@example.com"),
        ] {
            assert_eq!(masked(text), shown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_local_part_but_its_first_character_is_left(
            before in "[ \"<(,:;a-z]{0,10}[ \"<(,:;]", local in "[a-z0-9.+_'-]{4,20}", after in "[ >\"),;:]?[a-z ]{0,10}"
        ) {
            let text = format!("{before}{local}@example.com{after}");
            let masked = masked(&text);
            prop_assert!(!masked.contains(&local[1..]) || before.contains(&local[1..]) || after.contains(&local[1..]), "{masked}");
        }

        #[test]
        fn what_is_masked_stays_and_what_has_no_sign_is_left_alone(text in "\\PC{0,60}@?\\PC{0,20}\\.?[a-z]{0,3}@?\\PC{0,9}") {
            let once = masked(&text).into_owned();
            prop_assert_eq!(masked(&once).into_owned(), once.clone());
            if !AT_SIGNS.iter().any(|sign| text.contains(sign)) {
                prop_assert_eq!(once, text);
            }
        }
    }
}
