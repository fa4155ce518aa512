//! The campaigns that an invocation without a campaign tries, the most due first.
//!
//! A problem of one campaign does not stop the others: a campaign that other invocations work on is skipped,
//! and so is one that cannot be read or worked on, with a line in the log and for a while.

use std::time::Instant;

use uuid::Uuid;

use super::begin::{self, Loaded};
use super::invocation::Invocation;
use super::recorder::Recorder;
use super::{last_invocation, load};
use crate::domain::campaign::Campaign;
use crate::domain::cause::Cause;
use crate::lambda::Failure;
use crate::store::DatabaseError;
use crate::store::activities::TableError;

/// The most campaigns that are tried before the answer is that nothing is due. Campaigns that cannot be
/// worked on may also cost at most a third of the invocation's time.
const MAX_CANDIDATES: usize = 200;

/// The campaigns that are due and were not tried yet.
pub struct Candidates<'a> {
    recorder: &'a Recorder,
    until: Instant,
    look_until: Instant,
    passed_over: Vec<Uuid>,
    /// When the most due campaign cannot be read, all that are due are tried one by one.
    one_by_one: Option<std::vec::IntoIter<Uuid>>,
}

impl<'a> Candidates<'a> {
    /// No campaign was tried yet.
    pub fn new(recorder: &'a Recorder, invocation: &Invocation) -> Candidates<'a> {
        let until = invocation.deadline.last_start;
        let time = until.saturating_duration_since(invocation.started_at);
        let look_until = invocation.started_at + time / 3;
        Candidates { recorder, until, look_until, passed_over: Vec::new(), one_by_one: None }
    }

    /// The next campaign to work on; `None`: no other is due, or there is no time to look for it.
    ///
    /// # Errors
    /// Fails if PostgreSQL does not answer, or the activities table cannot be used.
    pub async fn next(&mut self) -> Result<Option<Campaign>, Failure> {
        while self.passed_over.len() < MAX_CANDIDATES && Instant::now() < self.look_until {
            let named = match self.one_by_one.as_mut().map(Iterator::next) {
                Some(None) => return Ok(None),
                Some(named) => named,
                None => None,
            };
            match (begin::load(self.recorder, named, &self.passed_over, self.until).await, named) {
                (Ok(Loaded { campaign: Some(campaign), resting, .. }), _) => {
                    self.warn_of(&resting);
                    self.passed_over.push(campaign.id);
                    return Ok(Some(campaign));
                }
                (Ok(Loaded { resting, .. }), None) => {
                    self.warn_of(&resting);
                    return Ok(None);
                }
                // It is not due any more.
                (Ok(_), Some(_)) => {}
                (Err(TableError::Database(DatabaseError::Refused(error))), None) => {
                    tracing::error!(%error, "a campaign that is due cannot be read; the others are tried one by one");
                    let due = load::due(self.recorder.database(), &self.passed_over, self.until).await?;
                    self.one_by_one = Some(due.into_iter());
                }
                (Err(TableError::Database(DatabaseError::Refused(error))), Some(id)) => {
                    self.passed_over.push(id);
                    let reason = DatabaseError::Refused(error).to_string();
                    self.give_up(id, &reason).await;
                    let (database, cause) = (self.recorder.database(), Cause::DatabaseRefused);
                    last_invocation::passed_over(database, id, cause, &reason, self.until).await;
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The campaign cannot be worked on, so ticks skip it for a while.
    pub async fn give_up(&self, id: Uuid, reason: &str) {
        tracing::error!(campaign_id = %id, reason, "a campaign that is due cannot be worked on; it is passed over and tried again later");
        if let Err(error) = load::note_attempt(self.recorder.database(), id, self.until).await {
            tracing::warn!(%error, "that could not be noted");
        }
    }

    /// Logs once which campaigns are skipped for a while.
    fn warn_of(&self, resting: &[Uuid]) {
        if self.passed_over.is_empty() && !resting.is_empty() {
            let campaigns: Vec<String> = resting.iter().map(Uuid::to_string).collect();
            tracing::warn!(
                campaigns = campaigns.join(" "),
                "campaigns are due and left alone for a while, because earlier invocations that worked on them were lost or failed"
            );
        }
    }
}
