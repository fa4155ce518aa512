//! The database's defaults, which somebody changes all the time. They hold for connections that are made later.

use std::time::Duration;

use crate::ledger::{EndOnPanic, Ledger, count};
use crate::steady;
use crate::support::dice::Dice;
use crate::weather::wait;

const SETTINGS: [(&str, &[&str]); 6] = [
    ("default_transaction_isolation", &["'read committed'", "'repeatable read'", "serializable"]),
    ("default_transaction_read_only", &["off", "on"]),
    ("default_transaction_deferrable", &["off", "on"]),
    ("synchronous_commit", &["on", "local", "off"]),
    ("search_path", &["public", "pg_catalog", "nowhere, public"]),
    ("TimeZone", &["UTC", "'Asia/Kathmandu'"]),
];

/// Changes one, several times a second.
pub fn change(ledger: &Ledger, mut dice: Dice) {
    let _end = EndOnPanic(ledger);
    let mut client = None;
    while wait(ledger, Duration::from_millis(dice.between(50, 800))) {
        let (name, values) = dice.choose(&SETTINGS);
        let value = dice.choose(values);
        let mut alter = || {
            if client.is_none() {
                client = Some(steady::connect(&ledger.url)?);
            }
            let client = client.as_mut().expect("connected");
            let database: String = client.query_one("SELECT current_database()", &[])?.get(0);
            client.batch_execute(&format!("ALTER DATABASE {database} SET {name} = {value}"))
        };
        match alter() {
            Ok(()) => count(&ledger.defaults),
            Err(error) => {
                assert!(steady::is_away(&error), "ALTER DATABASE: {error:?}");
                client = None;
            }
        }
    }
}
