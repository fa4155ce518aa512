//! The outcome of one recipient in one batch, and outcomes that are not recorded yet.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::domain::recipient::Status;

/// The outcome of one recipient.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// SES accepted the message.
    Sent {
        /// SES's message id.
        message_id: String,
        /// When its answer came.
        at: SystemTime,
    },
    /// Certainly not accepted, and final.
    Failed {
        /// `render`, `invalid_address`, or SES's error code.
        code: String,
        /// For a person.
        error: String,
    },
    /// On the organization's suppression list; SES was not asked.
    Suppressed,
    /// SES may have accepted the message.
    Uncertain {
        /// What happened: `timed_out`, `connection_lost`, or SES's error code.
        code: String,
        /// For a person.
        error: String,
    },
    /// Certainly not accepted, or not tried; `pending` again.
    Deferred,
}

impl Outcome {
    /// The status that the recipient's row gets.
    pub fn status(&self) -> Status {
        match self {
            Outcome::Sent { .. } => Status::Sent,
            Outcome::Failed { .. } => Status::Failed,
            Outcome::Suppressed => Status::Suppressed,
            Outcome::Uncertain { .. } => Status::Uncertain,
            Outcome::Deferred => Status::Pending,
        }
    }
}

/// One outcome to record.
#[derive(Clone, Debug)]
pub struct Line {
    /// The recipient.
    pub recipient_id: Uuid,
    /// What became of it.
    pub outcome: Outcome,
    /// The subject as it was rendered, for the activity.
    pub subject: Option<String>,
}

/// The outcome of one recipient in a short form, in which checkpoints note it and `next.unrecorded` carries
/// it: `[recipient, status, message id or code, milliseconds since 1970 or error]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The recipient's id.
    pub recipient_id: Uuid,
    /// What became of it.
    pub outcome: Outcome,
}

impl Serialize for Entry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (id, status) = (self.recipient_id, self.outcome.status().as_str());
        match &self.outcome {
            Outcome::Sent { message_id, at } => {
                (id, status, message_id, epoch_millis(*at)).serialize(serializer)
            }
            Outcome::Failed { code, error } | Outcome::Uncertain { code, error } => {
                (id, status, code, error).serialize(serializer)
            }
            Outcome::Suppressed | Outcome::Deferred => (id, status).serialize(serializer),
        }
    }
}

impl Entry {
    /// Reads the short form; `None` if it is anything else.
    pub fn from_value(value: &Value) -> Option<Entry> {
        let text = |i: usize| value.get(i).and_then(Value::as_str).map(str::to_owned);
        let outcome = match value.get(1)?.as_str()? {
            "sent" => Outcome::Sent {
                message_id: text(2)?,
                at: SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(value.get(3)?.as_u64()?))?,
            },
            "failed" => Outcome::Failed { code: text(2)?, error: text(3)? },
            "uncertain" => Outcome::Uncertain { code: text(2)?, error: text(3)? },
            "suppressed" => Outcome::Suppressed,
            "pending" => Outcome::Deferred,
            _ => return None,
        };
        Some(Entry { recipient_id: Uuid::try_parse(value.get(0)?.as_str()?).ok()?, outcome })
    }
}

/// Milliseconds since 1970; 0 for a time before.
pub fn epoch_millis(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What an invocation sent and could not record; `next.unrecorded` carries it to the next invocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unrecorded {
    /// The campaign; absent in what release 0.1 wrote.
    #[serde(rename = "campaignId", default, skip_serializing_if = "Option::is_none")]
    pub campaign_id: Option<Uuid>,
    /// The batch, still claimed by the invocation that sent it.
    #[serde(rename = "batchId")]
    pub batch_id: i64,
    /// That invocation's claim.
    #[serde(rename = "claimToken")]
    pub claim_token: Uuid,
    /// The outcomes, as far as they fit.
    #[serde(with = "entries")]
    pub outcomes: Vec<Entry>,
    /// True if `outcomes` has all outcomes of the batch. Otherwise the batch stays open until its lease ends;
    /// then the other recipients become uncertain, and SES's events settle them.
    pub whole: bool,
}

/// The largest `next.unrecorded`, in bytes: Step Functions passes at most 256 KiB (262,144 bytes) from state
/// to state.
pub const MAX_DEBT_BYTES: usize = 200 * 1024;

impl Unrecorded {
    /// Reads what [`Unrecorded`]'s `Serialize` wrote.
    pub fn deserialize_from(value: &Value) -> Option<Unrecorded> {
        serde_json::from_value(value.clone()).ok()
    }

    /// The unrecorded outcomes of a batch, cut to [`MAX_DEBT_BYTES`]; messages that SES accepted are kept
    /// first.
    pub fn of_batch(
        campaign_id: Uuid,
        batch_id: i64,
        claim_token: Uuid,
        entries: impl Iterator<Item = Entry>,
    ) -> Unrecorded {
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_by_key(|entry| entry.outcome.status() != Status::Sent);
        let mut room = MAX_DEBT_BYTES - 300;
        let kept = entries
            .iter()
            .take_while(|entry| {
                // The size includes separators with a space after each, because an orchestrator may write
                // JSON in this way.
                let size = serde_json::to_vec(entry).map_or(usize::MAX, |json| json.len() + 6);
                let fits = size <= room;
                room = room.saturating_sub(size);
                fits
            })
            .count();
        let whole = kept == entries.len();
        entries.truncate(kept);
        Unrecorded { campaign_id: Some(campaign_id), batch_id, claim_token, outcomes: entries, whole }
    }
}

mod entries {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use serde_json::Value;

    use super::Entry;

    pub fn serialize<S: Serializer>(entries: &[Entry], serializer: S) -> Result<S::Ok, S::Error> {
        entries.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
        Vec::<Value>::deserialize(deserializer)?
            .iter()
            .map(|value| Entry::from_value(value).ok_or_else(|| D::Error::custom("not an outcome")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(n: u64) -> Entry {
        Entry {
            recipient_id: Uuid::from_u64_pair(n, n),
            outcome: Outcome::Sent {
                message_id: format!("0100018f5d4b0b2d-1c9d2f60-5b7e-4d0a-9a53-{n:012}-000000"),
                at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_012_345_678),
            },
        }
    }

    #[test]
    fn an_entry_survives_being_noted() {
        for outcome in [
            sent(1).outcome,
            Outcome::Failed { code: "render".into(), error: "company is not defined".into() },
            Outcome::Uncertain { code: "timed_out".into(), error: "no answer within 10 s".into() },
            Outcome::Suppressed,
            Outcome::Deferred,
        ] {
            let entry = Entry { recipient_id: Uuid::from_u64_pair(1, 2), outcome };
            let noted = serde_json::to_value(&entry).unwrap();
            assert_eq!(Entry::from_value(&noted), Some(entry));
        }
    }

    #[test]
    fn unrecorded_outcomes_fit_and_keep_what_was_accepted() {
        let failed = Entry {
            recipient_id: Uuid::from_u64_pair(0, 0),
            outcome: Outcome::Failed { code: "render".into(), error: String::new() },
        };
        let unrecorded = Unrecorded::of_batch(
            Uuid::nil(),
            7,
            Uuid::nil(),
            std::iter::once(failed.clone()).chain((1..10_000).map(sent)),
        );
        // Python's way to write JSON is checked too.
        let spaced = serde_json::to_string(&unrecorded).unwrap().replace(',', ", ").replace(':', ": ");
        assert!(spaced.len() <= MAX_DEBT_BYTES);
        assert!(
            unrecorded.outcomes.len() > 1_200 && !unrecorded.whole && !unrecorded.outcomes.contains(&failed)
        );

        let unrecorded = Unrecorded::of_batch(Uuid::nil(), 7, Uuid::nil(), [failed, sent(1)].into_iter());
        assert!(unrecorded.whole);
        assert_eq!(
            Unrecorded::deserialize_from(&serde_json::to_value(&unrecorded).unwrap()),
            Some(unrecorded)
        );
    }
}
