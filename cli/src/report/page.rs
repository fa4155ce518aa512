//! The page. Pure.

use std::fmt::Write as _;

use super::super::format;
use super::axis;
use super::chart::{self, escape};
use super::gather::Figures;
use super::results;
use campaign_sender::domain::recipient::Status;
use campaign_sender::domain::result::Progress;

/// The whole page; it loads nothing.
pub fn render(figures: &Figures) -> String {
    let campaign = &figures.detail.overview;
    let name = escape(if campaign.name.is_empty() { "(a campaign without a name)" } else { &campaign.name });
    let body = [
        heading(figures, &name),
        key_figures(figures),
        sends(figures),
        domains(figures),
        reactions(figures),
        links(figures),
        machines(figures),
        not_sent(figures),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{name}: report</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        include_str!("page.css"),
        body.concat()
    )
}

fn heading(figures: &Figures, name: &str) -> String {
    let campaign = &figures.detail.overview;
    let mut times = vec![format!("Status: {}", campaign.status)];
    let at = |at: &str| at.get(..16).unwrap_or(at).replace('T', " ");
    times.extend(campaign.started_at.as_deref().map(|time| format!("started {} UTC", at(time))));
    times.extend(campaign.completed_at.as_deref().map(|time| format!("completed {} UTC", at(time))));
    let reason =
        campaign.status_reason.as_ref().map(|reason| format!("<p dir=\"auto\">{}</p>\n", escape(reason)));
    format!(
        "<h1 dir=\"auto\">{name}</h1>\n<p class=\"faint\">{}. As of {} UTC.</p>\n{}",
        times.join(", "),
        at(&axis::utc(figures.now)),
        reason.unwrap_or_default()
    )
}

fn key_figures(figures: &Figures) -> String {
    let Progress { total, sent, failed, suppressed, uncertain, remaining } = figures.detail.overview.progress;
    let of_sent = |count: i64| percent_of(count, i64::from(sent));
    let mut cells = vec![("main", "Sent", i64::from(sent), format!("of {}", format::count(total)))];
    if figures.hears_events() {
        for (class, label, column) in [
            ("main", "Delivered", "delivered"),
            ("", "Bounced", "bounced"),
            ("", "Complained", "complained"),
            ("", "Opened", "opened_by_people"),
            ("", "Clicked", "clicked_by_people"),
            ("", "Unsubscribed", "unsubscribed"),
        ] {
            let count = figures.results.count(column);
            cells.push((class, label, count, of_sent(count)));
        }
        for (label, column) in [
            ("Bounced softly", "bounced_softly"),
            ("Withheld by SES", "withheld"),
            ("Rejected by SES", "rejected"),
        ] {
            let count = figures.results.count(column);
            if count > 0 {
                cells.push(("", label, count, of_sent(count)));
            }
        }
    }
    for (label, count) in
        [("Failed", failed), ("Suppressed", suppressed), ("Uncertain", uncertain), ("To send", remaining)]
    {
        if count > 0 {
            cells.push((
                "",
                label,
                i64::from(count),
                percent_of(i64::from(count), i64::from(total)) + " of all",
            ));
        }
    }
    cards(cells)
}

/// What machines did, apart from what people did.
fn machines(figures: &Figures) -> String {
    let sent = i64::from(figures.detail.overview.progress.sent);
    let cells: Vec<_> = [
        ("Opened by machines", "opened_by_machines"),
        ("Clicked by machines", "clicked_by_machines"),
        ("Loaded by Apple Mail", "opened_by_apple"),
    ]
    .into_iter()
    .map(|(label, column)| (label, figures.results.count(column)))
    .filter(|(_, count)| *count > 0)
    .map(|(label, count)| ("", label, count, percent_of(count, sent)))
    .collect();
    if cells.is_empty() {
        return String::new();
    }
    let note = "Filters that follow links before a person sees the email, and Apple's Mail Privacy Protection, which loads the images of every email. None of it is counted as opened or clicked.";
    format!("<h2>Machines</h2>\n<p class=\"faint\">{note}</p>\n{}", cards(cells))
}

fn cards(cells: Vec<(&str, &str, i64, String)>) -> String {
    let cells: String = cells
        .into_iter()
        .map(|(class, label, count, beside)| {
            format!(
                "<div class=\"{class}\"><dt>{label}</dt><dd>{}<small>{beside}</small></dd></div>\n",
                format::count(count)
            )
        })
        .collect();
    format!("<dl class=\"figures\">\n{cells}</dl>\n")
}

fn percent_of(count: i64, all: i64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "counts of emails")]
    let share = 100.0 * count as f64 / all.max(1) as f64;
    chart::percent(share)
}

fn sends(figures: &Figures) -> String {
    let Some(sends) = &figures.sends else {
        let campaign = &figures.detail.overview;
        let nothing = match campaign.completed_at {
            _ if campaign.progress.sent > 0 => "The recipients have been deleted, and with them the times.",
            Some(_) => "Nothing was sent.",
            None => "Nothing is sent yet.",
        };
        return format!("<h2>Sends over time</h2>\n<p class=\"faint\">{nothing}</p>\n");
    };
    let day = axis::utc(sends.from);
    format!(
        "<h2>Sends over time</h2>\n<p class=\"faint\">Emails that Amazon SES accepted in each {}, from {} on (UTC)</p>\n<figure>{}</figure>\n",
        axis::span(sends.bucket),
        day.get(..10).unwrap_or(&day),
        chart::sized(|size| chart::sends(size, sends, figures.now))
    )
}

fn domains(figures: &Figures) -> String {
    if figures.sends.is_none() {
        return String::new();
    }
    let title = "<h2>Delivery by domain</h2>\n";
    if !figures.hears_events() {
        let none = "<p class=\"faint\">Amazon SES has reported no events of this campaign yet.</p>\n";
        return format!("{title}{none}");
    }
    let legend: String = [
        ("blue", "delivered"),
        ("grey", "no delivery known"),
        ("orange", "bounced"),
        ("red", "complained of"),
    ]
    .iter()
    .map(|(colour, what)| format!("<span style=\"--swatch: var(--{colour})\">{what}</span>"))
    .collect();
    format!(
        "{title}<p class=\"legend\">{legend}</p>\n<figure>{}</figure>\n",
        chart::domains(&figures.domains)
    )
}

fn reactions(figures: &Figures) -> String {
    let Some(reactions) = &figures.reactions else { return String::new() };
    let sent = i64::from(figures.detail.overview.progress.sent);
    let first = axis::utc(reactions.from);
    format!(
        "<h2>Opens and clicks over time</h2>\n<p class=\"faint\">Recipients who had opened, and clicked, by then, in percent of those sent to, from {} on (UTC)</p>\n\
         <figure>{}<figcaption>Opens are counted where the mail program loads images; some load them unasked, some never. What SES takes for machines, and Apple's Mail Privacy Protection, is left out.</figcaption></figure>\n",
        first.get(..10).unwrap_or(&first),
        chart::sized(|size| chart::reactions(size, reactions, sent, figures.now))
    )
}

/// The links that most people clicked.
fn links(figures: &Figures) -> String {
    let mut rows = String::new();
    for link in figures.results.links.iter().take(20) {
        let count = |column: &str| {
            format::count(link.get(column).and_then(serde_json::Value::as_i64).unwrap_or_default())
        };
        let name = link.get("link").and_then(serde_json::Value::as_str).unwrap_or_default();
        let name = if name.is_empty() { "(other links)" } else { name };
        let _ = writeln!(
            rows,
            "<tr><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>",
            count("clicked_by_people"),
            count("clicked_by_machines"),
            escape(name)
        );
    }
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Clicks by link</h2>\n<table>\n<tr><th class=\"number\">People</th><th class=\"number\">Machines</th><th>Link</th></tr>\n{rows}</table>\n"
    )
}

/// Outcomes by code, with an example whose address is masked.
fn not_sent(figures: &Figures) -> String {
    let causes = figures
        .detail
        .outcomes
        .iter()
        .filter(|outcome| outcome.code.is_some() && outcome.status != Status::Sent);
    let mut rows = String::new();
    for outcome in causes {
        let _ = writeln!(
            rows,
            "<tr><td class=\"number\">{}</td><td>{}</td><td><code>{}</code></td><td>{}</td></tr>",
            format::count(outcome.count),
            outcome.status,
            escape(outcome.code.as_deref().unwrap_or_default()),
            escape(&format::with_example(outcome.example.error.as_deref(), &outcome.example.email))
        );
    }
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Not sent, and why</h2>\n<table>\n<tr><th class=\"number\">Emails</th><th>Status</th><th>Code</th><th>An example</th></tr>\n{rows}</table>\n"
    )
}

impl Figures {
    /// Returns true if SES has reported anything on the campaign.
    fn hears_events(&self) -> bool {
        results::COUNTS
            .iter()
            .filter(|column| **column != "sent")
            .any(|column| self.results.count(column) > 0)
    }
}
