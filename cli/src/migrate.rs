//! `campaign migrate`: brings a database to the version of the schema that this release needs.

mod runner;
mod steps;
mod versions;

use std::time::Duration;

use tokio_postgres::Client;

use self::runner::Runner;
use self::steps::{Kind, SWITCH};
use super::failure::{Exit, Failure};
use super::{connect, format, output};
use campaign_sender::store::schema::VERSION;
use campaign_sender::store::settings::DatabaseAccess;
use campaign_sender::store::{Database, DatabaseError};

/// Create the tables and functions in the database, or bring them to the version of this release
///
/// Functions of this release and of the release before it may run meanwhile, also while campaigns are sent.
/// Finished steps are not repeated, so you can run an interrupted migration again. If the tables are of
/// release 0.1, connect directly and not through a pooler in transaction mode.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  DATABASE_URL=postgres://owner@localhost/crm campaign migrate
  campaign migrate --status     # which version the database has, and which this release needs
  campaign migrate --dry-run    # the SQL, and nothing else")]
pub struct Migrate {
    /// Show the version of the database and what a migration would do; change nothing
    #[arg(long, conflicts_with = "dry_run")]
    status: bool,
    /// Print the version, and whether it is that of this release, as one JSON object on one line
    #[arg(long, conflicts_with = "dry_run")]
    json: bool,
    /// Print the SQL that a migration would run; change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Migrate {
    pub async fn run(self) -> Result<(), Failure> {
        let database = connect(DatabaseAccess::from_env()?).await?;
        if self.status || self.dry_run {
            let state = State::read(&*database.session().await?, &database).await?;
            if self.json {
                output::write_json(&state.as_json());
            } else if self.status {
                println!("{}", state.sentence());
            } else {
                print_sql(state.plan()?);
            }
            return Ok(());
        }
        if !self.json {
            return apply(&database, |line| println!("{line}")).await;
        }
        apply(&database, |line| tracing::info!("{line}")).await?;
        let state = State::read(&*database.session().await?, &database).await?;
        output::write_json(&state.as_json());
        Ok(())
    }
}

/// The state of a database.
#[derive(Debug, Default)]
struct State {
    /// The version that is recorded.
    version: Option<i32>,
    /// Its functions are those of this release.
    has_functions: bool,
    /// It has tables that are older than recorded versions.
    has_old_tables: bool,
    /// refinery has recorded how the tables were created.
    has_history: bool,
    /// The name of one of our tables, if another table has it.
    foreign_table: Option<String>,
}

/// The work of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Nothing.
    UpToDate,
    /// Bring tables that are older than recorded versions to the newest version.
    Baseline,
    /// The tables have a recorded version; record also how they were created, which ends an interrupted
    /// baseline.
    Adopt,
    /// Apply versions and functions.
    Versions,
}

impl State {
    async fn read(client: &Client, database: &Database) -> Result<State, DatabaseError> {
        let schema = database.schema();
        let there = "SELECT to_regclass(format('%I.%I', $1::text, $2::text)) IS NOT NULL";
        let exists = async |name: &str| -> Result<bool, DatabaseError> {
            Ok(client.query_one(there, &[&schema, &name]).await?.get(0))
        };
        let mut state = State {
            has_old_tables: exists("campaign_cursors").await? && exists("campaign_recipients").await?,
            has_history: exists(versions::HISTORY).await?,
            ..State::default()
        };
        if exists("campaign_schema").await? {
            let sql = format!(
                "SELECT version, functions_hash FROM \"{schema}\".campaign_schema ORDER BY version DESC LIMIT 1"
            );
            if let Some(row) = client.query_opt(&sql, &[]).await? {
                state.version = Some(row.get(0));
                state.has_functions =
                    row.get::<_, Option<&str>>(1) == Some(versions::functions_hash().as_str());
            }
        }
        if state.has_history {
            let sql = format!("SELECT FROM \"{schema}\".{} LIMIT 1", versions::HISTORY);
            state.has_history = client.query_opt(&sql, &[]).await?.is_some();
        }
        if state.version.is_none()
            && !state.has_old_tables
            && !state.has_history
            && exists("campaigns").await?
        {
            state.foreign_table = Some(format!("{schema}.campaigns"));
        }
        Ok(state)
    }

    fn plan(&self) -> Result<Plan, Failure> {
        if let Some(table) = &self.foreign_table {
            return Err(Failure::new(
                Exit::Config,
                format!(
                    "{table} is not a table of campaign-sender: name another schema in DATABASE_SCHEMA, and create it first"
                ),
            ));
        }
        match self.version {
            Some(version) if version > VERSION => Err(Failure::new(
                Exit::Config,
                format!(
                    "the database has version {version} of the schema, and this release ends with version {VERSION}: use the `campaign` of a newer release"
                ),
            )),
            Some(_) if !self.has_history => Ok(Plan::Adopt),
            Some(VERSION) if self.has_functions => Ok(Plan::UpToDate),
            None if self.has_old_tables && !self.has_history => Ok(Plan::Baseline),
            Some(_) | None => Ok(Plan::Versions),
        }
    }

    fn as_json(&self) -> serde_json::Value {
        serde_json::json!({
            "version": self.version,
            "needed": VERSION,
            "upToDate": matches!(self.plan(), Ok(Plan::UpToDate)),
        })
    }

    /// One line for a person.
    fn sentence(&self) -> String {
        let has = match (self.version, self.has_old_tables) {
            (Some(version), _) => format!("the database has version {version} of the schema"),
            (None, true) => {
                "the database has the tables of release 0.1, which recorded no version".to_owned()
            }
            (None, false) => "the database has no tables of campaign-sender".to_owned(),
        };
        let needs = match self.plan() {
            Ok(Plan::UpToDate) => "up to date".to_owned(),
            Ok(Plan::Baseline) => format!("`campaign migrate` brings them to version {VERSION}"),
            Ok(Plan::Adopt) => "`campaign migrate` ends what is left to do".to_owned(),
            Ok(Plan::Versions) if self.version == Some(VERSION) => {
                "`campaign migrate` replaces its functions".to_owned()
            }
            Ok(Plan::Versions) => format!("`campaign migrate` brings it to version {VERSION}"),
            Err(failure) => failure.to_string(),
        };
        format!("{has}; {needs}")
    }
}

/// Brings the database to [`VERSION`] and reports each step in one line.
///
/// # Errors
/// PostgreSQL's error. Finished steps stay done and are not repeated.
pub async fn apply(database: &Database, mut say: impl FnMut(String)) -> Result<(), Failure> {
    let runner = Runner::start(database).await.map_err(refused)?;
    let state = State::read(runner.client(), database).await?;
    let plan = state.plan()?;
    match plan {
        Plan::UpToDate => {
            say(format!("up to date: version {VERSION} of the schema"));
            return Ok(());
        }
        Plan::Versions => {}
        Plan::Baseline => runner.baseline(steps::all(), &mut say).await.map_err(refused)?,
        Plan::Adopt => {
            let after = steps::all().into_iter().skip_while(|step| step.title != SWITCH).skip(1);
            runner
                .baseline(after.collect(), &mut |line| {
                    // In a database that psql created, nothing is left to do.
                    if line.starts_with(' ') {
                        say(line);
                    }
                })
                .await
                .map_err(refused)?;
        }
    }
    let recorded = match plan {
        Plan::Baseline => Some(VERSION),
        // The version as psql, or an interrupted baseline, has recorded it.
        Plan::Adopt => state.version,
        Plan::UpToDate | Plan::Versions => None,
    };
    if let Some(through) = recorded {
        runner.record_versions(through).await.map_err(refused)?;
    }
    runner.apply_versions(&mut say).await.map_err(refused)?;
    runner.replace_functions(&mut say).await.map_err(refused)?;
    say(format!("version {VERSION} of the schema"));
    Ok(())
}

/// The line for a finished step.
fn done(title: &str, took: Duration) -> String {
    format!("{title}  {}", format::duration(took))
}

/// The error if a migration fails; if the role lacks a right, it names the right.
fn refused(error: runner::Error) -> Failure {
    match error {
        runner::Error::Database(DatabaseError::Refused(error))
            if error.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) =>
        {
            Failure::new(
                Exit::NoPermission,
                format!(
                    "{}; the role in DATABASE_URL may not migrate: use the owner of the tables (of an empty database: a role with CREATE on its schema)",
                    DatabaseError::Refused(error)
                ),
            )
        }
        runner::Error::Database(DatabaseError::Locked(reason)) => Failure::new(
            Exit::Unavailable,
            format!(
                "a lock was not granted within {}: {reason}; end the transaction that holds it, and run `campaign migrate` again, which continues from here",
                format::duration(runner::LOCK_PATIENCE)
            ),
        ),
        runner::Error::Database(error) => error.into(),
        runner::Error::Other(message) => Failure::new(Exit::Config, message),
    }
}

/// Prints the SQL that a plan would run.
fn print_sql(plan: Plan) {
    let section = |title: &str, sql: &str| output::print_source(&format!("-- {title}\n\n{sql}\n\n"));
    match plan {
        Plan::UpToDate => println!("-- up to date: version {VERSION} of the schema"),
        Plan::Baseline => {
            for step in steps::all() {
                let how = match step.kind {
                    Kind::Transaction => "in one transaction",
                    Kind::Portions => "again and again, in transactions of their own",
                    Kind::Concurrently | Kind::Index | Kind::Statements => "in no transaction",
                };
                section(&format!("{} ({how})", step.title), &step.sql);
            }
        }
        Plan::Adopt => {
            for step in steps::all().into_iter().skip_while(|step| step.title != SWITCH).skip(1) {
                section(&step.title, &step.sql);
            }
        }
        Plan::Versions => {
            for (name, sql) in versions::VERSIONS.iter().chain(&versions::FUNCTIONS) {
                section(name, sql);
            }
        }
    }
}
