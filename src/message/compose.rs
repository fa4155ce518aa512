//! From a recipient to a message, or to an outcome that needs no SES.

use std::panic::{AssertUnwindSafe, catch_unwind};

use uuid::Uuid;

use crate::domain::address;
use crate::domain::batch::{MAX_VARIABLES_BYTES, Recipient};
use crate::domain::outcome::Outcome;
use crate::message::link::Link;
use crate::message::part::Part;
use crate::message::render::{Parts, Person, RenderError, Templates};

/// A message that is ready for SES.
#[derive(Clone, Debug)]
pub struct Message {
    /// The recipient.
    pub recipient_id: Uuid,
    /// The address as SES accepts it.
    pub address: String,
    /// The rendered parts.
    pub content: Parts,
    /// The value of its `List-Unsubscribe`.
    pub list_unsubscribe: Option<String>,
}

impl Message {
    /// The size of its content, in bytes.
    pub fn bytes(&self) -> usize {
        let of = |part: &Option<Part>| part.as_ref().map_or(0, Part::len);
        self.content.subject.len() + of(&self.content.html) + of(&self.content.text)
    }

    /// The number of bytes that only this recipient gets. A bulk call carries the rest once for all
    /// recipients.
    pub fn own_bytes(&self) -> usize {
        let of = |part: &Option<Part>| part.as_ref().map_or(0, Part::own_bytes);
        self.content.subject.len() + of(&self.content.html) + of(&self.content.text)
    }
}

/// The result for a recipient before SES is asked.
pub enum Prepared {
    /// It is to be sent.
    Message(Message),
    /// It is not.
    Outcome(Outcome),
}

/// The message that this recipient gets, or the reason why it gets none; `link` is its unsubscribe link. The
/// same data always has the same result.
pub fn prepare(templates: &Templates, recipient: &Recipient, link: Option<&Link<'_>>) -> Prepared {
    if recipient.suppressed {
        return Prepared::Outcome(Outcome::Suppressed);
    }
    let failed =
        |code: &str, error: String| Prepared::Outcome(Outcome::Failed { code: code.to_owned(), error });
    let address = match address::sendable(&recipient.email) {
        Ok(address) => address,
        Err(error) => return failed("invalid_address", error.to_string()),
    };
    if recipient.variables_bytes > MAX_VARIABLES_BYTES {
        let error = format!(
            "the recipient's variables have {} bytes: at most {MAX_VARIABLES_BYTES}",
            recipient.variables_bytes
        );
        return failed("render", error);
    }
    let person = Person {
        email: &recipient.email,
        name: recipient.name.as_deref(),
        variables: recipient.variables.as_deref(),
        unsubscribe_url: link.map(|link| link.url.as_str()),
    };
    // A defect that one recipient's data triggers fails that recipient and not the batch.
    let rendered = catch_unwind(AssertUnwindSafe(|| templates.parts(&person)))
        .unwrap_or_else(|_| Err(RenderError::crashed()));
    match rendered {
        Ok(content) => {
            let list_unsubscribe = link.map(Link::header);
            Prepared::Message(Message { recipient_id: recipient.id, address, content, list_unsubscribe })
        }
        Err(error) => failed("render", error.to_string()),
    }
}
