//! The versions of the schema, which `refinery` applies once each and records, and the functions, which are replaced.

use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
use refinery_core::{Migration, Runner, Target};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::Client;

use campaign_sender::store::DatabaseError;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../migrations/", $name)))),+]
    };
}

/// The files of the versions, each of which is applied once and recorded. A file that has been released is not changed.
pub const VERSIONS: [(&str, &str); 7] = files![
    "0000_addresses.sql",
    "0001_tables.sql",
    "0002_last_invocations.sql",
    "0003_ses.sql",
    "0004_links.sql",
    "0005_results.sql",
    "0006_feedback.sql"
];

/// The version that the steps of `baseline.sql` lead to.
const BASELINE: usize = 1;

/// The files of the functions, triggers and views, which come after the versions and are applied again when their text
/// has changed. The last one records the version.
pub const FUNCTIONS: [(&str, &str); 10] = files![
    "functions_1_life_cycle.sql",
    "functions_2_rate.sql",
    "functions_3_claims.sql",
    "functions_4_guards.sql",
    "functions_5_events.sql",
    "functions_6_suppression.sql",
    "functions_7_history.sql",
    "functions_8_links.sql",
    "functions_8_results.sql",
    "functions_9_version.sql",
];

/// The table in which refinery records what it has applied.
pub const HISTORY: &str = "campaign_schema_history";

/// All functions, in one script.
pub fn functions() -> String {
    FUNCTIONS.map(|(_, sql)| sql).join("\n")
}

/// The versions after that of the baseline, in one script.
pub fn after_baseline() -> String {
    VERSIONS[BASELINE + 1..].iter().map(|(_, sql)| *sql).collect::<Vec<_>>().join("\n")
}

/// A hash of the functions' text, in 32 characters.
pub fn functions_hash() -> String {
    Sha256::digest(functions()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The versions as refinery knows them: `0001_tables.sql` is `V1__tables`.
pub fn migrations() -> Vec<Migration> {
    let migration = |(file, sql): (&str, &str)| {
        let (number, name) = file.trim_end_matches(".sql").split_once('_').expect("NUMBER_NAME.sql");
        let number: u32 = number.parse().expect("a number");
        Migration::unapplied(&format!("V{number}__{name}"), sql).expect("refinery's form of a name")
    };
    VERSIONS.map(migration).to_vec()
}

/// Applies the versions that are not recorded yet, each in a transaction of its own; or, with `only_record`,
/// records the versions up to that one without applying them, because their tables already exist.
///
/// # Errors
/// PostgreSQL's error, or that a version was applied with another text.
pub async fn apply(connection: &mut Connection<'_>, only_record: Option<i32>) -> Result<Vec<String>, Error> {
    let target = only_record.map_or(Target::Latest, Target::FakeVersion);
    let mut runner = Runner::new(&migrations()).set_target(target);
    runner.set_migration_table_name(HISTORY);
    let report = runner.run_async(connection).await?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// Why the versions could not be applied.
pub enum Error {
    /// PostgreSQL's error.
    Database(DatabaseError),
    /// The recorded versions are not those of this release.
    History(String),
}

impl From<refinery_core::Error> for Error {
    fn from(error: refinery_core::Error) -> Error {
        // refinery wraps PostgreSQL's error and adds the name of the migration.
        match std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Refused>()) {
            Some(Refused(refused)) => match refused.lock().ok().and_then(|mut refused| refused.take()) {
                Some(refused) => Error::Database(refused),
                None => Error::History(error.to_string()),
            },
            None => Error::History(error.to_string()),
        }
    }
}

/// PostgreSQL's error within refinery's, which only returns a reference to it.
#[derive(Debug)]
pub struct Refused(std::sync::Mutex<Option<DatabaseError>>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgreSQL refused it")
    }
}

impl std::error::Error for Refused {}

impl From<tokio_postgres::Error> for Refused {
    fn from(error: tokio_postgres::Error) -> Refused {
        Refused(std::sync::Mutex::new(Some(error.into())))
    }
}

/// A connection for refinery whose transactions begin like all of this package's.
pub struct Connection<'a> {
    pub client: &'a Client,
    /// The beginning of a transaction, with our schema first and a limit on waits for locks.
    pub begin: String,
}

impl Connection<'_> {
    async fn end<T>(&self, outcome: Result<T, tokio_postgres::Error>) -> Result<T, Refused> {
        match outcome {
            Ok(value) => {
                self.client.batch_execute("COMMIT").await?;
                Ok(value)
            }
            Err(error) => {
                let _ = self.client.batch_execute("ROLLBACK").await;
                Err(error.into())
            }
        }
    }

    async fn run(&self, queries: &[&str]) -> Result<usize, tokio_postgres::Error> {
        self.client.batch_execute(&self.begin).await?;
        for query in queries {
            self.client.batch_execute(query).await?;
        }
        Ok(queries.len())
    }

    async fn applied(&self, query: &str) -> Result<Vec<Migration>, tokio_postgres::Error> {
        self.client.batch_execute(&self.begin).await?;
        let rows = self.client.query(query, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let applied_on = OffsetDateTime::parse(row.get(2), &Rfc3339);
                let checksum = row.get::<_, &str>(3).parse();
                Migration::applied(
                    row.get(0),
                    row.get(1),
                    applied_on.unwrap_or(OffsetDateTime::UNIX_EPOCH),
                    checksum.unwrap_or_default(),
                )
            })
            .collect())
    }
}

impl AsyncTransaction for Connection<'_> {
    type Error = Refused;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Refused> {
        let queries: Vec<&str> = queries.collect();
        let outcome = self.run(&queries).await;
        self.end(outcome).await
    }
}

impl AsyncQuery<Vec<Migration>> for Connection<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, Refused> {
        let outcome = self.applied(query).await;
        self.end(outcome).await
    }
}

impl AsyncMigrate for Connection<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use campaign_sender::store::schema;

    #[test]
    fn every_file_of_the_directory_is_applied_in_its_order() {
        let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).unwrap();
        let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut found: Vec<_> = names
            .filter(|name| std::path::Path::new(name).extension().is_some_and(|end| end == "sql"))
            .collect();
        found.sort();
        let files: Vec<_> = VERSIONS.iter().chain(&FUNCTIONS).map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, found);
    }

    #[test]
    fn the_functions_need_the_newest_version() {
        let newest = migrations().last().unwrap().version();
        assert_eq!(newest, schema::VERSION);
        let (_, records) = FUNCTIONS.last().unwrap();
        assert!(records.contains(&format!("VALUES ({newest}, ")), "{records}");
    }
}
