//! The storm: campaigns sent by the built functions while they are killed and stopped at random instants,
//! PostgreSQL crashes and changes its defaults, SES and a proxy in front of it behave badly, campaigns of
//! other organizations are poisoned, and a CRM changes what is sent. Afterwards the poison is removed, SES's
//! events arrive, and the mailbox and the tables are compared one by one.
//!
//! `./dev storm [SECONDS] [SEED]`. Every choice comes from the seed, of which each kind of weather has a stream of its
//! own; the instants at which they meet each other are the machine's own, so a seed that failed may need a few runs to
//! fail again.
//!
//! It restarts the server of the tests (`POSTGRES_RESTART`; without it, it leaves PostgreSQL alone). Cargo runs
//! test executables one after the other, so no other test meets that. Crashes of the server lose nothing even
//! with `fsync = off`: what it has written is the operating system's. `synchronous_commit` has to be on.

#[path = "../support/mod.rs"]
mod support;

mod aftermath;
mod campaigns;
mod crash;
mod crm;
mod defaults;
mod lane;
mod ledger;
mod network;
mod steady;
mod trace;
mod weather;

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use campaigns::Campaigns;
use ledger::Ledger;
use support::World;
use support::dice::Dice;

/// Invocations at once.
const LANES: u64 = 4;

#[test]
fn nobody_gets_two_emails_and_nobody_is_forgotten_in_a_storm() {
    let _alone = alone();
    let seconds = number("STORM_SECONDS").unwrap_or(60);
    let seed = number("STORM_SEED").unwrap_or_else(any_seed);
    let recipients = if seconds > 120 { 20_000 } else { 6_000 };
    let _replay = Replay { command: format!("./dev storm {seconds} {seed}") };
    say(&format!("storm: {recipients} recipients, at most {seconds} s, seed {seed}"));

    let started = Instant::now();
    let mut world = World::new();
    let campaigns = Campaigns::make(&mut world, recipients);
    lane::name_owners(&mut world);
    weather::make_disk(&mut world);
    trace::record(&mut world);
    let network = Arc::new(network::Weather::default());
    let ends_at = started + Duration::from_secs(seconds);
    let proxy = network::Proxy::start(&network, server_of(&world.database.url), seed);
    let ledger = Ledger::new(&mut world, campaigns, recipients.unsigned_abs().into(), ends_at).beside(proxy);
    let mut frozen = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| weather::postgresql(&ledger, Dice::new(seed, 100)));
        scope.spawn(|| weather::ses(&ledger, &world.ses, Dice::new(seed, 101)));
        scope.spawn(|| aftermath::early_events(&ledger, &world.ses, Dice::new(seed, 102)));
        scope.spawn(|| defaults::change(&ledger, Dice::new(seed, 104)));
        scope.spawn(|| crm::live(&ledger, Dice::new(seed, 105)));
        scope.spawn(|| trace::live(&ledger, Dice::new(seed, 107)));
        scope.spawn(|| weather::disk(&ledger, Dice::new(seed, 106)));
        scope.spawn(|| network::until_over(&ledger, &network));
        let lanes: Vec<_> = (0..LANES)
            .map(|n| {
                let ledger = &ledger;
                scope.spawn(move || lane::run(ledger, n, Dice::new(seed, n)))
            })
            .collect();
        for lane in lanes {
            match lane.join() {
                Ok(left) => frozen.extend(left),
                Err(_) => ledger.end(),
            }
        }
        ledger.end();
    });
    assert!(!ledger.failed.load(Ordering::Relaxed), "a part of the storm failed: see above");

    let uncertain = aftermath::calm(&mut world, &ledger, frozen);
    aftermath::deliver_events(&world, &ledger, &mut Dice::new(seed, 103));
    let left: usize =
        ledger.everything().into_iter().map(|campaign| aftermath::compare(&mut world, campaign)).sum();
    say(&format!("storm: {}", trace::judge(&mut world)));
    say(&format!(
        "storm: {}, {} messages cut off or left hanging, {} emails accepted, {uncertain} uncertain before the events, {left} after (never accepted), {:.0} s",
        ledger.summary(),
        network.cuts.load(Ordering::Relaxed),
        world.ses.message_count(),
        started.elapsed().as_secs_f64()
    ));
}

/// Where PostgreSQL listens.
fn server_of(url: &str) -> (String, u16) {
    let config: postgres::Config = url.parse().expect("a URL");
    let postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else { panic!("{url}: expected TCP") };
    (host.clone(), config.get_ports()[0])
}

/// Tests that take the server down run one after the other.
pub fn alone() -> MutexGuard<'static, ()> {
    static SERVER: Mutex<()> = Mutex::new(());
    SERVER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints how to repeat it, if it fails.
struct Replay {
    command: String,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if thread::panicking() {
            say(&format!("storm: failed; again with: {}", self.command));
        }
    }
}

/// It bypasses the capture of the test harness, which shows a test's output only when it fails.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}: expected a whole number")))
}

fn any_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos())
}
