//! Random histories of evidence: sent, refused, suppressed and uncertain outcomes are recorded in any order
//! and any number of times, by invocations that hold a claim and by those that have lost it, also by two at
//! once.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use campaign_sender::domain::outcome::Line;
use campaign_sender::domain::outcome::Outcome;
use campaign_sender::domain::recipient::Status;
use campaign_sender::send_batch::claim::Claim;
use campaign_sender::send_batch::record::Closing;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use uuid::Uuid;

use crate::support::World;
use crate::{Statements, line};

const RECIPIENTS: usize = 6;

/// The evidence on one recipient: the number of the recipient, a status, and one of two messages.
type Evidence = (usize, usize, u8);

#[derive(Clone, Debug)]
enum Step {
    /// Unrecorded outcomes, a late invocation, or a replay of the log: outcomes without a claim.
    Unrecorded(Vec<Evidence>),
    /// Two of them at the same moment.
    Together(Vec<Evidence>, Vec<Evidence>),
    /// A batch is claimed, and its outcomes are recorded; `true`: the statement runs twice.
    Batch(u32, Vec<Evidence>, bool),
    /// A batch is claimed, and its invocation is lost. Another one takes the batch over, with the noted
    /// outcomes; `true`: twice.
    Lost(u32, Vec<Evidence>, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let evidence = || proptest::collection::vec((0..RECIPIENTS, 0..Status::ALL.len(), 0..2_u8), 0..8);
    let size = 1..=4_u32;
    prop_oneof![
        evidence().prop_map(Step::Unrecorded),
        (evidence(), evidence()).prop_map(|(one, other)| Step::Together(one, other)),
        (size.clone(), evidence(), any::<bool>())
            .prop_map(|(size, evidence, twice)| Step::Batch(size, evidence, twice)),
        (size, evidence(), any::<bool>())
            .prop_map(|(size, evidence, twice)| Step::Lost(size, evidence, twice)),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct State {
    status: Status,
    message_id: Option<String>,
}

/// One campaign and its recipients.
struct History<'a> {
    world: &'a mut World,
    statements: &'a Statements,
    campaign: Uuid,
    recipients: Vec<Uuid>,
}

impl History<'_> {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Unrecorded(evidence) => self.statements.record(self.campaign, None, &self.lines(evidence)),
            Step::Together(one, other) => {
                let (one, other) = (self.lines(one), self.lines(other));
                self.statements.runtime.block_on(async {
                    tokio::join!(
                        self.statements.record_async(self.campaign, None, &one),
                        self.statements.record_async(self.campaign, None, &other)
                    )
                });
            }
            Step::Batch(size, evidence, twice) => {
                let token = Uuid::new_v4();
                if let Claim::Batch(batch) = self.statements.claim(self.campaign, token, *size, 1e6) {
                    let closing =
                        Closing { batch_id: batch.id, token, whole: true, reopen: true, owner_lost: false };
                    let named: Vec<Uuid> = evidence.iter().map(|one| self.recipients[one.0]).collect();
                    let deferred = batch.recipients.iter().filter(|recipient| !named.contains(&recipient.id));
                    let lines = self.lines(evidence).into_iter();
                    let lines = lines.chain(deferred.map(|recipient| line(recipient.id, Outcome::Deferred)));
                    self.record(closing, &lines.collect::<Vec<_>>(), *twice);
                }
            }
            Step::Lost(size, evidence, twice) => {
                self.statements.claim(self.campaign, Uuid::new_v4(), *size, 1e6);
                self.world.expire_leases();
                let token = Uuid::new_v4();
                let claim = self.statements.claim(self.campaign, token, *size, 1e6);
                if let Claim::Takeover { batch_id, .. } = claim {
                    let closing = Closing { batch_id, token, whole: true, reopen: true, owner_lost: true };
                    self.record(closing, &self.lines(evidence), *twice);
                }
            }
        }
    }

    fn record(&self, closing: Closing, lines: &[Line], twice: bool) {
        for _ in 0..=u8::from(twice) {
            self.statements.record(self.campaign, Some(closing), lines);
        }
    }

    fn lines(&self, evidence: &[Evidence]) -> Vec<Line> {
        let outcome = |n: usize, status, message| match Status::ALL[status] {
            Status::Sent => Outcome::Sent {
                message_id: format!("message-{n}-{message}"),
                at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000),
            },
            Status::Failed => Outcome::Failed { code: "MessageRejected".into(), error: "no".into() },
            Status::Uncertain => Outcome::Uncertain { code: "timed_out".into(), error: "no answer".into() },
            Status::Suppressed => Outcome::Suppressed,
            Status::Pending => Outcome::Deferred,
        };
        evidence
            .iter()
            .map(|&(n, status, message)| line(self.recipients[n], outcome(n, status, message)))
            .collect()
    }

    fn states(&mut self) -> Vec<State> {
        let sql = "SELECT id, status, message_id FROM campaign_recipients WHERE campaign_id = $1";
        let rows = self.world.database.query(sql, &[&self.campaign]);
        let states: BTreeMap<Uuid, State> = rows
            .iter()
            .map(|row| {
                let status =
                    Status::ALL.into_iter().find(|status| status.as_str() == row.get::<_, &str>(1)).unwrap();
                (row.get(0), State { status, message_id: row.get(2) })
            })
            .collect();
        self.recipients.iter().map(|id| states[id].clone()).collect()
    }

    /// The invariants after every step.
    fn check(&mut self, before: &[State], after: &[State], step: &Step) -> Result<(), TestCaseError> {
        for (n, (before, after)) in before.iter().zip(after).enumerate() {
            prop_assert!(
                may_have_become(before.status, after.status),
                "{} -> {}",
                before.status,
                after.status
            );
            prop_assert_eq!(after.status == Status::Sent, after.message_id.is_some());
            if before.status == Status::Sent {
                prop_assert_eq!(before, after);
            }
            // Without a claim, only evidence that SES accepted a message counts. Anything else counts as part
            // of its batch.
            let evidence: &[Evidence] = match step {
                Step::Unrecorded(evidence) => evidence,
                _ => &[],
            };
            if let [(_, status, _)] = evidence.iter().filter(|one| one.0 == n).collect::<Vec<_>>()[..] {
                let counts = Status::ALL[*status] == Status::Sent && before.status.may_become(Status::Sent);
                prop_assert_eq!(after.status, if counts { Status::Sent } else { before.status });
            }
        }
        let sent: Vec<(Uuid, &str)> = self
            .recipients
            .iter()
            .zip(after)
            .filter_map(|(id, state)| Some((*id, state.message_id.as_deref()?)))
            .collect();
        let sql = "SELECT source_ref::uuid, metadata ->> 'messageId' FROM activities
                    WHERE metadata ->> 'campaignId' = $1 AND action = 'email_sent' ORDER BY source_ref::uuid";
        let rows = self.world.database.query(sql, &[&self.campaign.to_string()]);
        let activities: Vec<(Uuid, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let mut expected = sent;
        expected.sort_unstable();
        prop_assert_eq!(activities, expected);

        let count =
            |status| i32::try_from(after.iter().filter(|state| state.status == status).count()).unwrap();
        let sql =
            "SELECT sent_count, failed_count, suppressed_count, uncertain_count FROM campaigns WHERE id = $1";
        let row = &self.world.database.query(sql, &[&self.campaign])[0];
        let counters: [i32; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
        prop_assert_eq!(
            counters,
            [count(Status::Sent), count(Status::Failed), count(Status::Suppressed), count(Status::Uncertain)]
        );
        Ok(())
    }
}

/// The status changed by one change that the life cycle allows, by several, or by none.
fn may_have_become(from: Status, to: Status) -> bool {
    from == to || Status::ALL.into_iter().any(|by| from.may_become(by) && may_have_become(by, to))
}

#[test]
fn no_history_leads_to_an_illegal_state_and_sent_is_final() {
    let mut world = World::new();
    let statements = Statements::of(&mut world);
    let world = std::cell::RefCell::new(world);
    let config = ProptestConfig {
        cases: 64,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let histories = proptest::collection::vec(step(), 1..12);
    TestRunner::new(config)
        .run(&histories, |steps| {
            let mut world = world.borrow_mut();
            let campaign = world.campaign();
            let recipients = (0..RECIPIENTS)
                .map(|n| world.add_recipient(campaign, &format!("r{n}@example.com")))
                .collect();
            let mut history = History { world: &mut world, statements: &statements, campaign, recipients };
            let mut before = history.states();
            for step in &steps {
                history.take(step);
                let after = history.states();
                history.check(&before, &after, step)?;
                before = after;
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
