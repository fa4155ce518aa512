//! What a storm has recorded, one JSON object a line: the changed rows of each transaction, as triggers saw them, and the
//! messages that SES accepted.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

/// The statement that a transaction has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Claim,
    Checkpoint,
    Record,
    Complete,
    Events,
    /// A person, a CRM, or the storm itself.
    Other,
}

/// One changed row: the table, the operation (`INSERT`, `UPDATE`, `DELETE`), and the row.
#[derive(Clone, Debug)]
pub struct Change {
    pub table: String,
    pub operation: String,
    pub row: Value,
}

/// One event. Times are in microseconds.
#[derive(Clone, Debug)]
pub enum Event {
    Transaction { first_at: i64, at: i64, by: By, changes: Vec<Change> },
    Accepted { at: i64, recipient: Uuid, message: String },
}

/// A campaign with its events. Transactions are in the order of their last changes: if two of them change the same row,
/// the second one waits for the end of the first one, so this is the order in which they were committed.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub id: Uuid,
    pub recipients: Vec<Uuid>,
    pub events: Vec<Event>,
}

impl Event {
    pub fn at(&self) -> i64 {
        match self {
            Event::Transaction { at, .. } | Event::Accepted { at, .. } => *at,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Accepted { recipient, message, .. } => write!(f, "SES accepts {message} to {recipient}"),
            Event::Transaction { by, changes, .. } => {
                write!(f, "{by:?}:")?;
                for Change { table, operation, row } in changes {
                    let shown: Vec<String> = SHOWN
                        .iter()
                        .filter(|column| !row[**column].is_null())
                        .map(|column| format!("{column} {}", row[*column]))
                        .collect();
                    write!(f, "\n        {operation} {table} {}", shown.join(", "))?;
                }
                Ok(())
            }
        }
    }
}

/// The columns that are shown of a difference.
const SHOWN: [&str; 17] = [
    "id",
    "number",
    "position",
    "status",
    "message_id",
    "error_code",
    "first_position",
    "last_position",
    "claim_token",
    "handed_by",
    "handed_through",
    "closed_at",
    "claimed_count",
    "outcomes",
    "completed_through",
    "action",
    "source_ref",
];

/// Reads a file of the storm.
///
/// # Errors
/// The line that cannot be read.
pub fn read(text: &str) -> Result<Vec<Campaign>, String> {
    let mut campaigns: Vec<(Campaign, Vec<i64>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line: Value =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        one_line(&line, &mut campaigns).ok_or_else(|| format!("line {}: a value is missing", number + 1))?;
    }
    Ok(campaigns
        .into_iter()
        .map(|(mut campaign, _)| {
            campaign.events.sort_by_key(Event::at);
            campaign
        })
        .collect())
}

fn one_line(line: &Value, campaigns: &mut Vec<(Campaign, Vec<i64>)>) -> Option<()> {
    let id = uuid(&line["campaign"])?;
    let at = line["at"].as_i64()?;
    let known = campaigns.iter().position(|(campaign, _)| campaign.id == id);
    let known = known.unwrap_or_else(|| {
        campaigns.push((Campaign { id, recipients: Vec::new(), events: Vec::new() }, Vec::new()));
        campaigns.len() - 1
    });
    let (campaign, transactions) = &mut campaigns[known];
    if let Some(message) = line["accepted"].as_str() {
        let recipient = uuid(&line["recipient"])?;
        campaign.events.push(Event::Accepted { at, recipient, message: message.to_owned() });
        transactions.push(-1);
        return Some(());
    }
    let transaction = line["transaction"].as_i64()?;
    let change = Change {
        table: line["table"].as_str()?.to_owned(),
        operation: line["operation"].as_str()?.to_owned(),
        row: line["row"].clone(),
    };
    if change.table == "campaign_recipients" && change.operation == "INSERT" {
        campaign.recipients.push(uuid(&change.row["id"])?);
    }
    match transactions.iter().position(|other| *other == transaction) {
        Some(place) => {
            if let Event::Transaction { at: last, changes, .. } = &mut campaign.events[place] {
                *last = at.max(*last);
                changes.push(change);
            }
        }
        None => {
            let by = match line["by"].as_str()? {
                "claim" => By::Claim,
                "checkpoint" => By::Checkpoint,
                "record" => By::Record,
                "complete" => By::Complete,
                "events" => By::Events,
                _ => By::Other,
            };
            campaign.events.push(Event::Transaction { first_at: at, at, by, changes: vec![change] });
            transactions.push(transaction);
        }
    }
    Some(())
}

/// A UUID of a row.
pub fn uuid(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}
