//! PostgreSQL crashes while commits are not durable by default: what it has acknowledged to an invocation
//! must hold all the same.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use local_ses::lambda::{Function, InvocationError};

use crate::support::{TIMEOUT, World, event, run};

const LANES: usize = 3;
const RECIPIENTS: i32 = 1500;
/// Emails between two crashes.
const STEP: usize = 150;

#[test]
fn nobody_gets_two_emails_when_a_server_crashes_that_does_not_write_commits_at_once() {
    let _alone = crate::alone();
    let restart = std::env::var("POSTGRES_RESTART").unwrap_or_default();
    if restart.is_empty() {
        crate::say("storm: POSTGRES_RESTART is not set, so PostgreSQL is not crashed");
        return;
    }
    let mut world = World::new();
    let campaign = world.campaign_of(RECIPIENTS);
    let database: String = world.database.query("SELECT current_database()", &[])[0].get(0);
    for sql in [
        &format!("ALTER DATABASE {database} SET synchronous_commit = off"),
        // This process writes what a commit does not write; otherwise that happens five times a second.
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "ALTER SYSTEM SET wal_writer_flush_after = '1GB'",
        "ALTER SYSTEM SET bgwriter_lru_maxpages = 0",
    ] {
        world.database.client().batch_execute(sql).expect("the setting is taken");
    }
    crash(&restart);
    world.database.reconnect();
    // Slow enough that a batch is under way at each crash.
    world.ses.set_latency(Duration::from_millis(5));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|_| {
                let mut function = world.function_with(&[("SEND_CONCURRENCY", "4"), ("SEND_API", "single")]);
                let over = &over;
                scope.spawn(move || send(&mut function, campaign, over))
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(120);
        for step in 1..7 {
            let enough = (world.ses.message_count() + STEP).max(step * STEP);
            while world.ses.message_count() < enough && !over.load(Ordering::Relaxed) {
                assert!(Instant::now() < end, "the campaign does not get on");
                std::thread::sleep(Duration::from_millis(1));
            }
            crash(&restart);
        }
        over.store(true, Ordering::Relaxed);
        for lane in lanes {
            lane.join().expect("a lane ends");
        }
    });
    world.database.reconnect();
    for setting in ["wal_writer_delay", "wal_writer_flush_after", "bgwriter_lru_maxpages"] {
        let sql = format!("ALTER SYSTEM RESET {setting}");
        world.database.client().batch_execute(&sql).expect("the setting is taken back");
    }
    world.database.client().batch_execute("SELECT pg_reload_conf()").expect("PostgreSQL reads its settings");
    world.expire_leases();
    world.ses.set_latency(Duration::ZERO);
    let last = run(&mut world.function(), event(campaign, 500)).pop().expect("an answer");
    assert_eq!(last["status"], "done", "{last}");
    // Recipients that were sent to and not recorded are uncertain: nobody is sent to again, and nobody is
    // forgotten.
    world.assert_consistent(campaign);
    assert_eq!(world.count(campaign, "status NOT IN ('sent', 'uncertain')"), 0);
    let uncertain = usize::try_from(world.count(campaign, "status = 'uncertain'")).expect("fits");
    crate::say(&format!("crashes: {} emails, {uncertain} uncertain", world.ses.message_count()));
}

/// Takes the server down as a crash would, and brings it back.
fn crash(restart: &str) {
    let status =
        Command::new("sh").args(["-c", restart]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "POSTGRES_RESTART failed: {restart}");
}

/// Invokes until the time is over or no recipient is left, like an impatient orchestrator.
fn send(function: &mut Function, campaign: uuid::Uuid, over: &AtomicBool) {
    let first = event(campaign, 50);
    let mut next = first.clone();
    while !over.load(Ordering::Relaxed) {
        match function.invoke(&next, TIMEOUT) {
            Ok(result) => {
                if result["status"] == "done" {
                    return;
                }
                next = if result["next"].is_object() { result["next"].clone() } else { first.clone() };
            }
            Err(InvocationError::Failed { error_type, .. }) if error_type == "DatabaseUnavailable" => {}
            Err(error) => panic!("{error:?}\n{}", function.logs().join("\n")),
        }
    }
}
