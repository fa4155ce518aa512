//! A database per test, on the server that `DATABASE_URL` names.

use std::sync::atomic::{AtomicU32, Ordering};

use postgres::types::ToSql;
use postgres::{Client, NoTls, Row};

/// A migrated database of the test's own; dropped with this value.
pub struct TestDatabase {
    pub url: String,
    name: String,
    server: String,
    client: Option<Client>,
}

impl TestDatabase {
    pub fn create() -> TestDatabase {
        TestDatabase::create_on(&server())
    }

    /// A database on another server.
    pub fn create_on(server: &str) -> TestDatabase {
        let mut database = TestDatabase::create_empty_on(server.to_owned());
        let mut files: Vec<_> = std::fs::read_dir(super::root().join("migrations"))
            .expect("migrations/")
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            let sql = std::fs::read_to_string(&file).unwrap();
            database
                .client()
                .batch_execute(&sql)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        database
    }

    /// A database without tables.
    pub fn create_empty() -> TestDatabase {
        TestDatabase::create_empty_on(server())
    }

    fn create_empty_on(server: String) -> TestDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        connect(&server)
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .expect("the role may create databases");
        let url = with_database(&server, &name);
        let client = Some(connect(&url));
        TestDatabase { url, name, server, client }
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("connected until it is dropped")
    }

    /// Connects again, after the server was restarted.
    pub fn reconnect(&mut self) {
        self.client = Some(connect(&self.url));
    }

    /// Resets the database's defaults, and connects again.
    pub fn reset_defaults(&mut self) {
        let reset = format!("ALTER DATABASE {} RESET ALL", self.name);
        // It connects to the server's own database, whose defaults nobody changes.
        connect(&self.server).batch_execute(&reset).expect("the defaults are taken back");
        self.reconnect();
    }

    /// Another connection.
    pub fn connect(&self) -> Client {
        connect(&self.url)
    }

    /// The same database for another role.
    pub fn url_for(&self, role: &str, password: &str) -> String {
        let (_, rest) = self.url.split_once("://").unwrap();
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        format!("postgres://{role}:{password}@{rest}")
    }

    pub fn execute(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> u64 {
        self.client().execute(sql, parameters).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    pub fn query(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.client().query(sql, parameters).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        drop(self.client.take());
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        if let Ok(mut server) = Client::connect(&self.server, NoTls) {
            let _ = server.batch_execute(&sql);
        }
    }
}

fn server() -> String {
    std::env::var("DATABASE_URL").expect("DATABASE_URL names a server for the tests: `./dev test` starts one")
}

fn connect(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap_or_else(|error| panic!("PostgreSQL for the tests: {error:?}"))
}

/// The URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let (scheme, rest) = base.split_once("://").expect("DATABASE_URL is postgres://…");
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{host}/{name}{query}")
}
