//! Which columns of another tool's export are an address, a reason, a time and an organization, and how their values
//! are read.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::super::import::mapping::{check_named, columns_named, no_address, twice};
use super::Reason;

/// The fields of a suppression that `--map` names.
pub const FIELDS: [&str; 4] = ["email", "reason", "created_at", "organization_id"];
/// Other tools' names for the address, in lower case, without white space and punctuation.
const ADDRESS_NAMES: [&str; 4] = ["email", "emailaddress", "mail", "mailaddress"];

/// The places of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    pub email: usize,
    pub reason: Option<usize>,
    pub created_at: Option<usize>,
    pub organization_id: Option<usize>,
}

/// Reads `FIELD=COLUMN` of a suppression.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (field, column) = super::super::import::mapping::parse_pair(text)?;
    let known = FIELDS.iter().find(|known| known.eq_ignore_ascii_case(&field));
    match known {
        Some(known) => Ok(((*known).to_owned(), column)),
        None => Err(format!("\"{field}\" is not a field of a suppression: expected {}", FIELDS.join(", "))),
    }
}

impl Columns {
    /// Finds the columns by the options, else by their names, whatever the letter case.
    ///
    /// # Errors
    /// Says what is wrong with the header, and what to do.
    pub fn find(
        columns: &[String],
        from: &[(String, String)],
        ignored: &[String],
    ) -> Result<Columns, String> {
        check_named(from, ignored, columns)?;
        let left_out = |at: &usize| ignored.iter().any(|given| columns_named(given, columns).contains(at));
        let find = |field: &str, is_name: &dyn Fn(&str) -> bool| -> Result<Option<usize>, String> {
            let given = from.iter().filter(|(name, _)| name == field);
            let given: Vec<usize> = given.flat_map(|(_, column)| columns_named(column, columns)).collect();
            let exact = || (0..columns.len()).filter(|at| columns[*at].eq_ignore_ascii_case(field));
            let alike = || (0..columns.len()).filter(|at| is_name(&columns[*at]));
            let kept = |found: Vec<usize>| found.into_iter().filter(|at| !left_out(at)).collect::<Vec<_>>();
            let candidates = [kept(given), kept(exact().collect()), kept(alike().collect())];
            let mut found = candidates.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
            found.dedup();
            match found.as_slice() {
                [] => Ok(None),
                [at] => Ok(Some(*at)),
                [first, second, ..] if columns[*first].eq_ignore_ascii_case(&columns[*second]) => {
                    Err(format!(
                        "{}; or name it with --map {field}='#{}'",
                        twice(*first, *second, columns).split(", or ").next().unwrap_or_default(),
                        first + 1
                    ))
                }
                [first, second, ..] => Err(format!(
                    "the columns \"{}\" and \"{}\" may both be {field}: name it with --map {field}='#{}'",
                    columns[*first],
                    columns[*second],
                    first + 1
                )),
            }
        };
        let is_address = |name: &str| {
            let letters: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
            ADDRESS_NAMES.contains(&letters.to_lowercase().as_str())
        };
        Ok(Columns {
            email: find("email", &is_address)?.ok_or_else(|| no_address(columns))?,
            reason: find("reason", &|_| false)?,
            created_at: find("created_at", &|_| false)?,
            organization_id: find("organization_id", &|_| false)?,
        })
    }
}

/// A reason in the words of this package, of Amazon SES, and of other tools.
pub fn reason(text: &str) -> Option<Reason> {
    let words: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    Some(match words.as_str() {
        "bounce" | "bounced" | "hardbounce" | "hardbounced" | "permanent" | "invalid" | "cleaned" => {
            Reason::Bounce
        }
        "complaint" | "complained" | "spam" | "spamreport" | "spamcomplaint" | "abuse" => Reason::Complaint,
        "unsubscribe" | "unsubscribed" | "optout" | "optedout" => Reason::Unsubscribe,
        "manual" | "manually" => Reason::Manual,
        _ => return None,
    })
}

/// A time: RFC 3339, a date with or without a time of day (UTC), or seconds since 1970, as other tools write them.
pub fn time(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let seconds = || Some(text).filter(|text| text.len() == 10)?.parse().ok();
    let timestamp =
        text.parse::<Timestamp>().ok().or_else(|| Timestamp::from_second(seconds()?).ok()).or_else(|| {
            let civil = text.parse::<DateTime>().ok();
            let civil =
                civil.or_else(|| Some(text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::MIN)))?;
            TimeZone::UTC.to_timestamp(civil).ok()
        })?;
    Some(timestamp.into())
}

/// An organization's id.
pub fn organization(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(names: &[&str], from: &[&str], ignored: &[&str]) -> Result<Columns, String> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let from: Vec<_> = from.iter().map(|pair| parse_pair(pair).unwrap()).collect();
        Columns::find(&owned(names), &from, &owned(ignored))
    }

    #[test]
    fn the_exports_of_other_tools_are_understood() {
        let email = |names: &[&str]| find(names, &[], &[]).unwrap().email;
        assert_eq!(email(&["Email Address", "First Name", "UNSUB_TIME", "UNSUB_REASON"]), 0);
        assert_eq!(email(&["status", "reason", "email", "created"]), 2);
        assert_eq!(email(&["E-Mail", "name"]), 0);
        assert_eq!(email(&["id", "EMAIL"]), 1);
        assert_eq!(email(&["EmailAddress", "Reason", "LastUpdateTime"]), 0);
        assert_eq!(email(&["Email Address", "email"]), 1);
    }

    #[test]
    fn a_header_that_can_be_read_in_two_ways_is_told_with_what_to_do() {
        let names = ["E-Mail", "Email Address", "Reason", "reason"];
        insta::assert_snapshot!(find(&names, &[], &[]).unwrap_err(), @r##"the columns "E-Mail" and "Email Address" may both be email: name it with --map email='#1'"##);
        insta::assert_snapshot!(find(&names, &["email=#1"], &[]).unwrap_err(), @r##"the columns 3 and 4 are both "reason": leave one out with --ignore '#4'; or name it with --map reason='#3'"##);
        let columns = find(&names, &["email=#1"], &["#4"]).unwrap();
        assert_eq!((columns.email, columns.reason), (0, Some(2)));
        assert_eq!(find(&names, &["email=#1", "reason=#3"], &[]).unwrap(), columns);
        insta::assert_snapshot!(find(&["Subscriber"], &[], &[]).unwrap_err(), @r#"there is no column "email"; the columns are "Subscriber": name it with --map email=COLUMN"#);
        insta::assert_snapshot!(find(&["ada@example.com", "BOUNCE"], &[], &[]).unwrap_err(), @"the first line holds an address: expected the names of the columns, for example email,name; put such a line first");
        insta::assert_snapshot!(parse_pair("mail=x").unwrap_err(), @r#""mail" is not a field of a suppression: expected email, reason, created_at, organization_id"#);
    }

    #[test]
    fn reasons_and_times_are_read_as_other_tools_write_them() {
        assert_eq!(reason("BOUNCE"), Some(Reason::Bounce));
        assert_eq!(reason("Hard bounce"), Some(Reason::Bounce));
        assert_eq!(reason("Spam Report"), Some(Reason::Complaint));
        assert_eq!(reason("unsubscribed"), Some(Reason::Unsubscribe));
        assert_eq!(reason("550 5.1.1 no such user"), None);
        let unix =
            |text: &str| time(text).map(|t| t.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
        for text in [
            "2024-01-31T08:00:00Z",
            "2024-01-31 09:00:00+01:00",
            "2024-01-31 08:00:00",
            "1706688000",
            "2024-01-31T08:00",
        ] {
            assert_eq!(unix(text), Some(1_706_688_000), "{text}");
        }
        assert_eq!(unix("2024-01-31"), Some(1_706_659_200));
        assert_eq!(unix("31.01.2024"), None);
    }
}
