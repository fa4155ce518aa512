//! The variables of one rendering: a recipient's own take precedence over the campaign's, and the recipient's
//! name, address and link over both. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, Value, ValueKind};
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::numbers::{self, Written};

/// The deepest nesting of a recipient's and a campaign's variables: the limit of the JSON parser.
const MAX_DEPTH: usize = 127;

/// The variables that templates see for one recipient.
#[derive(Debug)]
pub struct Variables {
    /// Its address.
    pub email: Value,
    /// Its name. Without one, templates see the variable `name`, if there is one.
    pub name: Option<Value>,
    /// Its unsubscribe link, which nothing else can set.
    pub unsubscribe_url: Option<Value>,
    /// Its variables, as [`object`] reads them.
    pub own: Value,
    /// The campaign's variables, in the same form.
    pub shared: Value,
}

impl Object for Variables {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "unsubscribe_url" => self.unsubscribe_url.clone(),
            "email" => Some(self.email.clone()),
            "name" if self.name.is_some() => self.name.clone(),
            _ => entry(&self.own, key).or_else(|| entry(&self.shared, key)),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let known = ["email", "name", "unsubscribe_url"].map(Value::from);
        let keys: BTreeSet<Value> =
            known.into_iter().chain(keys(&self.own)).chain(keys(&self.shared)).collect();
        Enumerator::Values(keys.into_iter().filter(|key| self.get_value(key).is_some()).collect())
    }
}

/// A JSON object, read for templates.
#[derive(Clone, Debug)]
pub struct Data {
    /// A map, or none.
    pub object: Value,
    /// The texts of its floats.
    pub written: Rc<Written>,
}

/// Reads a JSON object, or null for one without entries. Numbers are kept as they are written. Null means
/// undefined: a null entry is left out, and a null item of a list is undefined.
///
/// # Errors
/// Says what the data is instead.
pub fn object(json: Option<&str>) -> Result<Data, String> {
    let none = Data { object: Value::from(()), written: Rc::default() };
    let Some(json) = json else { return Ok(none) };
    let (shape, numbers) = without_numbers(json);
    let mut reading = Reading { numbers: numbers.into_iter(), written: Written::new() };
    let mut shape = serde_json::Deserializer::from_str(&shape);
    let value = Item(&mut reading).deserialize(&mut shape).and_then(|value| shape.end().map(|()| value));
    let value = match value {
        Ok(value) => value,
        Err(error) => return Err(problem(json, &error)),
    };
    match value.kind() {
        ValueKind::Map => Ok(Data { object: value, written: Rc::new(reading.written) }),
        ValueKind::Undefined => Ok(none),
        ValueKind::Seq => Err("an array, not an object".to_owned()),
        _ => Err("not an object".to_owned()),
    }
}

/// The error for data that could not be read, with the place in the original text.
fn problem(json: &str, error: &serde_json::Error) -> String {
    match serde_json::from_str::<IgnoredAny>(json) {
        Err(error) => format!("not JSON: {error}"),
        Ok(_) if error.to_string().starts_with("recursion limit") => {
            format!("nested more than {MAX_DEPTH} deep")
        }
        Ok(_) => format!("not JSON: {error}"),
    }
}

/// The data with each number replaced by `0`, and the numbers in their order.
fn without_numbers(json: &str) -> (Cow<'_, str>, Vec<&str>) {
    let bytes = json.as_bytes();
    let (mut shape, mut numbers) = (String::new(), Vec::new());
    let (mut at, mut copied) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .unwrap_or(bytes.len() - at);
                let number = &json[at..at + length];
                if is_number(number) {
                    shape.push_str(&json[copied..at]);
                    shape.push('0');
                    numbers.push(number);
                    copied = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return (Cow::Borrowed(json), numbers);
    }
    shape.push_str(&json[copied..]);
    (Cow::Owned(shape), numbers)
}

/// Returns true if it is a number by JSON's grammar (RFC 8259, 6).
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

/// The remaining numbers, and the texts of floats among them.
struct Reading<'a> {
    numbers: std::vec::IntoIter<&'a str>,
    written: Written,
}

/// Reads one value.
struct Item<'r, 'a>(&'r mut Reading<'a>);

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, '_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::UNDEFINED)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Value, E> {
        let text = self.0.numbers.next().ok_or_else(|| E::custom("a number out of place"))?;
        Ok(numbers::value(text, &mut self.0.written))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Item(self.0))? {
            values.push(value);
        }
        Ok(Value::from(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Item(self.0))?;
            if value.is_undefined() {
                // If a name has several entries, the last one counts.
                values.remove(&key);
            } else {
                values.insert(key, value);
            }
        }
        Ok(Value::from(values))
    }
}

/// An object with one entry set.
pub fn with(object: &Value, key: &str, value: Value) -> Value {
    let entries = keys(object).filter_map(|key| Some((key.clone(), object.get_item(&key).ok()?)));
    Value::from_pairs(entries.chain([(Value::from(key), value)]))
}

/// An entry of an object. Null means undefined, as if the entry were missing.
fn entry(object: &Value, key: &str) -> Option<Value> {
    object.get_attr(key).ok().filter(|value| !value.is_undefined() && !value.is_none())
}

fn keys(object: &Value) -> impl Iterator<Item = Value> {
    object.try_iter().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_json_is_read() {
        for (json, expected) in [
            ("{\"a\": 01}", "not JSON: invalid number at line 1 column 8"),
            ("{\"a\": 1e}", "not JSON: invalid number at line 1 column 9"),
            ("{\"a\": 1.5, \"b\": }", "not JSON: expected value at line 1 column 17"),
            ("{\"a\": 1-2}", "not JSON: expected `,` or `}` at line 1 column 8"),
            ("{} 1", "not JSON: trailing characters at line 1 column 4"),
            ("[1]", "an array, not an object"),
            ("1e400", "not an object"),
        ] {
            assert_eq!(object(Some(json)).unwrap_err(), expected, "{json}");
        }
        let deep = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(object(Some(&deep(127))).unwrap_err(), "nested more than 127 deep");
        assert!(object(Some(&deep(126))).is_ok());
    }
}
