//! Writes the messages to one page without other files, to share with somebody who has no terminal.

use std::path::Path;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value};
use serde::Serialize;

use super::super::failure::{Exit, Failure};
use super::sample::{Envelope, Sample};
use campaign_sender::domain::address;
use campaign_sender::message::preflight::{Findings, Severity};

#[derive(Serialize)]
struct Contents<'a> {
    title: &'a str,
    messages: Vec<Shown<'a>>,
    found: Vec<Found<'a>>,
    checked: Option<u64>,
}

#[derive(Serialize)]
struct Shown<'a> {
    from: &'a str,
    to: String,
    reply_to: String,
    subject: &'a str,
    html: Option<&'a str>,
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct Found<'a> {
    is_error: bool,
    kind: &'a str,
    text: &'a str,
    count: u64,
}

/// Writes the page. The recipients' addresses on it are masked, and the unsubscribe links are those of a test
/// email.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn write(
    path: &Path,
    title: &str,
    samples: &[Sample],
    findings: &Findings,
    checked: Option<u64>,
) -> Result<(), Failure> {
    let envelopes = samples.iter().filter_map(|sample| sample.message.as_ref().ok());
    let messages: Vec<Shown<'_>> = envelopes.map(shown).collect();
    let found: Vec<Found<'_>> = findings
        .iter()
        .map(|(severity, kind, tally)| Found {
            is_error: severity == Severity::Error,
            kind,
            text: &tally.text,
            count: tally.count,
        })
        .collect();
    let contents = Contents { title, messages, found, checked };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let page = environment
        .add_template("page", include_str!("file.html"))
        .and_then(|()| environment.get_template("page"))
        .and_then(|page| page.render(Value::from(Serde(contents))))
        .map_err(|error| Failure::new(Exit::Software, error))?;
    std::fs::write(path, page)
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("{}: {error}", path.display())))?;
    println!("The preview of \"{title}\" is in {}", path.display());
    Ok(())
}

fn shown(envelope: &Envelope) -> Shown<'_> {
    Shown {
        from: &envelope.from,
        to: address::masked(&envelope.to),
        reply_to: envelope.reply_to.join(", "),
        subject: &envelope.content.subject,
        html: envelope.content.html.as_deref(),
        text: envelope.content.text.as_deref(),
    }
}
