//! The guards of the design: each is one rule that the model can leave out.

/// One rule that keeps a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    MarkBeforeHandOver,
    DoubtBelowMark,
    OutcomesNoted,
    TokenFence,
    LifeCycle,
    EvidenceOfItsAttempt,
    WholeDebts,
    KeyShare,
    ReadCommitted,
    SweepBeforeSent,
    RetriesOff,
    DecisionOfDoubt,
    RetryOfRefusals,
    WitnessEvent,
}

impl Guard {
    /// All guards with their names and rules.
    pub const ALL: [(Guard, &'static str, &'static str); 14] = [
        (
            Guard::MarkBeforeHandOver,
            "mark-before-hand-over",
            "nobody beyond the committed high-water mark is handed to SES",
        ),
        (
            Guard::DoubtBelowMark,
            "doubt-below-mark",
            "a takeover makes everybody up to the mark without an outcome `uncertain`",
        ),
        (Guard::OutcomesNoted, "outcomes-noted", "a checkpoint notes the outcomes since the last one"),
        (
            Guard::TokenFence,
            "token-fence",
            "a checkpoint changes nothing unless the batch still has the invocation's token",
        ),
        (Guard::LifeCycle, "recipient-may-become", "an outcome counts only where the life cycle allows it"),
        (
            Guard::EvidenceOfItsAttempt,
            "evidence-of-its-attempt",
            "an outcome other than `sent` counts only for the attempt that it is about",
        ),
        (
            Guard::WholeDebts,
            "whole-debts",
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
            Guard::DecisionOfDoubt,
            "decision-of-doubt",
            "`campaign resolve` changes only who is still `uncertain` when it writes",
        ),
        (
            Guard::RetryOfRefusals,
            "retry-of-refusals",
            "`campaign retry-failed` takes nobody whose message SES may have accepted",
        ),
        (
            Guard::WitnessEvent,
            "witness-event",
            "the policy `resend` needs an event that happened long after the doubt arose",
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
