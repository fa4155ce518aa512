//! Templates that are stored by name (`CreateEmailTemplate`), to be rendered without sending
//! (`TestRenderEmailTemplate`) and deleted. Sends take inline templates only.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::mime;
use super::refusal::Refusal;
use super::request::TemplateContent;
use super::template::{CompiledTemplate, Filled, template_data};

/// The account's templates, by name.
#[derive(Default)]
pub(super) struct StoredTemplates {
    by_name: BTreeMap<String, Arc<CompiledTemplate>>,
    /// Renders them as no engine should: what compares renderings has something to find.
    pub(super) mangled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Create {
    template_name: String,
    template_content: TemplateContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Render {
    template_data: String,
}

impl StoredTemplates {
    pub(super) fn create(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let Create { template_name, template_content } = parse(body)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if template_name.is_empty() || template_name.len() > 64 || !template_name.chars().all(legal) {
            return Err(Refusal::bad_request(
                "TemplateName: expected 1 to 64 letters, digits, hyphens and underscores.",
            ));
        }
        if self.by_name.contains_key(&template_name) {
            let message = format!("Template {template_name} already exists.");
            return Err(Refusal::new(400, "AlreadyExistsException", message));
        }
        let compiled = CompiledTemplate::new(&template_content)?;
        self.by_name.insert(template_name, compiled);
        Ok(())
    }

    /// The message that the template makes with the request's data, as MIME.
    pub(super) fn render(&self, name: &str, body: &[u8]) -> Result<String, Refusal> {
        let Render { template_data: data } = parse(body)?;
        let filled = self.get(name)?.fill(&template_data(&data)?).map_err(|missing| {
            Refusal::bad_request(format!("Attribute is not present in the rendering data: {}", missing.0))
        })?;
        let Filled { subject, mut html, text } = filled;
        if self.mangled {
            html = html.map(|html| html + "mangled");
        }
        Ok(mime::rendered(&subject, html.as_deref(), text.as_deref()))
    }

    pub(super) fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        self.get(name)?;
        self.by_name.remove(name);
        Ok(())
    }

    fn get(&self, name: &str) -> Result<&CompiledTemplate, Refusal> {
        let found = self.by_name.get(name).map(|template| &**template);
        found.ok_or_else(|| Refusal::not_found(format!("Template {name} does not exist.")))
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("Malformed request: {error}.")))
}
