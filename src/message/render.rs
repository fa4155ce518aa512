//! Templates: compiled once per campaign, rendered per recipient.
//!
//! Pure: what a recipient gets depends only on its data and the campaign's. A recipient's data cannot make
//! the process run without end or out of memory: instructions and output are bounded.

mod comments;
pub mod footer;
mod limits;
mod links;
mod namespace;
mod numbers;
mod outline;
#[cfg(test)]
mod poison;
mod seams;
mod shapes;
#[cfg(test)]
mod sharing;
mod text;
mod untracked;
mod variables;

use std::borrow::Cow;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, State, UndefinedBehavior};

use crate::domain::campaign::Source;
use crate::domain::personal;
use crate::message::part::Part;
use links::LinkParameters;
use numbers::Written;
use outline::{Kind, Mark, Outline};
use seams::{Reading, Seams};
use variables::{Data, Variables, object};

/// The most instructions for one part of one email.
const FUEL: u64 = 1_000_000;
/// Blocks, loops and macros that may be open at once while a part is rendered; a macro counts as five.
const MAX_RECURSION: usize = 120;
/// The largest part, as a template and as rendered, in bytes. SES accepts messages of up to 40 MB; a mailing
/// of this size is a mistake.
const MAX_PART_BYTES: usize = 2 * 1024 * 1024;

/// The templates of one campaign and the variables that all its recipients share.
pub struct Templates {
    environment: Environment<'static>,
    shared: Data,
    subject: Outline,
    html: Option<Outline>,
    text: Option<Outline>,
    transactional: bool,
    lessons: RefCell<Lessons>,
}

/// What was learned from the pages of earlier recipients.
#[derive(Default)]
struct Lessons {
    seams: Option<Seams>,
    /// How often seams were learned.
    count: usize,
    /// The number of recipients in a row whose pages differed from it.
    misses: usize,
    /// The number of recipients whose page was read or sent as a whole.
    wholes: usize,
}

/// The number of recipients in a row whose pages differ from what was learned, before it is learned again.
const MAX_MISSES: usize = 3;
/// How often seams are learned for one campaign in one process.
const MAX_LESSONS: usize = 8;

/// One recipient's own data.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The address in the table.
    pub email: &'a str,
    /// The name, if there is one.
    pub name: Option<&'a str>,
    /// JSON object of variables, over the campaign's.
    pub variables: Option<&'a str>,
    /// The recipient's unsubscribe link, for `{{ unsubscribe_url }}`, which no variable overrides. It ends in
    /// the token.
    pub unsubscribe_url: Option<&'a str>,
}

/// What one recipient gets, with the parts of it that all recipients share.
#[derive(Clone, Debug)]
pub struct Parts {
    /// One line.
    pub subject: String,
    /// The HTML part.
    pub html: Option<Part>,
    /// The text part: the campaign's own, or derived from the HTML.
    pub text: Option<Part>,
}

impl Parts {
    /// The parts as they are sent to one recipient alone.
    pub fn join(self) -> Content {
        Content {
            subject: self.subject,
            html: self.html.map(String::from),
            text: self.text.map(String::from),
        }
    }
}

/// What one recipient gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// One line.
    pub subject: String,
    /// The HTML part.
    pub html: Option<String>,
    /// The text part: the campaign's own, or derived from the HTML.
    pub text: Option<String>,
}

/// A campaign's templates do not compile, or its variables are not an object: every recipient would fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTemplate(String);

/// A recipient's data does not fit the template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RenderError(String);

impl RenderError {
    /// Rendering ended in a defect of this program.
    pub fn crashed() -> RenderError {
        RenderError("rendering crashed on this recipient's data".to_owned())
    }
}

impl Templates {
    /// Compiles a campaign's templates, and renders them once without a recipient's data, to find errors for
    /// every recipient: too many steps, a macro that calls itself without end, an unknown filter.
    ///
    /// # Errors
    /// In one line: which part, which line of it, and what is wrong.
    pub fn compile(source: Source) -> Result<Templates, InvalidTemplate> {
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            let mut templates = Templates::read(source)?;
            templates.try_out()?;
            Ok(templates)
        }));
        compiled.unwrap_or_else(|_| {
            Err(InvalidTemplate("the template does not compile: the template engine crashed".to_owned()))
        })
    }

    fn read(source: Source) -> Result<Templates, InvalidTemplate> {
        let Source { campaign_name, subject, html, text, variables, transactional, link_parameters } = source;
        let parameters = LinkParameters::parse(link_parameters.as_deref())
            .map_err(|found| InvalidTemplate(format!("the campaign's link_parameters are {found}")))?;
        let mut environment = Environment::new();
        change_links(&mut environment, &parameters);
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_auto_escape_callback(|name| match name {
            "html" => AutoEscape::Html,
            _ => AutoEscape::None,
        });
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_RECURSION);
        environment.add_filter(namespace::FILTER, namespace::value);
        environment.add_filter("string", as_text);
        environment.add_filter(ENGINE_JOIN, minijinja::filters::join);
        environment.add_filter("join", join);
        let in_values = parameters.clone();
        environment.set_formatter(move |out, state, value| match (state.auto_escape(), value.as_str()) {
            // Text is written unchanged, without the formatting of other values.
            (AutoEscape::None, Some(text)) => Ok(out.write_str(text)?),
            // Markup in a variable may have links too.
            (AutoEscape::Html, Some(html)) if value.is_safe() => {
                Ok(out.write_str(in_values.in_markup(html).as_deref().unwrap_or(html))?)
            }
            _ => match numbers::text(value) {
                Some(text) => Ok(out.write_str(&text)?),
                None if holds_undefined(value) => Err(ErrorKind::UndefinedError.into()),
                None => minijinja::escape_formatter(out, state, value),
            },
        });
        // Errors include their expression; by default they do so only in debug builds.
        environment.set_debug(true);
        let filled = |body: &String| !body.trim().is_empty();
        let (html, text) = (html.filter(filled), text.filter(filled));
        if html.is_none() && text.is_none() {
            return Err(InvalidTemplate("the campaign has neither html nor text".to_owned()));
        }
        for (name, template) in
            [("subject", Some(&subject)), ("html", html.as_ref()), ("text", text.as_ref())]
        {
            if let Some(template) = template {
                let template = with_links_changed(name, readable(name, template)?, &parameters)?;
                environment.add_template_owned(name, template).map_err(|error| {
                    InvalidTemplate(format!("the template does not compile: {}", describe(name, &error)))
                })?;
            }
        }
        let outline = |name: &str, kind| {
            let template = environment.get_template(name).ok();
            template.map(|template| Outline::new(template.source(), kind))
        };
        let (html, text) = (outline("html", Kind::Html), outline("text", Kind::Text));
        let shared = object(variables.as_deref())
            .map_err(|found| InvalidTemplate(format!("the campaign's variables are {found}")))?;
        let with_name = variables::with(&shared.object, "campaign_name", Value::from(campaign_name));
        let shared = Data { object: with_name, ..shared };
        let (subject, lessons) = (Outline::of_whole(), RefCell::default());
        Ok(Templates { environment, shared, subject, html, text, transactional, lessons })
    }

    fn try_out(&mut self) -> Result<(), InvalidTemplate> {
        let nobody = Person {
            email: "somebody@example.com",
            name: None,
            variables: None,
            unsubscribe_url: Some("https://example.com/"),
        };
        let (context, _) = self.context(&nobody).map_err(|error| InvalidTemplate(error.0))?;
        // A variable that only recipients have is no error here.
        self.environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        let parts =
            [("subject", Some(&self.subject)), ("html", self.html.as_ref()), ("text", self.text.as_ref())];
        for (name, outline) in parts.into_iter().filter_map(|(name, outline)| Some((name, outline?))) {
            match self.rendered(name, outline, &context) {
                Err(error) if fails_for_everybody(&error) => {
                    let reason = describe(name, &error);
                    return Err(InvalidTemplate(format!("the template cannot be rendered: {reason}")));
                }
                _ => {}
            }
        }
        self.environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        Ok(())
    }

    /// Renders all parts for one recipient. The same data always gives the same parts. Each part of a
    /// campaign that is not transactional has the recipient's unsubscribe link, in a footer if the template
    /// does not show it.
    ///
    /// # Errors
    /// In one line, with the part, the line and the missing variable.
    pub fn render(&self, person: &Person<'_>) -> Result<Content, RenderError> {
        Ok(self.parts(person)?.join())
    }

    /// The same, with the shared stretches separate from this recipient's own fragments. The joined parts do
    /// not depend on what was rendered before; the places where they are split do.
    ///
    /// # Errors
    /// As [`Templates::render`].
    pub fn parts(&self, person: &Person<'_>) -> Result<Parts, RenderError> {
        let (context, written) = self.context(person)?;
        links::rendering_for(person.unsubscribe_url, || {
            numbers::shown_as([&written, &self.shared.written], || self.parts_with(person, &context))
        })
    }

    /// The number of recipients for whom nothing could be shared, although the template has shared parts.
    pub fn wholes(&self) -> usize {
        self.lessons.borrow().wholes
    }

    fn parts_with(&self, person: &Person<'_>, context: &Value) -> Result<Parts, RenderError> {
        let part = |name: &str, outline: &Option<Outline>| {
            outline.as_ref().map(|outline| self.part(name, outline, context)).transpose()
        };
        let subject = one_line(&String::from(self.part("subject", &self.subject, context)?.0));
        let (mut html, marks) = part("html", &self.html)?.unzip();
        let mut text = part("text", &self.text)?.map(|(text, _)| text);
        let footer = person.unsubscribe_url.filter(|_| !self.transactional);
        if let Some(page) = html.take() {
            // The text is derived from the HTML with its footer, so that it has the link as well.
            let marks = marks.unwrap_or_default();
            let reading = self.reading(page, &marks, footer, text.is_none());
            html = Some(reading.html);
            text = text.or(reading.text);
        }
        if let (Some(url), Some(text)) = (footer, &mut text) {
            footer::add_to_text(text, url);
        }
        if let (Some(url), Some(part)) = (person.unsubscribe_url, &mut html)
            && !untracked::mark_pieces(part, url)
        {
            let mut whole = part.join();
            untracked::mark(&mut whole, url);
            *part = Part::whole(whole);
            self.lessons.borrow_mut().wholes += 1;
        }
        Ok(Parts { subject, html, text })
    }

    /// The page with its footer, if there is a link for one, and its text, if that is derived.
    fn reading(&self, page: Part, marks: &[Mark], footer: Option<&str>, derives: bool) -> Reading {
        let outline = self.html.as_ref().filter(|_| page.shared().is_some());
        let Some(outline) = outline else { return read_whole(page, footer, derives) };
        if footer.is_none() && !derives {
            return Reading { html: page, text: None };
        }
        let mut lessons = self.lessons.borrow_mut();
        if lessons.seams.is_none() && lessons.count < MAX_LESSONS {
            lessons.seams = Some(Seams::learn(outline.fragments(), &page, footer, derives));
            (lessons.count, lessons.misses) = (lessons.count + 1, 0);
        }
        let read = match &mut lessons.seams {
            Some(seams) => seams.read(page, marks, footer),
            None => Err(page),
        };
        match read {
            Ok(reading) => {
                lessons.misses = 0;
                reading
            }
            Err(page) => {
                lessons.misses += 1;
                lessons.wholes += 1;
                if lessons.misses == MAX_MISSES {
                    lessons.seams = None;
                }
                read_whole(page, footer, derives)
            }
        }
    }

    /// Renders the subject alone.
    ///
    /// # Errors
    /// As [`Templates::render`].
    pub fn subject(&self, person: &Person<'_>) -> Result<String, RenderError> {
        let (context, written) = self.context(person)?;
        let subject = numbers::shown_as([&written, &self.shared.written], || {
            self.part("subject", &self.subject, &context)
        })?;
        Ok(one_line(&String::from(subject.0)))
    }

    fn context(&self, person: &Person<'_>) -> Result<(Value, Rc<Written>), RenderError> {
        let own = object(person.variables)
            .map_err(|found| RenderError(format!("the recipient's variables are {found}")))?;
        let name = person.name.map(str::trim).filter(|name| !name.is_empty());
        let context = Value::from_object(Variables {
            email: Value::from(person.email),
            name: name.map(Value::from),
            // It has no character that HTML escapes.
            unsubscribe_url: person.unsubscribe_url.map(|url| Value::from_safe_string(url.to_owned())),
            own: own.object,
            shared: self.shared.object.clone(),
        });
        Ok((context, own.written))
    }

    fn part(&self, name: &str, outline: &Outline, context: &Value) -> Result<(Part, Vec<Mark>), RenderError> {
        self.rendered(name, outline, context).map_err(|error| RenderError(describe(name, &error)))
    }

    fn rendered(
        &self,
        name: &str,
        outline: &Outline,
        context: &Value,
    ) -> Result<(Part, Vec<Mark>), minijinja::Error> {
        let template = self.environment.get_template(name)?;
        let mut output = outline.output(MAX_PART_BYTES);
        template.render_captured_to(context, &mut output)?;
        output
            .into_part()
            .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))
    }
}

fn read_whole(page: Part, footer: Option<&str>, derives: bool) -> Reading {
    let mut page = String::from(page);
    if let Some(url) = footer {
        footer::add_to_html(&mut page, url);
    }
    let text = derives.then(|| Part::whole(text::of_html(&page)));
    Reading { html: Part::whole(page), text }
}

/// Returns true if a part that failed without a recipient's data fails with it as well.
fn fails_for_everybody(error: &minijinja::Error) -> bool {
    match error.kind() {
        ErrorKind::OutOfFuel | ErrorKind::WriteFailure => true,
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction => true,
        ErrorKind::InvalidOperation => error.detail().is_some_and(|detail| {
            detail.starts_with("recursion limit exceeded") || detail.starts_with(namespace::REFUSED)
        }),
        _ => false,
    }
}

/// The template with `{#` of minified CSS as an expression, `{{ '{#' }}`, so that it does not read as a comment.
pub(crate) fn with_css_admitted(template: &str) -> Cow<'_, str> {
    comments::admit(template).unwrap_or(Cow::Borrowed(template))
}

/// The template in the form for the engine.
fn readable(part: &str, template: &str) -> Result<String, InvalidTemplate> {
    let invalid = |what: &str, line: usize| {
        InvalidTemplate(format!("the template does not compile: {what} ({part}, line {line})"))
    };
    let admitted = comments::admit(template).map_err(|found| invalid(found.what, found.line))?;
    limits::check(admitted.into_owned()).map_err(|found| invalid(&found.what, found.line))
}

/// The filters that change links as they are rendered.
fn change_links(environment: &mut Environment<'static>, parameters: &LinkParameters) {
    let (html, text) = (parameters.clone(), parameters.clone());
    // The captured text is already HTML.
    environment.add_filter(links::HTML_FILTER, move |written: String| {
        Value::from_safe_string(html.in_html(&written).unwrap_or(written))
    });
    environment.add_filter(links::TEXT_FILTER, move |word: String| text.in_text(&word).unwrap_or(word));
}

/// The template of a part with the campaign's parameters in its links.
fn with_links_changed(
    part: &str,
    template: String,
    parameters: &LinkParameters,
) -> Result<String, InvalidTemplate> {
    match part {
        "html" => parameters.in_html_template(template).map_err(|line| {
            let what = "link_parameters cannot be added to a link in which a block begins or ends";
            InvalidTemplate(format!("the template does not compile: {what} ({part}, line {line})"))
        }),
        "text" => Ok(parameters.in_text_template(template)),
        _ => Ok(template),
    }
}

/// The filter `string`: numbers are written as in the data.
fn as_text(value: Value) -> Value {
    match numbers::text(&value) {
        Some(text) => Value::from(text),
        None if value.kind() == ValueKind::String => value,
        None => Value::from(value.to_string()),
    }
}

/// The engine's filter `join`, under a name of its own.
const ENGINE_JOIN: &str = "engine_join";

/// The filter `join`: numbers are written as in the data, and undefined items are errors.
fn join(state: &mut State<'_, '_>, value: Value, how: Rest<Value>) -> Result<Value, minijinja::Error> {
    let attributes = how.iter().any(Value::is_kwargs) || how.len() > 1;
    let value = if value.kind() == ValueKind::Seq && !attributes {
        let shown = |item: Value| match numbers::text(&item) {
            _ if item.is_undefined() => Err(ErrorKind::UndefinedError.into()),
            Some(text) => Ok(Value::from(text)),
            None => Ok(item),
        };
        Value::from(value.try_iter()?.map(shown).collect::<Result<Vec<_>, minijinja::Error>>()?)
    } else {
        value
    };
    let arguments: Vec<Value> = [value].into_iter().chain(how.0).collect();
    state.apply_filter(ENGINE_JOIN, &arguments)
}

/// Returns true if a list that is shown as a whole has an undefined item.
fn holds_undefined(value: &Value) -> bool {
    value.kind() == ValueKind::Seq
        && value
            .try_iter()
            .is_ok_and(|mut items| items.any(|item| item.is_undefined() || holds_undefined(&item)))
}

/// Control characters of a rendered subject, including line breaks, become one space: a header field is one
/// line (RFC 5322, 2.2), and a recipient's data must not add another header.
pub(crate) fn one_line(subject: &str) -> String {
    let is_gap = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    let subject = subject.trim();
    if !subject.contains(is_gap) {
        return subject.to_owned();
    }
    let mut line = String::with_capacity(subject.len());
    let mut inside = false;
    for character in subject.chars() {
        let gap = is_gap(character);
        if !gap {
            line.push(character);
        } else if !inside {
            line.push(' ');
        }
        inside = gap;
    }
    line
}

/// The error, its place, and its expression.
fn describe(part: &str, error: &minijinja::Error) -> String {
    let place = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    let expression = error.range().and_then(|range| error.template_source()?.get(range)).unwrap_or_default();
    let words = match error.kind() {
        ErrorKind::UndefinedError => format!("{expression} is not defined ({part}{place})"),
        ErrorKind::OutOfFuel => format!("it takes too many steps ({part}{place}: at most {FUEL})"),
        ErrorKind::WriteFailure => format!("it grows beyond {MAX_PART_BYTES} bytes ({part}{place})"),
        kind => format!("{} ({part}{place})", error.detail().map_or_else(|| kind.to_string(), str::to_owned)),
    };
    // They may quote what a recipient's variables hold.
    personal::masked(&words).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(subject: &str, html: &str) -> Templates {
        Templates::compile(Source {
            campaign_name: "Spring".into(),
            subject: subject.into(),
            html: Some(html.into()),
            text: None,
            variables: Some(
                r#"{"city": "Oslo", "plan": "free", "url": "https://example.com/?a=1&b=2"}"#.into(),
            ),
            transactional: false,
            link_parameters: None,
        })
        .unwrap_or_else(|error| panic!("{error}"))
    }

    fn person<'a>(name: Option<&'a str>, variables: Option<&'a str>) -> Person<'a> {
        Person { email: "ada@example.com", name, variables, unsubscribe_url: None }
    }

    #[test]
    fn merge_values_are_escaped_in_html_only() {
        let content = templates("{{ name }} & {{ city }}", "<p title=\"{{ name }}\">{{ name }}</p>")
            .render(&person(Some("<b>O'Neil \"x\"</b>"), None))
            .unwrap();
        assert_eq!(content.subject, "<b>O'Neil \"x\"</b> & Oslo");
        let html = content.html.unwrap();
        assert!(!html.contains("<b>") && !html.contains("\"x\""), "{html}");
    }

    #[test]
    fn a_recipients_variables_lie_over_the_campaigns_and_null_is_no_value() {
        let render = |variables| {
            templates("{{ plan }} {{ city }} {{ campaign_name }}", "x")
                .render(&person(None, Some(variables)))
                .unwrap()
                .subject
        };
        assert_eq!(render(r#"{"plan": "pro", "city": null, "campaign_name": "mine"}"#), "pro Oslo mine");
        assert_eq!(render("{}"), "free Oslo Spring");
    }

    #[test]
    fn a_template_that_is_looked_into_shows_each_variable_once_and_none_that_is_null() {
        let person = person(Some("Ada"), Some(r#"{"plan": "pro", "city": "Rome", "note": null}"#));
        let content = templates("{{ debug() }}", "x").render(&person).unwrap();
        for (variable, times) in [
            ("plan", 1),
            ("city", 1),
            ("campaign_name", 1),
            ("email", 1),
            ("note", 0),
            ("unsubscribe_url", 0),
        ] {
            assert_eq!(content.subject.matches(variable).count(), times, "{variable}: {}", content.subject);
        }
    }

    #[test]
    fn a_variable_that_is_not_there_is_named() {
        let error =
            |html, variables| templates("x", html).render(&person(None, variables)).unwrap_err().to_string();
        insta::assert_snapshot!(error("<p>\n{{ company }}</p>", None), @"company is not defined (html, line 2)");
        insta::assert_snapshot!(error("{{ name }}", Some(r#"{"x": 1}"#)), @"name is not defined (html, line 1)");
        insta::assert_snapshot!(error("{{ order.total }}", Some(r#"{"order": {}}"#)), @"order.total is not defined (html, line 1)");
        insta::assert_snapshot!(error("x", Some("[1]")), @"the recipient's variables are an array, not an object");
        assert_eq!(
            templates("{{ name or 'friend' }}, {{ company|default('you') }}", "x")
                .render(&person(Some("  "), None))
                .unwrap()
                .subject,
            "friend, you"
        );
    }

    #[test]
    fn a_template_that_does_not_compile_says_where() {
        let error = |subject: &str, html: Option<&str>, variables: Option<&str>| {
            Templates::compile(Source {
                campaign_name: String::new(),
                subject: subject.into(),
                html: html.map(str::to_owned),
                text: None,
                variables: variables.map(str::to_owned),
                transactional: false,
                link_parameters: None,
            })
            .err()
            .unwrap()
            .to_string()
        };
        insta::assert_snapshot!(error("x", Some("<p>\n{% if %}"), None), @"the template does not compile: unexpected end of block (html, line 2)");
        insta::assert_snapshot!(error("{{ a", Some("x"), None), @"the template does not compile: unexpected end of input, expected end of variable block (subject, line 1)");
        insta::assert_snapshot!(error("x", None, None), @"the campaign has neither html nor text");
        insta::assert_snapshot!(error("x", Some(" \n"), None), @"the campaign has neither html nor text");
        insta::assert_snapshot!(error("x", Some("x"), Some("[]")), @"the campaign's variables are an array, not an object");
    }

    #[test]
    fn a_subject_is_one_line_whatever_the_data_holds() {
        let content = templates("Hi {{ name }}", "x")
            .render(&person(Some("A\r\nBcc: b@example.com\u{0}\tC\u{2028}D"), None));
        assert_eq!(content.unwrap().subject, "Hi A Bcc: b@example.com C D");
    }

    #[test]
    fn data_that_makes_a_template_run_without_end_or_grow_without_bound_costs_its_recipient_only() {
        let error = |html| {
            let person = person(None, Some(r#"{"n": 90000}"#));
            templates("x", html).render(&person).unwrap_err().to_string()
        };
        insta::assert_snapshot!(error("{% for a in range(n) %}{% for b in range(n) %}{% endfor %}{% endfor %}"), @"it takes too many steps (html, line 1: at most 1000000)");
        insta::assert_snapshot!(error("{% for a in range(n) %}{{ 'x' * 1000 }}{% endfor %}"), @"it grows beyond 2097152 bytes (html)");
    }

    #[test]
    fn what_fails_whatever_the_data_does_not_compile() {
        let error = |html: &str| {
            let source = Source {
                campaign_name: String::new(),
                subject: "x".into(),
                html: Some(html.into()),
                text: None,
                variables: None,
                transactional: false,
                link_parameters: None,
            };
            Templates::compile(source).err().map(|error| error.to_string()).unwrap_or_default()
        };
        insta::assert_snapshot!(error("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}"), @"the template cannot be rendered: it takes too many steps (html, line 1: at most 1000000)");
        insta::assert_snapshot!(error("{{ missing.too }}\n{{ name|nosuch }}"), @"the template cannot be rendered: filter nosuch is unknown (html, line 2)");
        insta::assert_snapshot!(error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), @"the template cannot be rendered: recursion limit exceeded (html, line 1)");
    }

    fn subject(template: &str, variables: &str) -> Result<String, String> {
        let content = templates(template, "x").render(&person(None, Some(variables)));
        content.map(|content| content.subject).map_err(|error| error.to_string())
    }

    #[test]
    fn null_is_no_value_wherever_it_stands() {
        let data =
            r#"{"contact": {"first_name": null, "city": "Oslo"}, "tags": ["a", null, "b"], "city": null}"#;
        for (template, shown) in [
            ("{{ contact.first_name or 'friend' }}", "friend"),
            ("{{ contact.first_name|default('friend') }}", "friend"),
            ("{% if contact.first_name is defined %}x{% else %}y{% endif %}", "y"),
            ("{% if contact.first_name is none %}x{% else %}y{% endif %}", "y"),
            ("{% if contact.first_name %}x{% else %}y{% endif %}", "y"),
            ("{% if 'first_name' in contact %}x{% else %}y{% endif %}", "y"),
            ("{{ contact|length }} {% for key in contact %}{{ key }}{% endfor %}", "1 city"),
            ("{{ tags|length }} {% for tag in tags if tag %}{{ tag }}{% endfor %}", "3 ab"),
            ("{% for tag in tags %}{{ tag or '-' }}{% endfor %}", "a-b"),
            ("{% if tags[1] is defined %}x{% else %}y{% endif %}", "y"),
            ("{{ contact|tojson }}", r#"{"city": "Oslo"}"#),
            ("{{ tags|tojson }}", r#"["a", null, "b"]"#),
            ("{{ city }}", "Oslo"),
        ] {
            assert_eq!(subject(template, data).as_deref(), Ok(shown), "{template}");
        }
        for (template, error) in [
            ("{{ contact.first_name }}", "contact.first_name is not defined (subject, line 1)"),
            ("{{ tags[1] }}", "tags[1] is not defined (subject, line 1)"),
            ("{% for tag in tags %}{{ tag }}{% endfor %}", "tag is not defined (subject, line 1)"),
            ("{{ tags }}", "tags is not defined (subject, line 1)"),
            ("{{ tags|join(', ') }}", ""),
            ("{{ 'Dear ' ~ contact.first_name }}", ""),
        ] {
            let found = subject(template, data);
            assert!(found.as_ref().is_err_and(|found| found.contains(error)), "{template}: {found:?}");
        }
    }

    #[test]
    fn numbers_are_shown_as_the_data_wrote_them_and_are_calculated_with() {
        let numbers = [
            "20.00",
            "12345678901234567891234",
            "1e400",
            "-0.0",
            "0.10",
            "-0",
            "1E5",
            "1.0e-7",
            "0.1",
            "7",
            "-7",
            "1e2",
            "340282366920938463463374607431768211455",
            "123456789012345678901234567890123456789012345678",
            "3.14159265358979323846264338327950288",
            "18446744073709551615",
            "0.000000000000000000001",
        ];
        for number in numbers {
            let data = format!(r#"{{"n": {number}, "o": {{"list": ["12", {number}]}}, "city": {number}}}"#);
            let shown = subject("{{ n }} {{ o.list[1] }} {{ city }} {{ n|string }}", &data);
            assert_eq!(shown.as_deref(), Ok(format!("{number} {number} {number} {number}").as_str()));
        }
        let data = r#"{"price": 20.00, "n": 3, "weight": 1e400, "other": 20.0}"#;
        for (template, shown) in [
            (
                "{{ price * n }} {{ price + 0.5 }} {{ price|int }} {{ '%.1f'|format(price) }}",
                "60.0 20.5 20 20.0",
            ),
            ("{% if price > 10 and price == 20 and weight > price %}x{% endif %}", "x"),
            ("{{ price }} {{ other }}", "20.00 20.0"),
            ("{{ [3, price]|max }} {{ [price]|sum }} {{ [price, n]|join(', ') }}", "20.00 20.00 20.00, 3"),
        ] {
            assert_eq!(subject(template, data).as_deref(), Ok(shown), "{template}");
        }
    }

    #[test]
    fn css_is_no_comment_and_text_does_not_vanish() {
        let css = "<style>@media print{#footer{display:none}}@media a{#b{c:d}}</style>{# gone #}<p>Hi</p>";
        let content = templates("x", css).render(&person(None, None)).unwrap();
        assert_eq!(content.html.unwrap(), css.replace("{# gone #}", ""));
    }

    const LINK: &str = "https://example.com/u/TOKEN";

    fn with_link(variables: &str) -> Person<'_> {
        Person { unsubscribe_url: Some(LINK), ..person(None, Some(variables)) }
    }

    #[test]
    fn nobodys_data_overrides_the_link_to_unsubscribe() {
        let theirs = r#"{"unsubscribe_url": "https://evil.example.com"}"#;
        let compile = |transactional| {
            Templates::compile(Source {
                campaign_name: "Spring".into(),
                subject: "x".into(),
                html: Some("<a href=\"{{ unsubscribe_url }}\">Enough</a>".into()),
                text: None,
                variables: Some(theirs.into()),
                transactional,
                link_parameters: None,
            })
            .unwrap()
        };
        for transactional in [false, true] {
            let content = compile(transactional).render(&with_link(theirs)).unwrap();
            assert_eq!(content.html.unwrap(), format!("<a ses:no-track href=\"{LINK}\">Enough</a>"));
            assert!(content.text.unwrap().contains(LINK));
            let error = compile(transactional).render(&person(None, Some(theirs))).unwrap_err().to_string();
            assert_eq!(error, "unsubscribe_url is not defined (html, line 1)");
        }
    }

    #[test]
    fn each_part_that_does_not_show_the_link_gets_a_footer_unless_the_campaign_is_transactional() {
        let render = |html: Option<&str>, text: Option<&str>, transactional| {
            Templates::compile(Source {
                campaign_name: "Spring".into(),
                subject: "x".into(),
                html: html.map(str::to_owned),
                text: text.map(str::to_owned),
                variables: None,
                transactional,
                link_parameters: None,
            })
            .unwrap()
            .render(&with_link("{}"))
            .unwrap()
        };
        let links = |part: Option<String>| part.map(|part| part.matches(LINK).count());
        for (html, text) in [
            (Some("<p>Hi</p>"), None),
            (Some("<p>Hi</p>"), Some("Hi")),
            (None, Some("Hi")),
            (Some("<a href='{{ unsubscribe_url }}'>Enough</a>"), Some("Hi")),
            (Some("{% if false %}{{ unsubscribe_url }}{% endif %}"), None),
        ] {
            let content = render(html, text, false);
            assert_eq!(links(content.html), html.map(|_| 1), "{html:?}");
            assert_eq!(links(content.text), Some(1), "{text:?}");
        }
        for html in [
            "<!-- {{ unsubscribe_url }} --><p>Hi</p>",
            "<!--[if mso]><a href='{{ unsubscribe_url }}'>Enough</a><![endif]--><p>Hi</p>",
            "<div style='display: none'><a href='{{ unsubscribe_url }}'>Enough</a></div><p>Hi</p>",
            "<a style='visibility:hidden' href='{{ unsubscribe_url }}'>Enough</a><p>Hi</p>",
            "<p style='FONT-SIZE:0PX !important'><a href='{{ unsubscribe_url }}'>Enough</a></p>",
            "<p hidden>{{ unsubscribe_url }}</p>",
            "<template><a href='{{ unsubscribe_url }}'>Enough</a></template>",
            "<style>/* {{ unsubscribe_url }} */</style>",
            "<script>'{{ unsubscribe_url }}'</script>",
            "<noscript><a href='{{ unsubscribe_url }}'>Enough</a></noscript>",
            "<head><link href='{{ unsubscribe_url }}'><title>{{ unsubscribe_url }}</title></head><p>Hi</p>",
            "<a href='{{ unsubscribe_url }}'></a><p>Hi</p>",
            "<img src='{{ unsubscribe_url }}'><p>Hi</p>",
        ] {
            let content = render(Some(html), None, false);
            let (html, text) = (content.html.unwrap(), content.text.unwrap());
            assert!(html.contains(&format!("<a ses:no-track href=\"{LINK}\">Unsubscribe</a>")), "{html}");
            assert_eq!(text.matches(LINK).count(), 1, "{html}: {text}");
        }
        let content = render(Some("<p>Hi</p>"), None, true);
        assert_eq!(
            (content.html.as_deref(), content.text.as_deref().map(str::trim)),
            (Some("<p>Hi</p>"), Some("Hi"))
        );
    }

    #[test]
    fn a_text_part_is_derived_from_the_html_and_keeps_its_links() {
        let content =
            templates("x", "<h1>Hi {{ name }}</h1><p>See <a href=\"{{ url }}\">the &amp; page</a></p>")
                .render(&person(Some("Zoë & Co"), None))
                .unwrap();
        insta::assert_snapshot!(content.text.unwrap(), @r"
        Hi Zoë & Co

        See the & page (https://example.com/?a=1&b=2)
        ");
    }

    #[test]
    fn a_text_part_says_what_images_say_and_where_links_lead_that_hold_them() {
        let html = "<table><tr><td><a href=\"https://example.com/?a=1&amp;b=2\"><img src=\"a.png\" alt=\"Kaffa\"></a></td>\
                    <td><a href=\"/offers\"><b>Our</b> <span><i>offers</i></span></a></td></tr></table>\
                    <a href=\"https://example.com/x\"><img src=\"b.png\"></a> <img src=\"c.png\" alt=\"\">\
                    <style>p{}</style><a href=\"mailto:a@example.com\">a@example.com</a>";
        let content = templates("x", html).render(&person(None, None)).unwrap();
        insta::assert_snapshot!(content.text.unwrap(), @r"
        Kaffa (https://example.com/?a=1&b=2)  Our offers (/offers)
        https://example.com/x a@example.com
        ");
    }
}
