//! Makes the pool's connections: from the access that is configured to a client.

use std::error::Error as _;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use super::credentials::Credentials;
use super::tls;
use crate::config::{DATABASE_URL_FORM, DatabaseUrl, Login};

/// How long one attempt may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

type Connecting<'a> =
    dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a;

/// The pool's way to a new connection, with the credentials of that moment.
pub struct Connector(pub Arc<Credentials>);

impl Connect for Connector {
    fn connect(&self, _: &Config) -> Pin<Box<Connecting<'_>>> {
        Box::pin(async { self.0.current().connect().await })
    }
}

/// The credentials of a configuration; fetches nothing yet.
///
/// # Errors
/// When the URL cannot be read, in one line without the password.
pub fn credentials(login: &Login) -> Result<Credentials, String> {
    Ok(match login {
        Login::Url(url) => {
            let (config, encrypted) = read_url(url)?;
            Credentials::fixed(Target { config, encrypted })
        }
        Login::IamToken(url) => Credentials::iam_token(Target::outside(read_url(url)?.0)),
        Login::Secret { arn, place } => {
            let place = place.as_ref().map(read_url).transpose()?;
            if place.as_ref().is_some_and(|(config, _)| config.get_password().is_some()) {
                return Err(
                    "DATABASE_URL has a password (it is not shown): expected postgres://HOST:PORT/DATABASE \
                            without one, next to DATABASE_SECRET_ARN"
                        .to_owned(),
                );
            }
            Credentials::secret(arn.clone(), place.map(|(config, _)| Target::outside(config)))
        }
    })
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
        let is_loopback = |host: &Host| match host {
            Host::Tcp(host) => {
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Host::Unix(_) => true,
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

    /// Its host and port, for messages.
    pub fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(host) => host.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<String> = if self.config.get_hosts().is_empty() {
            self.config.get_hostaddrs().iter().map(ToString::to_string).collect()
        } else {
            hosts.collect()
        };
        let ports = self.config.get_ports();
        let port = |i: usize| ports.get(i).or(ports.first()).copied().unwrap_or(5432);
        let places = hosts.iter().enumerate().map(|(i, host)| format!("{host}:{}", port(i)));
        places.collect::<Vec<_>>().join(",")
    }

    async fn connect(&self) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let mut config = self.config.clone();
        config.connect_timeout(CONNECT_TIMEOUT).keepalives_idle(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("campaign-sender");
        }
        if self.encrypted {
            config.ssl_mode(tokio_postgres::config::SslMode::Require);
            let (client, connection) = config.connect(tls::connector()).await?;
            Ok((client, tokio::spawn(async { drop(connection.await) })))
        } else {
            let (client, connection) = config.connect(NoTls).await?;
            Ok((client, tokio::spawn(async { drop(connection.await) })))
        }
    }
}

fn read_url(url: &DatabaseUrl) -> Result<(Config, bool), String> {
    let unusable = |problem: &str| {
        format!("DATABASE_URL is unusable, {problem} (it is not shown): expected {DATABASE_URL_FORM}")
    };
    let (url, encrypted) = without_verification_modes(url.as_str());
    let config = Config::from_str(&url)
        .map_err(|error| unusable(&error.source().map_or(error.to_string(), ToString::to_string)))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(unusable("it names no host"));
    }
    Ok((config, encrypted))
}

/// `tokio-postgres` knows `require` and leaves verification to the connector, which always verifies here: so
/// `verify-ca` and `verify-full` become `require`. `allow` is `prefer` to it: both may go unencrypted, and do here.
/// Whether the connection is to be encrypted comes second.
fn without_verification_modes(url: &str) -> (String, bool) {
    let url = url
        .replace("sslmode=verify-full", "sslmode=require")
        .replace("sslmode=verify-ca", "sslmode=require")
        .replace("sslmode=allow", "sslmode=prefer");
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
            ("?sslmode=allow", false),
        ] {
            let (url, got) = without_verification_modes(&format!("postgres://u@h/d{mode}"));
            assert_eq!(got, encrypted, "{mode}");
            assert!(!url.contains("verify"), "{url}");
            assert!(Config::from_str(&url.replace("a=b&", "")).is_ok(), "{url}");
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
        let error = |url: &str| {
            let url = crate::config::database_url(Some(url.to_owned())).unwrap();
            credentials(&Login::Url(url)).err().unwrap()
        };
        insta::assert_snapshot!(error("postgres://u:secret@h:port/d"), @"DATABASE_URL is unusable, invalid value for option `port` (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with ?sslmode=verify-full for TLS");
        insta::assert_snapshot!(error("postgres:///d?user=u"), @"DATABASE_URL is unusable, it names no host (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with ?sslmode=verify-full for TLS");
    }
}
