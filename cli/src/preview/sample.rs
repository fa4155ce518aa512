//! One recipient, and the message that it would get.

use aws_sdk_sesv2::operation::send_email::builders::SendEmailInputBuilder;
use aws_sdk_sesv2::types::Message as SesMessage;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::soon;
use campaign_sender::domain::batch::Recipient;
use campaign_sender::domain::campaign::Campaign;
use campaign_sender::domain::mailbox::Mailbox;
use campaign_sender::domain::outcome::Outcome;
use campaign_sender::message::compose::{self, Prepared, prepare};
use campaign_sender::message::preflight::Finding;
use campaign_sender::message::preflight::message::Message;
use campaign_sender::message::render::Templates;
use campaign_sender::send_batch::send::Sender;
use campaign_sender::store::Database;

const NO_LINK: &str = "the template has unsubscribe_url, and there are no links to unsubscribe: set UNSUBSCRIBE_URL and UNSUBSCRIBE_SECRET, \
                       also where this command runs";

/// The choice of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    First,
    Id(Uuid),
    Address(String),
}

impl Selection {
    pub fn of(text: &str) -> Selection {
        Uuid::try_parse(text).map_or_else(|_| Selection::Address(text.to_owned()), Selection::Id)
    }
}

/// A recipient, and its message as the function would send it.
pub struct Sample {
    pub recipient: Recipient,
    /// The address is suppressed: the function sends it nothing.
    pub suppressed: bool,
    pub message: Result<Envelope, Finding>,
}

/// A message with its request.
pub struct Envelope {
    /// As a mail program shows it, and so are `reply_to`.
    pub from: String,
    pub to: String,
    pub reply_to: Vec<String>,
    pub tags: Vec<(String, String)>,
    pub content: Message,
    pub request: SendEmailInputBuilder,
    /// The message in the form that a bulk call has.
    pub composed: compose::Message,
}

impl Sample {
    /// Renders for this recipient. A suppressed recipient is rendered too, so that its message can be seen.
    pub fn of(templates: &Templates, sender: &Sender, recipient: Recipient, campaign: &Campaign) -> Sample {
        let suppressed = recipient.suppressed;
        let recipient = Recipient { suppressed: false, ..recipient };
        let link = sender.link(recipient.id);
        let message = match prepare(templates, &recipient, link.as_ref()) {
            Prepared::Message(message) => Ok(envelope(sender.single(message.clone()), message, campaign)),
            Prepared::Outcome(Outcome::Failed { error, .. })
                if link.is_none() && error.starts_with("unsubscribe_url is not defined") =>
            {
                Err(Finding::error("unsubscribe_missing", NO_LINK))
            }
            Prepared::Outcome(Outcome::Failed { code, error }) => Err(failed(&code, &error)),
            Prepared::Outcome(other) => Err(failed("unsendable", other.status().as_str())),
        };
        Sample { recipient, suppressed, message }
    }
}

fn failed(code: &str, error: &str) -> Finding {
    let kind = match code {
        "invalid_address" => "invalid_address",
        "render" => "render",
        _ => "unsendable",
    };
    Finding::error(kind, format!("would fail: {error}"))
}

/// The mailbox as a mail program shows it.
fn readable(mailbox: &str) -> String {
    Mailbox::parse(mailbox).map_or_else(|_| mailbox.to_owned(), |mailbox| mailbox.readable())
}

fn envelope(request: SendEmailInputBuilder, composed: compose::Message, campaign: &Campaign) -> Envelope {
    let simple = request.get_content().as_ref().and_then(|content| content.simple());
    let body = simple.and_then(|message| message.body());
    let part = |content: Option<&aws_sdk_sesv2::types::Content>| content.map(|part| part.data().to_owned());
    let content = Message {
        subject: part(simple.and_then(|message| message.subject())).unwrap_or_default(),
        html: part(body.and_then(|body| body.html())),
        text: part(body.and_then(|body| body.text())),
        headers: simple
            .map(SesMessage::headers)
            .unwrap_or_default()
            .iter()
            .map(|header| (header.name().to_owned(), header.value().to_owned()))
            .collect(),
        transactional: campaign.source.transactional,
    };
    let to = request.get_destination().as_ref().map(|to| to.to_addresses().join(", ")).unwrap_or_default();
    let tags = request.get_email_tags().as_deref().unwrap_or_default();
    Envelope {
        from: readable(&campaign.from_address),
        to,
        reply_to: campaign.reply_to.iter().map(|mailbox| readable(mailbox)).collect(),
        tags: tags.iter().map(|tag| (tag.name().to_owned(), tag.value().to_owned())).collect(),
        content,
        request,
        composed,
    }
}

/// The chosen recipient. If the campaign has no recipients yet and none was named, the recipient is made up.
pub async fn find(
    database: &Database,
    campaign_id: Uuid,
    selection: &Selection,
) -> Result<Recipient, Failure> {
    let (id, address) = match selection {
        Selection::First => (None, None),
        Selection::Id(id) => (Some(*id), None),
        Selection::Address(address) => (None, Some(address.as_str())),
    };
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&campaign_id, Type::UUID), (&id, Type::UUID), (&address, Type::TEXT)];
    let rows = database.query(include_str!("sample.sql"), &parameters, soon()).await?;
    match (rows.first(), selection) {
        (Some(row), _) => Ok(recipient(row)),
        (None, Selection::First) => Ok(made_up()),
        (None, Selection::Id(id)) => Err(unknown(&id.to_string())),
        (None, Selection::Address(address)) => Err(unknown(address)),
    }
}

fn unknown(recipient: &str) -> Failure {
    Failure::new(Exit::Data, format!("--recipient {recipient}: the campaign has no such recipient"))
}

/// A row of `sample.sql` or `page.sql`.
pub fn recipient(row: &tokio_postgres::Row) -> Recipient {
    Recipient {
        position: row.get("position"),
        id: row.get("id"),
        email: row.get("email"),
        name: row.get("name"),
        variables: row.get("variables"),
        variables_bytes: row.get("variables_bytes"),
        suppressed: row.get("suppressed"),
    }
}

fn made_up() -> Recipient {
    Recipient {
        position: 0,
        id: Uuid::new_v4(),
        email: "recipient@example.com".to_owned(),
        name: Some("Ada Lovelace".to_owned()),
        variables: None,
        variables_bytes: 0,
        suppressed: false,
    }
}
