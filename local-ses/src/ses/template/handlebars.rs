//! Fills templates in by the crate `handlebars`.

use handlebars::{Context, Handlebars, no_escape};

/// The data of one message.
pub(super) type Data = Context;

/// The name of the only template of a registry.
const PART: &str = "part";

/// One part of a template.
pub(super) struct Engine(Handlebars<'static>);

impl Engine {
    /// Parses a part. Two braces escape HTML in it if it `escapes`.
    pub(super) fn compile(source: &str, escapes: bool) -> Result<Engine, String> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        if !escapes {
            registry.register_escape_fn(no_escape);
        }
        registry
            .register_template_string(PART, source)
            .map_err(|error| error.to_string().chars().take(200).collect::<String>())?;
        Ok(Engine(registry))
    }

    /// Fills the part in. The error names a variable that the data lacks.
    pub(super) fn fill(&self, data: &Data) -> Result<String, String> {
        self.0.render_with_context(PART, data).map_err(|error| error.to_string())
    }
}
