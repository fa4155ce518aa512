//! Records what a witness says SES accepted, with the statement that `send-batch` records with.

use super::super::failure::Failure;
use super::super::soon;
use super::Case;
use campaign_sender::domain::outcome::Entry;
use campaign_sender::send_batch::lines;
use campaign_sender::send_batch::record::{self, Record};

/// The number of outcomes that one statement records.
const CHUNK: usize = 1000;

/// The result of recording accepted messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Recipients that became `sent`.
    pub replayed: usize,
    /// Recipients that were `sent` already.
    pub known: usize,
}

/// Records each message once: a `sent` recipient is not changed.
pub async fn all(case: &Case, entries: Vec<Entry>) -> Result<Replayed, Failure> {
    let mut total = Replayed::default();
    for chunk in entries.chunks(CHUNK) {
        let of_chunk = some(case, chunk).await?;
        total.replayed += of_chunk.replayed;
        total.known += of_chunk.known;
    }
    Ok(total)
}

async fn some(case: &Case, entries: &[Entry]) -> Result<Replayed, Failure> {
    let (database, id, until) = (&case.database, case.campaign.id, soon());
    let lines =
        lines::lines(database, id, case.templates.as_ref(), case.subject(), entries.to_vec(), until).await?;
    // Subjects were rendered for recipients that are not `sent` yet.
    let replayed = lines.iter().filter(|line| line.subject.is_some()).count();
    let statement = case.activities.fill(record::STATEMENT);
    let record = Record { lines: &lines, ..Record::nothing(id) };
    let recorded = record::record(database, &statement, &record, until).await?;
    let in_timeline = recorded.map_or(0, |recorded| recorded.activities as usize);
    Ok(Replayed { replayed: replayed.min(in_timeline), known: in_timeline.saturating_sub(replayed) })
}
