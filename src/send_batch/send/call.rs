//! One call to SES: `SendEmail` for one message, or `SendBulkEmail` for several.

use super::bulk::Entries;
use super::request::Sender;
use crate::domain::answer::Answer;
use crate::message::compose::Message;
use crate::ses::Ses;

/// A prepared call.
pub enum Call {
    /// One message.
    Single(usize, Message),
    /// Several.
    Bulk(Entries),
}

impl Call {
    pub fn single((index, message): (usize, Message)) -> Call {
        Call::Single(index, message)
    }

    /// Recipients.
    pub fn len(&self) -> usize {
        match self {
            Call::Single(..) => 1,
            Call::Bulk(entries) => entries.len(),
        }
    }

    /// The size of its content, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Call::Single(_, message) => message.bytes(),
            Call::Bulk(entries) => entries.bytes(),
        }
    }

    /// Which recipients of the batch, in the order of the answers.
    pub fn indexes(&self) -> Vec<usize> {
        match self {
            Call::Single(index, _) => vec![*index],
            Call::Bulk(entries) => entries.indexes.clone(),
        }
    }

    /// Makes the call once and returns an answer for each recipient.
    pub async fn send(self, ses: &Ses, sender: &Sender) -> Vec<Answer> {
        match self {
            Call::Single(_, message) => {
                let address = message.address.clone();
                vec![ses.send(sender.single(message), &address).await]
            }
            Call::Bulk(mut entries) => {
                let addresses = std::mem::take(&mut entries.addresses);
                ses.send_bulk(entries.into_body(), &addresses).await
            }
        }
    }
}
