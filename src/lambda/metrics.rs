//! Metrics as log lines in CloudWatch's embedded metric format, which need no requests to CloudWatch.
//!
//! One document per batch, written here; docs/decisions/0013-metrics-without-a-crate.md says why.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::outcome::epoch_millis;
use crate::domain::result::BatchCounts;

const NAMESPACE: &str = "CampaignSender";

/// The durations of many requests in milliseconds, rounded down by at most a tenth; 10 s at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies(BTreeMap<u32, u32>);

impl Latencies {
    /// Adds a duration. A metric may have 100 distinct values in a document; steps of a tenth stay below
    /// that.
    pub fn record(&mut self, latency: Duration) {
        let ms = u32::try_from(latency.as_millis()).unwrap_or(u32::MAX).min(10_000);
        let step = |value: &u32| Some(value + (value / 10).max(1));
        let value = std::iter::successors(Some(0), step).take_while(|value| *value <= ms).last();
        *self.0.entry(value.unwrap_or(0)).or_default() += 1;
    }

    fn to_json(&self) -> Value {
        json!({ "Values": self.0.keys().collect::<Vec<_>>(), "Counts": self.0.values().collect::<Vec<_>>() })
    }
}

/// The measurements of one batch.
pub struct BatchMetrics<'a> {
    /// The campaign.
    pub campaign_id: Uuid,
    /// Its organization.
    pub organization_id: Uuid,
    /// Its recipients by outcome.
    pub counts: BatchCounts,
    /// How long SES took to answer each request.
    pub send_latency: &'a Latencies,
    /// How long the outcomes took to record.
    pub record_latency: Duration,
    /// The time from the event until now.
    pub duration: Duration,
}

/// Writes the metrics of one function, or nothing.
#[derive(Clone, Debug)]
pub struct Metrics {
    function_name: Option<String>,
}

impl Metrics {
    /// Metrics under a function's name, which is the only dimension; `None` switches them off.
    pub fn new(function_name: Option<String>) -> Metrics {
        Metrics { function_name }
    }

    /// Returns true if metrics are written.
    pub fn are_on(&self) -> bool {
        self.function_name.is_some()
    }

    /// Writes the metrics of a batch.
    pub fn batch(&self, batch: &BatchMetrics<'_>) {
        self.write(|function_name| batch_document(function_name, batch, SystemTime::now()));
    }

    /// Writes that a campaign is halted.
    pub fn halted(&self, campaign_id: Uuid, organization_id: Uuid) {
        self.write(|function_name| {
            let halted = document(function_name, SystemTime::now(), &[("Halted", "Count", json!(1))]);
            of_campaign(halted, campaign_id, organization_id)
        });
    }

    /// Writes that the database may have lost what it had committed: an invocation noticed another history of it.
    pub fn history_changed(&self) {
        self.write(|function_name| {
            document(function_name, SystemTime::now(), &[("DatabaseHistoryChanged", "Count", json!(1))])
        });
    }

    /// Writes how many emails SES reported that the database never handed over, if there are any.
    pub fn lost_by_database(&self, emails: u64) {
        if emails > 0 {
            self.write(|function_name| {
                document(function_name, SystemTime::now(), &[("LostByDatabase", "Count", json!(emails))])
            });
        }
    }

    /// Writes for how long the oldest uncertain recipient has been uncertain; zero if there is none.
    pub fn oldest_uncertain(&self, age: Duration) {
        self.write(|function_name| oldest_uncertain_document(function_name, age, SystemTime::now()));
    }

    /// Writes the longest time for which a campaign has been due, or sending without a new batch.
    pub fn oldest_due(&self, age: Duration) {
        self.write(|function_name| oldest_due_document(function_name, age, SystemTime::now()));
    }

    /// Writes that the reputation guard has paused a campaign.
    pub fn guard_paused(&self, campaign_id: Uuid) {
        self.write(|function_name| guard_document(function_name, campaign_id, SystemTime::now()));
    }

    /// Writes how many of SES's events did not fit the recipient that their tags name, and how many emails
    /// SES rejected after accepting them; writes nothing if there are none.
    pub fn events(&self, misfit: u64, rejected: u64) {
        if misfit + rejected > 0 {
            self.write(|function_name| {
                let metrics =
                    [("MisfitEvents", "Count", json!(misfit)), ("Rejected", "Count", json!(rejected))];
                document(function_name, SystemTime::now(), &metrics)
            });
        }
    }

    fn write(&self, document: impl FnOnce(&str) -> Value) {
        if let Some(function_name) = &self.function_name {
            // A metric that cannot be written must not stop an email.
            let _ = writeln!(std::io::stdout().lock(), "{}", document(function_name));
        }
    }
}

fn batch_document(function_name: &str, batch: &BatchMetrics<'_>, now: SystemTime) -> Value {
    let counts = batch.counts;
    let document = document(
        function_name,
        now,
        &[
            ("Sent", "Count", json!(counts.sent)),
            ("Failed", "Count", json!(counts.failed)),
            ("Suppressed", "Count", json!(counts.suppressed)),
            ("Uncertain", "Count", json!(counts.uncertain)),
            ("Deferred", "Count", json!(counts.deferred)),
            ("SendLatency", "Milliseconds", batch.send_latency.to_json()),
            ("RecordLatency", "Milliseconds", json!(batch.record_latency.as_millis())),
            ("BatchDuration", "Milliseconds", json!(batch.duration.as_millis())),
        ],
    );
    of_campaign(document, batch.campaign_id, batch.organization_id)
}

/// They are properties and not dimensions, because CloudWatch bills each combination of dimensions as a
/// metric of its own.
fn of_campaign(mut document: Value, campaign_id: Uuid, organization_id: Uuid) -> Value {
    document["campaign_id"] = json!(campaign_id);
    document["organization_id"] = json!(organization_id);
    document
}

fn oldest_uncertain_document(function_name: &str, age: Duration, now: SystemTime) -> Value {
    document(function_name, now, &[("OldestUncertainSeconds", "Seconds", json!(age.as_secs()))])
}

fn oldest_due_document(function_name: &str, age: Duration, now: SystemTime) -> Value {
    document(function_name, now, &[("OldestDueSeconds", "Seconds", json!(age.as_secs()))])
}

fn guard_document(function_name: &str, campaign_id: Uuid, now: SystemTime) -> Value {
    let mut document = document(function_name, now, &[("PausedByGuard", "Count", json!(1))]);
    document["campaign_id"] = json!(campaign_id);
    document
}

fn document(function_name: &str, now: SystemTime, metrics: &[(&str, &str, Value)]) -> Value {
    // CloudWatch does not accept a list without values.
    let metrics: Vec<_> = metrics.iter().filter(|(_, _, value)| value["Values"] != json!([])).collect();
    let mut document = json!({
        "_aws": {
            "Timestamp": epoch_millis(now),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["FunctionName"]],
                "Metrics": metrics
                    .iter()
                    .map(|(name, unit, _)| json!({"Name": name, "Unit": unit}))
                    .collect::<Vec<_>>(),
            }],
        },
        "FunctionName": function_name,
    });
    for (name, _, value) in metrics {
        document[*name] = value.clone();
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(send_latency: &Latencies) -> Value {
        let batch = BatchMetrics {
            campaign_id: Uuid::from_u128(1),
            organization_id: Uuid::from_u128(2),
            counts: BatchCounts { claimed: 10, sent: 6, failed: 1, suppressed: 1, uncertain: 1, deferred: 1 },
            send_latency,
            record_latency: Duration::from_millis(12),
            duration: Duration::from_millis(345),
        };
        batch_document("send-batch", &batch, SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
    }

    #[test]
    fn a_batch_is_one_document_with_the_function_as_its_only_dimension() {
        let mut latencies = Latencies::default();
        for ms in [1, 20, 20, 20, 9_999, 60_000] {
            latencies.record(Duration::from_millis(ms));
        }
        insta::assert_snapshot!(batch(&latencies), @r#"{"BatchDuration":345,"Deferred":1,"Failed":1,"FunctionName":"send-batch","RecordLatency":12,"SendLatency":{"Counts":[1,3,2],"Values":[1,20,9535]},"Sent":6,"Suppressed":1,"Uncertain":1,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["FunctionName"]],"Metrics":[{"Name":"Sent","Unit":"Count"},{"Name":"Failed","Unit":"Count"},{"Name":"Suppressed","Unit":"Count"},{"Name":"Uncertain","Unit":"Count"},{"Name":"Deferred","Unit":"Count"},{"Name":"SendLatency","Unit":"Milliseconds"},{"Name":"RecordLatency","Unit":"Milliseconds"},{"Name":"BatchDuration","Unit":"Milliseconds"}],"Namespace":"CampaignSender"}],"Timestamp":1800000000000},"campaign_id":"00000000-0000-0000-0000-000000000001","organization_id":"00000000-0000-0000-0000-000000000002"}"#);
    }

    #[test]
    fn a_batch_without_a_send_has_no_latency_of_one() {
        let document = batch(&Latencies::default());
        assert!(document.get("SendLatency").is_none());
        assert!(!document["_aws"].to_string().contains("SendLatency"));
    }

    #[test]
    fn latencies_have_fewer_than_100_values_however_many_there_are() {
        let mut latencies = Latencies::default();
        for ms in 0..20_000 {
            latencies.record(Duration::from_millis(ms));
        }
        assert!(latencies.0.len() < 100, "{}", latencies.0.len());
        assert_eq!(latencies.0.values().sum::<u32>(), 20_000);
    }

    #[test]
    fn the_oldest_uncertain_recipient_is_a_document_of_its_own() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        insta::assert_snapshot!(oldest_uncertain_document("send-batch", Duration::from_secs(7), now), @r#"{"FunctionName":"send-batch","OldestUncertainSeconds":7,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["FunctionName"]],"Metrics":[{"Name":"OldestUncertainSeconds","Unit":"Seconds"}],"Namespace":"CampaignSender"}],"Timestamp":1800000000000}}"#);
    }

    #[test]
    fn a_campaign_that_the_guard_pauses_is_counted_and_named() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        insta::assert_snapshot!(guard_document("ses-events", Uuid::from_u128(1), now), @r#"{"FunctionName":"ses-events","PausedByGuard":1,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["FunctionName"]],"Metrics":[{"Name":"PausedByGuard","Unit":"Count"}],"Namespace":"CampaignSender"}],"Timestamp":1800000000000},"campaign_id":"00000000-0000-0000-0000-000000000001"}"#);
    }
}
