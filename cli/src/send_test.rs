//! Sends samples of a campaign to one's own addresses. Nothing is recorded, and no recipient changes.

use aws_sdk_sesv2::operation::send_email::builders::SendEmailInputBuilder;
use aws_sdk_sesv2::types::{Destination, MessageTag};

use super::failure::{Exit, Failure};
use campaign_sender::domain::address;
use campaign_sender::domain::answer::Answer;
use campaign_sender::domain::batch::Recipient;
use campaign_sender::domain::campaign::Campaign;
use campaign_sender::domain::outcome::Outcome;
use campaign_sender::message::compose::{Prepared, prepare};
use campaign_sender::message::render::Templates;
use campaign_sender::message::token::RecipientIds;
use campaign_sender::send_batch::send::Sender;
use campaign_sender::ses::Ses;

/// The prefix of a test's subject.
const PREFIX: &str = "[Test] ";

/// Sends what `recipient` would get to each of `addresses`, through the SES of the environment.
///
/// The message is the recipient's, except for its subject, its tags and its id: `ses-events` ignores its
/// events, and its unsubscribe link leads to a page that says that it is a test's. Returns each address with its
/// message id; a person reads them at once, unless `json` is set.
///
/// # Errors
/// What is wrong with the recipient's data or an address, before anything is sent; or SES's refusal.
pub async fn run(
    campaign: &Campaign,
    sender: &Sender,
    templates: &Templates,
    recipient: &Recipient,
    addresses: &[String],
    json: bool,
) -> Result<Vec<serde_json::Value>, Failure> {
    let addresses: Vec<String> = addresses
        .iter()
        .map(|given| {
            address::sendable(given)
                .map_err(|error| Failure::new(Exit::Usage, format!("the test address {given:?}: {error}")))
        })
        .collect::<Result<_, _>>()?;
    let nobody = Recipient { id: RecipientIds::NOBODY, suppressed: false, ..recipient.clone() };
    let request = match prepare(templates, &nobody, sender.link(nobody.id).as_ref()) {
        Prepared::Message(message) => sender.single(message),
        Prepared::Outcome(Outcome::Failed { code, error }) => {
            return Err(Failure::new(Exit::Data, format!("{}: {code}: {error}", recipient.email)));
        }
        Prepared::Outcome(other) => {
            return Err(Failure::new(Exit::Data, format!("{}: {}", recipient.email, other.status())));
        }
    };
    let ses = Ses::from_env().await;
    let mut sent = Vec::new();
    for address in &addresses {
        match ses.send(marked(request.clone(), campaign, address), address).await {
            Answer::Accepted(message_id) => {
                if !json {
                    println!("Test to {address}: accepted as {message_id}");
                }
                sent.push(serde_json::json!({"to": address, "messageId": message_id}));
            }
            other => {
                let message = format!("the test to {address} was not accepted: {}", words(&other));
                return Err(Failure::new(Exit::Unavailable, message));
            }
        }
    }
    Ok(sent)
}

/// The request as a test to this address. It has no tag `recipient_id`, because its events belong to no
/// recipient.
fn marked(request: SendEmailInputBuilder, campaign: &Campaign, address: &str) -> SendEmailInputBuilder {
    let mut content = request.get_content().clone();
    let subject = content.as_mut().and_then(|content| content.simple.as_mut()?.subject.as_mut());
    if let Some(subject) = subject {
        subject.data.insert_str(0, PREFIX);
    }
    let tag = |name: &str, value: String| MessageTag::builder().name(name).value(value).build().ok();
    let tags = [
        tag("campaign_test", "true".to_owned()),
        tag("campaign_id", campaign.id.to_string()),
        tag("organization_id", campaign.organization_id.to_string()),
    ];
    request
        .set_content(content)
        .destination(Destination::builder().to_addresses(address).build())
        .set_email_tags(Some(tags.into_iter().flatten().collect()))
}

fn words(answer: &Answer) -> String {
    match answer {
        Answer::Accepted(message_id) => message_id.clone(),
        Answer::Throttled(reason)
        | Answer::QuotaExhausted(reason)
        | Answer::Singly(reason)
        | Answer::NotSent(reason)
        | Answer::Intercepted(reason)
        | Answer::Halt(reason) => reason.clone(),
        Answer::Refused { code, message } | Answer::Uncertain { code, message } => {
            format!("{code}: {message}")
        }
    }
}
