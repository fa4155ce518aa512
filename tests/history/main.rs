//! A database that went back in time: a standby that was behind is promoted, a backup is restored. Nobody gets an email
//! twice. Each test has a PostgreSQL server of its own.

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod restores;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use local_ses::lambda::Function;
use local_ses::ses::{Options, SesEndpoint, events, in_sqs_batch};
use serde_json::Value;
use support::World;
use support::database::TestDatabase;

/// A server that can be replaced by a standby or a backup; see `server.sh`.
struct Server {
    process: Child,
    answers: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start() -> Server {
        let mut process = Command::new("bash")
            .arg("tests/history/server.sh")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_remove("DATABASE_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut url = String::new();
        answers.read_line(&mut url).unwrap();
        assert!(url.starts_with("postgres://"), "the server did not start: {url:?}");
        Server { process, answers, url: url.trim().to_owned() }
    }

    fn world(&self) -> World {
        World {
            api: "auto",
            database: TestDatabase::create_on(&self.url),
            ses: SesEndpoint::start(Options::default()).expect("the local SES endpoint starts"),
        }
    }

    /// Runs a command of `server.sh`.
    fn run(&mut self, command: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(answer.starts_with("done"), "{command}: {answer:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Delivers SES's events of all messages that it has accepted so far.
fn deliver_events(world: &World) {
    let environment = [("DATABASE_URL", world.database.url.as_str())];
    let mut function =
        Function::start(&support::executable("ses-events"), &environment).expect("ses-events starts");
    let bodies: Vec<Value> = world.ses.messages().iter().flat_map(events).collect();
    for bodies in bodies.chunks(500) {
        let response =
            function.invoke(&in_sqs_batch(bodies), Duration::from_secs(60)).unwrap_or_else(|error| {
                panic!("{error:?}\n{}", function.logs().join("\n"));
            });
        assert_eq!(response["batchItemFailures"].as_array().unwrap().len(), 0, "{response}");
    }
}
