//! Makes the pool's connections: from the access that is configured to a client.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, Mode, Roots};
use super::credentials::Credentials;
use super::tls;
use crate::config::{DATABASE_URL_FORM, DatabaseAccess, DatabaseUrl, Login};

/// How long one attempt may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

type Connecting<'a> =
    dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a;

/// The pool's way to a new connection, with the credentials of that moment.
pub struct Connector {
    pub credentials: Arc<Credentials>,
    /// The encoding of a database that has another one than UTF-8.
    pub encoding: Arc<OnceLock<String>>,
}

impl Connect for Connector {
    fn connect(&self, _: &Config) -> Pin<Box<Connecting<'_>>> {
        Box::pin(async { self.credentials.current().connect(&self.encoding).await })
    }
}

/// The credentials of a configuration; fetches nothing yet.
///
/// # Errors
/// When the URL cannot be read, in one line without the password.
pub fn credentials(access: &DatabaseAccess) -> Result<Credentials, String> {
    let roots = access.root_certificates.as_deref().map(Roots::named).transpose()?.unwrap_or_default();
    let read = |url: &DatabaseUrl| {
        let unusable = |problem| {
            format!("DATABASE_URL is unusable, {problem} (it is not shown): expected {DATABASE_URL_FORM}")
        };
        let mut address = Address::read(url.as_str()).map_err(unusable)?;
        if address.roots == Roots::BuiltIn {
            address.roots = roots.clone();
        }
        Ok::<_, String>((Target::new(address.clone()).map_err(unusable)?, address))
    };
    Ok(match &access.login {
        Login::Url(url) => Credentials::fixed(read(url)?.0),
        Login::IamToken(url) => {
            let (target, address) = read(url)?;
            if address.mode == Mode::Disable && !address.is_this_machine() {
                return Err("DATABASE_URL has sslmode=disable: with DATABASE_IAM_AUTH, RDS takes encrypted connections only".to_owned());
            }
            Credentials::iam_token(target)
        }
        Login::Secret { arn, place: None } => {
            let place = Address { roots, ..Address::of(Config::new()) };
            Credentials::secret(arn.clone(), None, Target::new(place)?)
        }
        Login::Secret { arn, place: Some(url) } => {
            let target = read(url)?.0;
            let place = target.config().clone();
            if place.get_password().is_some() {
                return Err(
                    "DATABASE_URL has a password (it is not shown): expected postgres://HOST:PORT/DATABASE \
                            without one, next to DATABASE_SECRET_ARN"
                        .to_owned(),
                );
            }
            Credentials::secret(arn.clone(), Some(place), target)
        }
    })
}

/// Where to connect to, as whom, and how the way there is secured.
#[derive(Clone)]
pub struct Target {
    address: Address,
    tls: Arc<OnceLock<MakeRustlsConnect>>,
}

impl Target {
    /// For an address.
    ///
    /// # Errors
    /// When the file of `sslrootcert` is unusable.
    pub fn new(address: Address) -> Result<Target, String> {
        let tls = Arc::new(OnceLock::new());
        // Other roots take their time too, and are wanted only where there is TLS.
        if matches!(address.roots, Roots::File(_)) {
            let _ = tls.set(tls::connector(&address.roots)?);
        }
        Ok(Target { address, tls })
    }

    /// Another address, with the same authorities.
    pub fn at(&self, config: Config) -> Target {
        let address = Address { roots: self.address.roots.clone(), ..Address::of(config) };
        Target { address, tls: Arc::clone(&self.tls) }
    }

    /// The same with this password.
    pub fn with_password(mut self, password: &str) -> Target {
        self.address.config.password(password);
        self
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.address.config
    }

    /// Its host and port, for messages.
    pub fn place(&self) -> String {
        self.address.place()
    }

    async fn connect(
        &self,
        encoding: &OnceLock<String>,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let mut config = self.address.config.clone();
        config.keepalives_idle(Duration::from_secs(30)).ssl_mode(self.address.ssl_mode());
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("campaign-sender");
        }
        if self.address.is_encrypted() {
            let tls = self.tls.get_or_init(|| {
                tls::connector(&self.address.roots).expect("a file was read when the target was made")
            });
            let (client, connection) = config.connect(tls.clone()).await?;
            note_encoding(encoding, connection.parameter("server_encoding"));
            Ok((client, tokio::spawn(async { drop(connection.await) })))
        } else {
            let (client, connection) = config.connect(NoTls).await?;
            note_encoding(encoding, connection.parameter("server_encoding"));
            Ok((client, tokio::spawn(async { drop(connection.await) })))
        }
    }
}

/// Keeps the encoding of a database that has another one than UTF-8.
fn note_encoding(encoding: &OnceLock<String>, said: Option<&str>) {
    if let Some(other) = said.filter(|said| *said != "UTF8") {
        let _ = encoding.set(other.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_read_is_told_without_its_password() {
        let error = |url: &str| {
            let url = crate::config::database_url(Some(url.to_owned())).unwrap();
            credentials(&url.into()).err().unwrap()
        };
        insta::assert_snapshot!(error("postgres://u:secret@h:port/d"), @"DATABASE_URL is unusable, invalid value for option `port` (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
        insta::assert_snapshot!(error("postgres:///d?user=u"), @"DATABASE_URL is unusable, it names no host (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
        insta::assert_snapshot!(error("postgres://u:secret@h/d?sslrootcert=/no/such.pem"), @"DATABASE_URL is unusable, its sslrootcert /no/such.pem cannot be read: No such file or directory (os error 2) (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
    }
}
