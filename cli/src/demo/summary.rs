//! The result of the demo, from the tables and the mailbox.

use std::fmt::Write as _;

use console::{Term, measure_text_width, style, truncate_str};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{format, soon};
use super::function::Run;
use campaign_sender::domain::result::Progress;
use campaign_sender::send_batch::load;
use campaign_sender::store::Database;
use local_ses::ses::SesEndpoint;

/// The figures.
#[derive(Debug)]
pub struct Summary {
    progress: Progress,
    failures: Vec<Cause>,
    activities: i64,
    in_mailbox: usize,
    received_twice: usize,
    run: Run,
}

/// Failed recipients of one error code.
#[derive(Clone, Debug)]
struct Cause {
    code: String,
    count: i64,
    /// One of the addresses, and its error.
    example: (String, String),
}

impl Summary {
    /// Reads them.
    ///
    /// # Errors
    /// PostgreSQL's error.
    pub async fn gather(
        database: &Database,
        campaign: Uuid,
        run: Run,
        ses: &SesEndpoint,
    ) -> Result<Summary, Failure> {
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&campaign, Type::UUID)];
        let campaigns = database.query("SELECT * FROM campaigns WHERE id = $1", &parameters, soon()).await?;
        let progress = campaigns.first().map(load::progress).unwrap_or_default();
        let causes = database.query(include_str!("failures.sql"), &parameters, soon()).await?;
        let activities = database
            .query("SELECT count(*) FROM activities WHERE action = 'email_sent'", &[], soon())
            .await?;
        Ok(Summary {
            progress,
            failures: causes
                .iter()
                .map(|row| Cause {
                    code: row.get("error_code"),
                    count: row.get("count"),
                    example: (row.get("email"), row.get("error")),
                })
                .collect(),
            activities: activities.first().map_or(0, |row| row.get(0)),
            in_mailbox: ses.message_count(),
            received_twice: ses.addresses_received_more_than_once().len(),
            run,
        })
    }

    /// Compares the tables with the mailbox.
    ///
    /// # Errors
    /// Fails if they differ, or somebody got two emails; that is a defect.
    pub fn verify(&self) -> Result<(), Failure> {
        let sent = usize::try_from(self.progress.sent).unwrap_or_default();
        let uncertain = usize::try_from(self.progress.uncertain).unwrap_or_default();
        let accounted = (sent..=sent + uncertain).contains(&self.in_mailbox);
        if accounted && self.received_twice == 0 && self.activities == i64::from(self.progress.sent) {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Software,
            "the tables and the mailbox differ: this is a defect, please report it",
        ))
    }

    /// The summary for a terminal of this width.
    pub fn to_text(&self, width: usize) -> String {
        let mut text = String::from("\n");
        let lines = self.outcomes().into_iter().chain([("", String::new())]).chain(self.cost());
        for (label, content) in lines {
            let line = format!("  {}  {content}", style(format!("{label:<10}")).dim());
            let _ = writeln!(text, "{}", truncate_str(line.trim_end(), width, "…"));
        }
        text
    }

    fn outcomes(&self) -> Vec<Line> {
        let Progress { sent, failed, suppressed, uncertain, .. } = self.progress;
        let number = |n: i32| style(format!("{:>7}", format::count(n))).bold();
        let mailbox = match self.received_twice {
            0 => format!("{} in the mailbox, nobody got two", format::count(self.in_mailbox as u64)),
            n => format!("{} got more than one", format::counted(n, "address")),
        };
        let mut lines = vec![
            ("Sent", format!("{}  {mailbox}", number(sent).green())),
            ("Failed", number(failed).to_string()),
        ];
        let widest =
            self.failures.iter().map(|cause| measure_text_width(&cause.code)).max().unwrap_or_default();
        lines.extend(self.failures.iter().map(|Cause { code, count, example: (email, error) }| {
            let example = style(format::with_example(Some(error), email)).dim();
            ("", format!("{:>7}  {code:<widest$}  {example}", format::count(*count)))
        }));
        lines.push(("Suppressed", format!("{}  not sent to", number(suppressed))));
        lines.push(("Uncertain", number(uncertain).to_string()));
        lines
    }

    fn cost(&self) -> Vec<Line> {
        let Run { batches, time, most_statements, peak_memory } = self.run;
        #[allow(clippy::cast_possible_truncation, reason = "emails per second")]
        let rate = (f64::from(self.progress.sent) / time.as_secs_f64().max(0.001)).round() as i64;
        let (rate, batches) = (format::count(rate), format::counted(batches, "batch"));
        let statements = match most_statements {
            Some(most) => format!("{most} statements per batch at most, by its own count"),
            None => "statements not counted: pg_stat_statements is not loaded there".to_owned(),
        };
        let activities = if self.activities == i64::from(self.progress.sent) {
            "activities, one for each email sent"
        } else {
            "activities, which is not one for each email sent"
        };
        let mut lines = vec![
            ("Speed", format!("{rate} emails per second: {batches} in {}", format::duration(time))),
            ("PostgreSQL", statements),
            ("Timeline", format!("{} {activities}", format::count(self.activities))),
        ];
        lines.extend(
            peak_memory
                .map(|bytes| ("Memory", format!("{} MB at the function's peak", bytes.div_ceil(1_000_000)))),
        );
        lines
    }
}

/// A label and a text.
type Line = (&'static str, String);

/// The columns of standard output's terminal, or a large number if it is not a terminal.
pub fn width() -> usize {
    Term::stdout().size_checked().map_or(120, |(_, columns)| usize::from(columns))
}
