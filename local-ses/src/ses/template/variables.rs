//! Fills in variables in three braces, as the sender writes them, and refuses everything else of Handlebars. `./dev demo` is
//! built with this engine, because the crate `handlebars` takes a tenth of the time of its build.

use serde_json::Value;

/// The data of one message.
pub(super) type Data = Value;

/// One part of a template: each text with the variable behind it, and the last text.
pub(super) struct Engine {
    variables: Vec<(String, String)>,
    rest: String,
}

impl Engine {
    /// Parses a part. Three braces never escape, so it does not matter what two would do.
    pub(super) fn compile(source: &str, _escapes: bool) -> Result<Engine, String> {
        let refusal = "this build of the local SES fills in {{{variables}}} only";
        let (mut variables, mut rest) = (Vec::new(), source);
        while let Some((text, behind)) = rest.split_once("{{") {
            let (name, after) =
                behind.strip_prefix('{').and_then(|behind| behind.split_once("}}}")).ok_or(refusal)?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(refusal.to_owned());
            }
            variables.push((text.to_owned(), name.to_owned()));
            rest = after;
        }
        Ok(Engine { variables, rest: rest.to_owned() })
    }

    /// Fills the part in. The error names a variable that the data lacks.
    pub(super) fn fill(&self, data: &Data) -> Result<String, String> {
        let mut filled = String::new();
        for (text, name) in &self.variables {
            filled.push_str(text);
            match data.get(name) {
                Some(Value::String(value)) => filled.push_str(value),
                Some(value) => filled.push_str(&value.to_string()),
                None => return Err(format!("the variable \"{name}\" is missing")),
            }
        }
        filled.push_str(&self.rest);
        Ok(filled)
    }
}
