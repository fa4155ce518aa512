//! The place of a database as an error names it: host and port, and never the password.

use tokio_postgres::error::SqlState;

use super::failure::{Exit, Failure};
use crate::config::{DatabaseAccess, DatabaseUrl};
use crate::database::DatabaseError;

const DEFAULT_PORT: &str = "5432";
const HINT: &str = "the password in the URL holds a character that has a meaning there: write # as %23, @ as %40, / as %2F, ? as %3F and % as %25";

/// A database that could not be connected to, with its host and port.
pub fn named(error: DatabaseError, access: &DatabaseAccess) -> Failure {
    let login = matches!(
        &error,
        DatabaseError::Refused(refused) if matches!(
            refused.code(),
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
        )
    );
    let place = url(access).map(|url| place(url.as_str()));
    match (error, place) {
        (DatabaseError::Unavailable(reason), Some(place)) => {
            let message = format!(
                "PostgreSQL at {place} could not be reached: {reason}; check DATABASE_URL, and that the server is up"
            );
            Failure::new(Exit::Unavailable, with_hint(message, access))
        }
        (error, Some(place)) => {
            let failure = Failure::from(error).at(&place);
            if login { failure.with_advice_of(&with_hint(String::new(), access)) } else { failure }
        }
        (error, None) => error.into(),
    }
}

/// The message, and what may be wrong with the password, where something may be.
pub fn with_hint(message: String, access: &DatabaseAccess) -> String {
    match url(access) {
        Some(url) if is_ambiguous(url.as_str()) => format!("{message}; {HINT}"),
        _ => message,
    }
}

fn url(access: &DatabaseAccess) -> Option<&DatabaseUrl> {
    match access {
        DatabaseAccess::Url(url) | DatabaseAccess::IamToken(url) => Some(url),
        DatabaseAccess::Secret(_) => None,
    }
}

/// User and password, and what comes after them. A password may hold what ought to be encoded: the last `@` that a
/// host follows ends it.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.rsplit_once('@').unwrap_or(("", rest))
}

/// `host:port` of a URL; a host that is a parameter counts, too.
fn place(url: &str) -> String {
    let (_, rest) = parts(url);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let parameter = |wanted: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    let port = || parameter("port").unwrap_or_else(|| DEFAULT_PORT.to_owned());
    let hosts: Vec<String> = authority
        .split(',')
        .map(|host| {
            let decoded = percent_encoding::percent_decode_str(host).decode_utf8_lossy().into_owned();
            let has_port = host
                .rsplit_once(':')
                .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
            match (decoded.is_empty(), has_port) {
                (true, _) => format!("{}:{}", parameter("host").unwrap_or_default(), port()),
                (false, true) => decoded,
                (false, false) => format!("{}:{}", decoded.trim_end_matches(':'), port()),
            }
        })
        .collect();
    hosts.join(",")
}

/// Whether the password holds a character that ends it, or begins something else, in a URL.
fn is_ambiguous(url: &str) -> bool {
    let (credentials, _) = parts(url);
    let Some((_, password)) = credentials.split_once(':') else { return false };
    let cut_percent = password.split('%').skip(1).any(|after| {
        !after.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    cut_percent || password.contains(['#', '@', '/', '?', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_host_and_the_port() {
        let places = [
            ("postgres://u:secret@db.example.com/d", "db.example.com:5432"),
            ("postgres://u:p@ss#w/o?rd@db.example.com:6432/d?sslmode=require", "db.example.com:6432"),
            ("postgres://db.example.com:6432", "db.example.com:6432"),
            ("postgres://u:x@[::1]:5433/d", "[::1]:5433"),
            ("postgres://u@a:1,b/d", "a:1,b:5432"),
            ("postgres://u@/d?host=/run/postgresql&port=5433", "/run/postgresql:5433"),
            ("postgres://u@%2Frun%2Fpostgresql/d", "/run/postgresql:5432"),
        ];
        for (url, expected) in places {
            assert_eq!(place(url), expected, "{url}");
        }
    }

    #[test]
    fn a_password_that_ought_to_be_encoded_is_seen() {
        for password in ["a#b", "a@b", "a/b", "a?b", "a%b", "a%4", "100%"] {
            assert!(is_ambiguous(&format!("postgres://u:{password}@h:1/d")), "{password}");
        }
        for password in ["", "secret", "a%40b%23", "a:b"] {
            assert!(!is_ambiguous(&format!("postgres://u:{password}@h:1/d?x=/y")), "{password}");
        }
        assert!(!is_ambiguous("postgres://h/d") && !is_ambiguous("postgres://u@h/d"));
    }
}
