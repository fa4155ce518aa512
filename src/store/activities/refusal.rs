//! The cause of a refused insert of activities. Pure.

use tokio_postgres::error::DbError;

use crate::store::DatabaseError;

/// The cause of the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The row's content (a constraint, a trigger, a value). The table takes other rows.
    Row,
    /// The table's state: it is gone or changed, the role lost a right, a partition is missing, the disk is
    /// full. The same row may succeed when this is corrected.
    Table,
}

/// `None`: PostgreSQL did not refuse the insert but could not be reached.
///
/// Every cause that is not known to be the table's is the row's, also a trigger's own SQLSTATE.
pub fn of(error: &DatabaseError) -> Option<Refused> {
    let DatabaseError::Refused(error) = error else { return None };
    let Some(error) = error.as_db_error() else { return Some(Refused::Table) };
    let of_table = match class(error) {
        "42" | "0A" | "3D" | "3F" | "53" | "54" | "55" | "57" | "58" | "25" | "28" | "XX" | "F0" | "HV" => {
            true
        }
        // 'no partition of relation … found for row' has the SQLSTATE of a check, and names no constraint.
        "23" => error.code().code() == "23514" && error.constraint().is_none() && error.table().is_some(),
        _ => false,
    };
    Some(if of_table { Refused::Table } else { Refused::Row })
}

/// Returns true if the error may come from a table that has changed since its columns were read: other types,
/// columns, labels, lengths, rights, or another table of that name.
pub fn may_be_of_the_shape(error: &DatabaseError) -> bool {
    let DatabaseError::Refused(error) = error else { return false };
    error.as_db_error().is_some_and(|error| {
        matches!(class(error), "42" | "0A" | "3F" | "55" | "XX")
            || matches!(error.code().code(), "22P02" | "22001" | "22P05" | "2200G")
    })
}

fn class(error: &DbError) -> &str {
    error.code().code().get(..2).unwrap_or_default()
}
