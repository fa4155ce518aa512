//! Plots as inline SVG. Colours come from the page's style, so that they fit light, dark and paper.

use std::fmt::Write as _;

use super::super::format;
use super::axis;
use super::gather::{Domain, Reactions, Sends};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
/// The space of the axes' labels: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (56.0, 16.0, 12.0, 28.0);

/// Emails sent in each bucket of time, as columns.
pub fn sends(sends: &Sends) -> String {
    let most = sends.counts.iter().copied().max().unwrap_or_default();
    let to = sends.from + sends.bucket * figure(sends.counts.len() as i64);
    let frame = Frame::new((sends.from, to), figure(most), 1.0, MARGIN.1);
    let mut svg = frame.open(&format!("Emails sent in each {}", axis::span(sends.bucket)), |value| {
        format::count(whole(value))
    });
    for (number, count) in sends.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let at = sends.from + sends.bucket * figure(number as i64);
        let (left, right, top) = (frame.x(at), frame.x(at + sends.bucket), frame.y(figure(*count)));
        let gap = ((right - left) * 0.15).min(2.0);
        let _ = write!(
            svg,
            r#"<rect class="sent" x="{:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{}: {} sent</title></rect>"#,
            left + gap / 2.0,
            right - left - gap,
            frame.y(0.0) - top,
            axis::utc(at).replace('T', " ").replace('Z', " UTC"),
            format::count(*count),
        );
    }
    svg + "</svg>"
}

/// The part of all sent emails that had been opened and clicked by each time, as two curves with their names
/// at their ends.
pub fn reactions(reactions: &Reactions, sent: i64) -> String {
    let share = |count: i64| 100.0 * figure(count) / figure(sent.max(1));
    let ends =
        [&reactions.opened, &reactions.clicked].map(|counts| share(counts.last().copied().unwrap_or(0)));
    let most = ends[0].max(ends[1]).max(1.0);
    let to = reactions.from + reactions.bucket * figure(reactions.opened.len().max(1) as i64);
    let frame = Frame::new((reactions.from, to), most, 0.5, 110.0);
    let mut svg = frame
        .open("Recipients who had opened and clicked by then, in percent of those sent to", |value| {
            format!("{value}%")
        });
    let near = (frame.y(ends[0]) - frame.y(ends[1])).abs() < 16.0;
    for (name, class, counts, end, above) in [
        ("opened", "opened", &reactions.opened, ends[0], near && ends[0] >= ends[1]),
        ("clicked", "clicked", &reactions.clicked, ends[1], near && ends[1] > ends[0]),
    ] {
        let mut points = format!("{:.1},{:.1}", frame.x(reactions.from), frame.y(0.0));
        for (number, count) in counts.iter().enumerate() {
            let at = reactions.from + reactions.bucket * figure(number as i64 + 1);
            let _ = write!(points, " {:.1},{:.1}", frame.x(at), frame.y(share(*count)));
        }
        let label = frame.y(end) + if above { -8.0 } else { 4.0 };
        let _ = write!(
            svg,
            r#"<polyline class="{class}" points="{points}"/><text class="end {class}" x="{:.1}" y="{label:.1}">{end:.1}% {name}</text>"#,
            frame.x(to) + 6.0,
        );
    }
    svg + "</svg>"
}

/// The results of each domain's emails, as one bar of 100 % with the figures beside it.
pub fn domains(domains: &[Domain]) -> String {
    const ROW: f64 = 26.0;
    const LABEL: f64 = 165.0;
    const BAR: f64 = 250.0;
    let height = ROW * figure(domains.len() as i64) + 4.0;
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Delivered, bounced and complained of, by domain">"#
    );
    for (number, domain) in domains.iter().enumerate() {
        let top = ROW * figure(number as i64) + 4.0;
        let name: String = domain.name.chars().take(26).collect();
        let _ = write!(
            svg,
            r#"<text class="name" x="{:.0}" y="{:.0}">{}</text>"#,
            LABEL - 8.0,
            top + 14.0,
            escape(&name)
        );
        let unknown = domain.sent - domain.delivered - domain.bounced - domain.complained;
        let mut left = LABEL;
        for (class, what, count) in [
            ("delivered", "delivered", domain.delivered),
            ("unknown", "no delivery known", unknown),
            ("bounced", "bounced", domain.bounced),
            ("complained", "complained of", domain.complained),
        ] {
            if count == 0 {
                continue;
            }
            // A part that is not zero is visible, however small it is.
            let width = (BAR * figure(count) / figure(domain.sent.max(1))).max(2.0);
            let _ = write!(
                svg,
                r#"<rect class="{class}" x="{left:.1}" y="{top:.0}" width="{width:.1}" height="18"><title>{}: {} {what}</title></rect>"#,
                escape(&domain.name),
                format::count(count)
            );
            left += width;
        }
        let _ = write!(
            svg,
            r#"<text class="beside" x="{:.0}" y="{:.0}">{}</text>"#,
            LABEL + BAR + 14.0,
            top + 14.0,
            shares(domain)
        );
    }
    svg + "</svg>"
}

fn shares(domain: &Domain) -> String {
    let share = |count: i64| 100.0 * figure(count) / figure(domain.sent.max(1));
    let mut text = format!("{} of {}", percent(share(domain.delivered)), format::count(domain.sent));
    for (count, what) in [(domain.bounced, "bounced"), (domain.complained, "complained")] {
        if count > 0 {
            let _ = write!(text, ", {} {what}", format::count(count));
        }
    }
    text
}

/// `97.3%`; `100%` only if it is exactly all.
pub fn percent(share: f64) -> String {
    if share >= 100.0 { "100%".to_owned() } else { format!("{:.1}%", (share * 10.0).floor() / 10.0) }
}

/// The place of a plot within its axes.
struct Frame {
    times: (f64, f64),
    most: f64,
    step: f64,
    right: f64,
}

impl Frame {
    fn new(times: (f64, f64), most: f64, least_step: f64, right: f64) -> Frame {
        let step = axis::step(most, least_step);
        Frame { times, most: ((most / step).ceil() * step).max(step), step, right }
    }

    fn x(&self, at: f64) -> f64 {
        let (from, to) = self.times;
        MARGIN.0 + (at - from) / (to - from).max(0.001) * (WIDTH - MARGIN.0 - self.right)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - MARGIN.3 - value / self.most * (HEIGHT - MARGIN.2 - MARGIN.3)
    }

    /// The axes: lines across with their values, times below.
    fn open(&self, title: &str, value: impl Fn(f64) -> String) -> String {
        let mut svg =
            format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#, escape(title));
        let end = WIDTH - self.right;
        let mut level = 0.0;
        while level <= self.most * 1.001 {
            let y = self.y(level);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{}" x2="{end}" y1="{y:.1}" y2="{y:.1}"/><text class="value" x="{}" y="{:.1}">{}</text>"#,
                MARGIN.0,
                MARGIN.0 - 8.0,
                y + 4.0,
                value(level)
            );
            level += self.step;
        }
        for (at, label) in axis::times(self.times.0, self.times.1) {
            let x = self.x(at);
            let (bottom, text) = (HEIGHT - MARGIN.3, HEIGHT - 8.0);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{}"/><text class="time" x="{x:.1}" y="{text}">{label}</text>"#,
                bottom + 4.0
            );
        }
        svg
    }
}

/// The text escaped for HTML and SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[allow(clippy::cast_precision_loss, reason = "counts of emails")]
fn figure(count: i64) -> f64 {
    count as f64
}

#[allow(clippy::cast_possible_truncation, reason = "counts of emails")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}
