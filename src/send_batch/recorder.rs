//! Records outcomes. The activities table's columns are read before anything is claimed, and again when
//! PostgreSQL says that they have changed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::record::{self, Record, Recorded, Statement};
use crate::domain::outcome::Line;
use crate::store::activities::{TableError, plan, refusal};
use crate::store::{Database, DatabaseError};

/// The activities that are written.
const ACTIONS: [&str; 1] = ["email_sent"];
/// The most parts in which refused activities are tried again when a campaign continues.
const MAX_REFUSED_PARTS: usize = 64;

/// Records outcomes in the tables.
pub struct Recorder {
    database: Database,
    table: String,
    /// The statement, made with the first campaign, and again when PostgreSQL says that the activities table
    /// has changed.
    statement: RefCell<Option<Rc<Statement>>>,
}

impl Recorder {
    /// A recorder for this activities table, whose columns are not read yet.
    pub fn new(database: Database, table: String) -> Recorder {
        Recorder { database, table, statement: RefCell::new(None) }
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The activities table, if its columns have to be read.
    pub fn unknown_table(&self) -> Option<&str> {
        self.statement.borrow().is_none().then_some(self.table.as_str())
    }

    /// Examines the table with the catalogue's data, and lets PostgreSQL plan the insert.
    ///
    /// # Errors
    /// Fails if the table cannot take activities, or PostgreSQL does not answer by `until`.
    pub async fn learn_from(&self, catalogue: &str, until: Instant) -> Result<(), TableError> {
        let table = plan::learn_from(&self.database, &self.table, catalogue, &ACTIONS, &[], until).await?;
        *self.statement.borrow_mut() = Some(Rc::new(Statement::new(&table)));
        Ok(())
    }

    /// Records outcomes; `None`: the campaign was deleted.
    ///
    /// # Errors
    /// Fails if PostgreSQL does not answer by `until`, or the table's state allows no activity.
    pub async fn record(&self, record: &Record<'_>, until: Instant) -> Result<Option<Recorded>, TableError> {
        let recorded = self.record_once(record, until).await?;
        // A row that another statement changed at the same moment looks as if its change had been discarded.
        // A second record of the same outcomes changes nothing else and sees the current rows.
        match recorded {
            Some(recorded) if recorded.discarded > 0 => self.record_once(record, until).await,
            recorded => Ok(recorded),
        }
    }

    /// Records outcomes in separate parts, and leaves out those that the table refuses. Returns the number of
    /// written activities.
    ///
    /// # Errors
    /// Fails if PostgreSQL does not answer by `until`.
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

    /// Records with the known columns. If PostgreSQL refuses, the columns are read again once, and outcomes
    /// that are refused all the same are recorded separately.
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
