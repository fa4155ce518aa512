//! Numbers that are shown as the data wrote them: `20.00`, `0.10`, `1e400`. Pure.
//!
//! A number that a template calculates with is the engine's: an integer, or a float. Where the float is not written
//! as the data wrote it, its text is kept beside it, and is what is shown of a float with just that value.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use minijinja::value::{Value, ValueKind};

/// The texts of the floats of a rendering, by their bits.
pub type Written = HashMap<u64, String>;

thread_local! {
    static SHOWN: RefCell<Vec<Rc<Written>>> = const { RefCell::new(Vec::new()) };
}

/// Shows floats as these texts have them, those of the first first, while `render` runs.
pub fn shown_as<T>(written: [&Rc<Written>; 2], render: impl FnOnce() -> T) -> T {
    struct Restore(Vec<Rc<Written>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SHOWN.set(std::mem::take(&mut self.0));
        }
    }
    let texts = written.into_iter().filter(|texts| !texts.is_empty()).cloned().collect();
    let _restore = Restore(SHOWN.replace(texts));
    render()
}

/// The text of a float, where the data wrote it in a way of its own.
pub fn text(value: &Value) -> Option<String> {
    if value.kind() != ValueKind::Number || value.is_integer() {
        return None;
    }
    SHOWN.with_borrow(|texts| {
        if texts.is_empty() {
            return None;
        }
        let bits = f64::try_from(value.clone()).ok()?.to_bits();
        texts.iter().find_map(|texts| texts.get(&bits).cloned())
    })
}

/// A number of the data, as a value. Its text is noted where the value would be shown in another way.
///
/// Integers beyond 128 bits and decimals with more digits than a float holds are floats too: calculated with as the
/// nearest float, and shown as written. Where two texts have one float, the second is a text.
pub fn value(text: &str, written: &mut Written) -> Value {
    let integer = text.parse::<i128>().ok().filter(|_| text != "-0").map(Value::from);
    let integer = integer.or_else(|| text.parse::<u128>().ok().map(Value::from));
    if let Some(integer) = integer {
        return integer;
    }
    let Ok(float) = text.parse::<f64>() else { return Value::from(text) };
    let value = Value::from(float);
    if value.to_string() == text {
        // Nothing else may be shown of it.
        return match written.get(&float.to_bits()) {
            Some(other) if other != text => Value::from(text),
            _ => value,
        };
    }
    let known = written.entry(float.to_bits()).or_insert_with(|| text.to_owned());
    if known == text { value } else { Value::from(text) }
}
