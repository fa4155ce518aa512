//! Tries every pair of statements that can meet, in every order that their locks allow: the first one is
//! stopped at each row that it waits for, the second one runs meanwhile, and then both go on. Each isolation
//! level is tried as the database's default.

mod case;
mod page;
mod statement;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use postgres::Client;

use self::case::Case;
use self::page::Tried;
use self::statement::{Statement, Told};
use crate::Statements;
use crate::support::World;

const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// The rows at which a statement may be stopped: the name, and the statement that takes the lock. `$1` is the
/// campaign.
const ROWS: [(&str, &str); 9] = [
    ("cursor", "SELECT FROM campaign_cursors WHERE campaign_id = $1 FOR UPDATE"),
    ("campaign", "SELECT FROM campaigns WHERE id = $1 FOR UPDATE"),
    ("batch", "SELECT FROM campaign_batches WHERE campaign_id = $1 FOR UPDATE"),
    ("rate", "SELECT FROM send_rates WHERE $1::uuid IS NOT NULL FOR UPDATE"),
    (
        "under way",
        "SELECT FROM campaign_recipients WHERE campaign_id = $1 AND email LIKE 'under%' FOR UPDATE",
    ),
    (
        "uncertain",
        "SELECT FROM campaign_recipients WHERE campaign_id = $1 AND email LIKE 'uncertain%' FOR UPDATE",
    ),
    ("failed", "SELECT FROM campaign_recipients WHERE campaign_id = $1 AND email LIKE 'failed%' FOR UPDATE"),
    ("sent", "SELECT FROM campaign_recipients WHERE campaign_id = $1 AND email LIKE 'sent%' FOR UPDATE"),
    (
        "pending",
        "SELECT FROM campaign_recipients WHERE campaign_id = $1 AND email LIKE 'pending%' FOR UPDATE",
    ),
];

/// The number of sessions of this database that wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[test]
fn statements_that_meet_lose_nothing_and_contradict_nothing() {
    let mut world = World::new();
    world.database.execute("INSERT INTO send_rates (region, per_second) VALUES ('us-east-1', 1e6)", &[]);
    // At a stricter level a change of the CRM is refused before it takes some of its locks.
    let mut stops: BTreeMap<(Statement, &'static str), Vec<&'static str>> = BTreeMap::new();
    for level in LEVELS {
        let mut sessions = Sessions::at(&mut world, level);
        for one in Statement::ALL {
            if level == LEVELS[0] || one.is_of_the_crm() {
                for row in sessions.stops(&mut world, one) {
                    stops.entry((one, row)).or_default().push(level);
                }
            }
        }
    }
    let every_level = std::env::var("SCHEDULES").is_ok_and(|which| which == "all");
    let mut tried = Tried::default();
    for level in LEVELS {
        let mut sessions = Sessions::at(&mut world, level);
        for ((one, row), levels) in &stops {
            for other in Statement::ALL {
                let meeting = Meeting { one: *one, row, other, level };
                let levels = if one.is_of_the_crm() { &levels[..] } else { &LEVELS[..] };
                if levels.contains(&level) && (every_level || level == meeting.one_level_of(levels)) {
                    let case = Case::new(&mut world);
                    if [*one, other].contains(&Statement::TakeOver) {
                        case.end_the_lease(&mut world);
                    }
                    let did = meeting.run(&case, &mut sessions);
                    case.check(&mut world, &did, &meeting.to_string());
                    tried.note(*one, other, row);
                }
            }
        }
    }
    tried.compare_with_the_page();
}

/// The sessions of the two statements, with an isolation level as their default.
struct Sessions {
    one: Statements,
    other: Statements,
    /// Holds the lock of a row.
    gate: Client,
    /// Sees which sessions wait.
    observer: Client,
}

impl Sessions {
    fn at(world: &mut World, level: &str) -> Sessions {
        let name = world.database.name().to_owned();
        // A deadlock is found soon, so that many can be tried.
        let defaults = format!(
            "ALTER DATABASE {name} SET default_transaction_isolation = '{level}';
             ALTER DATABASE {name} SET deadlock_timeout = '20ms'"
        );
        world.database.client().batch_execute(&defaults).unwrap();
        Sessions {
            one: Statements::of(world),
            other: Statements::of(world),
            gate: world.database.connect(),
            observer: world.database.connect(),
        }
    }

    /// Takes the lock of a row.
    fn hold(&mut self, case: &Case, row: &str) {
        let (_, sql) = ROWS.iter().find(|(name, _)| *name == row).unwrap();
        self.gate.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").unwrap();
        self.gate.query(*sql, &[&case.campaign]).unwrap();
    }

    /// The rows at which a statement waits if another session holds them.
    fn stops(&mut self, world: &mut World, one: Statement) -> Vec<&'static str> {
        let mut found = Vec::new();
        for (row, _) in ROWS {
            let case = Case::new(world);
            if one == Statement::TakeOver {
                case.end_the_lease(world);
            }
            self.hold(&case, row);
            let (statements, gate, observer) = (&self.one, &mut self.gate, &mut self.observer);
            std::thread::scope(|scope| {
                let case = &case;
                let running = scope.spawn(move || one.run(case, statements));
                if until_it_waits(observer, 1, || running.is_finished()) {
                    found.push(row);
                }
                gate.batch_execute("ROLLBACK").unwrap();
                running.join().unwrap();
            });
        }
        assert!(!found.is_empty(), "{one:?} waits for nothing");
        found
    }
}

/// Waits until this many sessions wait, or the statement is done. Returns true if the statement waits.
fn until_it_waits(observer: &mut Client, sessions: i64, is_done: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if observer.query_one(WAITING, &[]).unwrap().get::<_, i64>(0) >= sessions {
            return true;
        }
        if is_done() {
            return false;
        }
        assert!(Instant::now() < end, "it neither ends nor waits");
        std::thread::yield_now();
    }
}

/// Two statements: one is stopped at a row, and the other one runs meanwhile.
struct Meeting {
    one: Statement,
    row: &'static str,
    other: Statement,
    level: &'static str,
}

impl Meeting {
    /// The level at which the pair is tried if there is no time for all. Statements of the package begin
    /// their transactions at READ COMMITTED whatever the default is; the strictest default would show it if
    /// they did not.
    fn one_level_of(&self, levels: &[&'static str]) -> &'static str {
        if !self.one.is_of_the_crm() && !self.other.is_of_the_crm() {
            return LEVELS[2];
        }
        let at = |statement| Statement::ALL.iter().position(|known| *known == statement).unwrap();
        levels[(at(self.one) + at(self.other)) % levels.len()]
    }

    /// Runs one statement up to the row, the other one as far as it gets, and then both to their ends.
    fn run(&self, case: &Case, sessions: &mut Sessions) -> [(Statement, Told); 2] {
        sessions.hold(case, self.row);
        let Sessions { one, other, gate, observer } = sessions;
        std::thread::scope(|scope| {
            let (one, other) = (&*one, &*other);
            let stopped = scope.spawn(move || self.one.run(case, one));
            let waits = until_it_waits(observer, 1, || stopped.is_finished());
            let beside = scope.spawn(move || self.other.run(case, other));
            until_it_waits(observer, i64::from(waits) + 1, || beside.is_finished());
            gate.batch_execute("ROLLBACK").unwrap();
            let stopped = stopped.join().unwrap_or_else(|_| panic!("{self}"));
            let beside = beside.join().unwrap_or_else(|_| panic!("{self}"));
            [(self.one, stopped), (self.other, beside)]
        })
    }
}

impl std::fmt::Display for Meeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} stopped at {}, then {:?}, {}", self.one, self.row, self.other, self.level)
    }
}
