//! Numbers in a form for people.

use std::time::Duration;

use campaign_sender::domain::result::Progress;

/// `1234567` as `1,234,567`.
pub fn count(n: impl TryInto<i64>) -> String {
    let n: i64 = n.try_into().unwrap_or(i64::MAX);
    let digits = n.unsigned_abs().to_string();
    let mut grouped = String::from(if n < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 batch`, `2 batches`, `1,000 recipients`.
pub fn counted(n: impl TryInto<i64>, noun: &str) -> String {
    let number = count(n);
    let ending = match (number.as_str(), noun.ends_with("ch") || noun.ends_with('s')) {
        ("1", _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {noun}{ending}")
}

/// An error with the address that met it, as one phrase.
pub fn with_example(error: Option<&str>, example: &str) -> String {
    match error.map(|error| error.trim_end_matches('.')).filter(|error| !error.is_empty()) {
        Some(error) => format!("{error}, for example {example}"),
        None => format!("for example {example}"),
    }
}

/// The counters of a campaign in one phrase: `4 of 10 sent, 1 failed, …`.
pub fn progress(progress: &Progress) -> String {
    format!(
        "{} of {} sent, {} failed, {} suppressed, {} uncertain, {} to send",
        count(progress.sent),
        count(progress.total),
        count(progress.failed),
        count(progress.suppressed),
        count(progress.uncertain),
        count(progress.remaining)
    )
}

/// A duration in its two largest units: `12 ms`, `1.8 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.as_millis());
    let two = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {part}"),
    };
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_spans_have_their_unit() {
        assert_eq!(
            [count(0), count(999), count(1000), count(-1_234_567)],
            ["0", "999", "1,000", "-1,234,567"]
        );
        assert_eq!(
            [
                counted(1, "recipient"),
                counted(2000, "recipient"),
                counted(2, "address"),
                counted(0, "accepted message")
            ],
            ["1 recipient", "2,000 recipients", "2 addresses", "0 accepted messages"]
        );
        let spans = [12, 1_840, 120_000, 185_000, 7_800_000, 273_600_000]
            .map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(spans, ["12 ms", "1.8 s", "2 min", "3 min 5 s", "2 h 10 min", "3 d 4 h"]);
    }
}
