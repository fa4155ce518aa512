//! Shows messages on the inbox page of a local SES, like a mail program.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_sesv2::config::{Credentials, Region};
use aws_sdk_sesv2::error::DisplayErrorContext;
use console::style;

use super::super::failure::{Exit, Failure};
use super::super::interrupted;
use super::sample::Sample;
use campaign_sender::message::preflight::{Findings, Severity};
use local_ses::ses::{Finding, Options, Preview, SesEndpoint};

/// Connections are not reused for the few messages.
const MAX_IDLE: Duration = Duration::from_secs(3);

/// Puts the messages into a mailbox on this machine and serves its page, with the findings, until Ctrl-C.
/// Nothing is sent to Amazon.
pub async fn serve(
    title: &str,
    samples: &[Sample],
    checked: Option<u64>,
    findings: &Findings,
) -> Result<(), Failure> {
    let options = Options::default();
    let credentials = Credentials::new(
        options.access_key_id.clone(),
        options.secret_access_key.clone(),
        None,
        None,
        "local",
    );
    let ses = SesEndpoint::start(options)
        .map_err(|error| Failure::new(Exit::Software, format!("the inbox page did not start: {error}")))?;
    let config = aws_sdk_sesv2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .credentials_provider(credentials)
        .endpoint_url(ses.url())
        .http_client(campaign_sender::aws::http_client(MAX_IDLE))
        .build();
    let client = aws_sdk_sesv2::Client::from_conf(config);
    let found = findings.iter().map(|(severity, kind, tally)| Finding {
        severity: match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        kind,
        text: tally.text.clone(),
        count: tally.count,
        example: tally.example.clone(),
    });
    ses.set_preview(Preview { title: title.into(), checked, findings: found.collect() });
    // The page shows the newest message at its top, so the first one is sent last.
    for envelope in samples.iter().rev().filter_map(|sample| sample.message.as_ref().ok()) {
        envelope.request.clone().send_with(&client).await.map_err(|error| {
            let cause = DisplayErrorContext(&error).to_string();
            Failure::new(Exit::Data, format!("SES would refuse the message: {cause}"))
        })?;
    }
    // Ctrl-C is listened for before the page's address is printed, because a reader may end the command at
    // once.
    let interrupted = interrupted();
    println!("\nInbox  {}  (Ctrl-C ends it)", style(ses.url()).underlined());
    interrupted.await;
    Ok(())
}
