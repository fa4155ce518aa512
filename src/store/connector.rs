//! Makes the pool's connections from the configured access.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};

use super::address::{Address, Mode, Roots};
use super::credentials::Credentials;
use super::target::Target;
use crate::store::settings::{DATABASE_URL_FORM, DatabaseAccess, DatabaseUrl, Login};

type Connecting<'a> =
    dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a;

/// Makes new connections for the pool, with the credentials of that moment.
pub struct Connector {
    pub credentials: Arc<Credentials>,
    /// The encoding of the database, if it is not UTF-8.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_read_is_told_without_its_password() {
        let error = |url: &str| {
            let url = crate::store::settings::database_url(Some(url.to_owned())).unwrap();
            credentials(&url.into()).err().unwrap()
        };
        insta::assert_snapshot!(error("postgres://u:secret@h:port/d"), @"DATABASE_URL is unusable, invalid value for option `port` (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
        insta::assert_snapshot!(error("postgres:///d?user=u"), @"DATABASE_URL is unusable, it names no host (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
        insta::assert_snapshot!(error("postgres://u:secret@h/d?sslrootcert=/no/such.pem"), @"DATABASE_URL is unusable, its sslrootcert /no/such.pem cannot be read: No such file or directory (os error 2) (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
    }
}
