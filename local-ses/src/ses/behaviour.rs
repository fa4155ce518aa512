use serde::{Deserialize, Serialize};

use super::{
    check::bare_address,
    message::{Message, RequestKind},
    refusal::Refusal,
};

/// A rule for certain requests. The first rule that matches decides.
///
/// As JSON: `{"recipient":{"exact":"a@example.com"},"effect":{"delay":{"ms":50}},"times":1}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Matches requests with such a recipient; none: any recipients.
    pub recipient: Option<RecipientMatch>,
    /// Matches the n-th send request after the rule was added, counted from 1 (a bulk call is one request);
    /// none: every request.
    pub request: Option<u64>,
    /// Matches requests of this operation; none: of both.
    pub kind: Option<RequestKind>,
    pub effect: Effect,
    /// The number of times that the rule may match; none: any number.
    pub times: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RecipientMatch {
    /// The address, without display name, whatever its letter case.
    Exact(String),
    /// A part of the address, whatever its letter case.
    Contains(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Answers this error. For an entry of a bulk call: the corresponding `Status`.
    Refuse { code: String, message: String, status: u16 },
    /// Answers `TooManyRequestsException`, `Maximum sending rate exceeded.`
    Throttle,
    /// Answers an internal failure with status 500, accepting nothing.
    ServerError,
    /// Answers this unchanged, after accepting the request or without accepting it, like a proxy, a firewall
    /// or a broken SES. Each character of `body` is one byte (U+0000 to U+00FF).
    Answer { accept: bool, status: u16, content_type: String, body: String },
    /// Accepts, and answers `{}`. For an entry of a bulk call: `{}` as its result.
    AcceptWithEmptyResult,
    /// Accepts, and omits the last result of a bulk call.
    AcceptWithFewerResults,
    /// Waits, then continues as if there were no rule.
    Delay { ms: u64 },
    /// Closes the connection without an answer, accepting nothing.
    DropBeforeAccept,
    /// Accepts, and closes the connection without an answer.
    DropAfterAccept,
    /// Accepts, and answers later.
    AcceptThenDelay { ms: u64 },
}

impl Rule {
    /// A rule for every send request.
    pub fn any(effect: Effect) -> Self {
        Rule { recipient: None, request: None, kind: None, effect, times: None }
    }

    /// A rule for requests to this address.
    pub fn to(address: impl Into<String>, effect: Effect) -> Self {
        Rule { recipient: Some(RecipientMatch::Exact(address.into())), ..Self::any(effect) }
    }

    /// A rule for requests to an address that contains this.
    pub fn to_containing(part: impl Into<String>, effect: Effect) -> Self {
        Rule { recipient: Some(RecipientMatch::Contains(part.into())), ..Self::any(effect) }
    }

    /// A rule for the n-th send request from now on, counted from 1.
    pub fn nth(request: u64, effect: Effect) -> Self {
        Rule { request: Some(request), ..Self::any(effect) }
    }

    /// The same rule, only for requests of this operation.
    #[must_use]
    pub fn by(self, kind: RequestKind) -> Self {
        Rule { kind: Some(kind), ..self }
    }

    /// The same rule, for at most this number of matches.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Rule { times: Some(times), ..self }
    }
}

impl RecipientMatch {
    fn matches(&self, address: &str) -> bool {
        let address = bare_address(address);
        match self {
            RecipientMatch::Exact(exact) => address.eq_ignore_ascii_case(exact),
            RecipientMatch::Contains(part) => {
                address.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
            }
        }
    }
}

impl Effect {
    /// The answer of the effects that refuse.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Effect::Refuse { code, message, status } => {
                Some(Refusal::new(*status, code.clone(), message.clone()))
            }
            Effect::Throttle => Some(Refusal::rate_exceeded()),
            Effect::ServerError => Some(Refusal::internal()),
            _ => None,
        }
    }
}

/// The rules in force, in the order in which they were added.
#[derive(Default)]
pub(super) struct Rules {
    rules: Vec<ActiveRule>,
    requests: u64,
}

struct ActiveRule {
    rule: Rule,
    /// The number of send requests before it was added.
    added_at: u64,
}

/// The effects of the rules on one send request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Decision {
    /// For the request as a whole.
    pub(super) effect: Option<Effect>,
    /// For each message of a bulk call that an address rule refuses.
    pub(super) refused_entries: Vec<Option<Refusal>>,
    /// For each message of a bulk call: true if its result is empty.
    pub(super) empty_results: Vec<bool>,
}

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(ActiveRule { rule, added_at: self.requests });
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn list(&self) -> Vec<&Rule> {
        self.rules.iter().map(|active| &active.rule).collect()
    }

    /// Counts a `SendEmail` request, and finds its rule.
    pub(super) fn decide_single(&mut self, message: &Message) -> Decision {
        self.requests += 1;
        Decision { effect: self.first_match(|_| true, &[message]), ..Decision::default() }
    }

    /// Counts a `SendBulkEmail` request, and finds its rules: those that refuse an address decide over that
    /// entry, the first that matches among the others over the whole call.
    pub(super) fn decide_bulk(&mut self, messages: &[&Message]) -> Decision {
        self.requests += 1;
        let per_entry = |rule: &Rule| rule.recipient.is_some() && rule.effect.refusal().is_some();
        let refused_entries = messages
            .iter()
            .map(|message| self.first_match(per_entry, &[message]).and_then(|effect| effect.refusal()))
            .collect();
        let is_empty = |rule: &Rule| rule.effect == Effect::AcceptWithEmptyResult;
        let empty_results =
            messages.iter().map(|message| self.first_match(is_empty, &[message]).is_some()).collect();
        let effect = self.first_match(|rule| !per_entry(rule) && !is_empty(rule), messages);
        Decision { effect, refused_entries, empty_results }
    }

    fn first_match(&mut self, eligible: impl Fn(&Rule) -> bool, messages: &[&Message]) -> Option<Effect> {
        let requests = self.requests;
        let active = self.rules.iter_mut().find(|active| {
            let ActiveRule { rule, added_at } = active;
            rule.times != Some(0)
                && eligible(rule)
                && rule.request.is_none_or(|nth| requests - *added_at == nth)
                && rule.kind.is_none_or(|kind| messages.iter().all(|message| message.kind == kind))
                && rule.recipient.as_ref().is_none_or(|wanted| {
                    messages.iter().any(|message| message.recipients().any(|address| wanted.matches(address)))
                })
        })?;
        if let Some(left) = &mut active.rule.times {
            *left -= 1;
        }
        Some(active.rule.effect.clone())
    }
}
