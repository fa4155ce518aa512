//! For a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use console::{Term, measure_text_width, style, truncate_str};

use super::super::format;
use super::{Detail, Lane, Outcome, Overview};
use crate::result::Progress;

/// The columns of standard output's terminal; where it is none, nothing is cut off.
pub fn width() -> usize {
    Term::stdout().size_checked().map_or(usize::MAX, |(_, columns)| usize::from(columns))
}

/// Campaigns at a glance.
pub fn table(campaigns: &[Overview], width: usize) -> String {
    if campaigns.is_empty() {
        return "There are no campaigns yet: campaign send create --help\n".to_owned();
    }
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
            truncate_str(&campaign.name, 24, "…").into_owned(),
            campaign.status.clone(),
            percent(campaign.progress),
            format::count(total),
            format::count(sent),
            format::count(failed),
            format::count(suppressed),
            format::count(uncertain),
            since.map_or_else(String::new, |at| minute(at).trim_end_matches(" UTC").to_owned()),
        ]
    }));
    let widths: Vec<usize> = (0..header.len())
        .map(|column| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                let space = " ".repeat(width - measure_text_width(cell));
                if (3..9).contains(&column) { space + cell } else { cell.clone() + &space }
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
    lines.extend(heading(&detail.overview));
    lines.push(String::new());
    lines.push(format!("  {}", bar(detail.overview.progress, 40)));
    lines.extend(pace(detail).map(|pace| format!("  {pace}")));
    lines.push(String::new());
    lines.extend(outcomes(detail));
    if !detail.lanes.is_empty() {
        lines.push(String::new());
        lines.extend(
            detail
                .lanes
                .iter()
                .enumerate()
                .map(|(number, lane)| labelled(if number == 0 { "Batches" } else { "" }, &self::lane(lane))),
        );
    }
    if let Some(seconds) = detail.last_event_seconds {
        lines.push(String::new());
        lines.push(labelled("Events", &format!("SES was last heard {} ago", span(seconds))));
    }
    let mut lines: Vec<String> =
        lines.iter().map(|line| truncate_str(line.trim_end(), width, "…").into_owned()).collect();
    // Advice holds commands to copy: it is never cut off.
    if !detail.advice.is_empty() {
        lines.push(String::new());
    }
    for (number, advice) in detail.advice.iter().enumerate() {
        lines.push(labelled(if number == 0 { "Next" } else { "" }, advice));
    }
    lines.push(String::new());
    lines.join("\n") + "\n"
}

fn heading(campaign: &Overview) -> Vec<String> {
    let status = match campaign.status.as_str() {
        status @ ("sending" | "sent") => style(status).green(),
        status @ ("paused" | "scheduled") => style(status).yellow(),
        status @ ("cancelled" | "failed") => style(status).red(),
        status => style(status),
    };
    let mut lines = vec![
        format!("  {}  {}", style(format!("\"{}\"", campaign.name)).bold(), status.bold()),
        format!("  {}", style(campaign.campaign_id).dim()),
    ];
    let times = [
        ("scheduled for", &campaign.scheduled_at),
        ("started", &campaign.started_at),
        ("completed", &campaign.completed_at),
    ];
    let times: Vec<String> = times
        .iter()
        .filter_map(|(what, at)| at.as_ref().map(|at| format!("{what} {}", minute(at))))
        .collect();
    if !times.is_empty() {
        lines.push(format!("  {}", style(times.join(", ")).dim()));
    }
    lines.extend(campaign.status_reason.as_ref().map(|reason| format!("  Because: {reason}")));
    lines
}

/// `━━━━━━━━━━╸─────────  53%  5,300 of 10,000`.
fn bar(progress: Progress, cells: usize) -> String {
    let Progress { total, remaining, .. } = progress;
    let settled = total - remaining;
    let filled =
        cells * usize::try_from(settled).unwrap_or_default() / usize::try_from(total).unwrap_or(1).max(1);
    format!(
        "{}{}  {}  {} of {}",
        style("━".repeat(filled)).green(),
        style("─".repeat(cells - filled)).dim(),
        percent(progress),
        format::count(settled),
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

fn outcomes(detail: &Detail) -> Vec<String> {
    let Progress { sent, failed, suppressed, uncertain, remaining, .. } = detail.overview.progress;
    let mut lines = Vec::new();
    for (status, label, count) in [
        ("sent", "Sent", sent),
        ("failed", "Failed", failed),
        ("suppressed", "Suppressed", suppressed),
        ("uncertain", "Uncertain", uncertain),
    ] {
        lines.push(labelled(label, &style(format!("{:>9}", format::count(count))).bold().to_string()));
        let of_status: Vec<&Outcome> = detail
            .outcomes
            .iter()
            .filter(|outcome| outcome.status == status && outcome.code.is_some())
            .collect();
        let widest =
            of_status.iter().filter_map(|outcome| outcome.code.as_ref()).map(String::len).max().unwrap_or(0);
        lines.extend(of_status.into_iter().map(|outcome| labelled("", &cause(outcome, widest))));
    }
    lines.push(labelled("To send", &style(format!("{:>9}", format::count(remaining))).bold().to_string()));
    lines
}

fn cause(outcome: &Outcome, widest: usize) -> String {
    let code = outcome.code.as_deref().unwrap_or_default();
    let age =
        outcome.oldest_seconds.map(|seconds| format!("for up to {}: ", span(seconds))).unwrap_or_default();
    let error = outcome.example.error.as_ref().map(|error| format!("{error}, ")).unwrap_or_default();
    let example = style(format!("{age}{error}such as {}", outcome.example.email)).dim();
    format!("{:>9}  {code:<widest$}  {example}", format::count(outcome.count))
}

fn lane(lane: &Lane) -> String {
    let range = format!("{} to {}", lane.first_position, lane.last_position);
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
    format!("{range}: {} pending{noted}; {state}", format::count(lane.pending))
}

fn labelled(label: &str, content: &str) -> String {
    format!("  {}  {content}", style(format!("{label:<10}")).dim())
}

fn span(seconds: f64) -> String {
    format::duration(Duration::from_secs_f64(seconds.clamp(0.0, 1e12)))
}
