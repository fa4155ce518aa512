//! The transaction of a statement. It sets what it needs, whatever the defaults of the database, the role and
//! the connection are.
//!
//! Nothing is set on the connection, because a pooler in transaction mode may give each transaction a
//! different one, with settings that other clients have left behind. `BEGIN`, the statement and `COMMIT` are
//! sent together, so that the whole takes one round trip.

use std::time::Duration;

use futures_util::future::join3;
use tokio_postgres::{Client, Error, Row};

use super::Parameters;

/// How transactions begin.
#[derive(Clone)]
pub struct Begin(String);

impl Begin {
    /// A beginning with the tables of this schema, which is an identifier without quotes.
    pub fn in_schema(schema: &str) -> Begin {
        let lines: Vec<&str> =
            include_str!("begin.sql").lines().filter(|line| !line.starts_with("--")).collect();
        Begin(lines.join("\n").replace("{schema}", schema))
    }

    /// The script that begins a transaction with this limit on each wait for a lock; zero: no limit.
    pub fn script(&self, lock_timeout: Duration) -> String {
        let millis = i32::try_from(lock_timeout.as_millis()).unwrap_or(i32::MAX);
        self.0.replace("{lock_timeout}", &millis.to_string())
    }
}

/// A transaction that was not committed.
pub struct Aborted {
    /// The first error, which caused the others.
    pub error: Error,
    /// True if the transaction could not begin. The statement may then have run in a transaction of its own.
    pub at_begin: bool,
}

/// Runs a statement in a transaction of its own, and returns when that is committed.
///
/// When this returns, PostgreSQL has answered everything, or the connection is broken. If the future is
/// dropped before, the connection must be closed.
pub async fn run(
    client: &Client,
    begin: &str,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, Aborted> {
    // Each future sends its message when it is first polled, in this order.
    let (started, rows, committed) = join3(
        client.batch_execute(begin),
        client.query_typed(sql, parameters),
        client.batch_execute("COMMIT"),
    )
    .await;
    started.map_err(|error| Aborted { error, at_begin: true })?;
    let rows = rows.map_err(|error| Aborted { error, at_begin: false })?;
    committed.map_err(|error| Aborted { error, at_begin: false })?;
    Ok(rows)
}
