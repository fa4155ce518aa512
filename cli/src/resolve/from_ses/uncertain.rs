//! The uncertain recipients, and when SES may have accepted their emails.

use std::time::SystemTime;

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::super::failure::{Exit, Failure};
use super::super::super::soon;
use super::super::Case;
use campaign_sender::domain::address;

/// An uncertain recipient.
#[derive(Clone, Debug)]
pub struct Uncertain {
    pub id: Uuid,
    /// The address as SES was given it.
    pub address: String,
    /// SES accepted the email after this time, if it did …
    pub from: SystemTime,
    /// … and before this time.
    pub until: SystemTime,
    /// SES's message id, if the function had its answer.
    pub message_id: Option<String>,
}

/// The uncertain recipients of the campaign, in their order; or those of them that `recipients` names.
pub async fn load(case: &Case, recipients: &[Uuid]) -> Result<Vec<Uncertain>, Failure> {
    let wanted = (!recipients.is_empty()).then_some(recipients);
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&case.campaign.id, Type::UUID), (&wanted, Type::UUID_ARRAY)];
    let rows = case.database.query(include_str!("uncertain.sql"), &parameters, soon()).await?;
    if let Some(id) = recipients.iter().find(|id| rows.iter().all(|row| row.get::<_, Uuid>("id") != **id)) {
        let message = format!("--recipient {id}: the campaign has no such uncertain recipient");
        return Err(Failure::new(Exit::Data, message));
    }
    let person = |row: &tokio_postgres::Row| {
        let email: String = row.get("email");
        Uncertain {
            id: row.get("id"),
            address: address::sendable(&email).unwrap_or_else(|_| address::canonical(&email).into_owned()),
            from: row.get("since"),
            until: row.get("until"),
            message_id: row.get("message_id"),
        }
    };
    Ok(rows.iter().map(person).collect())
}
