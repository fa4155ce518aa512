//! The record statement against `COPY BINARY`, which knows nothing of recipients: into the same table, and into one
//! that has no index and is not logged. One after the other in each round, so that what changes meanwhile meets all.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt as _;
use serde_json::json;
use std::time::Instant;
use tokio_postgres::{Client, NoTls};

use crate::activity::{COLUMNS, rows};
use crate::statements::{Statements, accepted};

/// Prints a line of JSON per round: milliseconds for a batch of `size`. The first round warms up and is not printed.
pub async fn run(size: u32, rounds: u32) -> Result<(), Box<dyn Error>> {
    let statements = Statements::from_env().await?;
    let (client, connection) = tokio_postgres::connect(&std::env::var("DATABASE_URL")?, NoTls).await?;
    tokio::spawn(connection);
    client
        .batch_execute("CREATE UNLOGGED TABLE activities_bare (LIKE activities INCLUDING DEFAULTS)")
        .await?;
    for round in 0..=rounds {
        let started = Instant::now();
        let batch = statements.claim(size).await?;
        let claim = started.elapsed();
        let (lines, encoded) = (accepted(&batch), rows(&batch).map_err(|error| error.to_string())?);
        let started = Instant::now();
        statements.record(&batch, &lines).await?;
        let record = started.elapsed();
        let copied = copy(&client, "activities", encoded.clone()).await?;
        let bare = copy(&client, "activities_bare", encoded).await?;
        if round > 0 {
            let ms = |time: Duration| time.as_secs_f64() * 1000.0;
            let line =
                json!({"claim": ms(claim), "record": ms(record), "copy": ms(copied), "bare": ms(bare)});
            println!("{line}");
        }
    }
    Ok(())
}

async fn copy(client: &Client, table: &str, encoded: Bytes) -> Result<Duration, Box<dyn Error>> {
    let started = Instant::now();
    let sink = client.copy_in(&format!("COPY {table} ({COLUMNS}) FROM STDIN BINARY")).await?;
    let mut sink = pin!(sink);
    sink.send(encoded).await?;
    sink.finish().await?;
    Ok(started.elapsed())
}
