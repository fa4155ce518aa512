//! Prints messages and findings in the terminal.

use console::style;
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{format, output};
use super::dry_run::Checked;
use super::sample::{Envelope, Sample};
use campaign_sender::domain::send_api::MAX_ENTRIES;
use campaign_sender::message::preflight::{Findings, Severity};
use campaign_sender::send_batch::send::{Sender, bulk_request};

/// Prints a message: its headers, and its text or HTML source.
pub fn message(sample: &Sample, sender: &Sender, html: bool) {
    if sample.suppressed {
        let address = &sample.recipient.email;
        println!("{}\n", style(format!("{address} is suppressed and gets no email.")).yellow());
    }
    let Ok(envelope) = &sample.message else { return };
    headers(envelope, sender);
    let content = &envelope.content;
    let part = if html { content.html.as_deref() } else { content.text.as_deref() };
    let part = format!(
        "\n{}\n\n",
        part.unwrap_or(if html { "(no HTML part)" } else { "(no text part)" }).trim_end()
    );
    if html {
        output::print_source(&part);
    } else {
        output::print(format_args!("{part}"));
    }
}

fn headers(envelope: &Envelope, sender: &Sender) {
    let line = |name: &str, value: &str| println!("{} {value}", style(format!("{name}:")).dim());
    line("From", &envelope.from);
    line("To", &envelope.to);
    if !envelope.reply_to.is_empty() {
        line("Reply-To", &envelope.reply_to.join(", "));
    }
    line("Subject", &style(&envelope.content.subject).bold().to_string());
    for (name, value) in &envelope.content.headers {
        line(name, value);
    }
    for (name, value) in &envelope.tags {
        line("Tag", &format!("{name}={value}"));
    }
    let size = |part: &Option<String>| part.as_ref().map_or(0, String::len) as u64;
    let (html, text) = (size(&envelope.content.html), size(&envelope.content.text));
    let own = envelope.composed.own_bytes() as u64;
    line(
        "Size",
        &format!(
            "HTML {} bytes, text {} bytes; of both and the subject, {} bytes are only this recipient's",
            format::count(html),
            format::count(text),
            format::count(own)
        ),
    );
    let call = match bulk_request(sender, vec![envelope.composed.clone(); MAX_ENTRIES]) {
        Some((entries, request)) => format!(
            "{} such messages in a request of {} bytes",
            entries.len(),
            format::count(request.len() as u64)
        ),
        None => "too large for one: it is sent by a call of its own".to_owned(),
    };
    line("Bulk call", &call);
}

/// Prints the findings, errors first. With an error, the command fails.
pub fn verdict(findings: &Findings, checked: Option<Checked>) -> Result<(), Failure> {
    for line in lines(findings, checked) {
        println!("{line}");
    }
    stopped(findings)
}

/// The findings, errors first, for a machine.
pub fn as_json(campaign: Uuid, findings: &Findings, checked: Option<Checked>) -> serde_json::Value {
    let found = findings.iter().map(|(severity, kind, tally)| {
        serde_json::json!({
            "severity": match severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "kind": kind,
            "text": tally.text,
            "count": tally.count,
            "example": tally.example,
        })
    });
    let checked = checked.map(|Checked { sendable, failing, suppressed }| {
        serde_json::json!({"sendable": sendable, "failing": failing, "suppressed": suppressed})
    });
    serde_json::json!({"campaignId": campaign, "checked": checked, "findings": found.collect::<Vec<_>>()})
}

/// The findings, errors first, in lines for a person.
pub fn lines(findings: &Findings, checked: Option<Checked>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(checked) = checked {
        let Checked { sendable, failing, suppressed } = checked;
        let count = |n: u64| format::count(n);
        lines.push(format!(
            "{} checked: {} would be sent to, {} would fail, {} suppressed",
            format::counted(checked.total(), "recipient"),
            count(sendable),
            count(failing),
            count(suppressed)
        ));
    }
    for (severity, kind, tally) in findings.iter() {
        let sign = match severity {
            Severity::Error => style("error  ").red().bold(),
            Severity::Warning => style("warning").yellow(),
        };
        let of = match (&tally.example, checked) {
            (Some(example), Some(_)) if tally.count == 1 => format!(" ({example})"),
            (Some(example), Some(_)) => {
                format!(" ({}, for example {example})", format::counted(tally.count, "recipient"))
            }
            _ => String::new(),
        };
        lines.push(format!("{sign}  {kind}: {}{}", tally.text, style(of).dim()));
    }
    if findings.is_empty() {
        lines.push(style("Nothing to object to.").green().to_string());
    }
    lines
}

/// Checks that the findings have no errors.
///
/// # Errors
/// The number of errors, if there are any.
pub fn stopped(findings: &Findings) -> Result<(), Failure> {
    let errors = findings.iter().filter(|(severity, ..)| *severity == Severity::Error).count();
    if errors == 0 {
        return Ok(());
    }
    let verb = if errors == 1 { "stops" } else { "stop" };
    let message = format!("{} {verb} the campaign: see above", format::counted(errors, "error"));
    Err(Failure::new(Exit::Data, message))
}
