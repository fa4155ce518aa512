//! The variables of unsubscribing: `UNSUBSCRIBE_URL`, `UNSUBSCRIBE_SECRET`, `UNSUBSCRIBE_SECRET_ARN`,
//! `UNSUBSCRIBE_MAILTO`.

use super::token::Keys;
use crate::domain::address;
use crate::domain::setting::InvalidVariable;

/// The longest base URL and mailbox, so that `List-Unsubscribe` stays within SES's limit.
const MAX_URL: usize = 300;
const MAX_MAILTO: usize = 200;
const URL_FORM: &str = "https://HOST/PATH, without query, of at most 300 characters";
pub(crate) const SECRET_FORM: &str =
    "keys of at least 32 characters each, separated by commas: the first one signs, all of them verify";
const MAILTO_FORM: &str = "an address, for example unsubscribe@example.com, of at most 200 characters";

/// The settings of unsubscribing; `send-batch` can do without them only for transactional campaigns.
#[derive(Clone, Debug, Default)]
pub struct UnsubscribeSettings {
    /// `UNSUBSCRIBE_URL`: the URL of the function `unsubscribe`, without a slash at the end.
    pub url: Option<String>,
    /// `UNSUBSCRIBE_SECRET`: the keys of tokens.
    pub keys: Option<Keys>,
    /// `UNSUBSCRIBE_SECRET_ARN`: a secret of Secrets Manager with the same content in place of it, read at
    /// run time.
    pub secret_arn: Option<String>,
    /// `UNSUBSCRIBE_MAILTO`: a mailbox that also takes unsubscribe requests.
    pub mailto: Option<String>,
}

impl UnsubscribeSettings {
    /// Reads an environment given as a function, which returns `None` for an empty variable.
    ///
    /// # Errors
    /// The first variable that is malformed.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<UnsubscribeSettings, InvalidVariable> {
        let secret_arn = variable("UNSUBSCRIBE_SECRET_ARN").map(secret_arn).transpose()?;
        if secret_arn.is_some() && variable("UNSUBSCRIBE_SECRET").is_some() {
            return Err(InvalidVariable::Malformed {
                name: "UNSUBSCRIBE_SECRET",
                value: "set (it is not shown)".to_owned(),
                expected: "not to be set together with UNSUBSCRIBE_SECRET_ARN",
            });
        }
        Ok(UnsubscribeSettings {
            secret_arn,
            url: variable("UNSUBSCRIBE_URL").map(|url| base_url(&url)).transpose()?,
            keys: variable("UNSUBSCRIBE_SECRET").map(|secret| keys(&secret)).transpose()?,
            mailto: variable("UNSUBSCRIBE_MAILTO").map(|mailbox| mailto(&mailbox)).transpose()?,
        })
    }

    /// Settings for links that lead nowhere, to check a campaign if the real settings are unknown.
    pub fn stand_in() -> UnsubscribeSettings {
        UnsubscribeSettings {
            url: Some("https://unsubscribe.example.com".to_owned()),
            keys: Keys::parse("a-key-that-signs-no-link-of-any-email"),
            mailto: None,
            secret_arn: None,
        }
    }

    /// Checks that there are keys, for the function that needs them.
    ///
    /// # Errors
    /// Fails if neither `UNSUBSCRIBE_SECRET` nor `UNSUBSCRIBE_SECRET_ARN` is set.
    pub fn require_keys(&self) -> Result<(), InvalidVariable> {
        let missing = InvalidVariable::Missing { name: "UNSUBSCRIBE_SECRET", expected: SECRET_FORM };
        self.keys.as_ref().map(drop).or(self.secret_arn.as_ref().map(drop)).ok_or(missing)
    }
}

/// RFC 8058 requires HTTPS; plain HTTP is only for this machine.
fn base_url(value: &str) -> Result<String, InvalidVariable> {
    let url = value.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| {
        let rest = url.strip_prefix("http://")?;
        let host = rest.split(['/', ':']).next()?;
        matches!(host, "localhost" | "127.0.0.1").then_some(rest)
    });
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/%".contains(&byte);
    match rest {
        Some(rest) if !rest.is_empty() && rest.bytes().all(legal) && url.len() <= MAX_URL => {
            Ok(url.to_owned())
        }
        _ => Err(InvalidVariable::Malformed {
            name: "UNSUBSCRIBE_URL",
            value: format!("{value:?}"),
            expected: URL_FORM,
        }),
    }
}

fn keys(secret: &str) -> Result<Keys, InvalidVariable> {
    Keys::parse(secret).ok_or(InvalidVariable::Malformed {
        name: "UNSUBSCRIBE_SECRET",
        value: "of another form (it is not shown)".to_owned(),
        expected: SECRET_FORM,
    })
}

fn secret_arn(value: String) -> Result<String, InvalidVariable> {
    if value.starts_with("arn:") && value.contains(":secretsmanager:") {
        Ok(value)
    } else {
        Err(InvalidVariable::Malformed {
            name: "UNSUBSCRIBE_SECRET_ARN",
            value: format!("{value:?}"),
            expected: "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME",
        })
    }
}

fn mailto(value: &str) -> Result<String, InvalidVariable> {
    match address::sendable_from(value) {
        Ok(mailbox) if mailbox.len() <= MAX_MAILTO => Ok(mailbox),
        _ => Err(InvalidVariable::Malformed {
            name: "UNSUBSCRIBE_MAILTO",
            value: format!("{value:?}"),
            expected: MAILTO_FORM,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a-key-of-thirty-two-characters-or-more";

    fn read(name: &str, value: &str) -> Result<UnsubscribeSettings, String> {
        UnsubscribeSettings::read(&|variable| (variable == name).then(|| value.to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_malformed_variable_is_named_with_its_form_and_the_secret_is_not_shown() {
        let error = |name, value| read(name, value).unwrap_err();
        insta::assert_snapshot!(error("UNSUBSCRIBE_URL", "http://example.com/u"), @r#"UNSUBSCRIBE_URL is "http://example.com/u": expected https://HOST/PATH, without query, of at most 300 characters"#);
        insta::assert_snapshot!(error("UNSUBSCRIBE_SECRET", "tooshort"), @"UNSUBSCRIBE_SECRET is of another form (it is not shown): expected keys of at least 32 characters each, separated by commas: the first one signs, all of them verify");
        insta::assert_snapshot!(error("UNSUBSCRIBE_SECRET_ARN", "my-key"), @r#"UNSUBSCRIBE_SECRET_ARN is "my-key": expected arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"#);
        insta::assert_snapshot!(error("UNSUBSCRIBE_MAILTO", "nobody"), @r#"UNSUBSCRIBE_MAILTO is "nobody": expected an address, for example unsubscribe@example.com, of at most 200 characters"#);
        insta::assert_snapshot!(UnsubscribeSettings::default().require_keys().unwrap_err(), @"UNSUBSCRIBE_SECRET is not set: expected keys of at least 32 characters each, separated by commas: the first one signs, all of them verify");
        assert!(!format!("{:?}", read("UNSUBSCRIBE_SECRET", KEY)).contains(KEY));
    }

    #[test]
    fn the_base_url_is_https_and_plain() {
        for (value, base) in [
            ("https://example.com", "https://example.com"),
            ("https://example.com/u/", "https://example.com/u"),
            ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
            ("http://localhost/u", "http://localhost/u"),
        ] {
            assert_eq!(read("UNSUBSCRIBE_URL", value).unwrap().url.as_deref(), Some(base));
        }
        let long = format!("https://example.com/{}", "x".repeat(300));
        for value in [
            "https://",
            "example.com",
            "ftp://example.com",
            "http://localhost.example.com",
            "https://example.com/?q=1",
            "https://example.com/#a",
            "https://example.com/>,<mailto:a@example.com",
            "https://example.com/\r\nBcc:a@example.com",
            "https://user@example.com",
            &long,
        ] {
            assert!(read("UNSUBSCRIBE_URL", value).is_err(), "{value:?}");
        }
    }
}
