//! Makes connections, each with credentials that are valid now.

use std::error::Error as _;
use std::pin::Pin;
use std::str::FromStr as _;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::credentials::Credentials;
use super::tls;
use crate::config::{DatabaseAccess, DatabaseUrl};

/// How long one attempt may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The pool's way to a new connection.
pub struct Connector {
    credentials: Credentials,
}

/// A connection was not made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// PostgreSQL, or the way to it.
    #[error("{0}")]
    Postgres(#[source] tokio_postgres::Error),
    /// What gives out credentials did not answer; it may later.
    #[error("{0}")]
    Unreachable(String),
    /// There are no credentials, and trying again is of no use.
    #[error("{0}")]
    NoCredentials(String),
}

impl Connector {
    /// Fetches nothing yet.
    pub fn new(access: &DatabaseAccess) -> Result<Connector, String> {
        let credentials = match access {
            DatabaseAccess::Url(url) => {
                let (config, encrypted) = read_url(url)?;
                Credentials::Fixed(Target { config, encrypted })
            }
            DatabaseAccess::IamToken(url) => {
                let (config, _) = read_url(url)?;
                Credentials::iam_token(Target::outside(config))
            }
            DatabaseAccess::Secret(arn) => Credentials::secret(arn.clone()),
        };
        Ok(Connector { credentials })
    }
}

impl Manager for Connector {
    type Type = Client;
    type Error = ConnectError;

    async fn create(&self) -> Result<Client, ConnectError> {
        // What connects is large, and is used seldom: it does not make every statement's future as large.
        let connecting: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(self.connect());
        connecting.await
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<ConnectError> {
        if client.is_closed() { Err(RecycleError::message("the connection is closed")) } else { Ok(()) }
    }
}

impl Connector {
    async fn connect(&self) -> Result<Client, ConnectError> {
        match self.credentials.target().await?.connect().await {
            // The password has been rotated since the secret was read.
            Err(error) if is_wrong_password(&error) && self.credentials.forget() => {
                self.credentials.target().await?.connect().await
            }
            outcome => outcome,
        }
        .map_err(ConnectError::Postgres)
    }
}

/// Where to connect to, and as whom.
#[derive(Clone)]
pub struct Target {
    config: Config,
    encrypted: bool,
}

impl Target {
    /// A database that is reached over a network, so by TLS. On this machine there is no network to fear.
    pub fn outside(config: Config) -> Target {
        let is_loopback = |host: &tokio_postgres::config::Host| match host {
            tokio_postgres::config::Host::Tcp(host) => {
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            tokio_postgres::config::Host::Unix(_) => true,
        };
        let encrypted = !config.get_hosts().iter().all(is_loopback);
        Target { config, encrypted }
    }

    /// The same with this password.
    pub fn with_password(mut self, password: &str) -> Target {
        self.config.password(password);
        self
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let mut config = self.config.clone();
        config.connect_timeout(CONNECT_TIMEOUT).keepalives_idle(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("campaign-sender");
        }
        if self.encrypted {
            config.ssl_mode(tokio_postgres::config::SslMode::Require);
            let (client, connection) = config.connect(tls::connector()).await?;
            tokio::spawn(connection);
            Ok(client)
        } else {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok(client)
        }
    }
}

fn is_wrong_password(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_PASSWORD)
}

fn read_url(url: &DatabaseUrl) -> Result<(Config, bool), String> {
    let (url, encrypted) = without_verification_modes(url.as_str());
    let config = Config::from_str(&url).map_err(|error| {
        format!("DATABASE_URL: {}", error.source().map_or(error.to_string(), ToString::to_string))
    })?;
    Ok((config, encrypted))
}

/// `tokio-postgres` knows `require` and leaves verification to the connector, which always verifies here: so
/// `verify-ca` and `verify-full` become `require`. Whether the connection is to be encrypted comes second.
fn without_verification_modes(url: &str) -> (String, bool) {
    let url =
        url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
    let encrypted = url.contains("sslmode=require");
    (url, encrypted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_that_asks_for_tls_gets_it() {
        for (mode, encrypted) in [
            ("?sslmode=verify-full", true),
            ("?sslmode=verify-ca", true),
            ("?a=b&sslmode=require", true),
            ("", false),
            ("?sslmode=disable", false),
        ] {
            let (url, got) = without_verification_modes(&format!("postgres://u@h/d{mode}"));
            assert_eq!(got, encrypted, "{mode}");
            assert!(!url.contains("verify"), "{url}");
        }
    }

    #[test]
    fn a_password_that_was_given_out_leaves_this_machine_by_tls_only() {
        for (host, encrypted) in
            [("db.example.com", true), ("10.0.0.1", true), ("127.0.0.1", false), ("localhost", false)]
        {
            let mut config = Config::new();
            config.host(host);
            assert_eq!(Target::outside(config).encrypted, encrypted, "{host}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_read_is_told_without_its_password() {
        let url = crate::config::database_url(Some("postgres://u:secret@h:port/d".to_owned())).unwrap();
        let error = Connector::new(&url.into()).err().unwrap();
        assert!(error.starts_with("DATABASE_URL: ") && !error.contains("secret"), "{error}");
    }
}
