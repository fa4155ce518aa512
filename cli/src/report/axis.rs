//! Axes with round steps and labels. Pure.

use jiff::Timestamp;

/// Lengths of time that divide an hour, a day or a month, in seconds.
const SPANS: [f64; 18] = [
    1.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    2_592_000.0,
];

/// The shortest of these lengths of which at most about `buckets` fit into `seconds`.
pub fn bucket(seconds: f64, buckets: f64) -> f64 {
    SPANS.into_iter().find(|span| seconds / span <= buckets).unwrap_or(SPANS[SPANS.len() - 1])
}

/// A step of 1, 2 or 5 times a power of ten, so that about four steps reach `most`; at least `least`.
pub fn step(most: f64, least: f64) -> f64 {
    let rough = (most / 4.0).max(least);
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough * 0.999);
    step.unwrap_or(rough)
}

/// At most about `most` times between two instants with their labels: a time of day, or a day if the plot covers
/// several days.
pub fn times(from: f64, to: f64, most: f64) -> Vec<(f64, String)> {
    let step = bucket(to - from, most);
    let mut at = (from / step).ceil() * step;
    let mut marks = Vec::new();
    while at <= to {
        marks.push((at, label(at, step)));
        at += step;
    }
    marks
}

fn label(at: f64, step: f64) -> String {
    let text = utc(at);
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    // In a plot of several days, labels are at midnight.
    if step >= 86_400.0 || time == "00:00:00Z" {
        return day_and_month(day);
    }
    if step >= 60.0 {
        time.get(..5).unwrap_or(time).to_owned()
    } else {
        time.trim_end_matches('Z').to_owned()
    }
}

fn day_and_month(date: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.split('-').skip(1);
    let month = parts.next().and_then(|month| month.parse::<usize>().ok()).unwrap_or(1);
    let day = parts.next().unwrap_or_default().trim_start_matches('0');
    format!("{day} {}", MONTHS[(month.max(1) - 1) % 12])
}

/// `2026-03-01T08:00:00Z`.
pub fn utc(at: f64) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    let seconds = at.floor() as i64;
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// A length of time for the title of a plot: `10 seconds`, `5 minutes`, `hour`.
pub fn span(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one of SPANS")]
    let seconds = seconds as u64;
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    if count == 1 { unit.to_owned() } else { format!("{count} {unit}s") }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the steps are exact")]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        assert_eq!(
            [1.0, 7.0, 40.0, 100.0, 1234.0, 99_000.0].map(|most| step(most, 1.0)),
            [1.0, 2.0, 10.0, 50.0, 500.0, 50_000.0]
        );
        assert_eq!([600.0, 3600.0, 864_000.0].map(|seconds| bucket(seconds, 60.0)), [10.0, 60.0, 21_600.0]);
        assert_eq!(
            [1.0, 10.0, 300.0, 3600.0, 86_400.0].map(span),
            ["second", "10 seconds", "5 minutes", "hour", "day"]
        );
    }

    #[test]
    fn labels_say_what_differs() {
        let labels =
            |from, to| times(from, to, 7.0).into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ");
        let eight = 1_772_352_000.0; // 2026-03-01T08:00:00Z
        assert_eq!(
            labels(eight + 3.0, eight + 65.0),
            "08:00:10 08:00:20 08:00:30 08:00:40 08:00:50 08:01:00"
        );
        assert_eq!(labels(eight, eight + 7200.0), "08:00 08:30 09:00 09:30 10:00");
        assert_eq!(labels(eight, eight + 86_400.0), "12:00 18:00 2 Mar 06:00");
        assert_eq!(labels(eight, eight + 4.0 * 86_400.0), "2 Mar 3 Mar 4 Mar 5 Mar");
    }
}
