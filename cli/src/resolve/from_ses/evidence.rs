//! Judges an uncertain recipient by the messages that SES has. Pure.
//!
//! An address and a subject prove nothing: another campaign, a test or another program may have sent the same subject
//! to the same address. The tags of a message name its recipient, so only they decide.

use std::time::SystemTime;

use uuid::Uuid;

use super::uncertain::Uncertain;
use campaign_sender::domain::address;

/// A message that SES accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// SES's message id.
    pub id: String,
    /// Its tags, names and values.
    pub tags: Vec<(String, String)>,
    /// The addresses that it was sent to.
    pub destinations: Vec<String>,
    /// When SES accepted it.
    pub accepted_at: Option<SystemTime>,
    /// SES did not send it: it found malware, or could not render a template.
    pub rejected: bool,
}

/// The finding about a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// SES accepted the recipient's email.
    Accepted { message_id: String, at: Option<SystemTime> },
    /// SES accepted the recipient's email, and then rejected it.
    Rejected,
    /// The recipient's address got emails, and none of them is the recipient's.
    OthersOnly,
    /// No email to the recipient's address. That proves nothing: SES keeps messages for a limited time, and only while
    /// Virtual Deliverability Manager is on.
    Nothing,
    /// The function had SES's answer already.
    KnownAlready,
}

impl Finding {
    /// The name in the result for a machine.
    pub fn as_str(&self) -> &'static str {
        match self {
            Finding::Accepted { .. } => "accepted",
            Finding::Rejected => "rejected",
            Finding::OthersOnly => "otherEmails",
            Finding::Nothing => "noEmail",
            Finding::KnownAlready => "activityRefused",
        }
    }
}

/// Judges a recipient by the messages. If several are the recipient's, the first that SES accepted counts.
pub fn judge(person: &Uncertain, campaign_id: Uuid, organization_id: Uuid, messages: &[Message]) -> Finding {
    let to_address = |message: &&Message| {
        message.destinations.iter().any(|to| address::canonical(to) == address::canonical(&person.address))
    };
    let is_own = |message: &&Message| {
        message.names("campaign_id", campaign_id) == Some(true)
            && message.names("recipient_id", person.id) == Some(true)
            && message.names("organization_id", organization_id) != Some(false)
    };
    let (own, others): (Vec<&Message>, Vec<&Message>) = messages.iter().filter(to_address).partition(is_own);
    let sent = own.iter().filter(|message| !message.rejected);
    match sent.min_by_key(|message| (message.accepted_at.is_none(), message.accepted_at, &message.id)) {
        Some(message) => Finding::Accepted { message_id: message.id.clone(), at: message.accepted_at },
        None if !own.is_empty() => Finding::Rejected,
        None if !others.is_empty() => Finding::OthersOnly,
        None => Finding::Nothing,
    }
}

impl Message {
    /// Returns true if its tag of this name has this value. `None`: it has no such tag.
    fn names(&self, name: &str, value: Uuid) -> Option<bool> {
        let (_, found) = self.tags.iter().find(|(tag, _)| tag == name)?;
        Some(Uuid::try_parse(found).is_ok_and(|found| found == value))
    }
}

/// The length of SES's message ids, and where they have hyphens.
const ID_LENGTH: usize = 60;
const ID_HYPHENS: [usize; 6] = [16, 25, 30, 35, 40, 53];

/// The message ids in an export, each once. AWS does not document the fields of the file, so whatever has the form of a
/// message id is taken for one; SES is asked about each, and does not know those that are none.
pub fn message_ids(file: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for word in file.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        if is_message_id(word) && ids.iter().all(|id| id != word) {
            ids.push(word.to_owned());
        }
    }
    ids
}

fn is_message_id(word: &str) -> bool {
    let has_form = |(at, byte): (usize, u8)| {
        if ID_HYPHENS.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    word.len() == ID_LENGTH && word.bytes().enumerate().all(has_form)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CAMPAIGN: Uuid = Uuid::from_u128(1);
    const ORGANIZATION: Uuid = Uuid::from_u128(2);
    const RECIPIENT: Uuid = Uuid::from_u128(3);

    fn person() -> Uncertain {
        Uncertain {
            id: RECIPIENT,
            address: "ada@example.com".to_owned(),
            from: SystemTime::UNIX_EPOCH,
            until: SystemTime::UNIX_EPOCH,
            message_id: None,
        }
    }

    fn message(id: &str, campaign: Uuid, recipient: Uuid) -> Message {
        let tag = |name: &str, value: Uuid| (name.to_owned(), value.to_string());
        Message {
            id: id.to_owned(),
            tags: vec![
                ("ses:from-domain".to_owned(), "example.com".to_owned()),
                tag("campaign_id", campaign),
                tag("recipient_id", recipient),
                tag("organization_id", ORGANIZATION),
            ],
            destinations: vec!["ada@example.com".to_owned()],
            accepted_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(9)),
            rejected: false,
        }
    }

    fn found(messages: &[Message]) -> Finding {
        judge(&person(), CAMPAIGN, ORGANIZATION, messages)
    }

    fn accepted(id: &str, second: u64) -> Finding {
        let at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        Finding::Accepted { message_id: id.to_owned(), at }
    }

    #[test]
    fn the_tags_of_a_message_prove_whose_it_is() {
        let own = message("own", CAMPAIGN, RECIPIENT);
        let other = message("other", CAMPAIGN, Uuid::from_u128(4));
        assert_eq!(found(&[other, own]), accepted("own", 9));
    }

    #[test]
    fn the_same_email_of_somebody_else_proves_nothing() {
        let of_campaign = message("other campaign", Uuid::from_u128(7), RECIPIENT);
        let of_organization = Message {
            tags: vec![
                ("campaign_id".to_owned(), CAMPAIGN.to_string()),
                ("recipient_id".to_owned(), RECIPIENT.to_string()),
                ("organization_id".to_owned(), Uuid::from_u128(9).to_string()),
            ],
            ..message("other organization", CAMPAIGN, RECIPIENT)
        };
        // A test of the campaign has its tag and no recipient's; another program's email has none of these tags.
        let test =
            Message { tags: vec![("campaign_id".to_owned(), CAMPAIGN.to_string())], ..of_campaign.clone() };
        let other_program = Message { tags: Vec::new(), ..of_campaign.clone() };
        for message in [of_campaign, of_organization, test, other_program] {
            assert_eq!(found(std::slice::from_ref(&message)), Finding::OthersOnly, "{message:?}");
        }
        let elsewhere = Message {
            destinations: vec!["bob@example.com".to_owned()],
            ..message("other address", CAMPAIGN, RECIPIENT)
        };
        assert_eq!(found(&[elsewhere]), Finding::Nothing);
        assert_eq!(found(&[]), Finding::Nothing);
    }

    #[test]
    fn of_several_messages_the_first_counts_and_one_that_was_rejected_does_not() {
        let late = message("late", CAMPAIGN, RECIPIENT);
        let early = Message {
            accepted_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(3)),
            ..message("early", CAMPAIGN, RECIPIENT)
        };
        let untimed = Message { accepted_at: None, ..message("a", CAMPAIGN, RECIPIENT) };
        let rejected = Message { rejected: true, ..early.clone() };
        assert_eq!(found(&[untimed, late.clone(), early]), accepted("early", 3));
        assert_eq!(found(&[rejected.clone(), late]), accepted("late", 9));
        assert_eq!(found(&[rejected]), Finding::Rejected);
    }

    #[test]
    fn an_address_is_compared_in_its_canonical_form_and_a_tag_without_an_organization_is_no_contradiction() {
        let mut own = message("own", CAMPAIGN, RECIPIENT);
        own.tags.pop();
        own.destinations = vec!["Ada@EXAMPLE.com".to_owned()];
        assert_eq!(found(&[own]), accepted("own", 9));
    }

    #[test]
    fn message_ids_are_found_whatever_the_form_of_the_file() {
        let id = |n: u8| format!("0100018f3a2b4c{n:02x}-5f0c2c1e-0000-4000-8000-000000000001-000000");
        let json = format!(r#"{{"Messages":[{{"id":"{}"}},{{"messageId":"{}"}}]}}"#, id(1), id(2));
        let csv =
            format!("Subject,MessageId\r\n\"Hello, you\",\"{}\"\r\nx,{}\r\nx,{}\r\n", id(1), id(2), id(1));
        for file in [json, csv] {
            assert_eq!(message_ids(&file), [id(1), id(2)], "{file}");
        }
        let none = ["", "0100", &id(1)[1..], &format!("{}0", id(1)), &id(1).replace('f', "g")].join("\n");
        assert_eq!(message_ids(&none), [""; 0]);
    }
}
