//! JSON that is passed on unchanged, so that a number keeps all its digits. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The members of a JSON object, each as it is written.
pub type Members = BTreeMap<String, Box<RawValue>>;

/// The most digits of a number, with its exponent written out: PostgreSQL keeps no more after the decimal
/// point.
const MAX_DIGITS: usize = 16_383;
/// The most levels of lists and objects that templates accept.
const MAX_DEPTH: usize = 126;

/// A value of the input.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// Text, for example a field of CSV.
    Text(&'a str),
    /// JSON.
    Json(&'a RawValue),
}

impl Field<'_> {
    /// The value as text; `None` for null.
    pub fn text(self) -> String {
        match self {
            Field::Text(text) => text.to_owned(),
            Field::Json(json) if json.get() == "null" => String::new(),
            Field::Json(json) => serde_json::from_str(json.get()).unwrap_or_else(|_| json.get().to_owned()),
        }
    }

    /// The value as JSON.
    pub fn json(self) -> String {
        match self {
            Field::Text(text) => serde_json::Value::from(text).to_string(),
            Field::Json(json) => json.get().to_owned(),
        }
    }

    /// Why it cannot be stored as jsonb, or rendered.
    pub fn problem(self) -> Option<String> {
        let problem = match self {
            Field::Text(text) => text.contains('\0').then(|| "a NUL character".to_owned()),
            Field::Json(json) => problem(json.get()),
        };
        problem.map(|problem| format!("holds {problem}"))
    }
}

/// In JSON that is well-formed.
fn problem(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                    if bytes[at..].starts_with(b"\\u0000") {
                        return Some("a NUL character".to_owned());
                    }
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .unwrap_or(bytes.len() - at);
                if digits(&json[at..at + length]) > MAX_DIGITS {
                    return Some(format!("a number of more than {MAX_DIGITS} digits"));
                }
                at += length - 1;
            }
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(format!("values that are nested more than {MAX_DEPTH} deep"));
        }
        at += 1;
    }
    None
}

fn digits(number: &str) -> usize {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent = exponent.trim_start_matches(['-', '+']).trim_start_matches('0');
    let exponent = if exponent.is_empty() { 0 } else { exponent.parse().unwrap_or(usize::MAX) };
    mantissa.len().saturating_add(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Option<String> {
        Field::Json(serde_json::from_str(json).unwrap()).problem()
    }

    #[test]
    fn what_neither_postgresql_nor_a_template_takes_is_found() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        insta::assert_snapshot!(
            [r#"{"a": ["\u0000"]}"#, "1e999999999999999999999", "[1.5, 1e-20000]", &deep(127), &"1".repeat(16_384)]
                .map(|json| found(json).unwrap_or_default())
                .join("\n"),
            @r"
        holds a NUL character
        holds a number of more than 16383 digits
        holds a number of more than 16383 digits
        holds values that are nested more than 126 deep
        holds a number of more than 16383 digits
        ");
        for json in [r#"["\\u0000", "1e99999", -1.5E+400, 20.00]"#, &deep(126), "{}", "\"[[\""] {
            assert_eq!(found(json), None, "{json}");
        }
    }
}
