//! `./dev model --replay` runs the model's schedules, step by step, with the package's SQL statements in a
//! real PostgreSQL. After each step the tables must agree with the model.

#[path = "../../tests/support/dice.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod dice;
pub mod sql;
pub mod tables;

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stateright::{Model as _, Representative as _};

use self::dice::Dice;
use self::sql::Sql;
use crate::guards::Removed;
use crate::words;
use crate::world::{Bounds, Sending, Step, World};

/// The number of walks of a run without a seed; their seeds are 1 to this number.
const WALKS: u64 = 150;
/// The number of steps of a walk.
const LENGTH: usize = 70;
/// The percentage of steps that are no fault; each walk has one of these.
const GOOD: [u64; 3] = [60, 85, 95];
/// The weights of kinds of steps. Each walk draws one for each kind, so that walks differ.
const WEIGHTS: [u64; 3] = [1, 4, 16];
const WALK: Bounds = Bounds { recipients: 3, lanes: 3, lives: 12, faults: 8, orders: 4 };
/// Every schedule up to this depth is replayed.
const DEPTH: usize = 10;
const EVERY: Bounds = Bounds { recipients: 2, lanes: 2, lives: 3, faults: 1, orders: 1 };

/// Why a replay ended early.
pub enum Ended {
    /// The tables differ from the model, or `PostgreSQL` refused a statement.
    Difference(String),
}

impl From<String> for Ended {
    fn from(error: String) -> Ended {
        Ended::Difference(error)
    }
}

impl From<postgres::Error> for Ended {
    fn from(error: postgres::Error) -> Ended {
        Ended::Difference(format!("PostgreSQL: {error:?}"))
    }
}

/// Replays many walks and every schedule up to a depth; or one walk in words.
pub fn run(seed: Option<u64>, removed: &Removed) -> ExitCode {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        eprintln!("DATABASE_URL is missing: ./dev model --replay starts a PostgreSQL");
        return ExitCode::from(2);
    };
    let mut sql = match Sql::start(&url, removed) {
        Ok(sql) => sql,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let outcome = match seed {
        Some(seed) => walk(&mut sql, seed, removed, true).map(drop),
        None => walks(&mut sql, removed).and_then(|()| every(&mut sql, removed)),
    };
    match outcome {
        Ok(()) => {
            println!("The tables say what the model says.");
            ExitCode::SUCCESS
        }
        Err(Ended::Difference(difference)) => {
            println!("{difference}");
            ExitCode::FAILURE
        }
    }
}

fn walks(sql: &mut Sql, removed: &Removed) -> Result<(), Ended> {
    let begun_at = Instant::now();
    let (mut steps, mut ended) = (0, 0);
    for seed in 1..=WALKS {
        let (walked, sent) = walk(sql, seed, removed, false)?;
        steps += walked;
        ended += usize::from(sent);
    }
    println!(
        "{WALKS} walks: {steps} steps, {ended} campaigns sent to their end, {:.1} s",
        begun_at.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Runs a random walk. Returns its steps, and true if the campaign was `sent` at its end.
fn walk(sql: &mut Sql, seed: u64, removed: &Removed, told: bool) -> Result<(usize, bool), Ended> {
    let model = Sending { bounds: WALK, removed: removed.clone() };
    let mut dice = Dice::new(seed, 0);
    let mut world = dice.choose(&model.init_states()).clone();
    let good_steps = *dice.choose(&GOOD);
    let mut weights = Weights(HashMap::new());
    let mut said = vec![format!("      at first: {}", words::tables(&world.tables))];
    sql.begin(&world, false)?;
    let mut steps = 0;
    while steps < LENGTH {
        let mut next = Vec::new();
        model.actions(&world, &mut next);
        let (faults, good): (Vec<_>, Vec<_>) =
            next.into_iter().partition(|step| Sending::is_fault(&world, step) || is_rare(step));
        let from =
            if faults.is_empty() || !good.is_empty() && dice.percent(good_steps) { good } else { faults };
        if from.is_empty() {
            break;
        }
        let step = weights.choose(&mut dice, &from).clone();
        let after = model.after(&world, &step);
        steps += 1;
        said.push(format!("{steps:>4}  {}", words::step(&world, &step, &after)));
        if told {
            println!("{}", said.last().map_or("", String::as_str));
        }
        if let Err(Ended::Difference(difference)) = take(sql, &world, &step, &after) {
            let schedule = if told { String::new() } else { said.join("\n") + "\n" };
            return Err(Ended::Difference(format!(
                "{schedule}\nWalk {seed}: the tables are another way than the model (./dev model --replay {seed})\n{difference}"
            )));
        }
        world = after;
    }
    Ok((steps, world.tables.campaign == crate::tables::Campaign::Sent))
}

/// Returns true for steps that are as rare as faults. Otherwise most campaigns would rest, and no transaction
/// would be open for long.
fn is_rare(step: &Step) -> bool {
    matches!(step, Step::Pause | Step::Cancel | Step::CommitInsert(_))
}

/// The weight of each kind of step in this walk.
struct Weights(HashMap<Discriminant<Step>, u64>);

impl Weights {
    /// Chooses a kind first, then any step of it.
    fn choose<'a>(&mut self, dice: &mut Dice, from: &'a [Step]) -> &'a Step {
        let mut kinds: Vec<(u64, Vec<&Step>)> = Vec::new();
        let mut known: Vec<Discriminant<Step>> = Vec::new();
        for step in from {
            let kind = discriminant(step);
            if let Some(at) = known.iter().position(|other| *other == kind) {
                kinds[at].1.push(step);
            } else {
                let weight = *self.0.entry(kind).or_insert_with(|| *dice.choose(&WEIGHTS));
                known.push(kind);
                kinds.push((weight, vec![step]));
            }
        }
        let mut at = dice.between(1, kinds.iter().map(|(weight, _)| weight).sum());
        for (weight, steps) in &kinds {
            if at <= *weight {
                let step: &&Step = dice.choose(steps.as_slice());
                return step;
            }
            at -= weight;
        }
        &from[0]
    }
}

/// Runs a step and compares.
fn take(sql: &mut Sql, before: &World, step: &Step, after: &World) -> Result<(), Ended> {
    if sql.run(before, step, after)? {
        tables::compare(&sql.look()?, after).map_err(Ended::Difference)?;
    }
    Ok(())
}

/// Runs every schedule up to [`DEPTH`] in one session. Each step is rolled back before the next one is tried.
fn every(sql: &mut Sql, removed: &Removed) -> Result<(), Ended> {
    let model = Sending { bounds: EVERY, removed: removed.clone() };
    let world = World::new(EVERY.recipients, 0, false);
    sql.begin(&world, true)?;
    let mut search =
        Search { model, seen: HashMap::new(), steps: 0, statements: 0, begun_at: Instant::now() };
    search.from(sql, &world, DEPTH, &mut Vec::new())?;
    sql.end()?;
    println!(
        "every schedule of {DEPTH} steps: {} states, {} steps, {} of them statements, {:.1} s",
        search.seen.len(),
        search.steps,
        search.statements,
        search.begun_at.elapsed().as_secs_f64()
    );
    Ok(())
}

struct Search {
    model: Sending,
    /// The states whose next steps were tried, each with the depth that was left.
    seen: HashMap<World, usize>,
    steps: usize,
    statements: usize,
    begun_at: Instant,
}

impl Search {
    fn from(
        &mut self,
        sql: &mut Sql,
        world: &World,
        left: usize,
        said: &mut Vec<String>,
    ) -> Result<(), Ended> {
        let known = self.seen.entry(world.representative()).or_insert(0);
        if left == 0 || *known >= left {
            return Ok(());
        }
        *known = left;
        let mut steps = Vec::new();
        self.model.actions(world, &mut steps);
        for step in steps {
            // A transaction that is open beside others needs a session of its own. Only the walks have that.
            if matches!(step, Step::Insert { .. } | Step::CommitInsert(_)) {
                continue;
            }
            let after = self.model.after(world, &step);
            self.steps += 1;
            said.push(format!("{:>4}  {}", said.len() + 1, words::step(world, &step, &after)));
            let depth = said.len();
            let writes = sql.writes(world, &step);
            if writes {
                self.statements += 1;
                sql.save(depth)?;
            }
            take(sql, world, &step, &after).map_err(|Ended::Difference(difference)| {
                Ended::Difference(format!("{}\n{difference}", said.join("\n")))
            })?;
            self.from(sql, &after, left - 1, said)?;
            if writes {
                sql.back(depth)?;
            }
            said.pop();
        }
        Ok(())
    }
}

/// The time that an invocation of a replay has; it is so long that nothing ends by itself.
const LIFE: Duration = Duration::from_secs(800);
