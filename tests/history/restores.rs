//! Restores and failovers in the middle of a campaign.

use std::process::Command;

use local_ses::lambda::Function;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, event, executable, invoke, run};
use crate::{Server, deliver_events};

/// A campaign of 600 of which this number of batches of 100 is sent.
fn send(function: &mut Function, campaign: Uuid, batches: usize) {
    for _ in 0..batches {
        let result = invoke(function, &event(campaign, 100));
        assert_eq!(result["status"], "continue", "{result}");
    }
}

/// The output for machines.
fn status(world: &World, campaign: Uuid) -> Value {
    let output = Command::new(executable("campaign"))
        .args(["status", &campaign.to_string(), "--json"])
        .env("DATABASE_URL", &world.database.url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn function(world: &World) -> Function {
    world.function_with(&[("HISTORY_HOLD_SECONDS", "2"), ("METRICS", "on")])
}

/// Nothing is sent; the reason.
fn held(function: &mut Function, event: &Value) -> String {
    let result = invoke(function, event);
    assert_eq!((&result["status"], &result["batch"]["claimed"]), (&json!("wait"), &json!(0)), "{result}");
    assert!((1..=2).contains(&result["waitSeconds"].as_u64().unwrap()), "{result}");
    result["reason"].as_str().unwrap().to_owned()
}

/// SES's events arrive, a person resumes the campaign, and everybody has got the email once.
fn resume_after_events(world: &mut World, campaign: Uuid, sent: usize) {
    assert_eq!(world.ses.messages().len(), sent, "nothing was sent since");
    deliver_events(world);
    let (status, reason) = world.campaign_status(campaign);
    assert_eq!(status, "paused");
    let reason = reason.unwrap();
    assert!(reason.contains("the database"), "{reason}");
    assert_eq!(world.count(campaign, "status = 'sent'"), i64::try_from(sent).unwrap());
    world.set_status(campaign, "sending");
    let results = run(&mut function(world), event(campaign, 200));
    assert_eq!(results.last().unwrap()["status"], "done", "{results:?}");
    assert_eq!(world.ses.messages().len(), 600);
    world.assert_consistent(campaign);
}

#[test]
fn a_standby_that_is_behind_is_promoted() {
    let mut server = Server::start();
    let mut world = server.world();
    let campaign = world.campaign_of(600);
    let mut warm = function(&world);
    server.run("standby");
    send(&mut warm, campaign, 2);
    server.run("cut");
    send(&mut warm, campaign, 2);
    server.run("promote");
    world.database.reconnect();
    assert_eq!(world.count(campaign, "status = 'sent'"), 200, "two batches are lost");

    let reason = held(&mut warm, &event(campaign, 100));
    assert!(reason.contains("the timeline of its server is 2, and was 1"), "{reason}");
    let logs = warm.logs().join("\n");
    assert!(logs.contains("\"DatabaseHistoryChanged\":1"), "{logs}");
    // A process that has not noticed it waits until the same instant, and so does a tick.
    assert_eq!(held(&mut function(&world), &event(campaign, 100)), reason);
    assert_eq!(held(&mut function(&world), &json!({})), reason);
    assert_eq!(world.campaign_status(campaign).0, "sending");
    // It is shown for as long as it lasts.
    let shown = status(&world, campaign);
    assert!(reason.starts_with(shown["historyHold"]["reason"].as_str().unwrap()), "{shown}");
    assert_eq!(shown["now"]["code"], "history_changed", "{shown}");
    assert!(shown["advice"][0].as_str().unwrap().contains("docs/restore.md"), "{shown}");
    resume_after_events(&mut world, campaign, 400);
    assert!(status(&world, campaign).get("historyHold").is_none());
}

#[test]
fn without_anything_lost_a_promotion_costs_the_hold() {
    let mut server = Server::start();
    let mut world = server.world();
    let campaign = world.campaign_of(600);
    let mut warm = function(&world);
    server.run("standby");
    send(&mut warm, campaign, 1);
    world.wait_until(
        "the standby has all",
        "SELECT count(*) = 1 AND bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication WHERE state = 'streaming'",
    );
    server.run("promote");
    world.database.reconnect();
    held(&mut warm, &event(campaign, 100));
    let results = run(&mut warm, event(campaign, 500));
    assert_eq!(results.last().unwrap()["status"], "done");
    world.assert_consistent(campaign);
}

#[test]
fn a_base_backup_that_starts_as_after_a_crash() {
    let mut server = Server::start();
    let mut world = server.world();
    let campaign = world.campaign_of(600);
    let mut warm = function(&world);
    send(&mut warm, campaign, 2);
    server.run("backup base");
    send(&mut warm, campaign, 2);
    server.run("restore base");
    world.database.reconnect();
    // The timeline is the same: only a process that worked before notices it, and tells all others by the
    // tables.
    let reason = held(&mut warm, &event(campaign, 100));
    assert!(reason.contains("its write-ahead log is behind"), "{reason}");
    assert_eq!(held(&mut function(&world), &event(campaign, 100)), reason);
    resume_after_events(&mut world, campaign, 400);
}

#[test]
fn a_restart_after_a_crash_is_no_restore() {
    let mut server = Server::start();
    let mut world = server.world();
    let campaign = world.campaign_of(600);
    let mut warm = function(&world);
    send(&mut warm, campaign, 2);
    for how in ["immediate", "fast"] {
        server.run(&format!("restart {how}"));
        send(&mut warm, campaign, 1);
    }
    world.database.reconnect();
    run(&mut function(&world), event(campaign, 200));
    world.assert_consistent(campaign);
}

#[test]
fn recovery_to_a_point_in_time() {
    let mut server = Server::start();
    let mut world = server.world();
    let campaign = world.campaign_of(600);
    let mut warm = function(&world);
    send(&mut warm, campaign, 1);
    server.run("backup base");
    send(&mut warm, campaign, 1);
    world.database.query("SELECT pg_create_restore_point('noon')", &[]);
    send(&mut warm, campaign, 2);
    world.database.query("SELECT pg_switch_wal()", &[]);
    server.run("recover base noon");
    world.database.reconnect();
    assert_eq!(world.count(campaign, "status = 'sent'"), 200);
    let reason = held(&mut function(&world), &event(campaign, 100));
    assert!(reason.contains("a standby was promoted, or a backup restored"), "{reason}");
    resume_after_events(&mut world, campaign, 400);
}

#[test]
fn a_dump_that_is_restored() {
    for load in ["load", "clean"] {
        let mut server = Server::start();
        let mut world = server.world();
        let name = world.database.name().to_owned();
        let campaign = world.campaign_of(600);
        send(&mut function(&world), campaign, 2);
        server.run(&format!("dump {name}"));
        send(&mut function(&world), campaign, 2);
        server.run(&format!("{load} {name}"));
        world.database.reconnect();
        let reason = held(&mut function(&world), &event(campaign, 100));
        assert!(reason.contains("the database may lack what it had committed"), "{load}: {reason}");
        // Nobody knows how old a dump is, and its original may still be sending.
        let result = invoke(&mut function(&world), &event(campaign, 100));
        assert_eq!(result["status"], "paused", "{load}: {result}");
        assert!(result["reason"].as_str().unwrap().contains("docs/restore.md"), "{load}: {result}");
        resume_after_events(&mut world, campaign, 400);
    }
}

#[test]
fn a_copy_beside_its_original_sends_nothing() {
    let mut server = Server::start();
    let mut world = server.world();
    let campaign = world.campaign_of(600);
    send(&mut function(&world), campaign, 1);
    let (name, url) = (world.database.name().to_owned(), world.database.url.clone());
    let mut other = postgres::Client::connect(&server.url, postgres::NoTls).unwrap();
    let close = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    other.batch_execute(&close).unwrap();
    other.batch_execute(&format!("CREATE DATABASE copy TEMPLATE {name}")).unwrap();
    world.database.reconnect();
    let copy = url.replace(&name, "copy");
    let mut beside = world.function_with(&[("DATABASE_URL", &copy), ("HISTORY_HOLD_SECONDS", "0")]);
    for status in ["wait", "paused"] {
        let result = invoke(&mut beside, &event(campaign, 100));
        assert_eq!((&result["status"], &result["batch"]["claimed"]), (&json!(status), &json!(0)), "{result}");
    }
    run(&mut function(&world), event(campaign, 200));
    world.assert_consistent(campaign);
    drop((beside, other));
    server.run("restart fast");
}
