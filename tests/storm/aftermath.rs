//! After the storm: the campaign is run to its end, SES's events come, and everything is compared.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use local_ses::lambda::{Function, InvocationError};
use local_ses::ses::{Message, SesEndpoint, events, in_sns, in_sqs_batch};
use serde_json::Value;
use uuid::Uuid;

use crate::campaigns;
use crate::lane::{Frozen, is_full};
use crate::ledger::{EndOnPanic, Ledger};
use crate::support::dice::Dice;
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

/// Removes the poison, runs the campaigns to their ends, then continues the stopped processes. Returns the
/// number of uncertain recipients.
pub fn calm(world: &mut World, ledger: &Ledger, frozen: Vec<Frozen>) -> i64 {
    world.ses.clear_rules();
    world.ses.set_latency(Duration::ZERO);
    world.database.reset_defaults();
    campaigns::cure(world);
    let asleep = frozen.iter().map(|process| process.wakes_at).max().unwrap_or_else(Instant::now);
    sleep(asleep.saturating_duration_since(Instant::now()));
    let mut function = world.function();
    for campaign in ledger.everything() {
        if ledger.traced.all().contains(&campaign) {
            crate::trace::resume(world, campaign);
        } else {
            world.set_status(campaign, "sending");
        }
        let last = run(&mut function, event(campaign, 500)).pop().expect("an answer");
        assert_eq!(last["status"], "done", "{last}\n{}", function.logs().join("\n"));
    }
    for process in frozen {
        process.wake(ledger);
    }
    // All unrecorded outcomes are recorded again, also those that were recorded already.
    for next in ledger.nexts().iter().filter(|next| next["unrecorded"].is_object()) {
        run(&mut function, next.clone());
    }
    let mut uncertain = 0;
    for campaign in ledger.everything() {
        world.assert_consistent(campaign);
        assert_eq!(world.count(campaign, "status = 'pending'"), 0);
        uncertain += world.count(campaign, "status = 'uncertain'");
    }
    uncertain
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

/// Delivers the events of these messages, and some of them twice, as one batch; false if it has to be
/// repeated, because the function was killed or PostgreSQL was down.
fn deliver(function: &mut Function, ledger: &Ledger, messages: &[Message], dice: &mut Dice) -> bool {
    let poisoned = if ledger.is_over() { None } else { ledger.organization_without_timeline() };
    let mut bodies: Vec<Value> = messages.iter().flat_map(events).collect();
    let again: Vec<Value> = bodies.iter().filter(|_| dice.percent(20)).cloned().collect();
    bodies.extend(again);
    dice.shuffle(&mut bodies);
    let of_poisoned = |body: &Value| {
        poisoned.is_some_and(|id| body["detail"]["mail"]["tags"]["organization_id"][0] == id.to_string())
    };
    let refusable: BTreeSet<String> =
        (0..bodies.len()).filter(|&n| of_poisoned(&bodies[n])).map(|n| format!("message-{n}")).collect();
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
            let failures = response["batchItemFailures"].as_array().expect("a list");
            let foreign = failures.iter().filter_map(|failure| failure["itemIdentifier"].as_str());
            let foreign: Vec<&str> = foreign.filter(|id| !refusable.contains(*id)).collect();
            // What the full disk refused comes again.
            let is_full = function.logs().iter().any(|line| is_full(line));
            assert!(foreign.is_empty() || is_full, "{foreign:?}\n{}", function.logs().join("\n"));
            true
        }
        Err(InvocationError::Crashed) if killed => false,
        Err(InvocationError::Failed { error_type, .. }) if error_type == "DatabaseUnavailable" => false,
        Err(InvocationError::Failed { error_type, message })
            if error_type == "DatabaseRefused" && is_full(&message) =>
        {
            false
        }
        Err(error) => panic!("{error:?}\n{}", function.logs().join("\n")),
    }
}

fn ses_events(ledger: &Ledger) -> Function {
    let (_, environment) = ledger.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Function::start(&crate::support::executable("ses-events"), &environment).expect("ses-events starts")
}

/// Compares the mailbox with the tables. Returns the number of recipients that are still uncertain: exactly
/// those whose message SES never accepted.
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
    let known: i64 = world.database.query(
        "SELECT count(*) FROM campaign_recipients WHERE id = ANY ($1)",
        &[&accepted.iter().copied().collect::<Vec<_>>()],
    )[0]
    .get(0);
    assert_eq!(usize::try_from(known).expect("fits"), accepted.len(), "emails whose recipients are gone");
    let rows = world.database.query(
        "SELECT r.id, r.status, r.error_code, r.email,
                count(a.*) FILTER (WHERE a.action = 'email_sent'),
                count(a.*) FILTER (WHERE a.action = 'email_delivered')
           FROM campaign_recipients AS r LEFT JOIN activities AS a ON a.source_ref = r.id::text
          WHERE r.campaign_id = $1 GROUP BY r.id",
        &[&campaign],
    );
    let mut uncertain = 0;
    for row in rows {
        let (id, status): (Uuid, &str) = (row.get(0), row.get(1));
        let (code, email): (Option<&str>, &str) = (row.get(2), row.get(3));
        let (sent, delivered): (i64, i64) = (row.get(4), row.get(5));
        match status {
            "sent" => assert!(accepted.contains(&id), "{email} is sent, and SES never accepted it"),
            "uncertain" => uncertain += 1,
            "suppressed" => assert!(email.starts_with('S'), "{email} is suppressed"),
            "failed" => assert!(code.is_some(), "{email} failed without a reason"),
            other => panic!("{email} is {other} at the end"),
        }
        // A lost batch makes all recipients up to its mark uncertain, also those that its invocation would
        // have left out.
        let uncertain_of_a_lost_batch = status == "uncertain" && code == Some("lost_invocation");
        assert!(
            !email.starts_with('S') || status == "suppressed" || uncertain_of_a_lost_batch,
            "{email} is {status} ({code:?})"
        );
        assert!(!email.starts_with('S') || !accepted.contains(&id), "{email} is suppressed and got an email");
        let expected = i64::from(accepted.contains(&id));
        assert_eq!(
            (status == "sent", sent, delivered),
            (expected == 1, expected, expected),
            "{email} is {status} ({code:?})"
        );
    }
    uncertain
}
