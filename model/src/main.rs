//! `./dev model`: everything that can happen to a small campaign, checked exhaustively. See docs/model.md.
#![allow(
    clippy::struct_excessive_bools,
    clippy::needless_for_each,
    reason = "what is remembered of a recipient are facts, each by itself"
)]

mod calm;
mod guards;
mod replay;
mod tables;
mod traces;
mod words;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model as _};

use guards::{Guard, Removed};
use world::{Bounds, Sending};

const USAGE: &str = "\
./dev model                     check everything, within about two minutes
./dev model --deep              check more: three invocations at a time, or three faults
./dev model --bounds R,L,I,F,O  check R recipients, L invocations at a time, I in all, F faults, O orders of people
./dev model --guards            list the guards, one a line
./dev model --without GUARD…    leave guards out, and print a schedule that breaks a promise
./dev model --each-guard        leave out each guard in turn; fails where no promise breaks
./dev model --replay [SEED]     run schedules on the SQL statements in PostgreSQL, and compare the tables
                                after each step; with a seed one random schedule, in words
./dev model --replay --without GUARD
                                the same with a guard left out of the model alone: the tables differ
./dev model --traces FILE       say whether what a storm recorded in FILE is something that the model can do";

/// To show that a guard is needed, the size of the world is raised until a promise is broken.
const SEARCHES: [Bounds; 7] = [
    Bounds { recipients: 3, lanes: 1, lives: 2, faults: 0, orders: 0 },
    Bounds { recipients: 1, lanes: 1, lives: 3, faults: 2, orders: 2 },
    Bounds { recipients: 2, lanes: 2, lives: 3, faults: 1, orders: 1 },
    Bounds { recipients: 2, lanes: 1, lives: 3, faults: 2, orders: 1 },
    Bounds { recipients: 2, lanes: 2, lives: 3, faults: 2, orders: 1 },
    Bounds { recipients: 3, lanes: 2, lives: 3, faults: 2, orders: 1 },
    Bounds { recipients: 3, lanes: 2, lives: 4, faults: 3, orders: 2 },
];
const SEARCH_TIME: Duration = Duration::from_secs(90);

const SMALL: [Bounds; 2] = [
    Bounds { recipients: 3, lanes: 2, lives: 3, faults: 1, orders: 1 },
    Bounds { recipients: 2, lanes: 2, lives: 3, faults: 2, orders: 1 },
];
const DEEP: [Bounds; 4] = [
    Bounds { recipients: 3, lanes: 2, lives: 2, faults: 2, orders: 1 },
    Bounds { recipients: 3, lanes: 2, lives: 3, faults: 1, orders: 2 },
    Bounds { recipients: 2, lanes: 3, lives: 3, faults: 2, orders: 1 },
    Bounds { recipients: 3, lanes: 2, lives: 3, faults: 2, orders: 1 },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => check(&SMALL),
        ["--deep"] => check(&DEEP),
        ["--bounds", bounds] => match read_bounds(bounds) {
            Some(bounds) => check(&[bounds]),
            None => {
                eprintln!(
                    "--bounds {bounds}: expected five numbers with commas between, for example 3,2,3,2,1; 1 to 3 recipients"
                );
                ExitCode::from(2)
            }
        },
        ["--guards"] => {
            for (_, name, rule) in Guard::ALL {
                println!("{name:<24} {rule}");
            }
            ExitCode::SUCCESS
        }
        ["--each-guard"] => each_guard(),
        ["--traces", file] => traces::run(file),
        ["--replay"] => replay::run(None, &Removed::default()),
        ["--replay", "--without", name] => match Guard::named(name) {
            Some(guard) => replay::run(None, &Removed(vec![guard])),
            None => unknown_guard(name),
        },
        ["--replay", seed] => match seed.parse() {
            Ok(seed) => replay::run(Some(seed), &Removed::default()),
            Err(_) => {
                eprintln!("--replay {seed}: expected a seed, which is a whole number");
                ExitCode::from(2)
            }
        },
        ["--without", names @ ..] if !names.is_empty() => {
            let mut removed = Removed::default();
            for name in names.iter().filter(|name| **name != "--without") {
                match Guard::named(name) {
                    Some(guard) => removed.0.push(guard),
                    None => return unknown_guard(name),
                }
            }
            without(&removed, true)
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn unknown_guard(name: &str) -> ExitCode {
    eprintln!("--without {name}: no such guard; ./dev model --guards lists them");
    ExitCode::from(2)
}

fn read_bounds(text: &str) -> Option<Bounds> {
    let numbers: Option<Vec<u8>> = text.split(',').map(|number| number.parse().ok()).collect();
    match numbers?.as_slice() {
        &[recipients @ 1..=3, lanes, lives, faults, orders] => {
            Some(Bounds { recipients, lanes: usize::from(lanes), lives, faults, orders })
        }
        _ => None,
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Checks all worlds of these sizes completely.
fn check(sizes: &[Bounds]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for bounds in sizes {
        let model = Sending { bounds: bounds.clone(), removed: Removed::default() };
        let started = Instant::now();
        let checker = model
            .checker()
            .threads(threads())
            .symmetry()
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_dfs()
            .join();
        println!(
            "{}: {} states, {} of them different, depth {}, {:.1} s",
            describe(bounds),
            checker.state_count(),
            checker.unique_state_count(),
            checker.max_depth(),
            started.elapsed().as_secs_f64()
        );
        for (promise, path) in checker.discoveries() {
            words::print(promise, path.into_vec(), checker.model());
            code = ExitCode::FAILURE;
        }
    }
    if code == ExitCode::SUCCESS {
        println!("Every promise holds in every state.");
    }
    code
}

fn describe(bounds: &Bounds) -> String {
    format!(
        "recipients {}, invocations {} at a time and {} in all, faults {}, orders of people {}",
        bounds.recipients, bounds.lanes, bounds.lives, bounds.faults, bounds.orders
    )
}

/// Finds a shortest schedule that breaks a promise without these guards. Fails if there is none.
fn without(removed: &Removed, print: bool) -> ExitCode {
    for bounds in SEARCHES {
        let model = Sending { bounds: bounds.clone(), removed: removed.clone() };
        let checker = model
            .checker()
            .threads(1)
            .finish_when(HasDiscoveries::AnyFailures)
            .timeout(SEARCH_TIME)
            .spawn_bfs()
            .join();
        if let Some((promise, path)) = checker.discoveries().into_iter().next() {
            let path = path.into_vec();
            if print {
                words::print(promise, path, checker.model());
            } else {
                println!("found in {} steps: {promise}", path.len() - 1);
            }
            return ExitCode::SUCCESS;
        }
        if print {
            eprintln!("{}: {} states, and no violation", describe(&bounds), checker.unique_state_count());
        }
    }
    println!("No violation was found.");
    ExitCode::FAILURE
}

fn each_guard() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (guard, name, _) in Guard::ALL {
        print!("without {name:<24} ");
        if without(&Removed(vec![guard]), false) != ExitCode::SUCCESS {
            code = ExitCode::FAILURE;
        }
    }
    code
}
