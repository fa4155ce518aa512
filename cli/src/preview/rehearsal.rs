//! Compares a bulk call, as SES renders it, with single calls. The call's template is stored for a moment
//! under its own name, SES renders it for some recipients without sending, and each part is compared with the
//! part of a single call.

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::DisplayErrorContext;
use aws_sdk_sesv2::types::EmailTemplateContent;
use mail_parser::MessageParser;
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::format;
use super::super::soon;
use super::Case;
use super::sample::{Envelope, Sample, recipient};
use campaign_sender::domain::batch::MAX_VARIABLES_BYTES;
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
    let sample =
        |row| Sample::of(templates, &case.sender, recipient(row), case.campaign.source.transactional);
    Ok(rows.iter().take(RECIPIENTS).map(sample).collect())
}

/// Compares, and prints the result for each recipient.
pub async fn run(case: &Case, samples: Vec<Sample>) -> Result<(), Failure> {
    let (mut addresses, mut envelopes) = (Vec::new(), Vec::new());
    for sample in samples {
        match sample.message {
            Ok(envelope) => {
                addresses.push(sample.recipient.email);
                envelopes.push(envelope);
            }
            Err(finding) => println!("{}: {}", sample.recipient.email, finding.text),
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
    let compared = compare(&client, &name, &request, &entries, &addresses, &envelopes).await;
    let deleted = client.delete_email_template().template_name(&name).send().await;
    if let Err(error) = deleted {
        let error = DisplayErrorContext(&error);
        eprintln!("SES's template {name} could not be deleted; delete it by hand: {error}");
    }
    for (number, address) in addresses.iter().enumerate().filter(|(number, _)| !entries.contains(number)) {
        println!("{address}: not compared: number {} does not go into a call with the first", number + 1);
    }
    match compared? {
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

/// Returns the number of recipients for whom a part differs.
async fn compare(
    client: &Client,
    name: &str,
    request: &Value,
    entries: &[usize],
    addresses: &[String],
    envelopes: &[Envelope],
) -> Result<usize, Failure> {
    let mut different = 0;
    for (entry, number) in request["BulkEmailEntries"].as_array().into_iter().flatten().zip(entries) {
        let data = &entry["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"];
        let rendered = client
            .test_render_email_template()
            .template_name(name)
            .template_data(data.as_str().unwrap_or_default())
            .send()
            .await
            .map_err(|error| refused("TestRenderEmailTemplate", &DisplayErrorContext(&error).to_string()))?;
        let address = &addresses[*number];
        match difference(rendered.rendered_template(), &envelopes[*number]) {
            None => println!("{address}: the same by both calls"),
            Some(part) => {
                different += 1;
                println!("{address}: the {part} differs");
            }
        }
    }
    Ok(different)
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
