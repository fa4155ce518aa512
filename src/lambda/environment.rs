//! Settings from the environment. A variable that is missing or malformed stops the start with one line.

use std::env;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::address;
use crate::domain::event::MAX_BATCH_SIZE;
use crate::domain::guard::{GMAIL, Limits};
use crate::domain::send_api::SendApi;
use crate::domain::setting::{InvalidVariable, given, parse};
use crate::domain::uncertain::UncertainPolicy;
use crate::message::link_settings::UnsubscribeSettings;
use crate::store::settings::{DatabaseAccess, database_access};

/// The settings of the functions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `DATABASE_URL`, `DATABASE_IAM_AUTH`, `DATABASE_SECRET_ARN`, `DATABASE_SCHEMA`: PostgreSQL 14 or newer.
    pub database: DatabaseAccess,
    /// `ACTIVITIES_TABLE`, `table` or `schema.table`; `activities` unless set.
    pub activities_table: String,
    /// `SES_CONFIGURATION_SET`: for every message of a campaign that names none.
    pub configuration_set: Option<String>,
    /// `SES_MAX_SEND_RATE`, messages per second, when lower than the account's own.
    pub max_send_rate: Option<f64>,
    /// `BATCH_SIZE`, recipients per batch when the event names none; 500 unless set.
    pub batch_size: u32,
    /// `SEND_API`: which call of SES is used; chosen by the rate unless set.
    pub send_api: SendApi,
    /// `SEND_CONCURRENCY`, requests to SES at a time; 50 unless set.
    pub concurrency: usize,
    /// `UNCERTAIN_POLICY`, `hold` (unless set) or `resend`, and `UNCERTAIN_AFTER_SECONDS`, 3600 unless set.
    pub uncertain: UncertainPolicy,
    /// `HISTORY_HOLD_SECONDS`: how long nothing is claimed after the database's history has changed (a standby was
    /// promoted, a backup restored); 120 unless set, 0 never.
    pub history_hold: Duration,
    /// `GUARD_MAX_BOUNCE_RATE`, `GUARD_MAX_COMPLAINT_RATE`, `GUARD_MIN_SAMPLE`: when `ses-events` pauses a campaign.
    pub guard: Limits,
    /// `GUARD_NO_FEEDBACK_DOMAINS`: domains whose provider reports no complaints, so that the rate of complaints
    /// leaves them out. Gmail's unless set; none if it is `none`.
    pub no_feedback_domains: Vec<String>,
    /// `NOTICE_EVENT_BUS`: the EventBridge bus that `ses-events` tells of campaigns that it pauses; none unless set.
    pub notice_event_bus: Option<String>,
    /// The function's name for its metrics; `None` if none are written. `METRICS` is `on` or `off`; unless it
    /// is set, metrics are written on Lambda, which sets `AWS_LAMBDA_FUNCTION_NAME`.
    pub metrics: Option<String>,
    /// `UNSUBSCRIBE_URL`, `UNSUBSCRIBE_SECRET`, `UNSUBSCRIBE_MAILTO`: how a recipient unsubscribes.
    pub unsubscribe: UnsubscribeSettings,
    /// `LAMBDA_TIMEOUT_SECONDS`: the time of an invocation whose deadline is unknown; 60 s unless set.
    pub fallback_timeout: Duration,
}

/// The name of a function that has none.
pub const LOCAL_FUNCTION: &str = "local";
impl Settings {
    /// Reads this process's environment.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn from_env() -> Result<Settings, InvalidVariable> {
        Settings::read(&|name| env::var(name).ok())
    }

    /// Reads an environment given as a function; an empty variable counts as unset.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Settings, InvalidVariable> {
        let variable = |name: &str| given(variable(name));
        Ok(Settings {
            database: database_access(&variable)?,
            activities_table: variable("ACTIVITIES_TABLE")
                .map(|value| {
                    parse("ACTIVITIES_TABLE", &value, "TABLE or SCHEMA.TABLE, as in SQL", |name: &String| {
                        is_table_name(name)
                    })
                })
                .transpose()?
                .unwrap_or_else(|| "activities".to_owned()),
            configuration_set: variable("SES_CONFIGURATION_SET")
                .map(|value| {
                    let expected = "a name of 1 to 64 letters, digits, - and _";
                    parse("SES_CONFIGURATION_SET", &value, expected, |name: &String| {
                        is_configuration_set(name)
                    })
                })
                .transpose()?,
            max_send_rate: variable("SES_MAX_SEND_RATE")
                .map(|value| {
                    parse("SES_MAX_SEND_RATE", &value, "messages per second, for example 14", |rate: &f64| {
                        rate.is_finite() && *rate > 0.0
                    })
                })
                .transpose()?,
            batch_size: variable("BATCH_SIZE")
                .map(|value| {
                    parse("BATCH_SIZE", &value, "a whole number from 1 to 10000", |size: &u32| {
                        (1..=MAX_BATCH_SIZE).contains(size)
                    })
                })
                .transpose()?
                .unwrap_or(500),
            send_api: send_api(&variable)?,
            concurrency: variable("SEND_CONCURRENCY")
                .map(|value| {
                    parse("SEND_CONCURRENCY", &value, "a whole number from 1 to 1000", |n: &usize| {
                        (1..=1000).contains(n)
                    })
                })
                .transpose()?
                .unwrap_or(50),
            uncertain: uncertain_policy(&variable)?,
            history_hold: variable("HISTORY_HOLD_SECONDS")
                .map(|value| {
                    let expected = "whole seconds from 0 to 86400, for example 120";
                    parse("HISTORY_HOLD_SECONDS", &value, expected, |seconds: &u32| *seconds <= 86_400)
                })
                .transpose()?
                .map_or(Duration::from_secs(120), |seconds| Duration::from_secs(u64::from(seconds))),
            guard: guard(&variable)?,
            no_feedback_domains: no_feedback_domains(&variable)?,
            notice_event_bus: variable("NOTICE_EVENT_BUS")
                .map(|value| {
                    let expected = "the name or ARN of an event bus, for example default";
                    parse("NOTICE_EVENT_BUS", &value, expected, |name: &String| is_event_bus(name))
                })
                .transpose()?,
            metrics: metrics(&variable)?,
            unsubscribe: UnsubscribeSettings::read(&variable)?,
            fallback_timeout: variable("LAMBDA_TIMEOUT_SECONDS")
                .map(|value| {
                    parse(
                        "LAMBDA_TIMEOUT_SECONDS",
                        &value,
                        "whole seconds, for example 60",
                        |_: &NonZeroU32| true,
                    )
                })
                .transpose()?
                .map_or(Duration::from_secs(60), |seconds| Duration::from_secs(u64::from(seconds.get()))),
        })
    }
}

/// One name, or two with a dot between, each quoted or not.
fn is_table_name(name: &str) -> bool {
    let mut rest = name;
    for _ in 0..2 {
        let Some(after) = after_identifier(rest.trim_start()) else { return false };
        match after.trim_start().strip_prefix('.') {
            Some(next) => rest = next,
            None => return after.trim().is_empty(),
        }
    }
    false
}

/// The text after the SQL identifier at the beginning of `text`; `None` if there is no identifier.
fn after_identifier(text: &str) -> Option<&str> {
    if let Some(mut quoted) = text.strip_prefix('"') {
        if quoted.starts_with('"') && !quoted.starts_with("\"\"") {
            return None;
        }
        loop {
            let (_, after) = quoted.split_once('"')?;
            match after.strip_prefix('"') {
                Some(more) => quoted = more,
                None => return Some(after),
            }
        }
    }
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let after = text.trim_start_matches(part);
    (after.len() < text.len() && !text.starts_with(|c: char| c.is_ascii_digit() || c == '$')).then_some(after)
}

fn is_configuration_set(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_event_bus(name: &str) -> bool {
    let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b"._/:-".contains(&byte);
    name.len() <= 1600 && name.bytes().all(may_be)
}

fn send_api(variable: &dyn Fn(&str) -> Option<String>) -> Result<SendApi, InvalidVariable> {
    match variable("SEND_API").as_deref() {
        None | Some("auto") => Ok(SendApi::Auto),
        Some("bulk") => Ok(SendApi::Bulk),
        Some("single") => Ok(SendApi::Single),
        Some(other) => Err(InvalidVariable::Malformed {
            name: "SEND_API",
            value: format!("{other:?}"),
            expected: "auto, bulk or single",
        }),
    }
}

fn guard(variable: &dyn Fn(&str) -> Option<String>) -> Result<Limits, InvalidVariable> {
    let default = Limits::default();
    let rate = |name, default| {
        let Some(value) = variable(name) else { return Ok(default) };
        parse(name, &value, "a part of 1, for example 0.05; 1 never pauses", |rate: &f64| {
            *rate > 0.0 && *rate <= 1.0
        })
    };
    Ok(Limits {
        bounce_rate: rate("GUARD_MAX_BOUNCE_RATE", default.bounce_rate)?,
        complaint_rate: rate("GUARD_MAX_COMPLAINT_RATE", default.complaint_rate)?,
        min_sample: variable("GUARD_MIN_SAMPLE")
            .map(|value| {
                parse("GUARD_MIN_SAMPLE", &value, "a number of emails, for example 100", |n: &u32| *n > 0)
            })
            .transpose()?
            .unwrap_or(default.min_sample),
    })
}

fn no_feedback_domains(variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>, InvalidVariable> {
    let name = "GUARD_NO_FEEDBACK_DOMAINS";
    match variable(name) {
        None => Ok(GMAIL.map(str::to_owned).to_vec()),
        Some(none) if none == "none" => Ok(Vec::new()),
        Some(value) => value
            .split(',')
            .map(|domain| domain_of_an_address(domain.trim()))
            .collect::<Option<_>>()
            .ok_or_else(|| InvalidVariable::Malformed {
                name,
                value: format!("{value:?}"),
                expected: "domains with commas between them, for example gmail.com,googlemail.com; or none",
            }),
    }
}

/// A domain in the form that it has in a canonical address.
fn domain_of_an_address(domain: &str) -> Option<String> {
    let address = address::sendable(&format!("x@{domain}")).ok()?;
    address.strip_prefix("x@").map(str::to_owned)
}

fn metrics(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, InvalidVariable> {
    let name = variable("AWS_LAMBDA_FUNCTION_NAME").filter(|name| name != LOCAL_FUNCTION);
    match variable("METRICS").as_deref() {
        None => Ok(name),
        Some("on") => Ok(Some(name.unwrap_or_else(|| LOCAL_FUNCTION.to_owned()))),
        Some("off") => Ok(None),
        Some(other) => Err(InvalidVariable::Malformed {
            name: "METRICS",
            value: format!("{other:?}"),
            expected: "on or off",
        }),
    }
}

fn uncertain_policy(variable: &dyn Fn(&str) -> Option<String>) -> Result<UncertainPolicy, InvalidVariable> {
    let after = variable("UNCERTAIN_AFTER_SECONDS")
        .map(|value| {
            parse("UNCERTAIN_AFTER_SECONDS", &value, "whole seconds, for example 3600", |_: &NonZeroU32| true)
        })
        .transpose()?
        .map_or(Duration::from_hours(1), |seconds| Duration::from_secs(u64::from(seconds.get())));
    match variable("UNCERTAIN_POLICY").as_deref() {
        None | Some("hold") => Ok(UncertainPolicy::Hold),
        Some("resend") => Ok(UncertainPolicy::Resend { after }),
        Some(other) => Err(InvalidVariable::Malformed {
            name: "UNCERTAIN_POLICY",
            value: format!("{other:?}"),
            expected: "hold or resend",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn a_malformed_variable_is_named_with_its_form() {
        let url = ("DATABASE_URL", "postgres://u:secret@h/d");
        let error = |name, value| read(&[url, (name, value)]).unwrap_err();
        insta::assert_snapshot!(read(&[]).unwrap_err(), @"DATABASE_URL is not set: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
        insta::assert_snapshot!(read(&[("DATABASE_URL", "mysql://u:secret@h/d")]).unwrap_err(), @"DATABASE_URL is of another form (it is not shown): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
        insta::assert_snapshot!(error("DATABASE_IAM_AUTH", "yes"), @r#"DATABASE_IAM_AUTH is "yes": expected true or false"#);
        insta::assert_snapshot!(read(&[("DATABASE_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:1:secret:x"), ("DATABASE_IAM_AUTH", "true")]).unwrap_err(), @"DATABASE_IAM_AUTH is true: expected not to be set together with DATABASE_SECRET_ARN");
        insta::assert_snapshot!(read(&[("DATABASE_SECRET_ARN", "x")]).unwrap_err(), @r#"DATABASE_SECRET_ARN is "x": expected arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"#);
        for name in ["", "1a", "a b", "a\"b", "a'b", "a\\b", "pg_catalog", "a.b", &"a".repeat(64)] {
            assert!(crate::store::settings::Schema::read(name.to_owned()).is_err(), "{name}");
        }
        insta::assert_snapshot!(error("DATABASE_SCHEMA", "crm.x"), @r#"DATABASE_SCHEMA is "crm.x": expected the name of a schema without quotes, as PostgreSQL stores it: letters, digits, _, $ and -, at most 63 bytes, not pg_…"#);
        insta::assert_snapshot!(error("ACTIVITIES_TABLE", "a.b.c"), @r#"ACTIVITIES_TABLE is "a.b.c": expected TABLE or SCHEMA.TABLE, as in SQL"#);
        insta::assert_snapshot!(error("SES_CONFIGURATION_SET", "all news"), @r#"SES_CONFIGURATION_SET is "all news": expected a name of 1 to 64 letters, digits, - and _"#);
        insta::assert_snapshot!(error("METRICS", "yes"), @r#"METRICS is "yes": expected on or off"#);
        insta::assert_snapshot!(error("BATCH_SIZE", "10001"), @r#"BATCH_SIZE is "10001": expected a whole number from 1 to 10000"#);
        insta::assert_snapshot!(error("SES_MAX_SEND_RATE", "-1"), @r#"SES_MAX_SEND_RATE is "-1": expected messages per second, for example 14"#);
        insta::assert_snapshot!(error("SEND_CONCURRENCY", "many"), @r#"SEND_CONCURRENCY is "many": expected a whole number from 1 to 1000"#);
        insta::assert_snapshot!(error("SEND_API", "raw"), @r#"SEND_API is "raw": expected auto, bulk or single"#);
        insta::assert_snapshot!(error("UNCERTAIN_POLICY", "drop"), @r#"UNCERTAIN_POLICY is "drop": expected hold or resend"#);
        insta::assert_snapshot!(error("UNCERTAIN_AFTER_SECONDS", "1h"), @r#"UNCERTAIN_AFTER_SECONDS is "1h": expected whole seconds, for example 3600"#);
        insta::assert_snapshot!(error("HISTORY_HOLD_SECONDS", "2m"), @r#"HISTORY_HOLD_SECONDS is "2m": expected whole seconds from 0 to 86400, for example 120"#);
        insta::assert_snapshot!(error("GUARD_MAX_BOUNCE_RATE", "5%"), @r#"GUARD_MAX_BOUNCE_RATE is "5%": expected a part of 1, for example 0.05; 1 never pauses"#);
        insta::assert_snapshot!(error("GUARD_MIN_SAMPLE", "0"), @r#"GUARD_MIN_SAMPLE is "0": expected a number of emails, for example 100"#);
        insta::assert_snapshot!(error("GUARD_NO_FEEDBACK_DOMAINS", "gmail.com,@x"), @r#"GUARD_NO_FEEDBACK_DOMAINS is "gmail.com,@x": expected domains with commas between them, for example gmail.com,googlemail.com; or none"#);
        insta::assert_snapshot!(error("LAMBDA_TIMEOUT_SECONDS", "0"), @r#"LAMBDA_TIMEOUT_SECONDS is "0": expected whole seconds, for example 60"#);
    }

    #[test]
    fn a_table_is_named_as_in_sql() {
        for name in ["activities", "crm.timeline", "_t$1", r#"crm . "Time ""line. x""#, "journal.tätigkeiten"]
        {
            assert!(is_table_name(name), "{name}");
        }
        for name in
            ["", ".", "crm.", ".t", "a.b.c", "a;b", "x'y", r#""x"#, r#""""#, r#""a"b"#, "1a", "a b", "a--"]
        {
            assert!(!is_table_name(name), "{name}");
        }
    }

    #[test]
    fn the_domains_without_complaints_are_gmails_unless_others_or_none_are_named() {
        let domains = |value| {
            let variables =
                [("DATABASE_URL", "postgres://u:secret@h/d"), ("GUARD_NO_FEEDBACK_DOMAINS", value)];
            read(&variables).unwrap().no_feedback_domains
        };
        assert_eq!(domains(""), ["gmail.com", "googlemail.com"]);
        assert_eq!(domains("none"), [""; 0]);
        assert_eq!(domains("Gmail.com, b\u{fc}cher.example"), ["gmail.com", "xn--bcher-kva.example"]);
    }

    #[test]
    fn metrics_are_written_on_lambda_and_where_they_are_asked_for() {
        let url = ("DATABASE_URL", "postgres://u:secret@h/d");
        let metrics = |variables: &[_]| read(&[&[url], variables].concat()).unwrap().metrics;
        let (lambda, local) =
            (("AWS_LAMBDA_FUNCTION_NAME", "f"), ("AWS_LAMBDA_FUNCTION_NAME", LOCAL_FUNCTION));
        assert_eq!(metrics(&[lambda]).as_deref(), Some("f"));
        assert_eq!(metrics(&[local]), None);
        assert_eq!(metrics(&[lambda, ("METRICS", "off")]), None);
        assert_eq!(metrics(&[local, ("METRICS", "on")]).as_deref(), Some(LOCAL_FUNCTION));
    }

    #[test]
    fn what_is_unset_or_empty_has_its_default_and_secrets_stay_hidden() {
        let settings = read(&[("DATABASE_URL", "postgres://u:hunter2@h/d"), ("BATCH_SIZE", " ")]).unwrap();
        assert_eq!((settings.batch_size, settings.concurrency), (500, 50));
        assert_eq!(settings.activities_table, "activities");
        assert_eq!(settings.fallback_timeout, Duration::from_secs(60));
        assert_eq!(settings.uncertain, UncertainPolicy::Hold);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
