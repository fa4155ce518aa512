//! What a template sees of a recipient, from a row.

use tokio_postgres::Row;

use crate::message::render::Person;

/// The person in a row with the columns `email`, `name` and `variables`. There is no link to unsubscribe, which the
/// subjects of activities do not need.
///
/// # Panics
/// Panics if the row lacks one of these columns.
pub fn person(row: &Row) -> Person<'_> {
    Person {
        email: row.get("email"),
        name: row.get("name"),
        variables: row.get("variables"),
        unsubscribe_url: None,
    }
}
