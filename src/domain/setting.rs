//! Values of settings, and the errors for missing and malformed ones.

/// A variable that is missing or malformed. Values of secrets are not in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVariable {
    /// It must be set.
    #[error("{name} is not set: expected {expected}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// Its form.
        expected: &'static str,
    },
    /// It has another form.
    #[error("{name} is {value}: expected {expected}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// Its value, unless that is secret.
        value: String,
        /// Its form.
        expected: &'static str,
    },
}

/// An empty variable counts as unset.
pub fn given(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Reads a value.
///
/// # Errors
/// When the value is missing, or `valid` refuses it.
pub fn parse<T: std::str::FromStr>(
    name: &'static str,
    value: &str,
    expected: &'static str,
    valid: impl Fn(&T) -> bool,
) -> Result<T, InvalidVariable> {
    match value.parse() {
        Ok(parsed) if valid(&parsed) => Ok(parsed),
        _ => Err(InvalidVariable::Malformed { name, value: format!("{value:?}"), expected }),
    }
}
