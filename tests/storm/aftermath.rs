//! After the storm: the campaign is run to its end, SES's events come, and everything is compared.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use local_ses::lambda::{Function, InvocationError};
use local_ses::ses::{Message, SesEndpoint, events, in_sns, in_sqs_batch};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::dice::Dice;
use crate::lane::Zombie;
use crate::ledger::{EndOnPanic, Ledger};
use crate::support::{TIMEOUT, World, event, run};
use crate::weather::wait;

/// While the storm is on, some of SES's events come early: before the outcome is recorded that they are about.
pub fn early_events(ledger: &Ledger, ses: &SesEndpoint, mut dice: Dice) {
    let _end = EndOnPanic(ledger);
    let mut function = ses_events(ledger);
    while wait(ledger, Duration::from_millis(dice.between(10, 1000))) {
        let mut messages = ses.messages();
        dice.shuffle(&mut messages);
        messages.truncate(usize::try_from(dice.between(1, 40)).expect("fits"));
        deliver(&mut function, ledger, &messages, &mut dice);
    }
}

/// Runs the campaign to its end, then lets the zombies go on. Returns how many are in doubt.
pub fn calm(world: &mut World, ledger: &Ledger, zombies: Vec<Zombie>) -> i64 {
    world.ses.clear_rules();
    world.ses.set_latency(Duration::ZERO);
    world.database.reconnect();
    let asleep = zombies.iter().map(|zombie| zombie.wakes_at).max().unwrap_or_else(Instant::now);
    sleep(asleep.saturating_duration_since(Instant::now()));
    let mut function = world.function();
    let last = run(&mut function, event(ledger.campaign, 500));
    assert_eq!(last.last().map(|result| &result["status"]), Some(&json!("done")), "{:?}", last.last());
    for zombie in zombies {
        zombie.wake(ledger);
    }
    // Debts that were never paid, and those that were, are paid again.
    for next in ledger.nexts().iter().filter(|next| next["unrecorded"].is_object()) {
        run(&mut function, next.clone());
    }
    world.assert_consistent(ledger.campaign);
    assert_eq!(world.count(ledger.campaign, "status = 'pending'"), 0);
    world.count(ledger.campaign, "status = 'uncertain'")
}

/// All events of all messages, late, doubled and in any order.
pub fn deliver_events(world: &World, ledger: &Ledger, dice: &mut Dice) {
    let messages = world.ses.messages();
    let mut twice: Vec<Message> = messages.iter().chain(&messages).cloned().collect();
    dice.shuffle(&mut twice);
    let mut function = ses_events(ledger);
    let mut rest = &twice[..];
    while !rest.is_empty() {
        let size = usize::try_from(dice.between(1, 800)).expect("fits").min(rest.len());
        let (batch, after) = rest.split_at(size);
        // SQS delivers again what was not taken.
        while !deliver(&mut function, ledger, batch, dice) {}
        rest = after;
    }
}

/// Delivers the events of these messages, and some of them again, as one batch; false if it has to be repeated,
/// for the function was killed, or PostgreSQL away.
fn deliver(function: &mut Function, ledger: &Ledger, messages: &[Message], dice: &mut Dice) -> bool {
    let mut bodies: Vec<Value> = messages.iter().flat_map(events).collect();
    let again: Vec<Value> = bodies.iter().filter(|_| dice.percent(20)).cloned().collect();
    bodies.extend(again);
    dice.shuffle(&mut bodies);
    for body in &mut bodies {
        match dice.between(1, 3) {
            1 => *body = in_sns(body),
            2 => *body = body["detail"].clone(),
            _ => {}
        }
    }
    let Ok(begun) = function.begin(&in_sqs_batch(&bodies), TIMEOUT) else {
        panic!("ses-events ended by itself:\n{}", function.logs().join("\n"))
    };
    let killed = dice.percent(10);
    if killed {
        sleep(Duration::from_millis(dice.between(0, 60)));
        function.kill();
    }
    let answer = function.finish(&begun);
    if killed {
        *function = ses_events(ledger);
    }
    match answer {
        Ok(response) => {
            assert_eq!(response["batchItemFailures"], json!([]), "{}", function.logs().join("\n"));
            true
        }
        Err(InvocationError::Crashed) if killed => false,
        Err(InvocationError::Failed { error_type, .. }) if error_type == "DatabaseUnavailable" => false,
        Err(error) => panic!("{error:?}\n{}", function.logs().join("\n")),
    }
}

fn ses_events(ledger: &Ledger) -> Function {
    let (_, environment) = ledger.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Function::start(&crate::support::executable("ses-events"), &environment).expect("ses-events starts")
}

/// Compares the mailbox with the tables. Returns how many are in doubt still: exactly those whose message SES
/// never accepted.
pub fn compare(world: &mut World, campaign: Uuid) -> usize {
    world.assert_consistent(campaign);
    let accepted: BTreeSet<Uuid> = world
        .ses
        .messages()
        .iter()
        .map(|message| {
            message.tag("recipient_id").and_then(|id| id.parse().ok()).expect("each message has its tag")
        })
        .collect();
    let rows = world.database.query(
        "SELECT r.id, r.status, r.error_code, r.email,
                count(a.*) FILTER (WHERE a.action = 'email_sent'),
                count(a.*) FILTER (WHERE a.action = 'email_delivered')
           FROM campaign_recipients AS r LEFT JOIN activities AS a ON a.source_ref = r.id::text
          WHERE r.campaign_id = $1 GROUP BY r.id",
        &[&campaign],
    );
    let mut in_doubt = 0;
    for row in rows {
        let (id, status): (Uuid, &str) = (row.get(0), row.get(1));
        let (code, email): (Option<&str>, &str) = (row.get(2), row.get(3));
        let (sent, delivered): (i64, i64) = (row.get(4), row.get(5));
        match status {
            "sent" => assert!(accepted.contains(&id), "{email} is sent, and SES never accepted it"),
            "uncertain" => in_doubt += 1,
            "failed" => assert!(code.is_some(), "{email} failed without a reason"),
            other => panic!("{email} is {other} at the end"),
        }
        let expected = i64::from(accepted.contains(&id));
        assert_eq!(
            (status == "sent", sent, delivered),
            (expected == 1, expected, expected),
            "{email} is {status} ({code:?})"
        );
    }
    in_doubt
}
