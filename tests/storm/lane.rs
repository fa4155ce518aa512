//! One lane of invocations by a careless orchestrator, with a process that is killed or stopped at random
//! instants.

use std::thread::sleep;
use std::time::{Duration, Instant};

use local_ses::lambda::{Begun, Function, InvocationError};
use postgres::Client;
use serde_json::{Value, json};

use crate::campaigns::Poison;
use crate::crm::may_halt_for;
use crate::ledger::{EndOnPanic, Ledger, count};
use crate::steady;
use crate::support::dice::Dice;
use crate::support::{World, assert_identity, event};

/// How much longer than its invocation's deadline a claim may last.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// Invocations that are killed, of a hundred.
const KILLED: u64 = 60;

/// A process, by the name under which PostgreSQL knows it.
pub struct Process {
    name: String,
    has_wrong_clock: bool,
    function: Function,
}

/// A process that was stopped in the middle of an invocation and goes on when others have long taken its batch
/// over.
pub struct Frozen {
    process: Process,
    begun: Begun,
    event: Value,
    /// Its lease has ended by then.
    pub wakes_at: Instant,
}

/// Lets the table of batches record which process claimed each batch, so that only leases of dead processes
/// are ended early.
pub fn name_owners(world: &mut World) {
    let sql = "ALTER TABLE campaign_batches ADD COLUMN claimed_by text;
        CREATE FUNCTION name_owner() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.claimed_by := current_setting('application_name');
            RETURN NEW;
        END
        $$;
        CREATE TRIGGER name_owner BEFORE UPDATE ON campaign_batches FOR EACH ROW
            WHEN (NEW.claim_token IS NOT NULL AND NEW.claim_token IS DISTINCT FROM OLD.claim_token)
            EXECUTE FUNCTION name_owner()";
    world.database.client().batch_execute(sql).expect("the trigger is made");
}

/// Invokes until the storm is over. Returns the processes that are still stopped then.
pub fn run(ledger: &Ledger, number: u64, mut dice: Dice) -> Vec<Frozen> {
    let _end = EndOnPanic(ledger);
    let mut process = Process::start(ledger, &mut dice);
    let mut undertaker = Undertaker { url: &ledger.url, client: None };
    let mut frozen: Vec<Frozen> = Vec::new();
    let mut next = order(ledger, &mut dice);
    while !ledger.is_over() {
        if let Some(due) = frozen.iter().position(|frozen| frozen.wakes_at <= Instant::now()) {
            frozen.swap_remove(due).wake(ledger);
        }
        let timeout = Duration::from_secs(dice.between(3, 5));
        count(&ledger.invocations);
        let Ok(begun) = process.function.begin(&next, timeout) else {
            panic!("lane {number}: the process ended by itself")
        };
        let fate = dice.between(1, 100);
        let instant = Duration::from_millis(dice.between(0, 30) * dice.between(0, 30));
        match fate {
            1..=KILLED => {
                sleep(instant);
                process.function.kill();
                count(&ledger.kills);
            }
            61..=65 => {
                sleep(instant);
                process.function.freeze();
                sleep(Duration::from_millis(dice.between(1, 2500)));
                process.function.thaw();
                count(&ledger.stops);
            }
            66..=68 if frozen.len() < 3 => {
                sleep(instant);
                process.function.freeze();
                let wakes_at =
                    Instant::now() + timeout + LEASE_MARGIN + Duration::from_millis(dice.between(0, 1000));
                let stopped = std::mem::replace(&mut process, Process::start(ledger, &mut dice));
                let event = std::mem::replace(&mut next, order(ledger, &mut dice));
                frozen.push(Frozen { process: stopped, begun, event, wakes_at });
                continue;
            }
            _ => {}
        }
        let mut answer = process.function.finish(&begun);
        // By a clock that is behind, its time is not up when Lambda ends it.
        let overran = process.has_wrong_clock && matches!(answer, Err(InvocationError::TimedOut));
        if overran {
            process.function.kill();
            count(&ledger.kills);
            answer = Err(InvocationError::Crashed);
        }
        let result = check(ledger, &next, &answer, &process, fate <= KILLED || overran);
        if !process.function.is_running() {
            undertaker.bury(&process.name);
            process = Process::start(ledger, &mut dice);
        }
        next = match result {
            Some(result) => {
                if result["status"] == "done" && result["campaignId"] == ledger.campaigns.main.to_string() {
                    ledger.end();
                }
                ledger.note(&result);
                // An orchestrator that waits less than it was told must not do any harm.
                sleep(Duration::from_millis(
                    dice.between(0, 100) * result["waitSeconds"].as_u64().unwrap_or(0).min(3),
                ));
                if result["next"].is_object() && dice.percent(80) {
                    result["next"].clone()
                } else {
                    order(ledger, &mut dice)
                }
            }
            None => order(ledger, &mut dice),
        };
    }
    frozen
}

/// The next event if the answer is lost or not used: the campaign again, a `next` that was used before, or a
/// tick.
fn order(ledger: &Ledger, dice: &mut Dice) -> Value {
    let nexts = ledger.nexts();
    if dice.percent(30)
        && let Some(campaign) = ledger.traced.choose(dice)
    {
        return event(campaign, u32::try_from(dice.between(1, 3)).expect("fits"));
    }
    match dice.between(1, 10) {
        1 | 2 => json!({}),
        3 => event(*dice.choose(&ledger.campaigns.all().collect::<Vec<_>>()), 30),
        4..=6 if !nexts.is_empty() => dice.choose(&nexts).clone(),
        _ => event(ledger.campaigns.main, u32::try_from(*dice.choose(&[1, 7, 30, 100, 200])).expect("fits")),
    }
}

/// Checks that an answer, if there is one, is allowed in a storm.
fn check(
    ledger: &Ledger,
    event: &Value,
    answer: &Result<Value, InvocationError>,
    process: &Process,
    killed: bool,
) -> Option<Value> {
    match answer {
        Ok(result) => {
            assert_identity(result);
            let poison = poison(ledger, result);
            let good = match result["status"].as_str().unwrap_or_default() {
                "continue" | "wait" | "done" | "idle" | "paused" => true,
                "halted" => {
                    count(&ledger.halts);
                    poison.is_some() || may_halt_for(result["reason"].as_str().unwrap_or_default())
                }
                _ => false,
            };
            assert!(good, "{result}\n{}", process.logs());
            Some(result.clone())
        }
        Err(InvocationError::Crashed) if killed => None,
        Err(InvocationError::Failed { error_type, .. }) if error_type == "DatabaseUnavailable" => None,
        Err(InvocationError::Failed { error_type, message })
            if error_type == "DatabaseRefused" && is_full(message) =>
        {
            None
        }
        // Only an event with its id gets this answer; a tick skips the campaign.
        Err(InvocationError::Failed { error_type, .. })
            if error_type == "DatabaseRefused"
                && matches!(poison(ledger, event), Some(Poison::Row | Poison::OptOuts)) =>
        {
            None
        }
        Err(error) => panic!("{event}: {error:?}\n{}", process.logs()),
    }
}

/// The disk was full, as a trigger says it: that is not tried again in the same invocation.
pub fn is_full(message: &str) -> bool {
    message.contains("[53100]")
}

/// The poison of the campaign that an event or a result names.
fn poison(ledger: &Ledger, named: &Value) -> Option<Poison> {
    let id = named["campaignId"].as_str()?;
    ledger.campaigns.poison(id.parse().expect("a campaign's id"))
}

impl Process {
    fn start(ledger: &Ledger, dice: &mut Dice) -> Process {
        let (name, mut environment) = ledger.environment_in_bad_weather(dice);
        let has_wrong_clock = environment.iter().any(|(name, _)| *name == "FAKETIME");
        environment.push(("SEND_API", ["single", "bulk"][usize::from(dice.between(0, 1) == 1)].to_owned()));
        environment.push(("SEND_CONCURRENCY", dice.between(1, 20).to_string()));
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let function = Function::start(&crate::support::executable("send-batch"), &environment);
        Process { name, has_wrong_clock, function: function.expect("send-batch starts") }
    }

    fn logs(&self) -> String {
        self.function.logs().join("\n")
    }
}

impl Frozen {
    /// Goes on, and ends its invocation.
    pub fn wake(mut self, ledger: &Ledger) {
        self.process.function.thaw();
        count(&ledger.frozen);
        match self.process.function.finish(&self.begun) {
            // The test waits no longer; the process continues while the storm goes on.
            Err(InvocationError::TimedOut) => {}
            answer => {
                if let Some(result) = check(ledger, &self.event, &answer, &self.process, false) {
                    ledger.note(&result);
                }
            }
        }
    }
}

/// Ends the leases of the dead.
struct Undertaker<'a> {
    url: &'a str,
    client: Option<Client>,
}

impl Undertaker<'_> {
    /// As if the lease of this process had run out. Its process is gone; a statement of it may still be running
    /// in PostgreSQL, and claim: so this goes on until its connections are gone too.
    fn bury(&mut self, name: &str) {
        let give_up = Instant::now() + Duration::from_secs(30);
        while !self.try_bury(name).unwrap_or(false) {
            assert!(Instant::now() < give_up, "PostgreSQL does not come back");
            sleep(Duration::from_millis(5));
        }
    }

    fn try_bury(&mut self, name: &str) -> Result<bool, postgres::Error> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => steady::connect(self.url)?,
        };
        let alone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)";
        let alone: bool = client.query_one(alone, &[&name])?.get(0);
        client.execute(
            "UPDATE campaign_batches SET lease_ends_at = now() - interval '1 second'
              WHERE claimed_by = $1 AND claim_token IS NOT NULL AND closed_at IS NULL",
            &[&name],
        )?;
        self.client = Some(client);
        Ok(alone)
    }
}
