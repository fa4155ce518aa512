//! Secrets Manager: a secret in RDS's form, or one with only `username` and `password`, as RDS manages them.
//!
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html>

#[cfg(feature = "full")]
mod secrets_manager;
#[cfg(not(feature = "full"))]
#[path = "secret/no_secrets_manager.rs"]
mod secrets_manager;

use aws_config::SdkConfig;
use serde_json::Value;
use tokio_postgres::Config;

pub use self::secrets_manager::text;
use super::login_error::CredentialsError;

/// Reads the database's secret. Host, port and database of `place` take precedence over those of the secret.
pub async fn read(sdk: &SdkConfig, arn: &str, place: Option<&Config>) -> Result<Config, CredentialsError> {
    parse(&text(sdk, arn).await?, place)
        .map_err(|reason| CredentialsError::NoCredentials(format!("the secret {arn} {reason}")))
}

/// Parses a secret. The error completes a sentence that begins with the secret's name.
fn parse(secret: &str, place: Option<&Config>) -> Result<Config, String> {
    let form = "expected username, password, host, port and dbname, as RDS writes them; without host and dbname, \
                DATABASE_URL has to name them";
    let Ok(Value::Object(fields)) = serde_json::from_str(secret) else {
        return Err(format!("is not a JSON object: {form}"));
    };
    let text = |name: &str| match fields.get(name).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(format!("has no {name}: {form}")),
    };
    let port = match fields.get("port") {
        None | Some(Value::Null) => Some(5432),
        Some(Value::String(port)) => port.parse().ok(),
        Some(port) => port.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    let port = port.ok_or_else(|| format!("has a port that is none: {form}"))?;
    let mut config = place.cloned().unwrap_or_default();
    // The values are set by setters, because in a URL a password like "a/b@c%" would have to be escaped.
    config.user(text("username")?).password(text("password")?);
    if place.is_none() {
        config.host(text("host")?).port(port);
    }
    if config.get_dbname().is_none() {
        config.dbname(text("dbname")?);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_rds_is_read_whatever_is_in_its_password() {
        for port in ["6432", "\"6432\""] {
            let config = parse(
                &format!(
                    r#"{{"engine": "postgres", "host": "db.example.com", "port": {port}, "username": "sender",
                    "password": "a/b@c:%d 'e'", "dbname": "crm", "dbInstanceIdentifier": "crm"}}"#
                ),
                None,
            )
            .unwrap();
            assert_eq!(config.get_password(), Some("a/b@c:%d 'e'".as_bytes()));
            assert_eq!((config.get_user(), config.get_dbname()), (Some("sender"), Some("crm")));
            assert_eq!(config.get_ports(), [6432]);
        }
    }

    #[test]
    fn a_secret_that_rds_manages_takes_the_place_from_the_url() {
        let managed = r#"{"username": "sender", "password": "a/b@c:%d"}"#;
        let read = |secret: &str, url: &str| parse(secret, Some(&url.parse().unwrap()));
        let config = read(managed, "postgres://db.example.com:6432/crm?connect_timeout=7").unwrap();
        assert_eq!((config.get_user(), config.get_password()), (Some("sender"), Some("a/b@c:%d".as_bytes())));
        assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Tcp("db.example.com".to_owned())]);
        assert_eq!((config.get_ports(), config.get_dbname()), (&[6432][..], Some("crm")));
        assert_eq!(config.get_connect_timeout(), Some(&std::time::Duration::from_secs(7)));

        // A proxy in front of the database that the secret names.
        let whole = r#"{"username": "u", "password": "p", "host": "db", "port": 5555, "dbname": "crm"}"#;
        let config = read(whole, "postgres://other@proxy.example.com").unwrap();
        assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Tcp("proxy.example.com".to_owned())]);
        assert_eq!(
            (config.get_user(), config.get_dbname(), config.get_ports()),
            (Some("u"), Some("crm"), &[5432][..])
        );
        assert!(read(managed, "postgres://db.example.com").unwrap_err().starts_with("has no dbname"));
    }

    #[test]
    fn a_secret_of_another_form_is_told_what_it_lacks_and_not_shown() {
        let error = |secret| parse(secret, None).unwrap_err();
        insta::assert_snapshot!(error("hunter2"), @"is not a JSON object: expected username, password, host, port and dbname, as RDS writes them; without host and dbname, DATABASE_URL has to name them");
        insta::assert_snapshot!(error(r#"{"username": "u", "password": "hunter2"}"#), @"has no host: expected username, password, host, port and dbname, as RDS writes them; without host and dbname, DATABASE_URL has to name them");
        insta::assert_snapshot!(error(r#"{"username": "u", "password": "hunter2", "host": "h", "port": 70000}"#), @"has a port that is none: expected username, password, host, port and dbname, as RDS writes them; without host and dbname, DATABASE_URL has to name them");
    }
}
