//! The visibility of an element by its own `style`. Pure.

use super::look::{Look, Script};

/// Applies the declarations to the look that the element inherits from its parent.
pub fn apply(style: &str, look: &mut Look) {
    let (mut clipped, mut flat) = (false, false);
    for declaration in style.split(';') {
        let Some((property, value)) = declaration.split_once(':') else { continue };
        let property = property.trim().to_ascii_lowercase();
        let value = value.trim().to_ascii_lowercase();
        let value = value.strip_suffix("!important").unwrap_or(&value).trim_end();
        match property.as_str() {
            "display" => look.hidden |= value == "none",
            "mso-hide" => look.hidden |= value == "all",
            "opacity" => look.hidden |= is_zero(value),
            "max-height" => look.hidden |= is_zero(value),
            "height" | "width" | "max-width" => flat |= is_zero(value),
            "overflow" => clipped |= value == "hidden",
            "visibility" => match value {
                "hidden" | "collapse" => look.invisible = true,
                "visible" => look.invisible = false,
                _ => {}
            },
            // A size that is relative to the parent's zero size is zero too.
            "font-size" if is_zero(value) => look.tiny = true,
            "font-size" if value.ends_with('%') || value.ends_with("em") && !value.ends_with("rem") => {}
            "font-size" if matches!(value, "inherit" | "smaller" | "larger" | "unset") => {}
            "font-size" => look.tiny = false,
            "text-decoration" | "text-decoration-line" => look.struck |= value.contains("line-through"),
            "white-space" => look.preformatted = value.starts_with("pre"),
            "vertical-align" if value == "super" => look.script = Script::Above,
            "vertical-align" if value == "sub" => look.script = Script::Below,
            _ => {}
        }
    }
    look.hidden |= clipped && flat;
}

/// Returns true if the look does not depend on the values of this property, as it is written.
pub fn is_decoration(property: &str) -> bool {
    let property = property.trim().to_ascii_lowercase();
    ["color", "background", "background-color", "background-image", "border", "font-family", "text-align"]
        .contains(&property.as_str())
}

/// `0`, `0px`, `0.0em`, `.0`.
fn is_zero(value: &str) -> bool {
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    number.parse() == Ok(0.0) && unit.chars().all(|c| c.is_ascii_alphabetic() || c == '%')
}
