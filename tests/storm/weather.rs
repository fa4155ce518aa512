//! What happens around the functions: PostgreSQL crashes, and SES changes its behaviour.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use local_ses::ses::{Effect, Rule, SesEndpoint};

use crate::ledger::{EndOnPanic, Ledger, count};
use crate::support::dice::Dice;

/// Stops and starts PostgreSQL every few seconds.
pub fn postgresql(ledger: &Ledger, mut dice: Dice) {
    let _end = EndOnPanic(ledger);
    let Some(restart) = std::env::var("POSTGRES_RESTART").ok().filter(|command| !command.is_empty()) else {
        crate::say("storm: POSTGRES_RESTART is not set, so PostgreSQL is left alone");
        return;
    };
    while wait(ledger, Duration::from_millis(dice.between(2000, 8000))) {
        let status =
            Command::new("sh").args(["-c", &restart]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "POSTGRES_RESTART failed: {restart}");
        count(&ledger.restarts);
    }
}

/// Changes how SES behaves, several times a second.
pub fn ses(ledger: &Ledger, ses: &SesEndpoint, mut dice: Dice) {
    let _end = EndOnPanic(ledger);
    let mut number = 0;
    while wait(ledger, Duration::from_millis(dice.between(20, 400))) {
        ses.clear_rules();
        ses.set_latency(Duration::from_millis(dice.between(0, 10) * dice.between(0, 10)));
        for _ in 0..dice.between(0, 3) {
            number += 1;
            let times = u32::try_from(dice.between(1, 6)).expect("fits");
            ses.add_rule(Rule::any(effect(&mut dice, number)).times(times));
        }
    }
    ses.clear_rules();
    ses.set_latency(Duration::ZERO);
}

/// A proxy in front of SES answers in its place, after passing the request on or without doing so. With a
/// status of 4xx (except 408) the request was not passed on.
const ANSWERS: [(bool, u16, &str, &str); 13] = [
    (true, 200, "text/html", "<html><body>It works!</body></html>"),
    (false, 200, "text/html", "<html><body>Please log in</body></html>"),
    (true, 200, "application/json", "{\"MessageId\": \"01"),
    (true, 200, "application/json", "\u{1f}\u{8b}\u{8}"),
    (true, 302, "text/html", ""),
    (false, 307, "text/html", "<html><body>Moved</body></html>"),
    (false, 403, "text/html", "<html><body>Blocked</body></html>"),
    (false, 407, "text/plain", "Proxy authentication required"),
    (true, 408, "text/plain", "Request timeout"),
    (false, 413, "text/html", "<html><body>Too large</body></html>"),
    (true, 502, "text/html", "<html><body>Bad gateway</body></html>"),
    (false, 503, "text/html", "<html><body>No server</body></html>"),
    (true, 504, "text/html", "<html><body>Gateway time-out</body></html>"),
];

fn effect(dice: &mut Dice, number: u32) -> Effect {
    let ms = dice.between(1, 40) * dice.between(1, 40);
    match dice.between(1, 16) {
        1 | 2 => Effect::Delay { ms },
        3 => Effect::DropBeforeAccept,
        4 | 5 => Effect::DropAfterAccept,
        6 | 7 => Effect::AcceptThenDelay { ms },
        8 => Effect::Throttle,
        9 => Effect::ServerError,
        10 => Effect::AcceptWithEmptyResult,
        11 => Effect::AcceptWithFewerResults,
        12..=14 => {
            let (accept, status, content_type, body) = *dice.choose(&ANSWERS);
            Effect::Answer { accept, status, content_type: content_type.into(), body: body.into() }
        }
        // No two refusals are equal, because equal refusals of everyone would halt the campaign.
        _ => Effect::Refuse {
            code: "MessageRejected".into(),
            message: format!("refused, {number}"),
            status: 400,
        },
    }
}

/// Waits this long; false if the storm ends before that.
pub fn wait(ledger: &Ledger, time: Duration) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if ledger.is_over() {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
    !ledger.is_over()
}
