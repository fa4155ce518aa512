//! The inline templates of SES: `{{name}}` and `{{{name}}}`, without block helpers.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{refusal::Refusal, request::TemplateContent};

/// A template that is parsed once and filled many times.
pub(super) struct CompiledTemplate<'a> {
    pub(super) subject: Part<'a>,
    pub(super) html: Option<Part<'a>>,
    pub(super) text: Option<Part<'a>>,
}

/// The subject or one body of a template.
pub(super) struct Part<'a> {
    segments: Vec<Segment<'a>>,
    escape_html: bool,
}

enum Segment<'a> {
    Literal(&'a str),
    Value { path: &'a str, verbatim: bool },
}

/// The data lacks a variable. SES accepts such a message, never sends it, and reports a rendering failure.
#[derive(Debug, PartialEq)]
pub(super) struct MissingVariable(pub(super) String);

impl<'a> CompiledTemplate<'a> {
    pub(super) fn new(content: &'a TemplateContent) -> Result<Self, Refusal> {
        let subject = content.subject.as_deref().unwrap_or_default();
        let part = |source: &'a Option<String>, escape| {
            source.as_deref().map(|source| Part::new(source, escape)).transpose()
        };
        let compiled = CompiledTemplate {
            subject: Part::new(subject, false)?,
            html: part(&content.html, true)?,
            text: part(&content.text, false)?,
        };
        if compiled.html.is_none() && compiled.text.is_none() {
            return Err(Refusal::bad_request("TemplateContent: Html or Text is required."));
        }
        Ok(compiled)
    }
}

impl<'a> Part<'a> {
    fn new(mut source: &'a str, escape_html: bool) -> Result<Self, Refusal> {
        let mut segments = Vec::new();
        while let Some(start) = source.find("{{") {
            segments.push(Segment::Literal(&source[..start]));
            let rest = &source[start..];
            let verbatim = rest.starts_with("{{{");
            let (open, close) = if verbatim { (3, "}}}") } else { (2, "}}") };
            let end = rest.find(close).ok_or_else(|| illegal(rest))?;
            let path = rest[open..end].trim();
            if path.is_empty() || path.contains(|c: char| c.is_whitespace() || "#/^!>&{}".contains(c)) {
                return Err(illegal(rest));
            }
            segments.push(Segment::Value { path, verbatim });
            source = &rest[end + close.len()..];
        }
        segments.push(Segment::Literal(source));
        Ok(Part { segments, escape_html })
    }

    pub(super) fn fill(&self, data: &Map<String, Value>) -> Result<String, MissingVariable> {
        let mut filled = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => filled.push_str(literal),
                Segment::Value { path, verbatim } => {
                    let value = look_up(data, path).ok_or_else(|| MissingVariable((*path).to_owned()))?;
                    let value = as_text(value);
                    if self.escape_html && !verbatim {
                        push_escaped(&mut filled, &value);
                    } else {
                        filled.push_str(&value);
                    }
                }
            }
        }
        Ok(filled)
    }
}

/// Reads template data, which must be a JSON object.
pub(super) fn template_data(json: &str) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_str(json)
        .map_err(|error| Refusal::bad_request(format!("Template data is not a JSON object: {error}.")))
}

fn illegal(at: &str) -> Refusal {
    let excerpt: String = at.chars().take(30).collect();
    Refusal::bad_request(format!("Template: expected {{{{name}}}} or {{{{{{name}}}}}} at {excerpt:?}."))
}

fn look_up<'d>(data: &'d Map<String, Value>, path: &str) -> Option<&'d Value> {
    let mut steps = path.split('.');
    let first = data.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

fn push_escaped(filled: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '&' => filled.push_str("&amp;"),
            '<' => filled.push_str("&lt;"),
            '>' => filled.push_str("&gt;"),
            '"' => filled.push_str("&quot;"),
            '\'' => filled.push_str("&#x27;"),
            other => filled.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(source: &str, escape: bool, data: &str) -> Result<String, MissingVariable> {
        Part::new(source, escape).unwrap().fill(&template_data(data).unwrap())
    }

    #[test]
    fn two_braces_escape_in_html_only_and_three_never() {
        let data = r#"{"n":"<b> & 'q'","deep":{"x":3}}"#;
        assert_eq!(fill("-{{n}}-", true, data).unwrap(), "-&lt;b&gt; &amp; &#x27;q&#x27;-");
        assert_eq!(fill("-{{ n }}-", false, data).unwrap(), "-<b> & 'q'-");
        assert_eq!(fill("{{{n}}}{{deep.x}}", true, data).unwrap(), "<b> & 'q'3");
    }

    #[test]
    fn what_is_filled_in_is_not_read_as_a_template_again() {
        assert_eq!(fill("{{a}}", false, r#"{"a":"{{b}}","b":"x"}"#).unwrap(), "{{b}}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        assert_eq!(fill("{{a}}{{b}}", false, r#"{"a":"1"}"#), Err(MissingVariable("b".into())));
    }

    #[test]
    fn templates_and_data_out_of_form_are_refused() {
        for bad in ["{{", "{{#if a}}x{{/if}}", "{{}}", "{{a b}}"] {
            assert!(Part::new(bad, false).is_err(), "{bad}");
        }
        for bad in ["", "[]", "\"x\"", "{a:1}"] {
            assert!(template_data(bad).is_err(), "{bad}");
        }
    }
}
