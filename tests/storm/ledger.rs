//! What the parts of the storm share: the addresses of servers, the current orders, and counters.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;

use crate::campaigns::Campaigns;
use crate::network::Proxy;
use crate::support::World;
use crate::support::dice::Dice;
use crate::trace::Traced;

/// What the parts of the storm share.
pub struct Ledger {
    pub campaigns: Campaigns,
    /// Those of which the model hears.
    pub traced: Traced,
    /// The start of the large campaign.
    pub first_position: i64,
    pub recipients: u64,
    pub url: String,
    environment: Vec<(&'static str, String)>,
    /// Some processes have it between them and PostgreSQL.
    proxy: Option<Proxy>,
    ends_at: Instant,
    over: AtomicBool,
    /// Something happened that must not happen.
    pub failed: AtomicBool,
    processes: AtomicU64,
    /// The `next` of earlier invocations; each may be used again, or never.
    nexts: Mutex<Vec<Value>>,
    pub invocations: AtomicU64,
    pub kills: AtomicU64,
    pub stops: AtomicU64,
    pub frozen: AtomicU64,
    pub unrecorded: AtomicU64,
    pub restarts: AtomicU64,
    /// Processes whose clocks were wrong.
    pub clocks: AtomicU64,
    /// Times when the disk was full.
    pub disks: AtomicU64,
    /// Changes of the database's defaults.
    pub defaults: AtomicU64,
    /// Rows that the CRM changed.
    pub changes: AtomicU64,
    /// Changes of what was under way, which were refused.
    pub refused: AtomicU64,
    /// Campaigns that the CRM resumed, and how many invocations halted one.
    pub resumed: AtomicU64,
    pub halts: AtomicU64,
}

impl Ledger {
    pub fn new(world: &mut World, campaigns: Campaigns, recipients: u64, ends_at: Instant) -> Ledger {
        let first = "SELECT min(position) FROM campaign_recipients WHERE campaign_id = $1";
        Ledger {
            first_position: world.database.query(first, &[&campaigns.main])[0].get(0),
            recipients,
            campaigns,
            traced: Traced::default(),
            url: world.database.url.clone(),
            environment: world.environment(),
            proxy: None,
            ends_at,
            over: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            processes: AtomicU64::new(0),
            nexts: Mutex::default(),
            invocations: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            stops: AtomicU64::new(0),
            frozen: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            clocks: AtomicU64::new(0),
            disks: AtomicU64::new(0),
            defaults: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            halts: AtomicU64::new(0),
        }
    }

    /// With a proxy for some of the processes.
    #[must_use]
    pub fn beside(self, proxy: Proxy) -> Ledger {
        Ledger { proxy: Some(proxy), ..self }
    }

    /// All campaigns, also the recorded ones.
    pub fn everything(&self) -> Vec<uuid::Uuid> {
        self.campaigns.all().chain(self.traced.all()).collect()
    }

    /// The organization whose activities are refused.
    pub fn organization_without_timeline(&self) -> Option<uuid::Uuid> {
        self.campaigns.organization_without_timeline
    }

    /// The time is up, or every recipient has an outcome.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || Instant::now() >= self.ends_at
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// The variables of a new process, which PostgreSQL will know by the name that is returned too.
    pub fn environment(&self) -> (String, Vec<(&str, String)>) {
        self.environment_at(&self.url)
    }

    /// The same of a process that may have the proxy before PostgreSQL, and a wrong clock. (What counts is PostgreSQL's.)
    pub fn environment_in_bad_weather(&self, dice: &mut Dice) -> (String, Vec<(&str, String)>) {
        let url = match &self.proxy {
            Some(proxy) if dice.percent(50) => proxy.url(&self.url),
            _ => self.url.clone(),
        };
        let (name, mut environment) = self.environment_at(&url);
        let library = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1");
        if dice.percent(20) && library.exists() {
            // Less than the five minutes from which on SES takes no signature.
            // A clock that is behind makes a lease longer by as much, which the end of the storm waits for.
            let offset = *dice.choose(&["-40", "-20", "+20", "+240"]);
            environment.extend([
                ("LD_PRELOAD", library.display().to_string()),
                ("FAKETIME", offset.to_owned()),
                ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ]);
            count(&self.clocks);
        }
        (name, environment)
    }

    fn environment_at(&self, url: &str) -> (String, Vec<(&str, String)>) {
        let name = format!("process-{}", self.processes.fetch_add(1, Ordering::Relaxed));
        let mut environment: Vec<(&str, String)> = self.environment.clone();
        let url = format!("{url}?application_name={name}");
        environment
            .iter_mut()
            .filter(|(variable, _)| *variable == "DATABASE_URL")
            .for_each(|(_, value)| value.clone_from(&url));
        (name, environment)
    }

    /// What an invocation answered; its `next` may be used from now on.
    pub fn note(&self, result: &Value) {
        if result["next"]["unrecorded"].is_object() {
            count(&self.unrecorded);
        }
        if result["next"].is_object() {
            let mut nexts = self.nexts.lock().unwrap_or_else(PoisonError::into_inner);
            nexts.push(result["next"].clone());
            let old = nexts.len().saturating_sub(50);
            nexts.drain(..old);
        }
    }

    pub fn nexts(&self) -> Vec<Value> {
        self.nexts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn summary(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "{} kills, {} stops, {} frozen and woken later, {} PostgreSQL restarts, {} full disks, {} wrong clocks, {} invocations, {} with unrecorded outcomes, {} defaults changed, \
             {} rows changed and {} refused to change by the CRM, {} halts, {} campaigns resumed",
            of(&self.kills),
            of(&self.stops),
            of(&self.frozen),
            of(&self.restarts),
            of(&self.disks),
            of(&self.clocks),
            of(&self.invocations),
            of(&self.unrecorded),
            of(&self.defaults),
            of(&self.changes),
            of(&self.refused),
            of(&self.halts),
            of(&self.resumed)
        )
    }
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Sets `failed` and ends the storm when a part of it panics.
pub struct EndOnPanic<'a>(pub &'a Ledger);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
            self.0.end();
        }
    }
}
