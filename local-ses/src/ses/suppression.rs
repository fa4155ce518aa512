use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{message::since_epoch, refusal::Refusal};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// An address on the account's suppression list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SuppressedDestination {
    pub email_address: String,
    pub reason: SuppressionReason,
    #[serde(skip, default = "epoch")]
    pub last_update: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SuppressionReason {
    Bounce,
    Complaint,
}

/// The account's suppression list, by address in lower case.
#[derive(Default)]
pub(super) struct SuppressionList(BTreeMap<String, SuppressedDestination>);

impl SuppressionList {
    pub(super) fn new(destinations: Vec<SuppressedDestination>) -> Self {
        SuppressionList(destinations.into_iter().map(|d| (d.email_address.to_lowercase(), d)).collect())
    }

    /// The reason for which an address is on the list, if it is.
    pub(super) fn reason(&self, address: &str) -> Option<SuppressionReason> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&address.to_lowercase()).map(|destination| destination.reason)
    }

    /// The answer of `ListSuppressedDestinations` to the query of its URI.
    ///
    /// `PageSize`, `NextToken` and `Reason` are followed; the dates are not part of this endpoint.
    pub(super) fn answer(&self, query: &str) -> Result<Value, Refusal> {
        let (mut page, mut start, mut reasons) = (DEFAULT_PAGE, 0, Vec::new());
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let refusal = || Refusal::bad_request(format!("{name}: unexpected value {value:?}."));
            match name {
                "PageSize" => {
                    let size = value.parse().ok().filter(|size| (1..=MAX_PAGE).contains(size));
                    page = size.ok_or_else(refusal)?;
                }
                "NextToken" => {
                    let invalid = || Refusal::new(400, "InvalidNextTokenException", "Invalid NextToken.");
                    start = value.parse().map_err(|_| invalid())?;
                }
                "Reason" => reasons
                    .push(serde_json::from_value::<SuppressionReason>(json!(value)).map_err(|_| refusal())?),
                _ => return Err(refusal()),
            }
        }
        let mut matching =
            self.0.values().filter(|d| reasons.is_empty() || reasons.contains(&d.reason)).skip(start);
        let summaries: Vec<Value> = matching.by_ref().take(page).map(summary).collect();
        let next_token = matching.next().map(|_| (start + page).to_string());
        Ok(json!({ "SuppressedDestinationSummaries": summaries, "NextToken": next_token }))
    }
}

fn summary(destination: &SuppressedDestination) -> Value {
    json!({
        "EmailAddress": destination.email_address,
        "Reason": destination.reason,
        "LastUpdateTime": since_epoch(destination.last_update).as_secs_f64(),
    })
}

fn epoch() -> SystemTime {
    UNIX_EPOCH
}
