//! The variables of one rendering: a recipient's own lie over those that all share, and what the recipient is known
//! by over both. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, Value, ValueKind};

/// What the templates see of one recipient.
#[derive(Debug)]
pub struct Variables {
    /// Its address.
    pub email: Value,
    /// Its name; without one, a variable of that name is seen.
    pub name: Option<Value>,
    /// Its link to unsubscribe, and no one else's to set.
    pub unsubscribe_url: Option<Value>,
    /// Its variables, as [`object`] reads them.
    pub own: Value,
    /// The campaign's, likewise.
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

/// Reads a JSON object, or null for one without entries.
///
/// # Errors
/// What there is instead of it.
pub fn object(json: Option<&str>) -> Result<Value, String> {
    let Some(json) = json else { return Ok(Value::from(())) };
    let value: Value = serde_json::from_str(json).map_err(|error| format!("not JSON: {error}"))?;
    match value.kind() {
        ValueKind::None | ValueKind::Map => Ok(value),
        ValueKind::Seq => Err("an array, not an object".to_owned()),
        _ => Err("not an object".to_owned()),
    }
}

/// An object with one entry set.
pub fn with(object: &Value, key: &str, value: Value) -> Value {
    let entries = keys(object).filter_map(|key| Some((key.clone(), object.get_item(&key).ok()?)));
    Value::from_pairs(entries.chain([(Value::from(key), value)]))
}

/// An entry of an object. Null is 'no value', as if it were not there.
fn entry(object: &Value, key: &str) -> Option<Value> {
    object.get_attr(key).ok().filter(|value| !value.is_undefined() && !value.is_none())
}

fn keys(object: &Value) -> impl Iterator<Item = Value> {
    object.try_iter().into_iter().flatten()
}
