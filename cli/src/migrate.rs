//! `campaign migrate`: brings a database up to date.

use std::time::{Duration, Instant};

use super::failure::Failure;
use super::{connect, format};
use campaign_sender::store::settings::DatabaseAccess;
use campaign_sender::store::{Database, DatabaseError};

/// Create the tables and functions in the database, or bring them up to date
///
/// Runs the SQL files of this version in their order. Each may be run again, and is applied whole or not at all.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  DATABASE_URL=postgres://crm@localhost/crm campaign migrate")]
pub struct Migrate {}

impl Migrate {
    pub async fn run(self) -> Result<(), Failure> {
        let database = connect(DatabaseAccess::from_env()?).await?;
        apply(&database, |name, took| println!("{name}  {}", format::duration(took))).await?;
        Ok(())
    }
}

macro_rules! migrations {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../migrations/", $name)))),+]
    };
}

/// The files of `migrations/` in their order; a test holds this list against the directory.
const FILES: [(&str, &str); 10] = migrations![
    "0000_addresses.sql",
    "0001_tables.sql",
    "0002_life_cycle.sql",
    "0003_claims.sql",
    "0004_events.sql",
    "0005_rate.sql",
    "0007_unsubscribe.sql",
    "0010_suppression.sql",
    "0011_reputation.sql",
    "0012_one_mailbox.sql",
];

/// Which advisory lock migrations take: the first eight bytes of the package's name.
const LOCK: i64 = i64::from_be_bytes(*b"campaign");

/// Applies all files, and tells of each when it is done.
///
/// Each file is one transaction, in which it waits for its turn: two that migrate at once do it one after the
/// other.
///
/// # Errors
/// What PostgreSQL said; the files before it are applied.
pub async fn apply(database: &Database, mut done: impl FnMut(&str, Duration)) -> Result<(), DatabaseError> {
    for (name, sql) in FILES {
        let started_at = Instant::now();
        database.run_in_transaction(&format!("SELECT pg_advisory_xact_lock({LOCK});\n{sql}")).await?;
        done(name, started_at.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_directory_is_applied_in_its_order() {
        let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).unwrap();
        let mut found: Vec<_> =
            directory.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        assert_eq!(FILES.map(|(name, _)| name).to_vec(), found);
    }
}
