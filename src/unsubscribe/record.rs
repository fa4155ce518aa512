//! Records a request in PostgreSQL with one statement.

use std::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::request::Wish;
use crate::message::token::RecipientIds;
use crate::store::activities::ActivitiesTable;
use crate::store::{Database, DatabaseError};

/// The state of a recipient's address after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The address in the table.
    pub email: String,
    /// The campaign's sender.
    pub from_address: String,
    /// The reason for which the address is suppressed; `None` if it is not.
    pub reason: Option<String>,
    /// True if this request has changed something.
    pub changed: bool,
    /// This link made the entry, and nobody has confirmed it since: the link may take it back.
    pub revocable: bool,
}

/// The statements, for the activities table in use.
#[derive(Clone, Debug)]
pub struct Statements {
    unsubscribe: String,
    subscribe_again: String,
}

impl Statements {
    /// Fills the statements for this table. An activity whose action its enum lacks is left out; without a table,
    /// all are.
    pub fn new(table: Option<&ActivitiesTable>) -> Statements {
        let fill = |statement: &str, action: &str| {
            let table = table.filter(|table| table.knows_action(action));
            match table {
                Some(table) => {
                    table.fill(&statement.replace("{activity}", include_str!("activity.sql").trim_end()))
                }
                None => statement.replace("{activity}", "SELECT 1"),
            }
        };
        Statements {
            unsubscribe: fill(include_str!("unsubscribe.sql"), "email_unsubscribed"),
            subscribe_again: fill(include_str!("subscribe_again.sql"), "email_resubscribed"),
        }
    }

    /// Carries out the request; repeating it changes nothing. `None`: there is no such recipient (any more).
    ///
    /// # Errors
    /// Fails if PostgreSQL does not answer by `until`, or refuses. After a refusal nothing has changed;
    /// without an answer either nothing or everything has.
    pub async fn apply(
        &self,
        database: &Database,
        wish: Wish,
        ids: RecipientIds,
        until: Instant,
    ) -> Result<Option<Standing>, DatabaseError> {
        let statement = match wish {
            Wish::Unsubscribe => self.unsubscribe.as_str(),
            Wish::SubscribeAgain => self.subscribe_again.as_str(),
            Wish::Look | Wish::Unknown | Wish::WrongMethod => include_str!("look.sql"),
        };
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&ids.recipient_id, Type::UUID), (&ids.organization_id, Type::UUID)];
        let rows = database.query(statement, &parameters, until).await?;
        Ok(rows.first().map(standing))
    }
}

fn standing(row: &Row) -> Standing {
    Standing {
        email: row.get("email"),
        from_address: row.get("from_address"),
        reason: row.get("reason"),
        changed: row.get("changed"),
        revocable: row.get("revocable"),
    }
}
