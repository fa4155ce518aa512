//! The function's input and output: a batch of an SQS queue, and the records that SQS delivers again.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>

use serde::Serialize;
use serde_json::Value;

use super::event::{self, NotAnEvent, Said};

/// One record of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The id under which the record is reported as failed; `None` if there is no queue, because the function
    /// is the target of an EventBridge rule or was invoked by hand.
    pub message_id: Option<String>,
    /// Its content, or that it is not an event.
    pub said: Result<Said, NotAnEvent>,
}

/// The failed records. SQS delivers them again, and in the end to the dead-letter queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Response {
    /// One entry for each failed record.
    #[serde(rename = "batchItemFailures")]
    pub failures: Vec<ItemFailure>,
}

/// A failed record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemFailure {
    /// The record's `messageId`.
    #[serde(rename = "itemIdentifier")]
    pub message_id: String,
}

/// Reads an invocation's event record by record, so that an unreadable record does not affect the others.
///
/// # Errors
/// A message for a person, when the event is neither a batch of SQS, nor an EventBridge event, nor a notification of
/// SNS.
pub fn records(event: Value) -> Result<Vec<Record>, String> {
    let Value::Object(mut fields) = event else {
        return Err("the event is not an object: expected a batch of SQS, {\"Records\": […]}".to_owned());
    };
    match fields.get_mut("Records").map(Value::take) {
        Some(Value::Array(records)) => records.into_iter().enumerate().map(record).collect(),
        Some(other) => Err(format!("Records is {}: expected an array", kind_of(&other))),
        None if fields.contains_key("detail") || fields.contains_key("Message") => {
            Ok(vec![Record { message_id: None, said: event::parse(Value::Object(fields)) }])
        }
        None => Err(
            "the event has no Records: expected a batch of SQS, {\"Records\": […]}, or an EventBridge event"
                .to_owned(),
        ),
    }
}

fn record((index, record): (usize, Value)) -> Result<Record, String> {
    // Without its id a record cannot be reported alone.
    let message_id = record["messageId"].as_str().ok_or_else(|| {
        format!(
            "Records[{index}].messageId is {}: expected a text, as SQS has it",
            kind_of(&record["messageId"])
        )
    })?;
    let said = match record["body"].as_str() {
        Some(body) => event::parse_text(body),
        None => Err(NotAnEvent::new(format!("body is {}: expected a text", kind_of(&record["body"])))),
    };
    Ok(Record { message_id: Some(message_id.to_owned()), said })
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "missing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_that_cannot_be_read_does_not_hold_the_rest() {
        let good = include_str!("../../events/ses/eventbridge/send.json");
        let event = json!({"Records": [
            {"messageId": "1", "body": "{"}, {"messageId": "2", "body": good}, {"messageId": "3"},
        ]});
        let records = records(event).unwrap();
        let readable: Vec<_> =
            records.iter().map(|record| (record.message_id.as_deref(), record.said.is_ok())).collect();
        assert_eq!(readable, [(Some("1"), false), (Some("2"), true), (Some("3"), false)]);
    }

    #[test]
    fn an_event_may_come_alone_from_a_rule_or_by_hand() {
        for event in [
            include_str!("../../events/ses/eventbridge/send.json"),
            include_str!("../../events/ses/sns/send.json"),
        ] {
            let records = records(serde_json::from_str(event).unwrap()).unwrap();
            assert!(matches!(&records[..], [Record { message_id: None, said: Ok(Said::Event(_)) }]));
        }
    }

    #[test]
    fn an_event_of_another_kind_is_told_what_is_expected() {
        let problem = |event| records(event).unwrap_err();
        insta::assert_snapshot!(problem(json!([])), @r#"the event is not an object: expected a batch of SQS, {"Records": […]}"#);
        insta::assert_snapshot!(problem(json!({})), @r#"the event has no Records: expected a batch of SQS, {"Records": […]}, or an EventBridge event"#);
        insta::assert_snapshot!(problem(json!({"Records": 1})), @"Records is a number: expected an array");
        insta::assert_snapshot!(problem(json!({"Records": [{"body": "{}"}]})), @"Records[0].messageId is missing: expected a text, as SQS has it");
    }

    #[test]
    fn the_answer_names_failed_records_as_sqs_wants() {
        let response = Response { failures: vec![ItemFailure { message_id: "7".to_owned() }] };
        assert_eq!(
            serde_json::to_value(&response).unwrap(),
            json!({"batchItemFailures": [{"itemIdentifier": "7"}]})
        );
        assert_eq!(serde_json::to_value(Response::default()).unwrap(), json!({"batchItemFailures": []}));
    }
}
