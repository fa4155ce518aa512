//! What the demo came to, as the tables and the mailbox say.

use std::fmt::Write as _;

use console::{Term, measure_text_width, style, truncate_str};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{format, soon};
use super::function::Run;
use crate::batch::load;
use crate::database::Database;
use crate::local::ses::SesEndpoint;
use crate::result::Progress;

/// The figures.
#[derive(Clone, Debug)]
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
    /// What PostgreSQL said.
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
        let activities =
            database.query("SELECT count(*) FROM activities WHERE action = 'email_sent'", &[], soon()).await?;
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

    /// Holds tables and mailbox against each other.
    ///
    /// # Errors
    /// When they differ, or somebody got two emails: a defect.
    pub fn verify(&self) -> Result<(), Failure> {
        let sent = usize::try_from(self.progress.sent).unwrap_or_default();
        let uncertain = usize::try_from(self.progress.uncertain).unwrap_or_default();
        let accounted = (sent..=sent + uncertain).contains(&self.in_mailbox);
        if accounted && self.received_twice == 0 && self.activities == i64::from(self.progress.sent) {
            return Ok(());
        }
        Err(Failure::new(Exit::Software, "the tables and the mailbox differ: this is a defect, please report it"))
    }

    /// For a terminal of this width.
    pub fn to_text(&self, width: usize) -> String {
        let mut text = String::from("\n");
        let mut line = |label: &str, content: String| {
            let indented = format!("  {}  {content}", style(format!("{label:<10}")).dim());
            let _ = writeln!(text, "{}", truncate_str(indented.trim_end(), width, "…"));
        };
        let Progress { sent, failed, suppressed, uncertain, .. } = self.progress;
        let mailbox = match self.received_twice {
            0 => format!("{} in the mailbox, nobody got two", format::count(self.in_mailbox as u64)),
            n => format!("{} got more than one", format::counted(n, "address")),
        };
        line("Sent", format!("{:>7}  {mailbox}", style(format::count(sent)).green().bold()));
        line("Failed", format!("{:>7}", style(format::count(failed)).bold()));
        let widest = self.failures.iter().map(|cause| measure_text_width(&cause.code)).max().unwrap_or_default();
        for cause in &self.failures {
            let (email, error) = &cause.example;
            let example = style(format!("{error}, such as {email}")).dim();
            line("", format!("{:>7}  {:<widest$}  {example}", format::count(cause.count), cause.code));
        }
        line("Suppressed", format!("{:>7}  not written to", style(format::count(suppressed)).bold()));
        line("Uncertain", format!("{:>7}", style(format::count(uncertain)).bold()));
        line("", String::new());
        let seconds = self.run.time.as_secs_f64();
        let rate = if seconds > 0.0 { (f64::from(sent) / seconds).round() } else { 0.0 };
        #[allow(clippy::cast_possible_truncation, reason = "a rate of emails")]
        let rate = format::count(rate as i64);
        line("Speed", format!("{rate} emails per second: {} in {}", format::counted(self.run.batches, "batch"), format::duration(self.run.time)));
        line("PostgreSQL", match self.run.most_statements {
            Some(most) => format!("{most} statements per batch at most, by its own count"),
            None => "statements not counted: pg_stat_statements is not loaded there".to_owned(),
        });
        line("Timeline", format!("{} activities, one for each email sent", format::count(self.activities)));
        if let Some(bytes) = self.run.peak_memory {
            line("Memory", format!("{} MB at the function's peak", bytes.div_ceil(1_000_000)));
        }
        text
    }
}

/// The columns of standard output's terminal, or enough where it is none.
pub fn width() -> usize {
    Term::stdout().size_checked().map_or(120, |(_, columns)| usize::from(columns))
}
