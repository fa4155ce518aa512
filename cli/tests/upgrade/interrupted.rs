//! A migration that ends in the middle, by whatever: the command given again goes on where it ended.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use super::shapes::{half_sent, missing_and_left, statuses_at_the_end};

/// What the interrupted runs come to at most.
const MOST_RUNS: usize = 60;

#[test]
fn an_interrupted_migration_is_taken_up_again() {
    let mut world = half_sent(include_str!("schemas/first.sql"));
    let url = world.database.url.clone();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut interrupted = 0;
    for lines in 1.. {
        assert!(lines < MOST_RUNS, "the migration does not end");
        let mut process = Command::new(env!("CARGO_BIN_EXE_campaign"))
            .arg("migrate")
            .env("DATABASE_URL", &url)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("campaign starts");
        // Each step that is done is a line.
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let done = said.by_ref().take(lines).count();
        if done == lines {
            // Once the process ends, and once PostgreSQL does.
            if lines % 2 == 0 {
                process.kill().unwrap();
            } else {
                world.database.query(others, &[]);
            }
        }
        drop(said.last());
        let status = process.wait().unwrap();
        let mut error = String::new();
        process.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        if status.success() {
            break;
        }
        assert!(status.code().is_none_or(|code| code == 69), "after {done} lines: {status}: {error}");
        interrupted += 1;
    }
    assert!(interrupted >= 5, "the migration was interrupted {interrupted} times only");
    let (missing, left) = missing_and_left(&mut world);
    assert!(missing.is_empty() && left.is_empty(), "missing {missing:#?}, left {left:#?}");
    assert_eq!(statuses_at_the_end(&mut world), "failed 1, sent 49, suppressed 2, uncertain 10");
}
