//! The DNS server that is asked.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

/// The variable that names a DNS server, as ADDRESS:PORT, in place of the system's. `none`: nothing is looked
/// up.
const SERVER: &str = "DNS_SERVER";
/// The time within which a server has to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The server of the system, or that of `DNS_SERVER`.
pub struct Server {
    resolver: TokioResolver,
}

impl Server {
    /// The server of the environment; `None`: nothing has to be looked up.
    ///
    /// # Errors
    /// Fails if `DNS_SERVER` is malformed, or the system's configuration cannot be read.
    pub fn configured() -> Result<Option<Server>, String> {
        let server = env::var(SERVER).ok().filter(|server| !server.trim().is_empty());
        let mut builder = match server.as_deref().map(str::trim) {
            Some("none") => return Ok(None),
            Some(server) => {
                let address: SocketAddr = server.parse().map_err(|_| {
                    format!("{SERVER} is {server:?}: expected ADDRESS:PORT, for example 9.9.9.9:53, or none")
                })?;
                let at_port = |mut connection: ConnectionConfig| {
                    connection.port = address.port();
                    connection
                };
                let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
                let server = NameServerConfig::new(address.ip(), true, connections);
                TokioResolver::builder_with_config(
                    ResolverConfig::from_name_servers(vec![server]),
                    TokioRuntimeProvider::default(),
                )
            }
            None => TokioResolver::builder_tokio().map_err(|error| error.to_string())?,
        };
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = 1;
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Some(Server { resolver }))
    }

    /// The TXT records of a name, each in one piece; none if there is no such name.
    ///
    /// # Errors
    /// Fails if the server gives no answer.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let lookup = match self.resolver.txt_lookup(name).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(format!("{name} TXT: {error}")),
        };
        let text = |data: &RData| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        };
        Ok(lookup.answers().iter().filter_map(|record| text(&record.data)).collect())
    }
}
