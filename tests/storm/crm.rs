//! A CRM that adds, edits, moves and deletes recipients, pauses and resumes campaigns, and holds transactions
//! open. It uses the database with the defaults of its connection.

use std::thread::sleep;
use std::time::Duration;

use postgres::{Client, Error, NoTls, Row};

use crate::ledger::{EndOnPanic, Ledger, count};
use crate::steady;
use crate::support::ORGANIZATION;
use crate::support::dice::Dice;
use crate::weather::wait;

/// Errors that a CRM may get: for recipients under way, because of the isolation level, because of the
/// defaults, and because of other transactions.
const REFUSED: [&str; 8] = ["55006", "55000", "25006", "40001", "40P01", "23505", "55P03", "57014"];

/// The reasons for which a campaign without poison may halt: only SES, and the proxy in front of it.
const REASONS: [&str; 2] =
    ["SES repeatedly gave no clear answer: ", "every answer came from something other than SES: "];

/// A reason that the storm causes.
pub fn may_halt_for(reason: &str) -> bool {
    REASONS.iter().any(|known| reason.starts_with(known))
}

pub fn live(ledger: &Ledger, mut dice: Dice) {
    let _end = EndOnPanic(ledger);
    let mut client: Option<Client> = None;
    let mut number = 0;
    while wait(ledger, Duration::from_millis(dice.between(5, 80))) {
        number += 1;
        // A new connection has the defaults of now.
        if dice.percent(3) {
            client = None;
        }
        let changed = match client.as_mut() {
            Some(client) => change(ledger, client, &mut dice, number),
            None => connect(&ledger.url).map(|new| {
                client = Some(new);
                0
            }),
        };
        match changed {
            Ok(changed) => {
                ledger.changes.fetch_add(changed, std::sync::atomic::Ordering::Relaxed);
            }
            Err(error) if steady::is_away(&error) => client = None,
            Err(error) => {
                let state = error.code().expect("PostgreSQL answered").code();
                assert!(REFUSED.contains(&state), "the CRM met {error:?}");
                if matches!(state, "55006" | "55000") {
                    count(&ledger.refused);
                }
                if let Some(client) = client.as_mut() {
                    let _ = client.batch_execute("ROLLBACK");
                }
            }
        }
    }
}

fn connect(url: &str) -> Result<Client, Error> {
    let mut client = Client::connect(url, NoTls)?;
    client.batch_execute("SET search_path = public")?;
    Ok(client)
}

/// One change; returns how many rows it has changed.
fn change(ledger: &Ledger, client: &mut Client, dice: &mut Dice, number: u32) -> Result<u64, Error> {
    let main = ledger.campaigns.main;
    let pending =
        "SELECT id FROM campaign_recipients WHERE campaign_id = $1 AND status = 'pending' AND position >= $2
                    ORDER BY position LIMIT 3";
    let from = ledger.first_position + i64::try_from(dice.between(0, ledger.recipients)).expect("fits");
    let hold = Duration::from_millis(dice.between(1, 30) * dice.between(1, 30));
    match dice.between(1, 20) {
        1..=3 => client.execute(
            &format!("DELETE FROM campaign_recipients WHERE id IN ({pending}) AND status = 'pending'"),
            &[&main, &from],
        ),
        4..=6 => client.execute(
            &format!(
                "UPDATE campaign_recipients SET email = 'edited{number}-' || position || '@example.com'
                  WHERE id IN ({pending}) AND status = 'pending'"
            ),
            &[&main, &from],
        ),
        7 | 8 => client.execute(
            &format!(
                "UPDATE campaign_recipients SET position = -position - {number} * 10
                  WHERE id IN ({pending}) AND status = 'pending'"
            ),
            &[&main, &from],
        ),
        9..=11 => {
            // Another spelling of an address that the campaign has, or of one that it had before an edit.
            let sql = "INSERT INTO campaign_recipients (campaign_id, organization_id, email)
                       SELECT $1, $2, ' R' || $3 || '@EXAMPLE.com' || chr(8203) ON CONFLICT DO NOTHING";
            let n = dice.between(1, ledger.recipients).to_string();
            client.execute(sql, &[&main, &ORGANIZATION, &n])
        }
        12 | 13 => {
            let mut transaction = client.transaction()?;
            let sql = "INSERT INTO campaign_recipients (campaign_id, organization_id, email)
                       SELECT $1, $2, 'late' || $3 || '-' || n || '@example.com' FROM generate_series(1, 3) AS n";
            let added = transaction.execute(sql, &[&main, &ORGANIZATION, &number.to_string()])?;
            sleep(hold);
            transaction.commit()?;
            Ok(added)
        }
        14 => {
            let campaign = *dice.choose(&ledger.campaigns.all().collect::<Vec<_>>());
            let mut transaction = client.transaction()?;
            transaction.execute("SELECT FROM campaigns WHERE id = $1 FOR UPDATE", &[&campaign])?;
            sleep(hold);
            transaction.rollback()?;
            Ok(0)
        }
        15 => {
            let campaign = *dice.choose(&ledger.campaigns.all().collect::<Vec<_>>());
            if ledger.campaigns.poison(campaign).is_some() {
                return Ok(0);
            }
            let sql = "UPDATE campaigns SET status = 'paused' WHERE id = $1 AND status = 'sending'";
            let paused = client.execute(sql, &[&campaign])?;
            sleep(hold);
            Ok(paused)
        }
        _ => resume(ledger, client, dice),
    }
}

/// Resumes campaigns that this CRM paused, or that halted.
fn resume(ledger: &Ledger, client: &mut Client, dice: &mut Dice) -> Result<u64, Error> {
    let mut resumed = 0;
    let rows = client.query("SELECT id, status_reason FROM campaigns WHERE status = 'paused'", &[])?;
    let paused = |row: &Row| -> (uuid::Uuid, Option<String>) { (row.get(0), row.get(1)) };
    for (id, reason) in rows.iter().map(paused) {
        if ledger.campaigns.poison(id).is_some() && !dice.percent(5) {
            continue;
        }
        if ledger.campaigns.poison(id).is_none()
            && let Some(reason) = reason
        {
            assert!(may_halt_for(&reason), "campaign {id} was paused: {reason}");
        }
        resumed += client
            .execute("UPDATE campaigns SET status = 'sending' WHERE id = $1 AND status = 'paused'", &[&id])?;
    }
    ledger.resumed.fetch_add(resumed, std::sync::atomic::Ordering::Relaxed);
    Ok(resumed)
}
