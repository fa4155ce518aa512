use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    account::{Account, RateLimit, TokenBucket},
    behaviour::Rules,
    connections::Connections,
    identity::Identities,
    insights::Insights,
    mailbox::Mailbox,
    message::Message,
    preview::Preview,
    refusal::Refusal,
    signature::Verifier,
    stored::StoredTemplates,
    suppression::SuppressionList,
    tenant::Tenants,
};

/// The state that the connections and the owner of an endpoint share.
pub(super) struct State {
    pub(super) verifier: Verifier,
    pub(super) mailbox: Mailbox,
    pub(super) connections: Arc<Connections>,
    control: Mutex<Control>,
}

/// The settings of a running endpoint, and its counters.
#[derive(Default)]
pub(super) struct Control {
    pub(super) rules: Rules,
    pub(super) account: Account,
    pub(super) suppressed: SuppressionList,
    pub(super) identities: Identities,
    pub(super) tenants: Tenants,
    pub(super) insights: Insights,
    pub(super) templates: StoredTemplates,
    pub(super) latency: Duration,
    pub(super) counts: Statistics,
    pub(super) preview: Option<Preview>,
    rate: Option<RateLimit>,
}

/// Counts since the endpoint started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// Requests to the SES API, of all operations; those to `/_local/` are not counted.
    pub requests: u64,
    /// The `SendEmail` and `SendBulkEmail` requests among them, whatever their result.
    pub send_requests: u64,
    /// Bytes of their bodies.
    pub send_bytes: u64,
    /// Bytes of the largest of these bodies.
    pub largest_send: u64,
    /// Templates that were stored.
    pub templates_created: u64,
    /// Templates that were deleted again.
    pub templates_deleted: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Accepted messages that were never sent, because their template data lacked a variable.
    pub rendering_failures: u64,
    /// Requests and bulk entries that were answered with an error, including throttled ones.
    pub refused: u64,
    /// Those refused with `TooManyRequestsException` or `ACCOUNT_THROTTLED`.
    pub throttled: u64,
    /// Those refused for their signature.
    pub unauthenticated: u64,
    /// Connections closed without an answer, because a rule said so.
    pub dropped: u64,
}

impl State {
    pub(super) fn new(verifier: Verifier) -> Self {
        State {
            verifier,
            mailbox: Mailbox::default(),
            connections: Arc::default(),
            control: Mutex::default(),
        }
    }

    pub(super) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap()
    }

    pub(super) fn statistics(&self) -> Statistics {
        let (connections, open) = self.connections.counts();
        Statistics { connections, open_connections: open as u64, ..self.control().counts }
    }
}

impl Control {
    pub(super) fn set_rate(&mut self, bucket: Option<TokenBucket>) {
        self.rate = bucket.map(|bucket| RateLimit::new(bucket, Instant::now()));
    }

    /// Counts a message towards the rate and the daily quota, or refuses it.
    pub(super) fn spend(&mut self, message: &Message) -> Result<(), Refusal> {
        // At most 50 recipients got past the checks.
        let recipients = u32::try_from(message.recipients().count()).unwrap_or(u32::MAX);
        if let Some(rate) = &mut self.rate {
            rate.take(recipients, Instant::now())?;
        }
        self.account.count(recipients)
    }

    pub(super) fn count_send(&mut self, body: &[u8]) {
        let bytes = body.len() as u64;
        self.counts.send_requests += 1;
        self.counts.send_bytes += bytes;
        self.counts.largest_send = self.counts.largest_send.max(bytes);
    }

    pub(super) fn count_refusal(&mut self, refusal: &Refusal) {
        self.counts.refused += 1;
        self.counts.throttled += u64::from(refusal.code == "TooManyRequestsException");
    }
}
