use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};

use uuid::Uuid;

use super::{message::Message, mime};

/// Every message that was accepted, in the order of acceptance.
pub(super) struct Mailbox(Mutex<Contents>);

struct Contents {
    messages: Vec<Arc<Message>>,
    by_id: HashMap<String, usize>,
    /// The number of messages accepted since the start, including deleted ones.
    accepted: u64,
    /// The mailbox's id, which changes at the start and when the mailbox is emptied.
    id: Uuid,
}

/// Some of the messages, in order.
pub(super) struct Page {
    pub(super) messages: Vec<Arc<Message>>,
    /// The sequence number after which the next page begins.
    pub(super) last: u64,
}

impl Default for Mailbox {
    fn default() -> Self {
        Mailbox(Mutex::new(Contents::after(0)))
    }
}

impl Contents {
    /// An empty mailbox after this number of messages.
    fn after(accepted: u64) -> Contents {
        Contents { messages: Vec::new(), by_id: HashMap::new(), accepted, id: Uuid::new_v4() }
    }
}

impl Mailbox {
    pub(super) fn accept(&self, mut message: Message) {
        let mut contents = self.0.lock().unwrap();
        contents.accepted += 1;
        message.sequence = contents.accepted;
        let index = contents.messages.len();
        contents.by_id.insert(message.id.clone(), index);
        contents.messages.push(Arc::new(message));
    }

    pub(super) fn all(&self) -> Vec<Arc<Message>> {
        self.0.lock().unwrap().messages.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().messages.len()
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Message>> {
        let contents = self.0.lock().unwrap();
        contents.by_id.get(id).map(|&index| Arc::clone(&contents.messages[index]))
    }

    /// At most `limit` messages after this sequence number that contain `query` in subject, addresses, tags or
    /// text, whatever the letter case.
    pub(super) fn page(&self, after: u64, query: &str, limit: usize) -> Page {
        let query = query.to_lowercase();
        let messages = {
            let contents = self.0.lock().unwrap();
            let start = contents.messages.partition_point(|message| message.sequence <= after);
            contents.messages[start..].to_vec()
        };
        let newest = messages.last().map_or(after, |message| message.sequence);
        let found: Vec<_> =
            messages.into_iter().filter(|message| contains(message, &query)).take(limit).collect();
        let last = if found.len() < limit { newest } else { found[limit - 1].sequence };
        Page { messages: found, last }
    }

    pub(super) fn clear(&self) {
        let mut contents = self.0.lock().unwrap();
        *contents = Contents::after(contents.accepted);
    }

    /// The mailbox's id, which changes when it is emptied or started again.
    pub(super) fn id(&self) -> Uuid {
        self.0.lock().unwrap().id
    }

    /// Addresses (in lower case) with more than one message, and how many each has.
    pub(super) fn received_more_than_once(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for message in self.all() {
            // One message to the same address twice, as To and as Cc, is still one.
            let addresses: BTreeSet<String> = message.recipients().map(str::to_lowercase).collect();
            for address in addresses {
                *counts.entry(address).or_default() += 1;
            }
        }
        counts.retain(|_, count| *count > 1);
        counts
    }

    /// Writes each message as `<sequence>-<address>.eml`; returns how many.
    pub(super) fn write_eml(&self, dir: &Path) -> io::Result<usize> {
        fs::create_dir_all(dir)?;
        let messages = self.all();
        for message in &messages {
            let address = message.recipients().next().unwrap_or_default();
            let name = format!("{:06}-{}.eml", message.sequence, file_safe(address));
            fs::write(dir.join(name), mime::source(message))?;
        }
        Ok(messages.len())
    }
}

fn contains(message: &Message, query: &str) -> bool {
    let matches = |text: &str| text.to_lowercase().contains(query);
    query.is_empty()
        || matches(&message.subject)
        || matches(&message.from)
        || matches(&message.id)
        || message.to.iter().chain(&message.cc).chain(&message.bcc).any(|address| matches(address))
        || message.tags.iter().any(|tag| matches(&tag.value))
        || message.text.as_deref().or(message.html.as_deref()).is_some_and(matches)
}

/// The address as a part of a file name: with special characters replaced, and cut to a valid length.
fn file_safe(address: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "@._+-".contains(c) { c } else { '_' };
    address.chars().map(safe).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::file_safe;

    #[test]
    fn a_file_name_stays_within_its_directory() {
        assert_eq!(file_safe("a/../b\\\"c\"@example.com"), "a_.._b__c_@example.com");
    }
}
