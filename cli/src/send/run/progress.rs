//! A progress bar in a terminal. Elsewhere the log shows the progress.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};
use uuid::Uuid;

use super::super::super::{format, lines, terminal};
use super::with_outcome;
use campaign_sender::store::Database;

/// How often the bar reads the tables.
const FRAME: Duration = Duration::from_millis(500);

pub struct Progress {
    bar: ProgressBar,
    in_terminal: bool,
    database: Database,
    campaign: Uuid,
    started_at: Instant,
}

impl Progress {
    pub fn start(database: Database, campaign: Uuid) -> Progress {
        let bar = terminal::bar(Some(0), "{human_pos} of {human_len}, {elapsed}");
        let in_terminal = !bar.is_hidden();
        bar.set_draw_target(ProgressDrawTarget::hidden());
        Progress { bar, in_terminal, database, campaign, started_at: Instant::now() }
    }

    /// Moves the bar until it is dropped.
    pub async fn follow(&self) {
        if !self.in_terminal {
            std::future::pending::<()>().await;
        }
        let mut from = None;
        loop {
            let known = with_outcome(&self.database, self.campaign).await;
            // The recipients are counted when sending starts; before that there is nothing to show.
            if let Some((with_outcome, total)) = known.filter(|(_, total)| *total > 0) {
                if from.is_none() {
                    self.bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                let (since, first) = *from.get_or_insert((Instant::now(), with_outcome));
                self.bar.set_length(total);
                self.bar.set_position(with_outcome);
                let rate = (with_outcome - first.min(with_outcome)) as f64
                    / since.elapsed().as_secs_f64().max(0.001);
                if rate > 0.0 {
                    let left = Duration::from_secs_f64(((total - with_outcome) as f64 / rate).min(1e9));
                    let left = format::duration(left);
                    self.bar.set_message(if terminal::is_wide() {
                        format!(", {rate:.0}/s, {left} left")
                    } else {
                        format!(", {left} left")
                    });
                }
            }
            tokio::time::sleep(FRAME).await;
        }
    }

    /// A line above the bar.
    pub fn say(&self, line: &str) {
        if self.in_terminal {
            eprintln!("{}", lines::for_standard_error(line));
        } else {
            tracing::warn!("{line}");
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.started_at.elapsed()
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
