//! The guards of the design: each is one rule that the model can leave out.

/// One rule that keeps a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    MarkBeforeHandOver,
    UncertainBelowMark,
    OutcomesNoted,
    TokenOfBatch,
    LifeCycle,
    EvidenceOfItsAttempt,
    WholeBatches,
    KeyShare,
    ReadCommitted,
    SweepBeforeSent,
    RetriesOff,
    DecisionOfUncertain,
    RetryOfRefusals,
    ProvingEvent,
}

impl Guard {
    /// All guards with their names and rules.
    pub const ALL: [(Guard, &'static str, &'static str); 14] = [
        (
            Guard::MarkBeforeHandOver,
            "mark-before-hand-over",
            "nobody beyond the committed mark is handed to SES",
        ),
        (
            Guard::UncertainBelowMark,
            "uncertain-below-mark",
            "a takeover makes everybody up to the mark without an outcome `uncertain`",
        ),
        (Guard::OutcomesNoted, "outcomes-noted", "a checkpoint notes the outcomes since the last one"),
        (
            Guard::TokenOfBatch,
            "token-of-batch",
            "a checkpoint changes nothing unless the batch still has the invocation's token",
        ),
        (Guard::LifeCycle, "recipient-may-become", "an outcome counts only where the life cycle allows it"),
        (
            Guard::EvidenceOfItsAttempt,
            "evidence-of-its-attempt",
            "an outcome other than `sent` counts only for the attempt that it is about",
        ),
        (
            Guard::WholeBatches,
            "whole-batches",
            "only a record with the outcomes of all recipients closes a batch",
        ),
        (
            Guard::KeyShare,
            "key-share",
            "a campaign does not complete while a transaction that has added recipients is open",
        ),
        (
            Guard::ReadCommitted,
            "read-committed",
            "a claim sees what was committed before it had the cursor's lock",
        ),
        (
            Guard::SweepBeforeSent,
            "sweep-before-sent",
            "a campaign completes only after a search for anybody `pending`, also behind the cursor",
        ),
        (Guard::RetriesOff, "retries-off", "the SDK does not repeat a request whose answer was lost"),
        (
            Guard::DecisionOfUncertain,
            "decision-of-uncertain",
            "`campaign resolve` changes only recipients that are still `uncertain` when it writes",
        ),
        (
            Guard::RetryOfRefusals,
            "retry-of-refusals",
            "`campaign retry-failed` takes no recipient whose message SES may have accepted",
        ),
        (
            Guard::ProvingEvent,
            "proving-event",
            "the policy `resend` needs an event that happened long after the recipient became uncertain",
        ),
    ];

    /// The guard of this name.
    pub fn named(name: &str) -> Option<Guard> {
        Guard::ALL.iter().find(|(_, known, _)| *known == name).map(|(guard, _, _)| *guard)
    }
}

/// The guards that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Removed(pub Vec<Guard>);

impl Removed {
    /// Returns true if this guard is not left out.
    pub fn keeps(&self, guard: Guard) -> bool {
        !self.0.contains(&guard)
    }
}
