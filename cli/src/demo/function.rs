//! The built function, invoked as by an orchestrator: with `next` until there is none.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{format, terminal};
use super::links::{self, Links};
use super::scratch::Scratch;
use campaign_sender::store::settings::DatabaseUrl;
use local_ses::lambda::{Function, InvocationError};
use local_ses::ses::{Options, SesEndpoint};

/// The longest time of an invocation.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often the progress bar moves.
const FRAME: Duration = Duration::from_millis(50);

/// The running function.
pub struct SendBatch {
    function: Function,
}

/// The figures of sending the campaign.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Invocations that had a batch.
    pub batches: usize,
    /// The time spent in invocations.
    pub time: Duration,
    /// The most statements of one invocation, as PostgreSQL counted them.
    pub most_statements: Option<i64>,
    /// The function's peak resident memory in bytes, if the system reports it.
    pub peak_memory: Option<u64>,
}

impl SendBatch {
    /// Starts the executable with the addresses of the database and the local SES.
    ///
    /// # Errors
    /// Fails if it cannot be started.
    pub fn start(
        executable: &Path,
        database: &DatabaseUrl,
        ses: &SesEndpoint,
        links: &Links,
    ) -> std::io::Result<SendBatch> {
        let credentials = Options::default();
        let environment = [
            ("DATABASE_URL", database.as_str()),
            ("AWS_ENDPOINT_URL_SESV2", &ses.url()),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", &credentials.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
            ("UNSUBSCRIBE_URL", links.url()),
            ("UNSUBSCRIBE_SECRET", links::SECRET),
        ];
        Ok(SendBatch { function: Function::start(executable, &environment)? })
    }

    /// Sends the campaign to its end.
    ///
    /// # Errors
    /// Fails if an invocation fails, or the function stops the campaign.
    pub async fn send(
        mut self,
        campaign: Uuid,
        batch_size: u32,
        recipients: u32,
        scratch: &Scratch,
        ses: &SesEndpoint,
    ) -> Result<Run, Failure> {
        let progress = Progress::new(recipients);
        let mut event = json!({"campaignId": campaign, "batchSize": batch_size});
        let mut run = Run::default();
        let mut statements = scratch.statements().await?;
        loop {
            let started_at = Instant::now();
            let result = progress.follow(ses, || self.function.invoke(&event, TIMEOUT));
            let result = result.map_err(|error| self.failure(&error))?;
            let took = started_at.elapsed();
            let now = scratch.statements().await?;
            if result["batch"]["claimed"] != 0 {
                run.batches += 1;
                run.time += took;
                run.most_statements =
                    run.most_statements.max(now.zip(statements).map(|(now, before)| now - before));
                progress.batch(run.batches, &result, took);
            }
            statements = now;
            match result["status"].as_str().unwrap_or_default() {
                "continue" => {}
                "wait" => {
                    tokio::time::sleep(Duration::from_secs(result["waitSeconds"].as_u64().unwrap_or(1)))
                        .await;
                }
                "done" => break,
                status => {
                    let reason = result["reason"].as_str().unwrap_or("no reason given");
                    return Err(Failure::new(
                        Exit::Software,
                        format!("the function answered {status}: {reason}"),
                    ));
                }
            }
            event = result["next"].clone();
        }
        progress.finish();
        run.peak_memory = peak_memory(self.function.pid());
        Ok(run)
    }

    /// The failure of an invocation, with the function's last output.
    fn failure(&self, error: &InvocationError) -> Failure {
        let what = match error {
            InvocationError::Failed { error_type, message } => {
                format!("send-batch failed, {error_type}: {message}")
            }
            InvocationError::Crashed => "send-batch ended".to_owned(),
            InvocationError::TimedOut => format!("send-batch did not answer within {} s", TIMEOUT.as_secs()),
        };
        let logs = self.function.logs();
        let last = logs.last().map(|line| format!("; its last line: {line}")).unwrap_or_default();
        Failure::new(Exit::Software, format!("{what}{last}"))
    }
}

/// `VmHWM` of the process, which only Linux reports.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// A bar in a terminal; elsewhere a line for each batch.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(recipients: u32) -> Progress {
        let bar = terminal::bar(Some(u64::from(recipients)), "{human_pos} of {human_len}{msg}");
        Progress { bar }
    }

    /// Moves the bar with what the local SES accepts while `invoke` runs.
    fn follow<T>(&self, ses: &SesEndpoint, invoke: impl FnOnce() -> T) -> T {
        if self.bar.is_hidden() {
            return invoke();
        }
        let (done, before, accepted) = (AtomicBool::new(false), self.bar.position(), ses.message_count());
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    self.bar.set_position(before + (ses.message_count() - accepted) as u64);
                    thread::sleep(FRAME);
                }
            });
            let result = invoke();
            done.store(true, Ordering::Relaxed);
            result
        })
    }

    fn batch(&self, number: usize, result: &Value, took: Duration) {
        let progress = &result["progress"];
        let of = |name: &str| progress[name].as_u64().unwrap_or_default();
        self.bar.set_position(of("total") - of("remaining"));
        self.bar.set_message(format!(", batch {number}"));
        if self.bar.is_hidden() {
            let batch = &result["batch"];
            eprintln!(
                "  batch {number}: {} sent, {} failed, {} suppressed, {} uncertain in {}",
                batch["sent"],
                batch["failed"],
                batch["suppressed"],
                batch["uncertain"],
                format::duration(took)
            );
        }
    }

    fn finish(&self) {
        self.bar.abandon();
        if !self.bar.is_hidden() {
            eprintln!();
        }
    }
}
