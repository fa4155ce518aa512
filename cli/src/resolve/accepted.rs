//! Parses the lines in which `send-batch` logs what SES accepted. Pure.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use uuid::Uuid;

/// One message that SES accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub campaign_id: Uuid,
    pub recipient_id: Uuid,
    pub message_id: String,
    pub at: SystemTime,
}

/// The content of a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The messages that the answer to one call accepted.
    Accepted(Vec<Accepted>),
    /// Another log line.
    Other,
    /// It is about accepted messages, but incomplete: cut off, or edited.
    Broken,
}

#[derive(Deserialize)]
struct Fields {
    campaign_id: Uuid,
    sent_at_ms: u64,
    /// Each `RECIPIENT-ID=MESSAGE-ID`, a space between two.
    messages: String,
}

impl Fields {
    fn accepted(self) -> Option<Vec<Accepted>> {
        let campaign_id = self.campaign_id;
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.sent_at_ms))?;
        let message = |message: &str| {
            let (recipient_id, message_id) = message.split_once('=')?;
            let (recipient_id, message_id) = (recipient_id.parse().ok()?, message_id.to_owned());
            Some(Accepted { campaign_id, recipient_id, message_id, at })
        };
        self.messages.split(' ').map(message).collect()
    }
}

/// Reads one line: JSON as `send-batch` writes it, or with what `aws logs tail` and CloudWatch's exports put in
/// front of it.
pub fn parse(line: &str) -> Line {
    // Nearly all other lines are skipped without parsing.
    let Some(json) = line.find('{').map(|start| &line[start..]).filter(|json| json.contains("\"accepted\""))
    else {
        return Line::Other;
    };
    let Some(Ok(value)) = serde_json::Deserializer::from_str(json).into_iter::<serde_json::Value>().next()
    else {
        return Line::Broken;
    };
    if value["message"] != "accepted" {
        return Line::Other;
    }
    let accepted = serde_json::from_value(value).ok().and_then(Fields::accepted);
    accepted.map_or(Line::Broken, Line::Accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":"2026-01-05T08:00:00.123456Z","level":"INFO","message":"accepted","campaign_id":"5f0c2c1e-0000-4000-8000-000000000001","sent_at_ms":1767600000123,"messages":"5f0c2c1e-0000-4000-8000-000000000002=0100-1 5f0c2c1e-0000-4000-8000-000000000003=0100-2","target":"campaign_sender::send_batch::send","span":{"name":"batch"}}"#;

    #[test]
    fn an_accepted_message_is_read_whatever_the_log_puts_before_it() {
        let id = |n| Uuid::from_u128(0x5f0c_2c1e_0000_4000_8000_0000_0000_0000 + n);
        let accepted = |n: u128| Accepted {
            campaign_id: id(1),
            recipient_id: id(n + 1),
            message_id: format!("0100-{n}"),
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_600_000_123),
        };
        let expected = Line::Accepted(vec![accepted(1), accepted(2)]);
        assert_eq!(parse(LINE), expected);
        let tail = "2026-01-05T08:00:00.123000+00:00 2026/01/05/[$LATEST]4f0f6c0d5a8e4d0a ";
        assert_eq!(parse(&format!("{tail}{LINE}")), expected);
        assert_eq!(parse(&format!("2026-01-05T08:00:00.123Z {LINE}\r")), expected);
    }

    #[test]
    fn what_is_no_accepted_message_is_told_from_one_that_is_cut_off() {
        for other in
            ["", "START RequestId: 8e", r#"{"message":"batch recorded","reason":"accepted"}"#, "{\"a\""]
        {
            assert_eq!(parse(other), Line::Other, "{other}");
        }
        for broken in [
            &LINE[..LINE.len() - 40],
            &LINE.replace("sent_at_ms", "sent_at"),
            &LINE.replace("5f0c", "x"),
            &LINE.replace("=0100-2", ""),
        ] {
            assert_eq!(parse(broken), Line::Broken, "{broken}");
        }
    }
}
