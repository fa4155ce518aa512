//! The event of an invocation, which says what to send next.

use serde_json::Value;
use uuid::Uuid;

use crate::domain::outcome::Unrecorded;

/// The largest batch that an event may ask for, in recipients.
pub const MAX_BATCH_SIZE: u32 = 10_000;
/// The most lanes of the state machine: the concurrency that an inline `Map` of Step Functions allows.
const MAX_LANES: u64 = 40;

/// What an invocation is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// `{}`, or a scheduled event of EventBridge: take the campaign that is most due.
    Due,
    /// The next batch of this campaign.
    Batch {
        /// The campaign.
        campaign_id: Uuid,
        /// Recipients per batch; the function's setting when absent.
        batch_size: Option<u32>,
        /// What the invocation before this one sent and could not record.
        unrecorded: Option<Unrecorded>,
    },
}

/// An event of a form that is not in the contract. The message names the field, its value and what is expected.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}: expected {expected}")]
pub struct InvalidEvent {
    field: String,
    value: String,
    expected: &'static str,
}

impl InvalidEvent {
    fn new(field: &str, value: &Value, expected: &'static str) -> Self {
        InvalidEvent { field: field.to_owned(), value: shorten(value), expected }
    }
}

/// A value as shown in an error message: the whole value if it is short, else its first 80 characters.
fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// [`InvalidEvent`] for everything but the forms of [`Event`]; unknown fields are errors too, so that a
    /// misspelt `batchSize` does not silently mean the default.
    pub fn parse(event: &Value) -> Result<Event, InvalidEvent> {
        let Value::Object(fields) = event else {
            return Err(InvalidEvent::new(
                "the event",
                event,
                "an object, for example {\"campaignId\": \"…\"} or {}",
            ));
        };
        if fields.is_empty() || fields.get("detail-type") == Some(&Value::from("Scheduled Event")) {
            return Ok(Event::Due);
        }
        if let Some((name, value)) = fields
            .iter()
            .find(|(name, _)| !matches!(name.as_str(), "campaignId" | "batchSize" | "unrecorded" | "lanes"))
        {
            return Err(InvalidEvent::new(
                name,
                value,
                "no such field, only campaignId, batchSize and unrecorded, or an EventBridge scheduled event",
            ));
        }
        let id = fields.get("campaignId").unwrap_or(&Value::Null);
        let campaign_id = id
            .as_str()
            .and_then(|id| Uuid::try_parse(id).ok())
            .ok_or_else(|| InvalidEvent::new("campaignId", id, "the campaign's UUID"))?;
        let batch_size = match fields.get("batchSize") {
            None | Some(Value::Null) => None,
            Some(size) => Some(
                size.as_u64()
                    .and_then(|size| u32::try_from(size).ok())
                    .filter(|size| (1..=MAX_BATCH_SIZE).contains(size))
                    .ok_or_else(|| InvalidEvent::new("batchSize", size, "a whole number from 1 to 10000"))?,
            ),
        };
        // `lanes` is for the state machine, which hands its input on unchanged. It is checked here, before
        // anything is sent.
        if let Some(lanes) = fields.get("lanes")
            && !lanes.as_u64().is_some_and(|lanes| (1..=MAX_LANES).contains(&lanes))
        {
            return Err(InvalidEvent::new("lanes", lanes, "a whole number from 1 to 40"));
        }
        let unrecorded = match fields.get("unrecorded") {
            None | Some(Value::Null) => None,
            Some(unrecorded) => Some(Unrecorded::deserialize_from(unrecorded).ok_or_else(|| {
                InvalidEvent::new(
                    "unrecorded",
                    unrecorded,
                    "what an earlier result's next.unrecorded carried, unchanged",
                )
            })?),
        };
        // Unrecorded outcomes of one campaign cannot be recorded for another.
        if let Some(other) = unrecorded.as_ref().and_then(|unrecorded| unrecorded.campaign_id)
            && other != campaign_id
        {
            let other = Value::from(other.to_string());
            return Err(InvalidEvent::new("unrecorded.campaignId", &other, "the event's own campaignId"));
        }
        Ok(Event::Batch { campaign_id, batch_size, unrecorded })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "5f0c3f0e-8f6d-4b67-9a53-0d3a4f1f7c11";

    #[test]
    fn a_batch_names_its_campaign_and_may_name_its_size() {
        let campaign_id = Uuid::parse_str(ID).unwrap();
        assert_eq!(
            Event::parse(&json!({"campaignId": ID, "batchSize": 10000})),
            Ok(Event::Batch { campaign_id, batch_size: Some(10000), unrecorded: None })
        );
        assert_eq!(
            Event::parse(&json!({"campaignId": ID, "batchSize": null})),
            Ok(Event::Batch { campaign_id, batch_size: None, unrecorded: None })
        );
        assert_eq!(
            Event::parse(&json!({"campaignId": ID, "lanes": 4})),
            Ok(Event::Batch { campaign_id, batch_size: None, unrecorded: None })
        );
    }

    #[test]
    fn an_event_of_any_other_form_is_told_what_is_expected() {
        let message = |event| Event::parse(&event).unwrap_err().to_string();
        insta::assert_snapshot!(message(json!("x")), @r#"the event is "x": expected an object, for example {"campaignId": "…"} or {}"#);
        insta::assert_snapshot!(message(json!([])), @r#"the event is []: expected an object, for example {"campaignId": "…"} or {}"#);
        insta::assert_snapshot!(message(json!({"campaignId": "7"})), @r#"campaignId is "7": expected the campaign's UUID"#);
        insta::assert_snapshot!(message(json!({"batchSize": 5})), @"campaignId is null: expected the campaign's UUID");
        insta::assert_snapshot!(message(json!({"campaignId": ID, "batchSize": 0})), @"batchSize is 0: expected a whole number from 1 to 10000");
        insta::assert_snapshot!(message(json!({"campaignId": ID, "batchSize": 10001})), @"batchSize is 10001: expected a whole number from 1 to 10000");
        insta::assert_snapshot!(message(json!({"campaignId": ID, "batchSize": "500"})), @r#"batchSize is "500": expected a whole number from 1 to 10000"#);
        insta::assert_snapshot!(message(json!({"campaignId": ID, "lanes": 41})), @"lanes is 41: expected a whole number from 1 to 40");
        insta::assert_snapshot!(message(json!({"campaignId": ID, "batchSise": 5})), @"batchSise is 5: expected no such field, only campaignId, batchSize and unrecorded, or an EventBridge scheduled event");
        insta::assert_snapshot!(message(json!({"campaignId": ID, "unrecorded": 5})), @"unrecorded is 5: expected what an earlier result's next.unrecorded carried, unchanged");
        let unrecorded = json!({"campaignId": "00000000-0000-0000-0000-00000000000a", "batchId": 1, "claimToken": ID, "outcomes": [], "whole": true});
        insta::assert_snapshot!(message(json!({"campaignId": ID, "unrecorded": unrecorded})), @r#"unrecorded.campaignId is "00000000-0000-0000-0000-00000000000a": expected the event's own campaignId"#);
        insta::assert_snapshot!(message(json!({"detail-type": "x".repeat(100)})), @r#"detail-type is "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: expected no such field, only campaignId, batchSize and unrecorded, or an EventBridge scheduled event"#);
    }
}
