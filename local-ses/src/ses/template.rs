//! SES's templates, which are Handlebars. The crate `handlebars` fills them in, so that the sender's
//! assumptions are tested against an independent engine.
//!
//! Two braces escape HTML as in Handlebars. SES's documentation says little about escaping, so senders should
//! write three.

#[cfg(feature = "full")]
mod handlebars;
#[cfg(any(test, not(feature = "full")))]
mod variables;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

#[cfg(feature = "full")]
use self::handlebars::{Data, Engine};
#[cfg(not(feature = "full"))]
use self::variables::{Data, Engine};

use super::{check, refusal::Refusal, request::TemplateContent};

/// The number of templates that are kept compiled. All bulk calls of a campaign have the same template.
const KEPT: usize = 8;

static COMPILED: Mutex<Vec<Arc<CompiledTemplate>>> = Mutex::new(Vec::new());

/// A template that was parsed once, to be filled many times.
pub(super) struct CompiledTemplate {
    content: TemplateContent,
    subject: Engine,
    html: Option<Engine>,
    text: Option<Engine>,
}

/// A template with data filled in.
#[derive(Debug, PartialEq)]
pub(super) struct Filled {
    pub(super) subject: String,
    pub(super) html: Option<String>,
    pub(super) text: Option<String>,
}

/// The data lacks a variable. SES accepts such a message, never sends it, and reports a rendering failure.
#[derive(Debug, PartialEq)]
pub(super) struct MissingVariable(pub(super) String);

impl CompiledTemplate {
    pub(super) fn new(content: &TemplateContent) -> Result<Arc<Self>, Refusal> {
        let mut known = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = known.iter().find(|compiled| compiled.content == *content) {
            return Ok(compiled.clone());
        }
        let compiled = Arc::new(CompiledTemplate::compile(content)?);
        known.truncate(KEPT - 1);
        known.insert(0, compiled.clone());
        Ok(compiled)
    }

    fn compile(content: &TemplateContent) -> Result<Self, Refusal> {
        check::template(content)?;
        if content.html.is_none() && content.text.is_none() {
            return Err(Refusal::bad_request("TemplateContent: Html or Text is required."));
        }
        let part = |name: &str, source: &str, escapes| {
            Engine::compile(source, escapes)
                .map_err(|error| Refusal::bad_request(format!("Template: {name}: {error}")))
        };
        let subject = part("subject", content.subject.as_deref().unwrap_or_default(), false)?;
        let html = content.html.as_deref().map(|html| part("html", html, true)).transpose()?;
        let text = content.text.as_deref().map(|text| part("text", text, false)).transpose()?;
        Ok(CompiledTemplate { content: content.clone(), subject, html, text })
    }

    pub(super) fn fill(&self, data: &Map<String, Value>) -> Result<Filled, MissingVariable> {
        let data = Data::from(Value::Object(data.clone()));
        let fill = |engine: &Engine| engine.fill(&data).map_err(MissingVariable);
        Ok(Filled {
            subject: fill(&self.subject)?,
            html: self.html.as_ref().map(fill).transpose()?,
            text: self.text.as_ref().map(fill).transpose()?,
        })
    }
}

/// Reads template data, which must be a JSON object.
pub(super) fn template_data(json: &str) -> Result<Map<String, Value>, Refusal> {
    check::template_data(json)?;
    serde_json::from_str(json)
        .map_err(|error| Refusal::bad_request(format!("Template data is not a JSON object: {error}.")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(html: &str, text: &str) -> Result<Arc<CompiledTemplate>, Refusal> {
        let [subject, html, text] = ["{{{s}}}", html, text].map(|part| Some(part.to_owned()));
        CompiledTemplate::new(&TemplateContent { subject, html, text })
    }

    fn fill(html: &str, text: &str, data: &str) -> Result<(String, String), MissingVariable> {
        let mut data = template_data(data).unwrap();
        data.insert("s".into(), "x".into());
        let filled = compile(html, text).unwrap().fill(&data)?;
        Ok((filled.html.unwrap(), filled.text.unwrap()))
    }

    #[test]
    fn two_braces_escape_in_html_only_and_three_never() {
        let data = r#"{"n":"<b> & 'q'","deep":{"x":3}}"#;
        let (html, text) = fill("-{{n}}-", "-{{ n }}-", data).unwrap();
        assert_eq!((html.as_str(), text.as_str()), ("-&lt;b&gt; &amp; &#x27;q&#x27;-", "-<b> & 'q'-"));
        assert_eq!(fill("{{{n}}}{{deep.x}}", "", data).unwrap().0, "<b> & 'q'3");
    }

    #[test]
    fn what_is_filled_in_is_not_read_as_a_template_again() {
        assert_eq!(
            fill("{{{a}}}", "{{a}}", r#"{"a":"{{b}}","b":"x"}"#),
            Ok(("{{b}}".into(), "{{b}}".into()))
        );
    }

    /// The demo's engine fills in the templates that the sender writes as Handlebars does.
    #[test]
    fn variables_alone_are_filled_in_as_by_handlebars() {
        let data = json!({"h0": "<b> & {{{h1}}}", "h1": "", "s12": "}}} \u{1f600} {{", "n": 3});
        for source in ["", "x", "{{{h0}}}", "{{{h0}}}{{{h1}}} and {{{s12}}}.", "{ {{{n}}} }", "}}}{{{h1}}}}}"]
        {
            let fill = |filled: Result<String, String>| filled.unwrap();
            assert_eq!(
                fill(variables::Engine::compile(source, true).unwrap().fill(&data)),
                fill(Engine::compile(source, true).unwrap().fill(&Data::from(data.clone()))),
                "{source}"
            );
        }
        for refused in
            ["{{h0}}", "{{{h0}}", "{{{ h0 }}}", "{{{}}}", "{{{a.b}}}", "{{#if a}}x{{/if}}", "{{{{h0}}}}"]
        {
            let error = variables::Engine::compile(refused, false).map(drop).unwrap_err();
            assert_eq!(error, "this build of the local SES fills in {{{variables}}} only", "{refused}");
        }
        let missing = variables::Engine::compile("{{{h9}}}", false).unwrap().fill(&data).unwrap_err();
        assert_eq!(missing, "the variable \"h9\" is missing");
    }

    #[test]
    fn a_missing_variable_is_named() {
        let MissingVariable(found) = fill("{{a}}{{b}}", "", r#"{"a":"1"}"#).unwrap_err();
        assert!(found.contains("\"b\""), "{found}");
    }

    #[test]
    fn templates_and_data_out_of_form_are_refused() {
        for bad in ["{{", "{{#if a}}x", "{{}}", "{{/if}}"] {
            assert!(compile(bad, "").is_err(), "{bad}");
        }
        for bad in ["", "[]", "\"x\"", "{a:1}"] {
            assert!(template_data(bad).is_err(), "{bad}");
        }
    }
}
