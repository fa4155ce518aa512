//! A database that is created for the demo and dropped at its end.

use uuid::Uuid;

use super::super::failure::Failure;
use super::super::{connect, soon};
use campaign_sender::store::Database;
use campaign_sender::store::settings::DatabaseUrl;

/// The database, and its server.
pub struct Scratch {
    /// Its name.
    pub name: String,
    /// Host and port.
    pub server: String,
    /// Its URL, with the password if there is one.
    pub url: DatabaseUrl,
    /// The connection to it.
    pub database: Database,
    administration: Database,
    counts_statements: bool,
}

impl Scratch {
    /// Creates a database on the server of `url`.
    ///
    /// # Errors
    /// When the server cannot be reached, or the role may not create databases.
    pub async fn create(url: &DatabaseUrl) -> Result<Scratch, Failure> {
        let administration = connect(url.clone()).await?;
        let name = format!("campaign_demo_{:08x}", Uuid::new_v4().as_fields().0);
        administration.run_script(&format!("CREATE DATABASE {name}")).await?;
        let parts = Parts::of(url.as_str());
        let url = campaign_sender::store::settings::database_url(Some(parts.with_database(&name)))?;
        let database = connect(url.clone()).await?;
        // If the extension is not available, statements are not counted.
        let extension = "CREATE EXTENSION pg_stat_statements; SELECT count(*) FROM pg_stat_statements";
        let counts_statements = database.run_script(extension).await.is_ok();
        let server = parts.host.to_owned();
        Ok(Scratch { name, server, url, database, administration, counts_statements })
    }

    /// The number of statements that PostgreSQL has executed in this database, except this one and those that
    /// begin and end transactions; `None` if it does not count.
    pub async fn statements(&self) -> Result<Option<i64>, Failure> {
        if !self.counts_statements {
            return Ok(None);
        }
        let sql = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
                    WHERE toplevel AND query NOT LIKE '%pg_stat_statements%'
                      AND query !~ '^(BEGIN|SET LOCAL|COMMIT|DO )' AND query !~ '^SELECT[[:space:]]+set_config'
                      AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let rows = self.database.query(sql, &[], soon()).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// For `psql`.
    pub fn url_without_password(&self) -> String {
        Parts::of(self.url.as_str()).without_password()
    }

    /// Drops the database, also if somebody is still connected to it.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub async fn drop(self) -> Result<(), Failure> {
        drop(self.database);
        Ok(self.administration.run_script(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await?)
    }
}

/// The parts of `SCHEME://[USER[:PASSWORD]@]HOST[/DATABASE][?PARAMETERS]`.
#[derive(Clone, Copy)]
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    database: &'a str,
    parameters: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Parts<'a> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
        let (rest, parameters) =
            rest.split_once('?').map_or((rest, None), |(rest, parameters)| (rest, Some(parameters)));
        let (credentials, rest) =
            rest.rsplit_once('@').map_or((None, rest), |(credentials, rest)| (Some(credentials), rest));
        let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = match credentials.map(|credentials| credentials.split_once(':')) {
            Some(Some((user, password))) => (Some(user), Some(password)),
            _ => (credentials, None),
        };
        Parts { scheme, user, password, host, database, parameters }
    }

    fn with_database(self, database: &str) -> String {
        Parts { database, ..self }.join()
    }

    fn without_password(self) -> String {
        Parts { password: None, ..self }.join()
    }

    fn join(self) -> String {
        let Parts { scheme, user, password, host, database, parameters } = self;
        let password = password.map(|password| format!(":{password}")).unwrap_or_default();
        let credentials = user.map(|user| format!("{user}{password}@")).unwrap_or_default();
        let parameters = parameters.map(|parameters| format!("?{parameters}")).unwrap_or_default();
        format!("{scheme}://{credentials}{host}/{database}{parameters}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_a_url_changes_and_the_password_is_not_shown() {
        for (url, with_database, without_password) in [
            (
                "postgres://u:p@h:1/d?sslmode=require",
                "postgres://u:p@h:1/x?sslmode=require",
                "postgres://u@h:1/d?sslmode=require",
            ),
            ("postgresql://u@h", "postgresql://u@h/x", "postgresql://u@h/"),
            ("postgres:///d?host=/tmp", "postgres:///x?host=/tmp", "postgres:///d?host=/tmp"),
        ] {
            assert_eq!(Parts::of(url).with_database("x"), with_database);
            assert_eq!(Parts::of(url).without_password(), without_password);
        }
    }
}
