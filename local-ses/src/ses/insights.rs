//! Message Insights, which SES has where Virtual Deliverability Manager is on: `CreateExportJob` and `GetExportJob` (from
//! the source `MessageInsightsDataSource`), and `GetMessageInsights`.
//!
//! A job is `CREATED`, then `PROCESSING`, then `COMPLETED`, one step for each answer of `GetExportJob`. Its file is at
//! `/_local/exports/JOB`. AWS documents no fields of that file; nothing can rely on more than that it has the message
//! ids.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    events::events,
    message::{Message, since_epoch},
    refusal::Refusal,
};

const DEFAULT_RESULTS: usize = 1000;
const MAX_RESULTS: usize = 10_000;
/// The most values of a filter for addresses, for the subject, and for the tenant.
const MAX_ADDRESSES: usize = 5;
const MAX_SUBJECTS: usize = 1;
const MAX_TENANTS: usize = 5;

/// Virtual Deliverability Manager. It is off unless it is turned on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Vdm {
    pub enabled: bool,
    /// Export jobs end as `FAILED`.
    pub failing: bool,
}

/// The setting, and the jobs since the start.
#[derive(Default)]
pub(super) struct Insights {
    pub(super) vdm: Vdm,
    jobs: Vec<Job>,
}

struct Job {
    id: String,
    source: Value,
    format: Format,
    file: String,
    records: usize,
    created: SystemTime,
    /// How many answers of `GetExportJob` there were.
    polls: usize,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Format {
    Csv,
    Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Create {
    export_data_source: Value,
    export_destination: Destination,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Destination {
    data_format: Format,
    s3_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Source {
    start_date: f64,
    end_date: f64,
    #[serde(default)]
    include: Filters,
    exclude: Option<Filters>,
    max_results: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Filters {
    from_email_address: Vec<String>,
    destination: Vec<String>,
    subject: Vec<String>,
    tenant_name: Vec<String>,
}

impl Insights {
    /// The answer of `CreateExportJob`. The file has what the mailbox has now.
    pub(super) fn create(
        &mut self,
        body: &[u8],
        messages: &[std::sync::Arc<Message>],
    ) -> Result<Value, Refusal> {
        self.check_enabled()?;
        let Create { export_data_source, export_destination } = parse(body)?;
        if export_destination.s3_url.is_some() {
            return Err(Refusal::bad_request("S3Url must not be specified."));
        }
        let sources: Vec<&String> =
            export_data_source.as_object().into_iter().flat_map(|o| o.keys()).collect();
        if sources != ["MessageInsightsDataSource"] {
            return Err(Refusal::bad_request(
                "ExportDataSource: only MessageInsightsDataSource is served here.",
            ));
        }
        let source: Source = serde_json::from_value(export_data_source["MessageInsightsDataSource"].clone())
            .map_err(|error| Refusal::bad_request(format!("Malformed request: {error}.")))?;
        let limit = source.check()?;
        let found: Vec<&Message> = messages
            .iter()
            .map(|message| &**message)
            .filter(|message| source.takes(message))
            .take(limit)
            .collect();
        let format = export_destination.data_format;
        let id = Uuid::new_v4().to_string();
        self.jobs.push(Job {
            id: id.clone(),
            source: export_data_source,
            format,
            file: file(&found, format),
            records: found.len(),
            created: SystemTime::now(),
            polls: 0,
        });
        Ok(json!({ "JobId": id }))
    }

    /// The answer of `GetExportJob`; `host` is where this endpoint was called.
    pub(super) fn answer(&mut self, id: &str, host: &str) -> Result<Value, Refusal> {
        let failing = self.vdm.failing;
        let job = self.jobs.iter_mut().find(|job| job.id == id);
        let job = job.ok_or_else(|| Refusal::not_found(format!("Export job {id} does not exist.")))?;
        job.polls += 1;
        let status = match job.polls {
            1 => "CREATED",
            2 => "PROCESSING",
            _ if failing => "FAILED",
            _ => "COMPLETED",
        };
        let format = match job.format {
            Format::Csv => "CSV",
            Format::Json => "JSON",
        };
        let mut answer = json!({
            "JobId": id,
            "ExportSourceType": "MESSAGE_INSIGHTS",
            "JobStatus": status,
            "ExportDataSource": job.source,
            "ExportDestination": { "DataFormat": format },
            "CreatedTimestamp": since_epoch(job.created).as_secs_f64(),
        });
        if status == "COMPLETED" {
            answer["CompletedTimestamp"] = answer["CreatedTimestamp"].clone();
            answer["ExportDestination"]["S3Url"] = json!(format!("http://{host}/_local/exports/{id}"));
            answer["Statistics"] =
                json!({ "ProcessedRecordsCount": job.records, "ExportedRecordsCount": job.records });
        }
        if status == "FAILED" {
            answer["FailureInfo"] = json!({ "ErrorMessage": "The export failed." });
        }
        Ok(answer)
    }

    /// The file of a job, for the URL in its answer.
    pub(super) fn file(&self, id: &str) -> Option<String> {
        self.jobs.iter().find(|job| job.id == id).map(|job| job.file.clone())
    }

    /// The answer of `GetMessageInsights`.
    pub(super) fn message(&self, id: &str, message: Option<&Message>) -> Result<Value, Refusal> {
        self.check_enabled()?;
        let message = message.ok_or_else(|| Refusal::not_found(format!("Message {id} does not exist.")))?;
        let events = events(message);
        let happened: Vec<Value> = events.iter().map(|event| happening(&event["detail"], message)).collect();
        let per_recipient = |address: &str| json!({ "Destination": address, "Events": happened });
        // The event has the tags that SES adds itself, too; each has an array of values.
        let tags = events
            .first()
            .and_then(|event| event["detail"]["mail"]["tags"].as_object())
            .into_iter()
            .flatten();
        let tags: Vec<Value> =
            tags.map(|(name, values)| json!({ "Name": name, "Value": values[0] })).collect();
        Ok(json!({
            "MessageId": message.id,
            "FromEmailAddress": message.from,
            "Subject": message.subject,
            "EmailTags": tags,
            "Insights": message.recipients().map(per_recipient).collect::<Vec<_>>(),
        }))
    }

    fn check_enabled(&self) -> Result<(), Refusal> {
        if self.vdm.enabled {
            return Ok(());
        }
        Err(Refusal::bad_request("Virtual Deliverability Manager is not enabled for this account."))
    }
}

fn happening(detail: &Value, message: &Message) -> Value {
    let kind = detail["eventType"].as_str().unwrap_or_default();
    json!({
        "Type": kind.to_uppercase().replace(' ', "_"),
        "Timestamp": since_epoch(message.received).as_secs_f64(),
    })
}

impl Source {
    /// Checks the limits of the API; returns the maximum number of results.
    fn check(&self) -> Result<usize, Refusal> {
        if self.end_date < self.start_date {
            return Err(Refusal::bad_request("EndDate must not be before StartDate."));
        }
        let limit = self.max_results.unwrap_or(DEFAULT_RESULTS);
        if !(1..=MAX_RESULTS).contains(&limit) {
            return Err(Refusal::bad_request(format!("MaxResults: {limit} is not from 1 to {MAX_RESULTS}.")));
        }
        for filters in [Some(&self.include), self.exclude.as_ref()].into_iter().flatten() {
            for (name, values, most) in [
                ("FromEmailAddress", &filters.from_email_address, MAX_ADDRESSES),
                ("Destination", &filters.destination, MAX_ADDRESSES),
                ("Subject", &filters.subject, MAX_SUBJECTS),
                ("TenantName", &filters.tenant_name, MAX_TENANTS),
            ] {
                if values.len() > most {
                    return Err(Refusal::bad_request(format!("{name}: more than {most} values.")));
                }
            }
        }
        Ok(limit)
    }

    fn takes(&self, message: &Message) -> bool {
        let at = |seconds: f64| UNIX_EPOCH + Duration::from_secs_f64(seconds.max(0.0));
        (at(self.start_date)..=at(self.end_date)).contains(&message.received)
            && self.include.takes(message)
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.takes(message))
    }
}

impl Filters {
    /// Filters are joined by AND, the values of one filter by OR.
    fn takes(&self, message: &Message) -> bool {
        let any = |patterns: &[String], value: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, value))
        };
        any(&self.from_email_address, &message.from)
            && (self.destination.is_empty() || message.recipients().any(|to| any(&self.destination, to)))
            && any(&self.subject, &message.subject)
            && any(&self.tenant_name, message.tenant.as_deref().unwrap_or_default())
    }
}

/// Whether a value matches a pattern: `*` at its beginning or end stands for anything, `\` before a character for
/// that character.
fn matches(pattern: &str, value: &str) -> bool {
    let (open_start, pattern) = match pattern.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (open_end, pattern) = match pattern.strip_suffix('*') {
        Some(rest) if !rest.ends_with('\\') => (true, rest),
        _ => (false, pattern),
    };
    let mut literal = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        literal.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    match (open_start, open_end) {
        (true, true) => value.contains(&literal),
        (true, false) => value.ends_with(&literal),
        (false, true) => value.starts_with(&literal),
        (false, false) => value == literal,
    }
}

fn file(messages: &[&Message], format: Format) -> String {
    let to = |message: &Message| message.recipients().next().unwrap_or_default().to_owned();
    match format {
        Format::Json => {
            let row = |message: &&Message| {
                json!({
                    "MessageId": message.id,
                    "SendTimestamp": message.received_iso(),
                    "FromEmailAddress": message.from,
                    "Destination": to(message),
                    "Subject": message.subject,
                })
            };
            json!(messages.iter().map(row).collect::<Vec<_>>()).to_string()
        }
        Format::Csv => {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let mut csv = String::from("MessageId,SendTimestamp,FromEmailAddress,Destination,Subject\n");
            for message in messages {
                let (from, subject) = (quoted(&message.from), quoted(&message.subject));
                let (id, at, to) = (&message.id, message.received_iso(), to(message));
                let _ = writeln!(csv, "{id},{at},{from},{to},{subject}");
            }
            csv
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("Malformed request: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_at_either_end_only() {
        for (pattern, value, expected) in [
            ("ada@example.com", "ada@example.com", true),
            ("ada@example.com", "Ada@example.com", false),
            ("*@example.com", "ada@example.com", true),
            ("ada@*", "ada@example.com", true),
            ("*example*", "ada@example.com", true),
            ("a*a@example.com", "ada@example.com", false),
            ("\\*ada", "*ada", true),
            ("\\*ada", "xada", false),
            ("ada\\*", "ada*", true),
            ("ada\\*", "adam", false),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} {value}");
        }
    }
}
