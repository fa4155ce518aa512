//! Numbers that are shown as they are written in the data: `20.00`, `0.10`, `1e400`. Pure.
//!
//! Templates calculate with the engine's numbers: integers and floats. If the engine would write a float in
//! another way than the data, the data's text is kept, and a float with this value is shown as that text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use minijinja::value::{Value, ValueKind};

/// The texts of the floats of a rendering, by their bits.
pub type Written = HashMap<u64, String>;

thread_local! {
    static SHOWN: RefCell<Vec<Rc<Written>>> = const { RefCell::new(Vec::new()) };
}

/// While `render` runs, shows floats as these texts; the first texts take precedence.
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

/// The text of a float, if the data has one for it.
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

/// A number of the data as a value. Its text is noted if the value would be shown in another way.
///
/// Integers beyond 128 bits and decimals with more digits than a float holds are floats too: they are
/// calculated with as the nearest float, and shown as written. If two texts have the same float, the second
/// is a text.
pub fn value(text: &str, written: &mut Written) -> Value {
    let integer = text.parse::<i128>().ok().filter(|_| text != "-0").map(Value::from);
    let integer = integer.or_else(|| text.parse::<u128>().ok().map(Value::from));
    if let Some(integer) = integer {
        return integer;
    }
    let Ok(float) = text.parse::<f64>() else { return Value::from(text) };
    let value = Value::from(float);
    if value.to_string() == text {
        // It may only be shown as this text.
        return match written.get(&float.to_bits()) {
            Some(other) if other != text => Value::from(text),
            _ => value,
        };
    }
    let known = written.entry(float.to_bits()).or_insert_with(|| text.to_owned());
    if known == text { value } else { Value::from(text) }
}
