//! A progress bar in a terminal. Elsewhere the log shows the progress.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use uuid::Uuid;

use super::super::super::terminal;
use super::with_outcome;
use campaign_sender::store::Database;

/// How often the bar reads the tables.
const FRAME: Duration = Duration::from_millis(500);

pub struct Progress {
    bar: ProgressBar,
    database: Database,
    campaign: Uuid,
    started_at: Instant,
}

impl Progress {
    pub fn start(database: Database, campaign: Uuid) -> Progress {
        let bar = terminal::bar(Some(0), "{human_pos} of {human_len}, {elapsed}{msg}");
        Progress { bar, database, campaign, started_at: Instant::now() }
    }

    /// Moves the bar until it is dropped.
    pub async fn follow(&self) {
        if self.bar.is_hidden() {
            std::future::pending::<()>().await;
        }
        let mut from = None;
        loop {
            if let Some((with_outcome, total)) = with_outcome(&self.database, self.campaign).await {
                let (since, first) = *from.get_or_insert((Instant::now(), with_outcome));
                self.bar.set_length(total);
                self.bar.set_position(with_outcome);
                let rate = (with_outcome - first.min(with_outcome)) as f64
                    / since.elapsed().as_secs_f64().max(0.001);
                if rate > 0.0 {
                    let left = Duration::from_secs_f64(((total - with_outcome) as f64 / rate).min(1e9));
                    self.bar.set_message(format!(", {rate:.0}/s, {} left", super::format::duration(left)));
                }
            }
            tokio::time::sleep(FRAME).await;
        }
    }

    /// A line above the bar.
    pub fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            tracing::warn!("{line}");
        } else {
            self.bar.suspend(|| eprintln!("{line}"));
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.started_at.elapsed()
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
