//! The promises hold with any defaults of the database, the role, the server's sessions and other clients of
//! a pooler.

use crate::support::{World, all_at_once};

const LANES: usize = 6;
const RECIPIENTS: i32 = 600;

/// Several lanes send a campaign under these settings of the database; each recipient gets one email and one
/// activity. Batches are small, so the lanes meet at the cursor all the time.
fn sent_once_each(settings: &[&str]) {
    let mut world = World::new();
    let campaign = world.campaign_of(RECIPIENTS);
    let database: String = world.database.query("SELECT current_database()", &[])[0].get(0);
    for (n, setting) in settings.iter().enumerate() {
        // Some are the database's, some the role's.
        let whose = if n % 2 == 0 { "DATABASE" } else { "ROLE CURRENT_USER IN DATABASE" };
        world.database.execute(&format!("ALTER {whose} {database} SET {setting}"), &[]);
    }
    all_at_once(&mut world, campaign, LANES, 13);
    assert_eq!(world.ses.message_count(), usize::try_from(RECIPIENTS).unwrap());
    world.assert_consistent(campaign);
}

#[test]
fn repeatable_read_sends_once_each() {
    sent_once_each(&["default_transaction_isolation = 'repeatable read'"]);
}

#[test]
fn serializable_sends_once_each() {
    sent_once_each(&["default_transaction_isolation = serializable", "default_transaction_deferrable = on"]);
}

#[test]
fn a_database_that_is_read_only_by_default_sends_once_each() {
    sent_once_each(&["default_transaction_read_only = on", "synchronous_commit = off"]);
}

#[test]
fn forms_of_values_that_others_prefer_change_nothing() {
    sent_once_each(&[
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'German, DMY'",
        "standard_conforming_strings = off",
        "transform_null_equals = on",
        "extra_float_digits = -15",
        "bytea_output = escape",
        "IntervalStyle = sql_standard",
    ]);
}

#[test]
fn time_outs_that_others_need_short_are_not_ours() {
    sent_once_each(&["lock_timeout = 1", "statement_timeout = 1"]);
}
