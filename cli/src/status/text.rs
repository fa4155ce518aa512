//! The output for a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use console::{Term, measure_text_width, style, truncate_str};

use super::super::output::shown;
use super::super::{format, lines};
use super::now::Now;
use super::{Detail, Lane, Outcome, Overview};
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::domain::cause::Cause;
use campaign_sender::domain::recipient::Status;
use campaign_sender::domain::result::Progress;

/// The columns of standard output's terminal; if it is not a terminal, nothing is cut off.
pub fn width() -> usize {
    Term::stdout().size_checked().map_or(usize::MAX, |(_, columns)| usize::from(columns))
}

/// Columns of text; the others are numbers.
const WORDS: [&str; 4] = ["CAMPAIGN", "NAME", "STATUS", "SINCE (UTC)"];
/// The columns that may be cut off.
const NAME: usize = 1;
/// The columns that a narrow terminal omits, in this order.
const DISPENSABLE: [&str; 5] = ["SUPPRESSED", "SINCE (UTC)", "SENT", "UNCERTAIN", "TOTAL"];
/// What it does without when the names are as short as they may be.
const LAST_DISPENSABLE: [&str; 2] = ["NAME", "DONE"];
/// The shortest form of a name, in columns of a terminal.
const SHORTEST_NAME: usize = 8;
/// The longest bar of progress, and what stands beside it, in columns of a terminal.
const BAR: usize = 40;
const BESIDE_BAR: usize = 36;

/// The list of campaigns. In a narrow terminal columns are omitted, but failures are visible at any width,
/// and an id can be copied.
pub fn table(campaigns: &[Overview], width: usize) -> String {
    let header = [
        "CAMPAIGN",
        "NAME",
        "STATUS",
        "DONE",
        "TOTAL",
        "SENT",
        "FAILED",
        "SUPPRESSED",
        "UNCERTAIN",
        "SINCE (UTC)",
    ];
    let mut rows: Vec<Vec<String>> = vec![header.map(str::to_owned).to_vec()];
    rows.extend(campaigns.iter().map(|campaign| {
        let Progress { total, sent, failed, suppressed, uncertain, .. } = campaign.progress;
        let since = campaign
            .completed_at
            .as_ref()
            .or(campaign.started_at.as_ref())
            .or(campaign.scheduled_at.as_ref());
        vec![
            campaign.campaign_id.to_string(),
            truncate_str(&shown(&campaign.name), 24, "…").into_owned(),
            if is_mostly_rejected(campaign) {
                "rejected".to_owned()
            } else if campaign.overdue_seconds.is_some() {
                "overdue".to_owned()
            } else {
                campaign.status.to_string()
            },
            percent(campaign.progress),
            format::count(total),
            format::count(sent),
            format::count(failed),
            format::count(suppressed),
            format::count(uncertain),
            since.map_or_else(String::new, |at| minute(at).trim_end_matches(" UTC").to_owned()),
        ]
    }));
    narrow(&mut rows, &DISPENSABLE, width);
    let room = widths(&rows)[NAME].saturating_sub(overhang(&rows, width)).max(SHORTEST_NAME);
    for row in &mut rows {
        row[NAME] = truncate_str(&row[NAME], room, "…").into_owned();
    }
    narrow(&mut rows, &LAST_DISPENSABLE, width);
    let widths = widths(&rows);
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .zip(&rows[0])
            .map(|((cell, width), header)| {
                let space = " ".repeat(width - measure_text_width(cell));
                if WORDS.contains(&header.as_str()) { cell.clone() + &space } else { space + cell }
            })
            .collect();
        let line = cells.join("  ");
        let line = truncate_str(line.trim_end(), width, "…");
        let _ = match number {
            0 => writeln!(text, "{}", style(line).dim()),
            _ => writeln!(text, "{line}"),
        };
    }
    text
}

/// Returns true if SES rejected most of what it had accepted; such a campaign is not a success, whatever its
/// status.
fn is_mostly_rejected(campaign: &Overview) -> bool {
    campaign.status == CampaignStatus::Sent && campaign.rejected * 2 > i64::from(campaign.progress.sent)
}

/// Leaves these columns out, one after the other, until the rows fit.
fn narrow(rows: &mut [Vec<String>], columns: &[&str], width: usize) {
    for column in columns {
        if overhang(rows, width) == 0 {
            return;
        }
        if let Some(at) = rows[0].iter().position(|header| header == column) {
            for row in rows.iter_mut() {
                row.remove(at);
            }
        }
    }
}

/// The number of columns by which the rows are too wide for the terminal.
fn overhang(rows: &[Vec<String>], width: usize) -> usize {
    let needed: usize = widths(rows).iter().map(|cell| cell + 2).sum();
    needed.saturating_sub(width.saturating_add(2))
}

/// The width of each column.
fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    (0..rows[0].len())
        .map(|column| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or_default())
        .collect()
}

/// The number of rows of a terminal of this width that a text takes.
pub fn rows_of(text: &str, width: usize) -> usize {
    text.lines().map(|line| measure_text_width(line).div_ceil(width.max(1)).max(1)).sum()
}

/// The words in lines that fit beside an indentation. A terminal that is too narrow for that wraps them
/// itself.
fn wrapped(text: &str, indentation: usize, width: usize) -> Vec<String> {
    let room = width.saturating_sub(indentation);
    if room < 24 {
        return vec![text.to_owned()];
    }
    lines::fitted(text.split(' '), room)
}

/// Advice in lines beside its label.
fn advice_in_lines(advice: &str, width: usize) -> Vec<String> {
    lines::sentence(advice, width.saturating_sub(14).max(24))
}

fn percent(progress: Progress) -> String {
    match progress.total {
        0 => "-".to_owned(),
        total => format!("{}%", i64::from(total - progress.remaining) * 100 / i64::from(total)),
    }
}

/// `2026-03-01T08:00:00Z` as `2026-03-01 08:00 UTC`.
fn minute(at: &str) -> String {
    format!("{} UTC", at.get(..16).unwrap_or(at).replace('T', " "))
}

/// One campaign.
pub fn detail(detail: &Detail, width: usize) -> String {
    let mut lines = vec![String::new()];
    lines.extend(heading(&detail.overview, width));
    lines.push(String::new());
    lines.push(format!(
        "  {}",
        bar(detail.overview.progress, width.saturating_sub(BESIDE_BAR).clamp(10, BAR))
    ));
    lines
        .extend(pace(detail).iter().flat_map(|pace| wrapped(pace, 2, width)).map(|part| format!("  {part}")));
    lines.push(String::new());
    lines.extend(outcomes(detail, width));
    if !detail.lanes.is_empty() {
        lines.push(String::new());
        let parts = detail.lanes.iter().flat_map(|lane| wrapped(&self::lane(lane), 14, width));
        lines.extend(parts.enumerate().map(|(n, part)| labelled(if n == 0 { "Batches" } else { "" }, &part)));
    }
    if let Some(now) = &detail.now {
        lines.push(String::new());
        lines.extend(self::now(now, width));
    }
    if let Some(seconds) = detail.last_event_seconds {
        lines.push(String::new());
        lines.push(labelled("Events", &format!("SES last reported {} ago", span(seconds))));
    }
    let mut lines: Vec<String> =
        lines.iter().map(|line| truncate_str(line.trim_end(), width, "…").into_owned()).collect();
    if !detail.advice.is_empty() {
        lines.push(String::new());
    }
    for (number, advice) in detail.advice.iter().enumerate() {
        for (part, line) in advice_in_lines(advice, width).iter().enumerate() {
            let beside = labelled(if number + part == 0 { "Next" } else { "" }, line);
            // A command that has no room beside the label stands further to the left, where it can be copied.
            let left = if measure_text_width(line) + 2 <= width { 2 } else { 0 };
            let fits = part == 0 || measure_text_width(&beside) <= width;
            lines.push(if fits { beside } else { format!("{:left$}{line}", "") });
        }
    }
    lines.push(String::new());
    lines.join("\n") + "\n"
}

fn heading(campaign: &Overview, width: usize) -> Vec<String> {
    let text = style(campaign.status.as_str());
    let status = match campaign.status {
        _ if is_mostly_rejected(campaign) => style("sent, and rejected by Amazon SES").red(),
        CampaignStatus::Sending | CampaignStatus::Sent => text.green(),
        CampaignStatus::Paused | CampaignStatus::Scheduled => text.yellow(),
        CampaignStatus::Cancelled | CampaignStatus::Failed => text.red(),
        CampaignStatus::Draft => text,
    };
    // A long name is cut off, and never the status beside it.
    let status = status.bold().to_string();
    let room = width.saturating_sub(measure_text_width(&status) + "  \"\"  ".len()).max(SHORTEST_NAME);
    let name = shown(&campaign.name);
    let name = truncate_str(&name, room, "…");
    let mut lines = vec![
        format!("  {}  {status}", style(format!("\"{name}\"")).bold()),
        format!("  {}", style(campaign.campaign_id).dim()),
    ];
    let times = [
        ("scheduled for", &campaign.scheduled_at),
        ("not to be sent after", &campaign.send_before),
        ("started", &campaign.started_at),
        ("completed", &campaign.completed_at),
    ];
    let times: Vec<String> = times
        .iter()
        .filter_map(|(what, at)| at.as_ref().map(|at| format!("{what} {}", minute(at))))
        .collect();
    if !times.is_empty() {
        let parts = wrapped(&times.join(", "), 2, width);
        lines.extend(parts.iter().map(|part| format!("  {}", style(part).dim())));
    }
    if let Some(seconds) = campaign.overdue_seconds {
        let overdue =
            format!("Overdue: it has been due for {}, and nothing has begun to send it", span(seconds));
        lines.extend(wrapped(&overdue, 2, width).iter().map(|part| format!("  {part}")));
    }
    // If the status was set by SQL, the reason of the earlier halt is still there.
    let stopped = campaign.status == CampaignStatus::Paused || campaign.status.is_final();
    if let Some(reason) = campaign.status_reason.as_ref().filter(|_| stopped) {
        let indentation = "  Because: ".len();
        let parts = wrapped(&shown(reason), indentation, width);
        lines.extend(parts.iter().enumerate().map(|(number, part)| {
            let label = if number == 0 { "  Because: " } else { "" };
            format!("{label:indentation$}{part}")
        }));
    }
    lines
}

/// `━━━━━━━━━━╸─────────  53%  5,300 of 10,000`.
fn bar(progress: Progress, cells: usize) -> String {
    let Progress { total, remaining, .. } = progress;
    let with_outcome = total - remaining;
    let filled = cells * usize::try_from(with_outcome).unwrap_or_default()
        / usize::try_from(total).unwrap_or(1).max(1);
    format!(
        "{}{}  {}  {} of {}",
        style("━".repeat(filled)).green(),
        style("─".repeat(cells - filled)).dim(),
        percent(progress),
        format::count(with_outcome),
        format::count(total)
    )
}

fn pace(detail: &Detail) -> Option<String> {
    let now = detail.per_second_now.map(|rate| format!("{} per second now", figure(rate)));
    let mean = detail.per_second_mean.map(|rate| format!("{} per second on average", figure(rate)));
    let left = detail
        .seconds_left
        .map(|seconds| format!("about {} left", format::duration(Duration::from_secs(seconds))));
    let parts: Vec<String> = [now, mean, left].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn figure(rate: f64) -> String {
    if rate < 10.0 {
        return format!("{rate:.1}");
    }
    #[allow(clippy::cast_possible_truncation, reason = "emails per second")]
    let whole = rate.round() as i64;
    format::count(whole)
}

fn outcomes(detail: &Detail, width: usize) -> Vec<String> {
    let Progress { sent, failed, suppressed, uncertain, remaining, .. } = detail.overview.progress;
    let mut lines = Vec::new();
    for (status, label, count) in [
        (Status::Sent, "Sent", sent),
        (Status::Failed, "Failed", failed),
        (Status::Suppressed, "Suppressed", suppressed),
        (Status::Uncertain, "Uncertain", uncertain),
    ] {
        lines.push(labelled(label, &style(format!("{:>9}", format::count(count))).bold().to_string()));
        if status == Status::Sent && detail.overview.rejected > 0 {
            let rejected = format::count(detail.overview.rejected);
            let parts = wrapped("rejected by Amazon SES after it had accepted them", 25, width);
            let count = |n: usize| if n == 0 { rejected.as_str() } else { "" };
            lines.extend(
                parts.iter().enumerate().map(|(n, part)| labelled("", &format!("{:>9}  {part}", count(n)))),
            );
        }
        let of_status: Vec<&Outcome> = detail
            .outcomes
            .iter()
            .filter(|outcome| outcome.status == status && outcome.code.is_some())
            .collect();
        let widest =
            of_status.iter().filter_map(|outcome| outcome.code.as_ref()).map(String::len).max().unwrap_or(0);
        lines.extend(of_status.into_iter().flat_map(|outcome| cause(outcome, widest, width)));
    }
    lines.push(labelled("To send", &style(format!("{:>9}", format::count(remaining))).bold().to_string()));
    lines
}

fn cause(outcome: &Outcome, widest: usize, width: usize) -> Vec<String> {
    let code = outcome.code.as_deref().unwrap_or_default();
    let age =
        outcome.oldest_seconds.map(|seconds| format!("for up to {}: ", span(seconds))).unwrap_or_default();
    let start = labelled("", &format!("{:>9}  {code:<widest$}  ", format::count(outcome.count)));
    let error = outcome.example.error.as_deref().map(shown);
    let words = format!("{age}{}", format::with_example(error.as_deref(), &shown(&outcome.example.email)));
    // The text is under the code, or further to the left, if there is too little room beside it.
    let longest = words.split(' ').map(measure_text_width).max().unwrap_or_default().max(24);
    let places = [measure_text_width(&start), 25, 14];
    let indentation = places.into_iter().find(|place| place + longest <= width).unwrap_or(2);
    let mut lines = wrapped(&words, indentation, width)
        .into_iter()
        .map(|part| format!("{:indentation$}{}", "", style(part).dim()))
        .collect::<Vec<_>>();
    if indentation == measure_text_width(&start) {
        lines[0] = start + lines[0].trim_start();
    } else {
        lines.insert(0, start);
    }
    lines
}

/// The beginnings of reasons that the sentences of causes have.
const SAID: [&str; 2] = ["SES could not be reached: ", "PostgreSQL refused the statement: "];

/// Why nothing is being sent, with the note and its age.
fn now(now: &Now, width: usize) -> Vec<String> {
    let mut text = shown(&now.text).into_owned();
    let ago = now.seconds_ago.map(span);
    let left = now.seconds_left.map(span);
    let when = match (now.cause, ago, left) {
        (Cause::AtWork, _, Some(left)) => Some(format!("its lease ends in {left}")),
        (Cause::HistoryChanged | Cause::RateReserved, _, Some(left)) => Some(format!("for another {left}")),
        (Cause::Resting, _, Some(left)) => Some(format!("the schedule tries it again in {left}")),
        (Cause::Overdue, Some(ago), _) => Some(format!("for {ago}")),
        (_, Some(ago), Some(left)) => {
            Some(format!("noted {ago} ago; the next invocation is to come in {left}"))
        }
        (_, Some(ago), None) => Some(format!("noted {ago} ago")),
        _ => None,
    };
    if let Some(when) = when {
        let _ = write!(text, " ({when})");
    }
    // An invocation's message, if it is more specific.
    if let Some(reason) = now.reason.as_ref().filter(|reason| !reason.is_empty()) {
        // The cause has said so.
        let reason = SAID.iter().find_map(|said| reason.strip_prefix(said)).unwrap_or(reason);
        let said = if now.cause == Cause::Overdue { "; the last one said: " } else { ": " };
        let _ = write!(text, "{said}{}", shown(reason));
    }
    let lines = wrapped(&text, 14, width);
    lines.iter().enumerate().map(|(n, line)| labelled(if n == 0 { "Now" } else { "" }, line)).collect()
}

fn lane(lane: &Lane) -> String {
    let name = format!("batch {}", format::count(lane.number));
    let lease = span(lane.lease_seconds.unwrap_or_default().abs());
    let state = match lane.state {
        "working" => format!("at work, its lease ends in {lease}"),
        "lost" => format!("lost: its lease ended {lease} ago; the next claim takes it over"),
        _ => "open: the next claim takes it".to_owned(),
    };
    let noted = match lane.noted {
        0 => String::new(),
        noted => format!(", {} of them done and not recorded yet", format::count(noted)),
    };
    format!("{name}: {} pending{noted}; {state}", format::count(lane.pending))
}

fn labelled(label: &str, content: &str) -> String {
    format!("  {}  {content}", style(format!("{label:<10}")).dim())
}

fn span(seconds: f64) -> String {
    format::duration(Duration::from_secs_f64(seconds.clamp(0.0, 1e12)))
}

#[cfg(test)]
mod tests {
    use console::strip_ansi_codes;
    use uuid::Uuid;

    use super::super::Example;
    use super::*;

    fn overview(status: CampaignStatus) -> Overview {
        Overview {
            campaign_id: Uuid::nil(),
            name: "Spring harvest of the year".to_owned(),
            status,
            status_reason: Some(
                "MessageRejected: Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: news@example.com"
                    .to_owned(),
            ),
            progress: Progress { total: 120_000, sent: 100, failed: 7, suppressed: 1, uncertain: 2, remaining: 119_890 },
            rejected: 0,
            scheduled_at: None,
            send_before: None,
            overdue_seconds: None,
            started_at: Some("2026-03-01T08:00:00Z".to_owned()),
            completed_at: None,
        }
    }

    fn picture(status: CampaignStatus, width: usize) -> String {
        let refused = Outcome {
            status: Status::Failed,
            code: Some("MessageRejected".to_owned()),
            count: 7,
            oldest_seconds: None,
            example: Example {
                recipient_id: Uuid::nil(),
                email: "a…@example.com".to_owned(),
                error: Some("Address blacklisted by somebody who gives a reason of many words.".to_owned()),
            },
        };
        let seen = Detail {
            overview: overview(status),
            per_second_now: None,
            per_second_mean: Some(12.0),
            seconds_left: None,
            last_event_seconds: None,
            history_hold: None,
            now: None,
            outcomes: vec![refused],
            lanes: Vec::new(),
            advice: vec!["Go on with it: campaign send resume 00000000-0000-0000-0000-000000000000, and then look again".to_owned()],
        };
        strip_ansi_codes(&detail(&seen, width)).into_owned()
    }

    #[test]
    fn a_narrow_terminal_shows_every_word_of_a_reason_and_an_error() {
        for width in [50, 80, 200] {
            let picture = picture(CampaignStatus::Paused, width);
            let (seen, advice) = picture.split_once("  Next").unwrap();
            assert!(seen.lines().all(|line| measure_text_width(line) <= width), "{picture}");
            let words = seen.split_whitespace().collect::<Vec<_>>().join(" ");
            let reason = overview(CampaignStatus::Paused).status_reason.unwrap();
            assert!(words.contains(&format!("Because: {reason}")), "{picture}");
            let error = "Address blacklisted by somebody who gives a reason of many words, for example a…@example.com";
            assert!(words.contains(&format!("7 MessageRejected {error}")), "{picture}");
            assert!(
                advice.contains("campaign send resume 00000000-0000-0000-0000-000000000000"),
                "{picture}"
            );
        }
    }

    #[test]
    fn the_reason_of_a_halt_is_not_shown_of_a_campaign_that_goes_on() {
        assert!(picture(CampaignStatus::Paused, 200).contains("Because: MessageRejected"));
        assert!(!picture(CampaignStatus::Sending, 200).contains("Because"));
    }

    #[test]
    fn a_table_leaves_columns_out_where_they_do_not_fit_and_never_the_failed_ones() {
        for (width, columns) in [
            (200, "CAMPAIGN NAME STATUS DONE TOTAL SENT FAILED SUPPRESSED UNCERTAIN SINCE (UTC)"),
            (110, "CAMPAIGN NAME STATUS DONE TOTAL FAILED UNCERTAIN"),
            (90, "CAMPAIGN NAME STATUS DONE FAILED"),
            (80, "CAMPAIGN NAME STATUS DONE FAILED"),
            (60, "CAMPAIGN STATUS DONE FAILED"),
            (55, "CAMPAIGN STATUS FAILED"),
        ] {
            let table = strip_ansi_codes(&table(&[overview(CampaignStatus::Sending)], width)).into_owned();
            let header = table.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(table.lines().all(|line| measure_text_width(line) <= width), "{table}");
            assert_eq!(header, columns, "{table}");
            assert!(table.contains(&Uuid::nil().to_string()), "{table}");
        }
    }

    #[test]
    fn a_campaign_that_ses_rejected_as_a_whole_does_not_look_like_a_success() {
        let progress =
            Progress { total: 100, sent: 100, failed: 0, suppressed: 0, uncertain: 0, remaining: 0 };
        let sent = Overview { progress, rejected: 90, ..overview(CampaignStatus::Sent) };
        let row = strip_ansi_codes(&table(std::slice::from_ref(&sent), 200)).into_owned();
        assert!(row.lines().nth(1).unwrap().contains(" rejected "), "{row}");
        assert!(!is_mostly_rejected(&Overview { rejected: 50, ..sent }));
    }

    #[test]
    fn what_a_terminal_breaks_counts_as_the_rows_that_it_takes() {
        assert_eq!(rows_of("\n12345678\n123456789\n", 8), 4);
        assert_eq!(rows_of("12345678\n", usize::MAX), 1);
    }
}
