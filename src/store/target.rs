//! The target of a connection, and how the connection is made.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, Roots};
use super::tls;

/// How long one attempt may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The place, the user, and how the connection is encrypted.
#[derive(Clone)]
pub struct Target {
    address: Address,
    tls: Arc<OnceLock<MakeRustlsConnect>>,
}

impl Target {
    /// The target of an address.
    ///
    /// # Errors
    /// When the file of `sslrootcert` is unusable.
    pub fn new(address: Address) -> Result<Target, String> {
        let tls = Arc::new(OnceLock::new());
        // Reading other roots takes time too, so they are only read if TLS is used.
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

    /// Connects. `encoding` is set to the encoding of a database that is not in UTF-8.
    pub async fn connect(
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

/// Notes the encoding of a database that is not in UTF-8.
fn note_encoding(encoding: &OnceLock<String>, said: Option<&str>) {
    if let Some(other) = said.filter(|said| *said != "UTF8") {
        let _ = encoding.set(other.to_owned());
    }
}
