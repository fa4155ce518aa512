//! Messages for a PostgreSQL that cannot be reached or refuses the login: the place, what may be wrong with
//! the URL's password, and never the password itself.

use tokio_postgres::error::SqlState;

use super::failure::Failure;
use campaign_sender::store::settings::{DatabaseAccess, DatabaseUrl, Login};
use campaign_sender::store::{Database, DatabaseError};

const HINT: &str = "the password in the URL holds a character that has a meaning there: write # as %23, @ as %40, / as %2F, ? as %3F and % as %25";

/// The failure of a first connection.
pub fn failure(error: DatabaseError, database: &Database, access: &DatabaseAccess) -> Failure {
    let refuses_login = matches!(&error, DatabaseError::Refused(refused) if matches!(
        refused.code(),
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION | &SqlState::INVALID_CATALOG_NAME)
    ));
    // The other errors name the place already, or do not concern it.
    let is_unreachable = matches!(error, DatabaseError::Unreachable(_));
    let failure = Failure::from(error);
    let failure = if refuses_login { failure.at(&database.place()) } else { failure };
    match url(access) {
        Some(url) if (refuses_login || is_unreachable) && is_ambiguous(url.as_str()) => failure.and(HINT),
        _ => failure,
    }
}

/// The message for a URL that cannot be parsed, with what may be wrong with the password.
pub fn with_hint(message: String, access: &DatabaseAccess) -> String {
    match url(access) {
        Some(url) if is_ambiguous(url.as_str()) => format!("{message}; {HINT}"),
        _ => message,
    }
}

fn url(access: &DatabaseAccess) -> Option<&DatabaseUrl> {
    match &access.login {
        Login::Url(url) | Login::IamToken(url) => Some(url),
        Login::Secret { .. } => None,
    }
}

/// Returns true if the password has a character that ends it in a URL, or begins another part. The last `@`
/// counts as the one before the host.
fn is_ambiguous(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let password = rest.rsplit_once('@').and_then(|(credentials, _)| credentials.split_once(':'));
    let Some((_, password)) = password else { return false };
    let cut_percent = password.split('%').skip(1).any(|after| {
        !after.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    cut_percent || password.contains(['#', '@', '/', '?', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

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
