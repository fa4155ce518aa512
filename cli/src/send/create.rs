//! `campaign send create`: creates a draft whose templates compile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::output::{self, shown};
use super::super::{connect, id, soon};
use super::time::{self, Time};
use campaign_sender::domain::campaign::{CampaignStatus, Source};
use campaign_sender::domain::mailbox::Mailbox;
use campaign_sender::message::attachment::{Attachment, examine_attachments};
use campaign_sender::message::preflight::Severity;
use campaign_sender::message::render::Templates;
use campaign_sender::store::settings::DatabaseAccess;

/// Create a campaign as a draft; its id goes to standard output
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Create {
    /// The organization that it belongs to
    #[arg(long, value_name = "ID", value_parser = id)]
    organization: Uuid,
    /// Its name, as the timeline shows it
    #[arg(long)]
    name: String,
    /// The sender, an address or `Name <address>`
    #[arg(long, value_name = "MAILBOX", value_parser = mailbox)]
    from: String,
    /// An address for replies; may be given several times
    #[arg(long, value_name = "MAILBOX", value_parser = mailbox)]
    reply_to: Vec<String>,
    /// The template of the subject
    #[arg(long, value_name = "TEMPLATE")]
    subject: String,
    /// A file with the template of the HTML part
    #[arg(long, value_name = "FILE", required_unless_present = "text")]
    html: Option<PathBuf>,
    /// A file with the template of the text part [default: made from the HTML]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// A file with a JSON object of variables for all recipients
    #[arg(long, value_name = "FILE")]
    variables: Option<PathBuf>,
    /// SES's configuration set [default: the function's own]
    #[arg(long, value_name = "NAME")]
    configuration_set: Option<String>,
    /// Send nothing after this time: the campaign is paused then, and the recipients that are left stay pending
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    before: Option<Time>,
    /// Let SES track opens, or not: true or false [default: as set in the configuration set; false for a
    /// transactional campaign]
    #[arg(long, value_name = "BOOL")]
    track_opens: Option<bool>,
    /// Let SES track clicks, or not: true or false [default: the same]
    #[arg(long, value_name = "BOOL")]
    track_clicks: Option<bool>,
    /// A parameter that is added to every web link, for example utm_source=newsletter; may be given several
    /// times
    #[arg(long, value_name = "NAME=VALUE", value_parser = link_parameter)]
    link_parameter: Vec<(String, String)>,
    /// A file that is attached to every email; may be given several times
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,
    /// An image that the HTML part shows by cid:ID; may be given several times
    #[arg(long, value_name = "ID=FILE", value_parser = inline_file)]
    inline: Vec<(String, PathBuf)>,
    /// The campaign is transactional: an order, an invoice, a notice that everybody must get
    #[arg(long)]
    transactional: bool,
    /// The person who creates it, as the timeline names them
    #[arg(long, value_name = "ID", value_parser = id)]
    created_by: Option<Uuid>,
    /// Its id [default: a new one]
    #[arg(long, value_parser = id)]
    id: Option<Uuid>,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Example:
  campaign send create --organization 0a77… --name Spring --from 'News <news@example.com>' \\
    --subject 'Hello {{ name or \"you\" }}' --html spring.html --variables spring.json";

impl Create {
    pub async fn run(self) -> Result<(), Failure> {
        let part = |path: &Option<PathBuf>| path.as_deref().map(read).transpose();
        let source = Source {
            campaign_name: self.name.clone(),
            subject: self.subject.clone(),
            html: part(&self.html)?,
            text: part(&self.text)?,
            variables: self.variables.as_deref().map(read_object).transpose()?,
            transactional: self.transactional,
            link_parameters: self.link_parameters()?,
        };
        Templates::compile(source.clone())
            .map_err(|error| Failure::new(Exit::Data, self.with_files(&error.to_string())))?;
        let files = self.files()?;
        let wrong = examine_attachments(&files, source.html.as_deref())
            .into_iter()
            .find(|finding| finding.severity == Severity::Error);
        if let Some(finding) = wrong {
            return Err(Failure::new(Exit::Data, finding.text));
        }
        let database = connect(DatabaseAccess::from_env()?).await?;
        let id = self.id.unwrap_or_else(Uuid::now_v7);
        let reply_to = (!self.reply_to.is_empty()).then_some(&self.reply_to);
        let names: Vec<&str> = files.iter().map(|file| file.file_name.as_str()).collect();
        let contents: Vec<&[u8]> = files.iter().map(|file| file.content.as_slice()).collect();
        let content_ids: Vec<Option<&str>> = files.iter().map(|file| file.content_id.as_deref()).collect();
        let dispositions: Vec<&str> =
            files.iter().map(|file| if file.inline { "inline" } else { "attachment" }).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 20] = [
            (&id, Type::UUID),
            (&self.organization, Type::UUID),
            (&self.name, Type::TEXT),
            (&self.from, Type::TEXT),
            (&reply_to, Type::TEXT_ARRAY),
            (&self.subject, Type::TEXT),
            (&source.html, Type::TEXT),
            (&source.text, Type::TEXT),
            (&source.variables, Type::TEXT),
            (&self.configuration_set, Type::TEXT),
            (&self.transactional, Type::BOOL),
            (&self.created_by, Type::UUID),
            (&self.before.as_ref().map(Time::to_sql), Type::TEXT),
            (&self.track_opens, Type::BOOL),
            (&self.track_clicks, Type::BOOL),
            (&source.link_parameters, Type::TEXT),
            (&names, Type::TEXT_ARRAY),
            (&contents, Type::BYTEA_ARRAY),
            (&content_ids, Type::TEXT_ARRAY),
            (&dispositions, Type::TEXT_ARRAY),
        ];
        let made = database.query(include_str!("create.sql"), &parameters, soon()).await?;
        if made.is_empty() {
            return Err(Failure::new(Exit::Data, format!("there is a campaign {id} already")));
        }
        if self.json {
            let status = CampaignStatus::Draft.as_str();
            output::write_json(&serde_json::json!({"campaignId": id, "status": status}));
            return Ok(());
        }
        println!("{id}");
        eprintln!(
            "\"{}\" is a draft. Next: campaign import {id} FILE, then campaign send start {id}",
            shown(&self.name)
        );
        Ok(())
    }

    /// The files, with their contents.
    fn files(&self) -> Result<Vec<Attachment>, Failure> {
        let attached = self.attach.iter().map(|path| (None, path));
        let inline = self.inline.iter().map(|(id, path)| (Some(id.clone()), path));
        attached
            .chain(inline)
            .map(|(content_id, path)| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let content = std::fs::read(path)
                    .map_err(|error| Failure::new(Exit::NoInput, format!("{}: {error}", path.display())))?;
                Ok(Attachment {
                    file_name: name,
                    content_type: None,
                    bytes: content.len(),
                    content,
                    inline: content_id.is_some(),
                    content_id,
                })
            })
            .collect()
    }

    /// In the form of the column.
    fn link_parameters(&self) -> Result<Option<String>, Failure> {
        if self.link_parameter.is_empty() {
            return Ok(None);
        }
        let object: BTreeMap<&str, &str> =
            self.link_parameter.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        serde_json::to_string(&object).map(Some).map_err(|error| Failure::new(Exit::Software, error))
    }

    /// The message with the file in place of the part.
    fn with_files(&self, message: &str) -> String {
        [("html", &self.html), ("text", &self.text)].into_iter().fold(
            message.to_owned(),
            |message, (part, path)| match path {
                Some(path) => message.replace(&format!("({part}, line "), &format!("({}:", path.display())),
                None => message,
            },
        )
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::NoInput, format!("{}: {error}", path.display())))
}

fn read_object(path: &Path) -> Result<String, Failure> {
    let text = read(path)?;
    // The JSON is stored unchanged, so that a number keeps all its digits.
    let problem = match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
        Ok(value) if value.get().starts_with('{') => return Ok(text),
        Ok(_) => format!("{}:1: expected a JSON object, for example {{\"city\": \"Oslo\"}}", path.display()),
        Err(error) => format!("{}:{}: it is not JSON: {error}", path.display(), error.line()),
    };
    Err(Failure::new(Exit::Data, problem))
}

/// `ID=FILE`.
fn inline_file(text: &str) -> Result<(String, PathBuf), String> {
    let (id, path) = text.split_once('=').ok_or("expected ID=FILE, for example logo=logo.png")?;
    Ok((id.to_owned(), path.into()))
}

/// `NAME=VALUE`.
fn link_parameter(text: &str) -> Result<(String, String), String> {
    let expected = "expected NAME=VALUE, for example utm_source=newsletter";
    let (name, value) = text.split_once('=').ok_or(expected)?;
    if name.trim().is_empty() {
        return Err(expected.to_owned());
    }
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// An address, or `Name <address>`.
fn mailbox(text: &str) -> Result<String, String> {
    let expected = "expected ADDRESS or NAME <ADDRESS>, for example News <news@example.com>";
    Mailbox::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_an_address_with_or_without_a_name() {
        for text in ["news@example.com", "News <news@example.com>", "\"News, daily\" <news@example.com>"] {
            assert_eq!(mailbox(text), Ok(text.to_owned()));
        }
        for text in ["news", "News <news>", "News <news@example.com", "A <a@example.com>, B <b@example.com>"]
        {
            assert!(mailbox(text).is_err(), "{text}");
        }
    }
}
