//! Plots as inline SVG. Colours come from the page's style, so that they fit light, dark and paper.

use std::fmt::Write as _;

use super::super::format;
use super::axis;
use super::gather::{Domain, Reactions, Sends};

const HEIGHT: f64 = 240.0;
/// The space of the axes' labels: right, top, bottom.
const MARGIN: (f64, f64, f64) = (16.0, 12.0, 28.0);
/// The space at the right for the names of curves.
const NAMES: f64 = 110.0;
/// The height of such a name.
const NAME_HEIGHT: f64 = 16.0;
/// Half of what a label of a time takes at most.
const HALF_LABEL: f64 = 28.0;

/// The size of a plot.
pub struct Size {
    /// The class of the drawing.
    class: &'static str,
    width: f64,
    /// The space of the values' labels.
    left: f64,
    /// The most times that have a label.
    times: f64,
}

/// For a window, and for paper.
const WIDE: Size = Size { class: "wide", width: 720.0, left: 76.0, times: 7.0 };
/// For a phone, whose letters would be too small in a drawing that is reduced.
const NARROW: Size = Size { class: "narrow", width: 360.0, left: 66.0, times: 4.0 };

/// A plot in both sizes; the page's style shows one of them.
pub fn sized(plot: impl Fn(&Size) -> String) -> String {
    plot(&WIDE) + &plot(&NARROW)
}

/// Emails sent in each bucket of time, as columns.
pub fn sends(size: &Size, sends: &Sends, now: f64) -> String {
    let most = sends.counts.iter().copied().max().unwrap_or_default();
    let to = end(sends.from, sends.bucket, sends.counts.len(), now);
    let frame = Frame::new(size, (sends.from, to), figure(most), 1.0, MARGIN.0);
    let span = axis::span(sends.bucket);
    let title = format!(
        "Emails sent in each {span}, from {} to {}: {} in all, {} per {span} at most",
        minute(sends.from),
        minute(to),
        format::count(sends.counts.iter().sum::<i64>()),
        format::count(most)
    );
    let mut svg = frame.open(&title, |value| format::count(whole(value)));
    for (number, count) in sends.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let at = sends.from + sends.bucket * figure(number as i64);
        let (left, right, top) = (frame.x(at), frame.x((at + sends.bucket).min(to)), frame.y(figure(*count)));
        // What SES's clock puts behind ours is drawn at the end.
        let left = left.min(right - 1.0);
        let gap = ((right - left) * 0.15).min(2.0);
        let _ = write!(
            svg,
            r#"<rect class="sent" x="{:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{}: {} sent</title></rect>"#,
            left + gap / 2.0,
            right - left - gap,
            frame.y(0.0) - top,
            second(at),
            format::count(*count),
        );
    }
    svg + "</svg>"
}

/// The part of all sent emails that had been opened and clicked by each time, as two curves with their names
/// at their ends.
pub fn reactions(size: &Size, reactions: &Reactions, sent: i64, now: f64) -> String {
    let share = |count: i64| 100.0 * figure(count) / figure(sent.max(1));
    let ends =
        [&reactions.opened, &reactions.clicked].map(|counts| share(counts.last().copied().unwrap_or(0)));
    let most = ends[0].max(ends[1]).max(1.0);
    let to = end(reactions.from, reactions.bucket, reactions.opened.len().max(1), now);
    let frame = Frame::new(size, (reactions.from, to), most, 0.5, NAMES);
    let title = format!(
        "Recipients who had opened and clicked by then, in percent of those sent to, from {} to {}: in the end {} had opened and {} had clicked",
        minute(reactions.from),
        minute(to),
        percent(ends[0]),
        percent(ends[1])
    );
    let mut svg = frame.open(&title, |value| format!("{value}%"));
    let labels = apart(ends.map(|end| frame.y(end) + 4.0));
    for (class, counts, end, label) in [
        ("opened", &reactions.opened, ends[0], labels[0]),
        ("clicked", &reactions.clicked, ends[1], labels[1]),
    ] {
        let mut points = format!("{:.1},{:.1}", frame.x(reactions.from), frame.y(0.0));
        for (number, count) in counts.iter().enumerate() {
            let at = (reactions.from + reactions.bucket * figure(number as i64 + 1)).min(to);
            let _ = write!(points, " {:.1},{:.1}", frame.x(at), frame.y(share(*count)));
        }
        let _ = write!(
            svg,
            r#"<polyline class="{class}" points="{points}"/><text class="end {class}" x="{:.1}" y="{label:.1}">{} {class}</text>"#,
            frame.x(to) + 6.0,
            percent(end),
        );
    }
    svg + "</svg>"
}

/// The baselines of two names, moved apart so that they neither lie on each other nor leave the plot.
fn apart([first, second]: [f64; 2]) -> [f64; 2] {
    if (first - second).abs() >= NAME_HEIGHT {
        return [first, second];
    }
    let top = (first.min(second) - NAME_HEIGHT / 2.0)
        .max(MARGIN.1 + 4.0)
        .min(HEIGHT - MARGIN.2 + 4.0 - NAME_HEIGHT);
    if first <= second { [top, top + NAME_HEIGHT] } else { [top + NAME_HEIGHT, top] }
}

/// The results of each domain's emails, as one bar of 100 % each, with the figures beside it. (Elements of the page, not a
/// drawing: names of any length are broken, and a narrow window puts the parts below each other.)
pub fn domains(domains: &[Domain]) -> String {
    let mut rows = String::new();
    for domain in domains {
        let unknown = domain.sent - domain.delivered - domain.bounced - domain.complained;
        let mut parts = String::new();
        let mut said = Vec::new();
        for (class, what, count) in [
            ("delivered", "delivered", domain.delivered),
            ("unknown", "no delivery known", unknown),
            ("bounced", "bounced", domain.bounced),
            ("complained", "complained of", domain.complained),
        ] {
            if count == 0 {
                continue;
            }
            let share = 100.0 * figure(count) / figure(domain.sent.max(1));
            said.push(format!("{} {what}", format::count(count)));
            let _ = write!(parts, r#"<i class="{class}" style="flex-grow:{share:.3}"></i>"#);
        }
        let said = escape(&said.join(", "));
        let _ = writeln!(
            rows,
            r#"<div class="domain"><span class="name">{}</span><span class="bar" role="img" aria-label="{said}" title="{said}">{parts}</span><span class="beside">{}</span></div>"#,
            escape(&domain.name),
            shares(domain)
        );
    }
    rows
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

/// The end of a plot: that of the last bucket, and never in the future.
fn end(from: f64, bucket: f64, buckets: usize, now: f64) -> f64 {
    let to = from + bucket * figure(i64::try_from(buckets).unwrap_or_default());
    to.min(now).max(from + 1.0)
}

/// `2026-03-01 08:00 UTC`.
fn minute(at: f64) -> String {
    let text = axis::utc(at).replace('T', " ");
    format!("{} UTC", text.get(..16).unwrap_or(&text))
}

/// `2026-03-01 08:00:00 UTC`.
fn second(at: f64) -> String {
    axis::utc(at).replace('T', " ").replace('Z', " UTC")
}

/// `97.3%`; `100%` only if it is exactly all.
pub fn percent(share: f64) -> String {
    if share >= 100.0 { "100%".to_owned() } else { format!("{:.1}%", (share * 10.0).floor() / 10.0) }
}

/// The place of a plot within its axes.
struct Frame<'a> {
    size: &'a Size,
    times: (f64, f64),
    most: f64,
    step: f64,
    right: f64,
}

impl Frame<'_> {
    fn new(size: &Size, times: (f64, f64), most: f64, least_step: f64, right: f64) -> Frame<'_> {
        let step = axis::step(most, least_step);
        Frame { size, times, most: ((most / step).ceil() * step).max(step), step, right }
    }

    fn x(&self, at: f64) -> f64 {
        let (from, to) = self.times;
        let Size { width, left, .. } = self.size;
        left + (at - from) / (to - from).max(0.001) * (width - left - self.right)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - MARGIN.2 - value / self.most * (HEIGHT - MARGIN.1 - MARGIN.2)
    }

    /// The axes: lines across with their values, times below.
    fn open(&self, title: &str, value: impl Fn(f64) -> String) -> String {
        let Size { class, width, left, times } = self.size;
        let mut svg = format!(
            r#"<svg class="{class}" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{}">"#,
            escape(title)
        );
        let end = width - self.right;
        let mut level = 0.0;
        while level <= self.most * 1.001 {
            let y = self.y(level);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{}" x2="{end}" y1="{y:.1}" y2="{y:.1}"/><text class="value" x="{}" y="{:.1}">{}</text>"#,
                left,
                left - 8.0,
                y + 4.0,
                value(level)
            );
            level += self.step;
        }
        for (at, label) in axis::times(self.times.0, self.times.1, *times) {
            let x = self.x(at);
            let (bottom, text) = (HEIGHT - MARGIN.2, HEIGHT - 8.0);
            // A label at the edge stands within the picture.
            let place = x.min(width - HALF_LABEL);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{}"/><text class="time" x="{place:.1}" y="{text}">{label}</text>"#,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of an attribute of elements of this kind.
    fn values(svg: &str, element: &str, attribute: &str) -> Vec<f64> {
        svg.split('<')
            .filter(|part| part.starts_with(element))
            .map(|part| {
                let (_, rest) = part.split_once(&format!(" {attribute}=\"")).unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            })
            .collect()
    }

    #[test]
    fn no_plot_goes_into_the_future() {
        let noon = 1_772_366_400.0;
        let plot = Sends { from: noon, bucket: 3600.0, counts: vec![7, 0, 5] };
        let svg = sends(&WIDE, &plot, noon + 2.0 * 3600.0 + 600.0);
        assert!(
            svg.contains("from 2026-03-01 12:00 UTC to 2026-03-01 14:10 UTC: 12 in all, 7 per hour at most"),
            "{svg}"
        );
        let lefts = values(&svg, "rect", "x");
        let rights: Vec<f64> =
            lefts.iter().zip(values(&svg, "rect", "width")).map(|(left, width)| left + width).collect();
        assert!(rights.iter().all(|right| *right <= WIDE.width - MARGIN.0 + 0.1), "{svg}");
        let people = Reactions { from: noon, bucket: 3600.0, opened: vec![1, 2], clicked: vec![0, 1] };
        let svg = reactions(&WIDE, &people, 4, noon + 3600.0 + 60.0);
        assert!(
            svg.contains("to 2026-03-01 13:01 UTC: in the end 50.0% had opened and 25.0% had clicked"),
            "{svg}"
        );
    }

    #[test]
    fn no_label_is_cut() {
        let long = "a-domain-that-has-a-very-long-name-indeed.of-some-department.example.com";
        let domain = Domain {
            name: long.into(),
            sent: 1_234_567,
            delivered: 1_200_000,
            bounced: 34_000,
            complained: 567,
        };
        let rows = domains(&[domain]);
        assert!(rows.contains(&format!("<span class=\"name\">{long}</span>")), "{rows}");
        assert!(
            rows.contains("aria-label=\"1,200,000 delivered, 34,000 bounced, 567 complained of\""),
            "{rows}"
        );
        let noon = 1_772_366_400.0;
        for size in [WIDE, NARROW] {
            let svg =
                sends(&size, &Sends { from: noon, bucket: 60.0, counts: vec![1_000_000; 60] }, noon + 1e6);
            let times = values(&svg, "text class=\"time\"", "x");
            assert!(times.iter().all(|x| *x <= size.width - HALF_LABEL), "{svg}");
            // Labels of times do not touch each other.
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] > 2.0 * HALF_LABEL), "{svg}");
        }
    }
}
