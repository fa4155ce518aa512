//! The way to PostgreSQL: encrypted and verified wherever somebody could listen, and errors that name the way out.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use campaign_sender::store::settings::database_url;
use campaign_sender::store::{Database, DatabaseError};
use std::time::Instant;

/// A server with a certificate for `db.example.com`.
struct Server {
    process: Child,
    directory: PathBuf,
    port: u16,
}

impl Server {
    fn start() -> Server {
        let directory = std::env::temp_dir().join(format!("campaign-sender-tls-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let mut process = Command::new("bash")
            .args(["tests/store/server.sh", directory.to_str().unwrap()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_remove("DATABASE_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let port = url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("the server did not start: {url:?}"));
        postgres::Client::connect(url.trim(), postgres::NoTls)
            .unwrap()
            .batch_execute("CREATE ROLE app LOGIN PASSWORD 'secret'")
            .unwrap();
        Server { process, directory, port }
    }

    /// A URL of this server by the name `host`. The address is given, so that no resolver is asked.
    fn url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://app:secret@{host}:{}/postgres?hostaddr=127.0.0.1{parameters}", self.port)
    }

    /// What a function looks at before its first statement.
    fn record_the_schema(&self) {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let sql = format!(
            "CREATE TABLE campaign_schema (version int PRIMARY KEY, compatible_from int NOT NULL);
             INSERT INTO campaign_schema VALUES ({}, 1); GRANT SELECT ON campaign_schema TO PUBLIC",
            campaign_sender::store::schema::VERSION
        );
        postgres::Client::connect(&url, postgres::NoTls).unwrap().batch_execute(&sql).unwrap();
    }

    fn trusting(&self) -> String {
        format!("&sslrootcert={}", self.directory.join("ca.pem").display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Whether the connection of this URL is encrypted, by PostgreSQL's own word.
fn is_encrypted(url: &str) -> Result<bool, DatabaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = database_url(Some(url.to_owned())).unwrap();
        let database = Database::new(&url.into()).unwrap();
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let rows = database.query(sql, &[], Instant::now() + Duration::from_secs(10)).await?;
        Ok(rows[0].get(0))
    })
}

#[test]
fn another_machine_is_reached_by_verified_tls() {
    let server = Server::start();
    server.record_the_schema();
    let trusting = server.trusting();
    for mode in [
        "",
        "&sslmode=prefer",
        "&sslmode=allow",
        "&sslmode=require",
        "&sslmode=verify-ca",
        "&sslmode=verify-full",
        "&channel_binding=require",
        "&target_session_attrs=read-write",
    ] {
        let url = server.url("db.example.com", &format!("{trusting}{mode}"));
        assert!(is_encrypted(&url).unwrap(), "{mode}");
    }

    let unknown = is_encrypted(&server.url("db.example.com", "")).unwrap_err().to_string();
    assert!(unknown.contains("authority") && unknown.contains("sslrootcert=FILE"), "{unknown}");
    assert!(
        unknown.starts_with(&format!("PostgreSQL at db.example.com:{} is not used", server.port)),
        "{unknown}"
    );
    let unknown = is_encrypted(&server.url("db.example.com", "&sslrootcert=system")).unwrap_err().to_string();
    assert!(unknown.contains("sslrootcert=FILE"), "{unknown}");
    let other = is_encrypted(&server.url("db.example.org", &trusting)).unwrap_err();
    assert!(
        matches!(&other, DatabaseError::Insecure(said) if said.contains("not valid for name")),
        "{other}"
    );

    // This machine is trusted; the role comes by TLS only.
    let local = is_encrypted(&server.url("localhost", "")).unwrap_err().to_string();
    assert!(local.contains("no encryption"), "{local}");
    let local = is_encrypted(&format!("postgres://postgres@127.0.0.1:{}/postgres", server.port)).unwrap();
    assert!(!local);
    let off = is_encrypted(&server.url("db.example.com", "&sslmode=disable")).unwrap_err().to_string();
    assert!(off.contains("no encryption"), "{off}");
}

#[test]
fn a_server_without_tls_gets_neither_the_password_nor_the_name_of_the_user() {
    for mode in ["", "&sslmode=prefer", "&sslmode=allow", "&sslmode=require", "&sslmode=verify-full"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let listening = std::thread::spawn(move || {
            let mut connection = listener.accept().unwrap().0;
            let mut received = [0; 8];
            connection.read_exact(&mut received).unwrap();
            connection.write_all(b"N").unwrap();
            let mut more = Vec::new();
            connection.read_to_end(&mut more).unwrap();
            (received, more)
        });
        let url = format!("postgres://app:secret@db.example.com:{port}/crm?hostaddr=127.0.0.1{mode}");
        let error = is_encrypted(&url).unwrap_err();
        let DatabaseError::Insecure(said) = &error else { panic!("{error:?}") };
        assert!(said.contains("sslmode=disable") && said.contains("db.example.com"), "{said}");
        let (received, more) = listening.join().unwrap();
        // The request for encryption, and not a word more.
        assert_eq!(received, [0, 0, 0, 8, 4, 210, 22, 47], "{mode}");
        assert!(more.is_empty(), "{mode}: {more:?}");
    }
}
