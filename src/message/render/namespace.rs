//! A namespace's attributes may only have copies of small values, so that no value contains itself. Pure.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// The filter for each value that is assigned to an attribute.
pub const FILTER: &str = "namespace_value";
/// The deepest nesting of lists and maps in an attribute.
const MAX_DEPTH: usize = 4;
/// The most items of all lists and maps of an attribute together.
const MAX_ITEMS: usize = 1_000;

/// The value, or a copy of a small list or map.
///
/// # Errors
/// Fails if it is too large or too deep, a namespace or a function.
pub fn value(value: Value) -> Result<Value, Error> {
    copy(value, MAX_DEPTH, &mut MAX_ITEMS.clone())
}

fn copy(value: Value, depth: usize, items: &mut usize) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined
        | ValueKind::None
        | ValueKind::Bool
        | ValueKind::Number
        | ValueKind::String
        | ValueKind::Bytes => return Ok(value),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if depth > 0 => {}
        _ => return Err(refused()),
    }
    if value.as_object().is_some_and(|object| object.type_name().ends_with("Namespace")) {
        return Err(refused());
    }
    let is_map = value.kind() == ValueKind::Map;
    let mut copies = Vec::new();
    for item in value.try_iter()? {
        *items = items.checked_sub(1).ok_or_else(refused)?;
        let held = if is_map { value.get_item(&item)? } else { item.clone() };
        let key = if is_map { item } else { Value::from(()) };
        copies.push((key, copy(held, depth - 1, items)?));
    }
    Ok(if is_map {
        Value::from_pairs(copies)
    } else {
        Value::from(copies.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
    })
}

/// The beginning of the error.
pub const REFUSED: &str = "an attribute of a namespace holds text";

fn refused() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!(
            "{REFUSED}, a number, or a list or map of at most {MAX_ITEMS} items and \
             {MAX_DEPTH} levels, and no other namespace"
        ),
    )
}
