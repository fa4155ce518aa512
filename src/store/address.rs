//! Parses the URL of a database: its host, the user, and whether the connection is encrypted. Pure.

use std::error::Error as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr as _;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// The parameters of a URL that are passed on unchanged.
const PASSED_ON: [&str; 15] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// The meaning of `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Unset, `allow` or `prefer`: TLS is used unless the server is on this machine.
    #[default]
    Unset,
    /// `disable`.
    Disable,
    /// `require`, `verify-ca` or `verify-full`: TLS is used on this machine too.
    Require,
}

/// The authorities that may have issued the server's certificate, in addition to the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// No others.
    #[default]
    BuiltIn,
    /// `sslrootcert=system`: those of the operating system.
    System,
    /// `sslrootcert=FILE`: those in this file, in PEM.
    File(PathBuf),
}

/// A database's address.
#[derive(Clone, Debug)]
pub struct Address {
    /// The host and the user.
    pub config: Config,
    /// The meaning of `sslmode`.
    pub mode: Mode,
    /// The additional authorities.
    pub roots: Roots,
}

impl Address {
    /// Parses a URL. The error completes a sentence and does not show the URL.
    pub fn read(url: &str) -> Result<Address, String> {
        let (mut mode, mut roots) = (None, None);
        let (base, query) = apart(url);
        let mut passed_on = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let (name, value) = (decoded(name), decoded(value));
            let twice = match name.as_str() {
                "sslmode" => mode.replace(sslmode(&value)?).is_some(),
                // libpq accepts this form too, for the URLs of JDBC.
                "ssl" if value == "true" => mode.replace(Mode::Require).is_some(),
                "sslrootcert" => roots.replace(Roots::named(&value)?).is_some(),
                name if PASSED_ON.contains(&name) || name.starts_with("keepalives_") => {
                    passed_on.push(pair);
                    false
                }
                // A ? in the password looks like the beginning of parameters.
                _ if query.contains('@') => {
                    return Err(
                        "it has a ? before an @: in a password, ? is written %3F and @ is written %40"
                            .to_owned(),
                    );
                }
                _ => return Err(format!("its parameter {name:?} is not known here")),
            };
            if twice {
                return Err(format!("it gives {name} twice"));
            }
        }
        let separator = if passed_on.is_empty() { "" } else { "?" };
        let mut config = Config::from_str(&format!("{base}{separator}{}", passed_on.join("&")))
            .map_err(|error| error.source().map_or(error.to_string(), ToString::to_string))?;
        if config.get_hosts().is_empty() {
            if config.get_hostaddrs().is_empty() {
                return Err("it names no host".to_owned());
            }
            // The host name that the certificate has to have.
            for address in config.get_hostaddrs().to_vec() {
                config.host(address.to_string());
            }
        }
        Ok(Address { config, mode: mode.unwrap_or_default(), roots: roots.unwrap_or_default() })
    }

    /// A database of which only the place is given.
    pub fn of(config: Config) -> Address {
        Address { config, mode: Mode::Unset, roots: Roots::BuiltIn }
    }

    /// Returns true if TLS is used: unless `sslmode=disable`, or every host is this machine, so that there is
    /// no network between. Unix sockets have no TLS.
    pub fn is_encrypted(&self) -> bool {
        let hosts = self.config.get_hosts();
        let is_socket = |host: &Host| matches!(host, Host::Unix(_));
        match self.mode {
            Mode::Disable => false,
            Mode::Require => !hosts.iter().all(is_socket),
            Mode::Unset => !self.is_this_machine(),
        }
    }

    /// Returns true if every host is this machine, by its name and by its `hostaddr`.
    pub fn is_this_machine(&self) -> bool {
        let by_name = self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(host) => {
                host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(is_loopback)
            }
            Host::Unix(_) => true,
        });
        by_name && self.config.get_hostaddrs().iter().copied().all(is_loopback)
    }

    /// The hosts and ports, for messages.
    pub fn place(&self) -> String {
        let ports = self.config.get_ports();
        let port = |i: usize| ports.get(i).or(ports.first()).copied().unwrap_or(5432);
        let places = self.config.get_hosts().iter().enumerate().map(|(i, host)| match host {
            // If the password has an unencoded @, the rest of the password is before the host.
            Host::Tcp(host) => format!("{}:{}", host.rsplit('@').next().unwrap_or_default(), port(i)),
            Host::Unix(path) => format!("{}:{}", path.display(), port(i)),
        });
        places.collect::<Vec<_>>().join(",")
    }

    /// The driver's mode: it encrypts always or never.
    pub fn ssl_mode(&self) -> SslMode {
        if self.is_encrypted() { SslMode::Require } else { SslMode::Disable }
    }
}

impl Roots {
    /// The meaning of `sslrootcert`.
    pub fn named(value: &str) -> Result<Roots, String> {
        match value {
            "" => Err("its sslrootcert is empty: expected a file, or system".to_owned()),
            "system" => Ok(Roots::System),
            file => Ok(Roots::File(file.into())),
        }
    }
}

fn sslmode(value: &str) -> Result<Mode, String> {
    match value {
        "disable" => Ok(Mode::Disable),
        "allow" | "prefer" => Ok(Mode::Unset),
        "require" | "verify-ca" | "verify-full" => Ok(Mode::Require),
        other => Err(format!(
            "its sslmode is {other:?}: expected disable, allow, prefer, require, verify-ca or verify-full"
        )),
    }
}

/// A URL without its query, and the query. A password may have a question mark.
fn apart(url: &str) -> (&str, &str) {
    let host = url.find('@').map_or(0, |at| at + 1);
    match url[host..].find('?') {
        Some(at) => (&url[..host + at], &url[host + at + 1..]),
        None => (url, ""),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_shows_a_part_of_a_password_that_is_not_encoded() {
        // A ? before the host belongs to the password.
        let address = Address::read("postgres://app:se?cret@db.example.com/crm").unwrap();
        assert_eq!(address.config.get_password(), Some("se?cret".as_bytes()));
        // An @ ends the password, and the rest looks like a parameter.
        let error = Address::read("postgres://app:a@b?c=cret@db.example.com/crm").unwrap_err();
        assert!(error.contains("%3F") && !error.contains("cret"), "{error}");
    }

    #[test]
    fn a_password_leaves_this_machine_by_tls_only_unless_that_is_asked_for() {
        let local = [
            "127.0.0.1",
            "127.8.9.1:6432",
            "[::1]",
            "localhost",
            "LocalHost:1",
            "%2Fvar%2Frun",
            "localhost,127.0.0.1",
        ];
        let remote = [
            "10.0.0.1",
            "192.168.1.9:6432",
            "db.example.com",
            "localhost.example.com",
            "[fd00::1]",
            "0.0.0.0",
            "localhost,db.example.com",
            "db.example.com,localhost:6432",
        ];
        let encrypted = |hosts: &str, query: &str| {
            let address = Address::read(&format!("postgres://u:p@{hosts}/d{query}")).unwrap();
            assert_eq!(address.ssl_mode() == SslMode::Require, address.is_encrypted());
            address.is_encrypted()
        };
        for query in ["", "?sslmode=prefer", "?sslmode=allow", "?application_name=a&sslmode=pr%65fer"] {
            for hosts in local {
                assert!(!encrypted(hosts, query), "{hosts}{query}");
            }
            for hosts in remote {
                assert!(encrypted(hosts, query), "{hosts}{query}");
            }
        }
        for query in [
            "?sslmode=require",
            "?sslmode=verify-ca",
            "?sslmode=verify-full",
            "?ssl=true",
            "?connect_timeout=3&sslmode=require",
        ] {
            for hosts in local.iter().chain(&remote).filter(|hosts| !hosts.starts_with('%')) {
                assert!(encrypted(hosts, query), "{hosts}{query}");
            }
            assert!(!encrypted("%2Fvar%2Frun", query), "a socket has no TLS: {query}");
        }
        for hosts in local.iter().chain(&remote) {
            assert!(!encrypted(hosts, "?sslmode=disable"), "{hosts}");
        }
        // Both the name and the address count: a host with the name of another machine has to prove its
        // identity.
        assert!(encrypted("db.example.com", "?hostaddr=127.0.0.1"));
        assert!(encrypted("localhost", "?hostaddr=10.0.0.1"));
        assert!(!encrypted("localhost", "?hostaddr=::ffff:127.0.0.1"));
        let by_address =
            |address| Address::read(&format!("postgres:///d?user=u&hostaddr={address}")).unwrap();
        assert!(by_address("10.0.0.1").is_encrypted() && !by_address("127.0.0.1").is_encrypted());
        assert_eq!(by_address("10.0.0.1").place(), "10.0.0.1:5432");
    }

    #[test]
    fn parameters_keep_their_meaning_or_are_named() {
        let url = "postgres://u:p?w@h:1,i:2/d?sslrootcert=%2Fa%20b.pem&options=-c%20jit%3Doff&application_name=crm\
                   &connect_timeout=3&target_session_attrs=read-write&channel_binding=require&keepalives_retries=2";
        let address = Address::read(url).unwrap();
        assert_eq!(address.config.get_password(), Some("p?w".as_bytes()));
        assert_eq!(address.roots, Roots::File("/a b.pem".into()));
        assert_eq!(address.place(), "h:1,i:2");
        let config = &address.config;
        assert_eq!((config.get_options(), config.get_application_name()), (Some("-c jit=off"), Some("crm")));
        assert_eq!(config.get_connect_timeout(), Some(&std::time::Duration::from_secs(3)));
        assert_eq!(Address::read("postgres://h/d?sslrootcert=system").unwrap().roots, Roots::System);

        let error = |query| Address::read(&format!("postgres://u:secret@h/d?{query}")).unwrap_err();
        insta::assert_snapshot!(error("sslmode=on"), @r#"its sslmode is "on": expected disable, allow, prefer, require, verify-ca or verify-full"#);
        insta::assert_snapshot!(error("sslmode=require&sslmode=disable"), @"it gives sslmode twice");
        insta::assert_snapshot!(error("sslcert=a.pem"), @r#"its parameter "sslcert" is not known here"#);
        insta::assert_snapshot!(error("ssl=1"), @r#"its parameter "ssl" is not known here"#);
        insta::assert_snapshot!(error("sslrootcert="), @"its sslrootcert is empty: expected a file, or system");
        insta::assert_snapshot!(error("target_session_attrs=primary"), @"invalid value for option `target_session_attrs`");
        insta::assert_snapshot!(Address::read("postgres:///d?user=u").unwrap_err(), @"it names no host");
    }
}
