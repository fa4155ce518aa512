//! Compares a bulk call, as SES renders it, with single calls. The call's template is stored for a moment
//! under its own name, SES renders it for some recipients without sending, and each part is compared with the
//! part of a single call.

use std::collections::HashMap;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::DisplayErrorContext;
use aws_sdk_sesv2::types::EmailTemplateContent;
use mail_parser::MessageParser;
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{format, output, soon};
use super::Case;
use super::sample::{Envelope, Sample, recipient};
use campaign_sender::domain::batch::{MAX_VARIABLES_BYTES, Recipient};
use campaign_sender::message::render::Templates;
use campaign_sender::send_batch::send::bulk_request;
use campaign_sender::ses;

/// The number of recipients for whom SES renders, unless some are named. SES takes one such request a second.
const RECIPIENTS: usize = 5;

/// The first recipients of the campaign.
pub async fn first(case: &Case, templates: &Templates) -> Result<Vec<Sample>, Failure> {
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&case.campaign.id, Type::UUID), (&-1_i64, Type::INT8), (&MAX_VARIABLES_BYTES, Type::INT4)];
    let rows = case.database.query(include_str!("page.sql"), &parameters, soon()).await?;
    let sample = |row| Sample::of(templates, &case.sender, recipient(row), &case.campaign);
    Ok(rows.iter().take(RECIPIENTS).map(sample).collect())
}

/// The result for one recipient.
enum Comparison {
    Same,
    /// The part that differs.
    Differs(&'static str),
    /// Its message does not go into a call with the first: its number among those that were rendered.
    Apart(usize),
    /// It gets no message, for this reason.
    NotRendered(String),
}

/// A recipient whose message is compared.
struct Rehearsed {
    recipient: Recipient,
    comparison: Comparison,
}

/// Compares, and prints the result for each recipient.
pub async fn run(case: &Case, samples: Vec<Sample>, json: bool) -> Result<(), Failure> {
    let (mut recipients, mut envelopes, mut rehearsed) = (Vec::new(), Vec::new(), Vec::new());
    for Sample { recipient, message, .. } in samples {
        match message {
            Ok(envelope) => {
                recipients.push(recipient);
                envelopes.push(envelope);
            }
            Err(finding) => {
                rehearsed.push(Rehearsed { recipient, comparison: Comparison::NotRendered(finding.text) });
            }
        }
    }
    let messages = envelopes.iter().map(|envelope| envelope.composed.clone()).collect();
    let Some((entries, request)) = bulk_request(&case.sender, messages) else {
        return Err(Failure::new(Exit::Data, "no recipient's message goes into a bulk call"));
    };
    let request: Value = serde_json::from_slice(&request)
        .map_err(|error| Failure::new(Exit::Software, format!("the request is not JSON: {error}")))?;
    let client = ses::reading_client().await;
    let name = format!("campaign-check-{}", Uuid::new_v4().simple());
    create(&client, &name, &request).await?;
    let compared = compare(&client, &name, &request, &entries, &envelopes).await;
    let deleted = client.delete_email_template().template_name(&name).send().await;
    if let Err(error) = deleted {
        let error = DisplayErrorContext(&error);
        eprintln!("SES's template {name} could not be deleted; delete it by hand: {error}");
    }
    let mut compared: HashMap<usize, Comparison> = compared?.into_iter().collect();
    for (number, recipient) in recipients.into_iter().enumerate() {
        let comparison = compared.remove(&number).unwrap_or(Comparison::Apart(number + 1));
        rehearsed.push(Rehearsed { recipient, comparison });
    }
    if json {
        let recipients: Vec<Value> = rehearsed.iter().map(Rehearsed::as_json).collect();
        output::write_json(&serde_json::json!({"campaignId": case.campaign.id, "recipients": recipients}));
    } else {
        rehearsed.iter().for_each(Rehearsed::describe);
    }
    match rehearsed.iter().filter(|of| matches!(of.comparison, Comparison::Differs(_))).count() {
        0 => Ok(()),
        different => {
            let message = format!(
                "{} would get another email by SendBulkEmail than by SendEmail: set SEND_API=single",
                format::counted(different, "recipient")
            );
            Err(Failure::new(Exit::Data, message))
        }
    }
}

impl Rehearsed {
    fn describe(&self) {
        let address = &self.recipient.email;
        match &self.comparison {
            Comparison::Same => println!("{address}: the same by both calls"),
            Comparison::Differs(part) => println!("{address}: the {part} differs"),
            Comparison::Apart(number) => {
                println!("{address}: not compared: number {number} does not go into a call with the first");
            }
            Comparison::NotRendered(why) => println!("{address}: {why}"),
        }
    }

    fn as_json(&self) -> Value {
        let (result, detail) = match &self.comparison {
            Comparison::Same => ("same", None),
            Comparison::Differs(part) => ("differs", Some(*part)),
            Comparison::Apart(_) => ("notCompared", None),
            Comparison::NotRendered(why) => ("notRendered", Some(why.as_str())),
        };
        let Recipient { id, email, .. } = &self.recipient;
        serde_json::json!({"recipientId": id, "email": email, "result": result, "detail": detail})
    }
}

async fn create(client: &Client, name: &str, request: &Value) -> Result<(), Failure> {
    let content = &request["DefaultContent"]["Template"]["TemplateContent"];
    let part = |name: &str| content[name].as_str().map(str::to_owned);
    let content = EmailTemplateContent::builder()
        .set_subject(part("Subject"))
        .set_html(part("Html"))
        .set_text(part("Text"))
        .build();
    let created = client.create_email_template().template_name(name).template_content(content).send().await;
    created
        .map(drop)
        .map_err(|error| refused("CreateEmailTemplate", &DisplayErrorContext(&error).to_string()))
}

fn refused(call: &str, error: &str) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format!("SES did not take {call} (ses:{call} has to be allowed): {error}"),
    )
}

/// Returns the number of each message that SES rendered, and how it compares.
async fn compare(
    client: &Client,
    name: &str,
    request: &Value,
    entries: &[usize],
    envelopes: &[Envelope],
) -> Result<Vec<(usize, Comparison)>, Failure> {
    let mut compared = Vec::new();
    for (entry, number) in request["BulkEmailEntries"].as_array().into_iter().flatten().zip(entries) {
        let data = &entry["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"];
        let rendered = client
            .test_render_email_template()
            .template_name(name)
            .template_data(data.as_str().unwrap_or_default())
            .send()
            .await
            .map_err(|error| refused("TestRenderEmailTemplate", &DisplayErrorContext(&error).to_string()))?;
        let differs = difference(rendered.rendered_template(), &envelopes[*number]);
        compared.push((*number, differs.map_or(Comparison::Same, Comparison::Differs)));
    }
    Ok(compared)
}

/// The first part in which a MIME message differs from that of a single call. Line ends are those of MIME,
/// and white space at the end of a body does not count.
fn difference(mime: &str, envelope: &Envelope) -> Option<&'static str> {
    let message = MessageParser::default().parse(mime.as_bytes());
    let message = message.as_ref();
    let plain = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
    let subject = message.and_then(|message| message.subject()).unwrap_or_default();
    // If an alternative is missing, the parser makes it from the other one.
    let body = |wanted: &Option<String>, found: Option<String>| {
        wanted.as_ref().is_none_or(|wanted| found.is_some_and(|found| plain(&found) == plain(wanted)))
    };
    let html = message.and_then(|message| message.body_html(0)).map(Into::into);
    let text = message.and_then(|message| message.body_text(0)).map(Into::into);
    if subject != envelope.content.subject {
        Some("subject")
    } else if !body(&envelope.content.html, html) {
        Some("HTML part")
    } else if !body(&envelope.content.text, text) {
        Some("text part")
    } else {
        None
    }
}
