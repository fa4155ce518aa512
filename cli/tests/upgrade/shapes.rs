//! Databases that were made before versions were recorded, brought to the newest version in mid-campaign.

use std::collections::BTreeSet;

use local_ses::ses::{Options, SesEndpoint};
use uuid::Uuid;

use super::migrated;
use crate::support::database::TestDatabase;
use crate::support::{World, event, run};

/// The schemas, oldest first.
const SCHEMAS: [(&str, &str); 4] = [
    ("first", include_str!("schemas/first.sql")),
    ("shared_rate", include_str!("schemas/shared_rate.sql")),
    ("closed_through", include_str!("schemas/closed_through.sql")),
    ("release_0_1", include_str!("schemas/release_0_1.sql")),
];

/// The campaign of `half_sent.sql`.
const CAMPAIGN: Uuid = Uuid::from_u128(0x4000_8000_0000_0000_0001);

/// A world whose database has an old schema, with a campaign that is half sent.
pub fn half_sent(schema: &str) -> World {
    let mut database = TestDatabase::create_empty();
    for sql in [schema, include_str!("half_sent.sql")] {
        database.client().batch_execute(sql).unwrap();
    }
    World { api: "auto", database, ses: SesEndpoint::start(Options::default()).unwrap() }
}

fn shape(database: &mut TestDatabase) -> BTreeSet<String> {
    let rows = database.query(include_str!("shape.sql"), &[]);
    rows.iter().map(|row| without_path(row.get(0))).collect()
}

/// A function's search path is that of whoever made it: `campaign migrate` has another one than `psql`.
fn without_path(line: &str) -> String {
    let others = line.lines().filter(|line| !line.trim_start().starts_with("SET search_path TO "));
    others.collect::<Vec<_>>().join("\n")
}

/// What may be left of an old schema: columns that functions of that time write, an index that a CRM's statement may
/// name, and the claim's name of before release 0.1.
fn is_left_over(line: &str) -> bool {
    [
        "campaign_cursors.claimed_through ",
        "campaign_cursors.closed_through ",
        "send_rates.free_from ",
        "CREATE UNIQUE INDEX campaign_recipients_email ON ",
        "p_per_second double precision, p_seconds double precision, OUT verdict",
    ]
    .iter()
    .any(|part| line.contains(part))
}

fn without_history(lines: BTreeSet<String>) -> BTreeSet<String> {
    lines.into_iter().filter(|line| !line.contains("campaign_schema_history")).collect()
}

/// What the database lacks that an empty one becomes, and what it has beside that and what may be left over.
pub fn missing_and_left(world: &mut World) -> (Vec<String>, Vec<String>) {
    let fresh = shape(&mut TestDatabase::create());
    let found = without_history(shape(&mut world.database));
    let missing = fresh.difference(&found).cloned().collect();
    let left = found.difference(&fresh).filter(|line| !is_left_over(line)).cloned().collect();
    (missing, left)
}

/// Sends the campaign of `half_sent.sql` to its end, and answers how many recipients have which status then.
pub fn statuses_at_the_end(world: &mut World) -> String {
    // The invocation that was at work when the schema was migrated holds its batch until its lease ends.
    world.expire_leases();
    let results = run(&mut world.function(), event(CAMPAIGN, 10));
    assert_eq!(results.last().unwrap()["status"], "done");
    let statuses = world.statuses(CAMPAIGN).into_iter().map(|(status, count)| format!("{status} {count}"));
    statuses.collect::<Vec<_>>().join(", ")
}

#[test]
fn every_earlier_schema_becomes_what_an_empty_database_becomes() {
    let fresh = shape(&mut TestDatabase::create());
    let mut by_command = TestDatabase::create_empty();
    migrated(&by_command.url, &[]);
    assert_eq!(without_history(shape(&mut by_command)), fresh);
    for (name, schema) in SCHEMAS {
        let mut world = half_sent(schema);
        migrated(&world.database.url, &[]);
        let (missing, left) = missing_and_left(&mut world);
        assert!(missing.is_empty(), "{name} lacks {missing:#?}");
        assert!(left.is_empty(), "{name} still has {left:#?}");
        assert!(migrated(&world.database.url, &[]).starts_with("up to date"));
    }
}

#[test]
fn a_campaign_that_was_half_sent_goes_on_and_nobody_is_sent_to_twice_or_forgotten() {
    for (name, schema) in SCHEMAS {
        let mut world = half_sent(schema);
        let said = migrated(&world.database.url, &[]);
        assert!(
            said.contains("1 recipients have a mailbox that another recipient of the campaign has"),
            "{said}"
        );
        assert!(said.contains("1 suppressions are in the canonical form of addresses now"), "{said}");

        // Nothing is lost: recipients stay, rows that say the same become one.
        assert_eq!(world.count(CAMPAIGN, "true"), 62, "{name}");
        let events = "SELECT string_agg(action || ' ' || count, ', ' ORDER BY action) FROM recipient_events";
        let events: String = world.database.query(events, &[])[0].get(0);
        assert_eq!(events, "email_clicked 1, email_opened 3", "{name}");
        let suppressions = "SELECT string_agg(concat_ws(' ', email, reason, extract(year FROM created_at)), ', ' ORDER BY email)
                              FROM suppressions";
        let suppressions: String = world.database.query(suppressions, &[])[0].get(0);
        assert_eq!(
            suppressions, "b@xn--mnchen-3ya.example complaint 2020, r60@example.com manual 2021",
            "{name}"
        );

        let statuses = statuses_at_the_end(&mut world);
        let twice = world.ses.addresses_received_more_than_once();
        assert!(twice.is_empty(), "{name}: received more than once: {twice:?}");
        let received: BTreeSet<String> =
            world.ses.messages().iter().flat_map(|message| message.to.clone()).collect();
        // Handed over before: 1 to 10 are recorded, 11 is noted, 12 to 14 and 21 to 25 are uncertain, as 31 and 32 were.
        let expected: BTreeSet<String> = (15..=59)
            .filter(|n| !matches!(n, 21..=25 | 31 | 32))
            .map(|n| format!("r{n}@example.com"))
            .collect();
        assert_eq!(received, expected, "{name}");
        assert_eq!(statuses, "failed 1, sent 49, suppressed 2, uncertain 10", "{name}");
        let counters = "SELECT concat_ws(' ', status, total_count, sent_count, failed_count, suppressed_count, uncertain_count)
                          FROM campaigns WHERE id = $1";
        let counters: String = world.database.query(counters, &[&CAMPAIGN])[0].get(0);
        assert_eq!(counters, "sent 62 49 1 2 10", "{name}");
        let activities =
            "SELECT count(*), count(DISTINCT source_ref) FROM activities WHERE action = 'email_sent'";
        let activities = &world.database.query(activities, &[])[0];
        assert_eq!((activities.get::<_, i64>(0), activities.get::<_, i64>(1)), (49, 49), "{name}");
    }
}
