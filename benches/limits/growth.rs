//! A campaign claimed and recorded batch by batch, without the sending in between.

use std::error::Error;
use std::io;

use serde_json::json;
use std::time::Instant;

use crate::statements::{Statements, accepted};

/// For each line of the input one batch: prints a line of JSON with the milliseconds of its claim and of its record.
pub async fn run(size: u32) -> Result<(), Box<dyn Error>> {
    let statements = Statements::from_env().await?;
    for line in io::stdin().lines() {
        line?;
        let started = Instant::now();
        let batch = statements.claim(size).await?;
        let claim = started.elapsed();
        let lines = accepted(&batch);
        let started = Instant::now();
        statements.record(&batch, &lines).await?;
        let record = started.elapsed();
        println!(
            "{}",
            json!({"claim": claim.as_secs_f64() * 1000.0, "record": record.as_secs_f64() * 1000.0})
        );
    }
    Ok(())
}
