//! The command line `campaign`, as an executable, on a real PostgreSQL.

#[path = "../../../tests/support/mod.rs"]
mod support;

mod at_night;
mod content;
mod documented;
mod import;
mod late;
mod machines;
mod output;
mod prune;
mod report;
mod resolve;
mod retry_failed;
mod send;
mod status;
mod suppressions;
mod why_nothing_is_sent;

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::World;
use support::database::TestDatabase;
use uuid::Uuid;

/// `campaign` on a database, with its output piped.
fn command(database_url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_campaign"));
    command
        .args(arguments)
        .env("DATABASE_URL", database_url)
        .env("SEND_BATCH", support::executable("send-batch"))
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `campaign` on a database, with `input` as its standard input.
fn campaign(database_url: &str, arguments: &[&str], input: &str) -> Output {
    let mut process = command(database_url, arguments).spawn().expect("campaign starts");
    // If the command does not read its input, the pipe may be closed.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    process.wait_with_output().unwrap()
}

/// The output of a command that succeeds.
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The exit status of a command that fails, and its one line.
fn refused(output: &Output) -> String {
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(line.lines().count(), 1, "{line}");
    format!("{}: {}", output.status.code().unwrap(), line.trim())
}

/// Returns when a statement in this database waits for a lock.
fn waits_for_a_lock(database: &TestDatabase) {
    let mut observer = database.connect();
    let sql = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let end = Instant::now() + Duration::from_secs(20);
    while observer.query(sql, &[]).unwrap().is_empty() {
        assert!(Instant::now() < end, "nothing waits for a lock");
        std::thread::yield_now();
    }
}

/// A temporary directory, which is deleted with this value.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let directory = std::env::temp_dir().join(format!("campaign-test-{}", Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        Scratch(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file, and returns its path.
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// The output without the directory's name, and with `T` for every length of time.
    fn stable(&self, said: &str) -> String {
        without_times(&said.replace(&format!("{}/", self.0.display()), ""))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The output with `T` for every length of time (`12 ms`, `3 min 5 s`), rate and time of day, and `D` for a
/// day.
fn without_times(said: &str) -> String {
    said.split('\n').map(line_without_times).collect::<Vec<_>>().join("\n")
}

fn line_without_times(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let unit = word.trim_end_matches(['.', ',', ':', ';', ')']);
        let is_unit = matches!(unit, "ms" | "s" | "min" | "h" | "d" | "per");
        let figure = words.last().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
        let digits = |parts: usize, separator: char| {
            word.split(separator).filter(|part| !part.is_empty()).count() == parts
                && word.chars().all(|character| character == separator || character.is_ascii_digit())
        };
        if is_unit && figure {
            words.pop();
            words.push(if unit == "per" { "T per".to_owned() } else { format!("T{}", &word[unit.len()..]) });
        } else if digits(3, '-') {
            words.push("D".to_owned());
        } else if digits(2, ':') {
            words.push("T".to_owned());
        } else {
            words.push(word.to_owned());
        }
    }
    words.join(" ").replace("T T", "T")
}

impl World {
    /// Starts `campaign` with this world's variables.
    fn start(&self, arguments: &[&str]) -> Child {
        command(&self.database.url, arguments).envs(self.environment()).spawn().expect("campaign starts")
    }

    fn campaign_command(&self, arguments: &[&str]) -> Output {
        self.start(arguments).wait_with_output().unwrap()
    }
}
