//! A campaign claimed and recorded batch by batch, without the sending in between.

use std::error::Error;

use serde_json::json;
use tokio::time::Instant;

use crate::statements::{Statements, accepted};

/// Prints a line of JSON per batch, of `batches` at most: milliseconds of its claim, of its record, and of a query that
/// touches no table, which tells how fast the machine was then.
pub async fn run(size: u32, batches: u32) -> Result<(), Box<dyn Error>> {
    let statements = Statements::from_env().await?;
    for _ in 0..batches {
        let started = Instant::now();
        let Some(batch) = statements.claim(size).await? else { break };
        let claim = started.elapsed();
        let lines = accepted(&batch);
        let started = Instant::now();
        statements.record(&batch, &lines).await?;
        let record = started.elapsed();
        let started = Instant::now();
        statements.calculate().await?;
        let reference = started.elapsed();
        let line = json!({
            "emails": lines.len(),
            "claim": claim.as_secs_f64() * 1000.0,
            "record": record.as_secs_f64() * 1000.0,
            "reference": reference.as_secs_f64() * 1000.0,
        });
        println!("{line}");
    }
    Ok(())
}
