//! Parses a time with a zone.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, Zoned};

const FORMS: &str = "2030-06-01T09:00:00+02:00, '2030-06-01 09:00 UTC+2', '2030-06-01 09:00 Europe/Oslo' or 2030-06-01T07:00Z";

/// A time, in the zone in which it was given.
#[derive(Clone, Debug)]
pub struct Time(Zoned);

impl Time {
    /// The instant.
    pub fn timestamp(&self) -> Timestamp {
        self.0.timestamp()
    }

    /// The time in a form for PostgreSQL.
    pub fn to_sql(&self) -> String {
        self.timestamp().to_string()
    }

    /// The instant in UTC.
    pub fn utc(&self) -> String {
        shown(self.timestamp())
    }
}

/// An instant in UTC, to the minute.
pub fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The time in UTC, and in its own zone if that differs: `2030-06-01 07:00 UTC (2030-06-01 09:00 +02:00,
/// Europe/Oslo)`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc())?;
        let own = self.0.strftime("%Y-%m-%d %H:%M %:z");
        match self.0.time_zone().iana_name().filter(|name| *name != "UTC") {
            Some(name) => write!(f, " ({own}, {name})"),
            None if self.0.offset() == Offset::UTC => Ok(()),
            None => write!(f, " ({own})"),
        }
    }
}

/// Reads a date, a time of day and a zone.
///
/// # Errors
/// Says what is wrong, and which forms are accepted.
pub fn parse(text: &str) -> Result<Time, String> {
    let (civil, zone) = split(text.trim()).ok_or_else(|| format!("expected a time, for example {FORMS}"))?;
    let civil: DateTime = civil
        .parse()
        .map_err(|_| format!("there is no such date or time of day: expected one, for example {FORMS}"))?;
    let (offset, name) = match zone.split_once('[') {
        Some((offset, name)) => {
            let name = name.strip_suffix(']').ok_or("the ] after the time zone is missing")?;
            (offset.trim(), Some(name.trim()))
        }
        None if zone.contains('/') => ("", Some(zone)),
        None => (zone, None),
    };
    let offset = if offset.is_empty() { None } else { Some(self::offset(offset)?) };
    let name = name.map(named).transpose()?;
    match (offset, name) {
        (None, None) => Err(format!("the time zone is missing: expected a time, for example {FORMS}")),
        (Some(offset), None) => in_zone(civil, &offset.to_time_zone()),
        (None, Some(zone)) => in_zone(civil, &zone),
        (Some(offset), Some(zone)) => {
            let at = in_zone(civil, &offset.to_time_zone())?.timestamp().to_zoned(zone);
            if at.offset() == offset {
                Ok(Time(at))
            } else {
                let name = at.time_zone().iana_name().unwrap_or_default();
                Err(format!(
                    "at that time {name} is {} from UTC: leave the offset or the zone out",
                    said(at.offset())
                ))
            }
        }
    }
}

/// Date and time of day in the form of ISO 8601, and the text after them.
fn split(text: &str) -> Option<(String, &str)> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?.trim_start();
    let end = rest.find(|character: char| !character.is_ascii_digit() && !matches!(character, ':' | '.'));
    let (time, zone) = rest.split_at(end.unwrap_or(rest.len()));
    let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let is_time = time.len() >= 5 && time.as_bytes()[2] == b':';
    (is_date && is_time).then(|| (format!("{date}T{time}"), zone.trim()))
}

/// `Z`, `UTC`, `GMT`, `+02:00`, `+0200`, `+2`, and these after UTC or GMT: east of Greenwich is `+`.
fn offset(text: &str) -> Result<Offset, String> {
    let unknown = || {
        let words = text.chars().take(60).collect::<String>();
        format!(
            "{words:?} is not a known time zone (abbreviations such as CET or EST have several meanings): expected one as in {FORMS}"
        )
    };
    let upper = text.to_ascii_uppercase();
    if matches!(upper.as_str(), "Z" | "UTC" | "GMT") {
        return Ok(Offset::UTC);
    }
    let after = upper.strip_prefix("UTC").or(upper.strip_prefix("GMT")).unwrap_or(&upper).trim_start();
    let (sign, digits) = match after.split_at_checked(1) {
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => return Err(unknown()),
    };
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some(parts), _) => parts,
        (None, 4) => digits.split_at_checked(2).ok_or_else(unknown)?,
        (None, _) => (digits, "00"),
    };
    let number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        let is_number = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i32>().ok().filter(|_| is_number)
    };
    match (number(hours, 1..=2), number(minutes, 2..=2)) {
        (Some(hours @ 0..=15), Some(minutes @ 0..=59)) => {
            Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).map_err(|_| unknown())
        }
        _ => Err(unknown()),
    }
}

fn named(name: &str) -> Result<TimeZone, String> {
    let known = name.contains('/') || matches!(name.to_ascii_uppercase().as_str(), "UTC" | "GMT" | "Z");
    let zone = if name.eq_ignore_ascii_case("Z") { "UTC" } else { name };
    TimeZone::get(zone).ok().filter(|_| known).ok_or_else(|| {
        let shown = name.chars().take(60).collect::<String>();
        format!("{shown:?} is not a known time zone: expected one, for example Europe/Oslo, America/New_York or UTC")
    })
}

/// A time that a clock in this zone shows once.
fn in_zone(civil: DateTime, zone: &TimeZone) -> Result<Time, String> {
    let ambiguous = zone.to_ambiguous_zoned(civil);
    let own = civil.strftime("%Y-%m-%d %H:%M");
    let name = zone.iana_name().unwrap_or_default();
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => ambiguous
            .unambiguous()
            .map(Time)
            .map_err(|_| format!("the time is out of range: expected one, for example {FORMS}")),
        AmbiguousOffset::Gap { before, after } => Err(format!(
            "there is no {own} in {name}: clocks are put from {} to {} that night; choose another time",
            said(before),
            said(after)
        )),
        AmbiguousOffset::Fold { before, after } => Err(format!(
            "{own} comes twice in {name}, for clocks are put back: give the offset, {} for the first or {} for the second",
            said(before),
            said(after)
        )),
    }
}

/// `+02:00`.
fn said(offset: Offset) -> String {
    let (sign, minutes) = (if offset.is_negative() { '-' } else { '+' }, offset.seconds().abs() / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_its_zone() {
        for text in [
            "2030-06-01T09:00:00+02:00",
            "2030-06-01 09:00 GMT+2",
            "2030-06-01 09:00 UTC+02:00",
            "2030-06-01 09:00 utc+0200",
            "2030-06-01 09:00 Europe/Oslo",
            "2030-06-01 09:00 europe/oslo",
            "2030-06-01T09:00[Europe/Oslo]",
            "2030-06-01T09:00+02:00[Europe/Oslo]",
            "2030-06-01 09:00 +02",
            "2030-06-01T07:00Z",
            " 2030-06-01 07:00:00.000 UTC ",
            "2030-06-01 05:00 GMT-2",
            "2030-06-01 12:30 +05:30",
            "2030-06-01 05:00 Etc/GMT+2",
        ] {
            assert_eq!(parse(text).unwrap().to_sql(), "2030-06-01T07:00:00Z", "{text}");
        }
    }

    #[test]
    fn a_time_is_shown_in_utc_and_in_its_own_zone() {
        let shown = |text: &str| parse(text).unwrap().to_string();
        insta::assert_snapshot!(shown("2030-06-01T09:00[Europe/Oslo]"), @"2030-06-01 07:00 UTC (2030-06-01 09:00 +02:00, Europe/Oslo)");
        insta::assert_snapshot!(shown("2030-01-01 23:00 GMT-5"), @"2030-01-02 04:00 UTC (2030-01-01 23:00 -05:00)");
        insta::assert_snapshot!(shown("2030-06-01T07:00Z"), @"2030-06-01 07:00 UTC");
    }

    #[test]
    fn a_time_that_may_be_two_or_none_is_refused() {
        let error = |text: &str| parse(text).unwrap_err();
        insta::assert_snapshot!(error("2030-03-31 02:30 Europe/Oslo"), @"there is no 2030-03-31 02:30 in Europe/Oslo: clocks are put from +01:00 to +02:00 that night; choose another time");
        insta::assert_snapshot!(error("2030-10-27 02:30 Europe/Oslo"), @"2030-10-27 02:30 comes twice in Europe/Oslo, for clocks are put back: give the offset, +02:00 for the first or +01:00 for the second");
        assert_eq!(parse("2030-10-27 02:30+01:00[Europe/Oslo]").unwrap().to_sql(), "2030-10-27T01:30:00Z");
        insta::assert_snapshot!(error("2030-06-01T09:00+03:00[Europe/Oslo]"), @"at that time Europe/Oslo is +02:00 from UTC: leave the offset or the zone out");
        insta::assert_snapshot!(error("2030-06-01 09:00"), @"the time zone is missing: expected a time, for example 2030-06-01T09:00:00+02:00, '2030-06-01 09:00 UTC+2', '2030-06-01 09:00 Europe/Oslo' or 2030-06-01T07:00Z");
        insta::assert_snapshot!(error("2030-02-30 09:00Z"), @"there is no such date or time of day: expected one, for example 2030-06-01T09:00:00+02:00, '2030-06-01 09:00 UTC+2', '2030-06-01 09:00 Europe/Oslo' or 2030-06-01T07:00Z");
        insta::assert_snapshot!(error("2030-06-01 09:00 Europe/Olso"), @r#""Europe/Olso" is not a known time zone: expected one, for example Europe/Oslo, America/New_York or UTC"#);
        for text in [
            "tomorrow",
            "2030-06-01",
            "2030-06-01 9:00Z",
            "01.06.2030 09:00Z",
            "2030-06-01 09:00 CET",
            "2030-06-01 09:00 EST",
            "2030-06-01 09:00 pm",
            "2030-06-01 09:00 +99",
            "2030-06-01 09:00 +2:3",
            "2030-06-01 25:00Z",
            "2030-06-01 09:00 +930",
            "2030-06-01 09:00[Europe/Oslo",
            "é030-06-01 09:00Z",
            "",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
