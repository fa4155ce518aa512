//! The limits that `./dev bench` holds the functions against, and their statements without the sending.
//!
//! `bench-limits record SIZE ROUNDS`, `bench-limits growth SIZE`: the claim and the record statement, for the
//! campaign `CAMPAIGN_ID` in `DATABASE_URL`. `bench-limits http PATH BODIES` and `bench-limits echo BODIES`: what a
//! client that does nothing else can send.

mod activity;
mod echo;
mod growth;
mod http;
mod record;
mod statements;

use std::error::Error;
use std::io::{self, BufRead as _};
use std::process::ExitCode;

/// Requests that are under way at a time, as `SEND_CONCURRENCY` has it.
const CONCURRENCY: usize = 50;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&arguments)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-limits: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    match arguments {
        ["record", size, rounds] => record::run(size.parse()?, rounds.parse()?).await,
        ["growth", size] => growth::run(size.parse()?).await,
        ["http", path, bodies] => http::run(path, &read_lines(bodies)?).await,
        ["echo", bodies] => echo::run(&read_lines(bodies)?).await,
        _ => Err("expected record SIZE ROUNDS, growth SIZE, http PATH BODIES or echo BODIES".into()),
    }
}

fn read_lines(path: &str) -> io::Result<Vec<String>> {
    io::BufReader::new(std::fs::File::open(path)?).lines().collect()
}

/// Says that all is prepared, and waits for the word: what follows is measured.
fn wait_for_the_word() -> io::Result<()> {
    println!("ready");
    io::stdin().read_line(&mut String::new()).map(drop)
}

/// Says that it is done, and lives on until its figures have been read.
fn say_done(count: usize) -> io::Result<()> {
    println!("done {count}");
    io::stdin().read_line(&mut String::new()).map(drop)
}
