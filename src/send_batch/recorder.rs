//! Records outcomes in the activities table as it is: its shape is learned before anything is claimed, and again when
//! PostgreSQL says that it has changed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::record::{self, Record, Recorded, Statement};
use crate::domain::outcome::Line;
use crate::store::activities::{TableError, plan, refusal};
use crate::store::{Database, DatabaseError};

/// The activities that are written.
const ACTIONS: [&str; 1] = ["email_sent"];
/// Parts in which activities that were refused are tried again, when a campaign goes on.
const MAX_REFUSED_PARTS: usize = 64;

/// The way into the tables for outcomes.
pub struct Recorder {
    database: Database,
    table: String,
    /// Learned with the first campaign, and again when PostgreSQL says that the activities table has changed.
    statement: RefCell<Option<Rc<Statement>>>,
}

impl Recorder {
    /// A recorder for this activities table, of which nothing is known yet.
    pub fn new(database: Database, table: String) -> Recorder {
        Recorder { database, table, statement: RefCell::new(None) }
    }

    /// Where the outcomes go.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The activities table, if it has to be learned.
    pub fn unknown_table(&self) -> Option<&str> {
        self.statement.borrow().is_none().then_some(self.table.as_str())
    }

    /// Learns the table from what PostgreSQL's catalogue says about it, and has the insert planned.
    ///
    /// # Errors
    /// When the table cannot take activities, or PostgreSQL does not answer by `until`.
    pub async fn learn_from(&self, catalogue: &str, until: Instant) -> Result<(), TableError> {
        let table = plan::learn_from(&self.database, &self.table, catalogue, &ACTIONS, &[], until).await?;
        *self.statement.borrow_mut() = Some(Rc::new(Statement::new(&table)));
        Ok(())
    }

    /// Records outcomes; `None`: the campaign was deleted.
    ///
    /// # Errors
    /// When PostgreSQL does not answer by `until`, or the table takes no activity as it is now.
    pub async fn record(&self, record: &Record<'_>, until: Instant) -> Result<Option<Recorded>, TableError> {
        let recorded = self.record_once(record, until).await?;
        // A row that another statement changed at the same moment looks as if its change had been discarded. A second
        // record of the same outcomes changes nothing else, and sees what is there.
        match recorded {
            Some(recorded) if recorded.discarded > 0 => self.record_once(record, until).await,
            recorded => Ok(recorded),
        }
    }

    /// Records outcomes in parts, each by itself, and leaves out what the table refuses. Returns how many activities
    /// were written.
    ///
    /// # Errors
    /// When PostgreSQL does not answer by `until`.
    pub async fn record_what_is_taken(
        &self,
        campaign_id: uuid::Uuid,
        lines: &[Line],
        until: Instant,
    ) -> Result<u32, TableError> {
        let statement = self.statement(until).await?;
        let (mut parts, mut written) = (vec![lines], 0);
        for _ in 0..MAX_REFUSED_PARTS {
            let Some(part) = parts.pop() else { break };
            let record = Record { lines: part, ..Record::nothing(campaign_id) };
            match record::record_whole(&self.database, &statement, &record, until).await {
                Ok(recorded) => written += recorded.map_or(0, |recorded| recorded.activities),
                Err(DatabaseError::Refused(_)) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(DatabaseError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written)
    }

    /// Records with the shape that is known. Where PostgreSQL refuses, the shape is learned again once, and what is
    /// refused all the same is recorded apart.
    async fn record_once(&self, record: &Record<'_>, until: Instant) -> Result<Option<Recorded>, TableError> {
        let mut statement = self.statement(until).await?;
        let mut outcome = record::record_whole(&self.database, &statement, record, until).await;
        if outcome.as_ref().is_err_and(refusal::may_be_of_the_shape) {
            *self.statement.borrow_mut() = None;
            let learned = self.statement(until).await?;
            if learned != statement {
                tracing::warn!("the activities table has changed, and was learned again");
                statement = learned;
                outcome = record::record_whole(&self.database, &statement, record, until).await;
            }
        }
        match outcome {
            Err(error @ DatabaseError::Refused(_)) => {
                Ok(record::record_apart(&self.database, &statement, record, error, until).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn statement(&self, until: Instant) -> Result<Rc<Statement>, TableError> {
        if let Some(known) = self.statement.borrow().as_ref() {
            return Ok(Rc::clone(known));
        }
        let table = plan::learn(&self.database, &self.table, &ACTIONS, &[], until).await?;
        let statement = Rc::new(Statement::new(&table));
        *self.statement.borrow_mut() = Some(Rc::clone(&statement));
        Ok(statement)
    }
}
