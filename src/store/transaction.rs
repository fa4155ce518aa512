//! The transaction of a statement: it says itself what it needs, whatever the defaults of the database, the role and
//! the connection are.
//!
//! Nothing is set on the connection: a pooler in transaction mode gives each transaction another one, with what other
//! clients have left behind. `BEGIN`, the statement and `COMMIT` are sent together, so that the whole takes one round
//! trip.

use std::time::Duration;

use futures_util::future::join3;
use tokio_postgres::{Client, Error, Row};

use super::Parameters;

/// How transactions begin.
#[derive(Clone)]
pub struct Begin(String);

impl Begin {
    /// With the tables of this schema, which is an identifier without quotes in it.
    pub fn in_schema(schema: &str) -> Begin {
        let lines: Vec<&str> =
            include_str!("begin.sql").lines().filter(|line| !line.starts_with("--")).collect();
        Begin(lines.join("\n").replace("{schema}", schema))
    }

    /// The script that begins one in which no lock is waited for longer than this; zero: without end.
    pub fn script(&self, lock_timeout: Duration) -> String {
        let millis = i32::try_from(lock_timeout.as_millis()).unwrap_or(i32::MAX);
        self.0.replace("{lock_timeout}", &millis.to_string())
    }
}

/// A transaction that was not committed.
pub struct Aborted {
    /// Why; the first error, of which the others are consequences.
    pub error: Error,
    /// The transaction could not begin. If the statement ran, then in a transaction of its own.
    pub at_begin: bool,
}

/// Runs a statement in a transaction of its own, and returns when that is committed.
///
/// When this returns, PostgreSQL has answered everything, or the connection is broken. When it is dropped before, the
/// connection must be closed.
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
