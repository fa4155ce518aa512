//! The SQL as PostgreSQL sees it: each statement is planned against the migrated schema, and the signatures of the SQL
//! functions and the statuses that the tables take are what the Rust code has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::domain::recipient::Status;
use campaign_sender::send_batch::record;
use campaign_sender::store::Database;
use campaign_sender::store::activities::{ActivitiesTable, plan};
use campaign_sender::store::settings::database_url;

use crate::support::database::TestDatabase;
use crate::support::root;

/// Files that are not statements of their own, and where they are planned instead.
const PARTS: [(&str, &str); 13] = [
    ("src/store/begin.sql", "before each statement"),
    ("src/store/schema.sql", "before each statement"),
    ("src/store/activities.sql", "in load.sql"),
    ("src/store/activities/email_sent.sql", "in record.sql"),
    ("src/unsubscribe/activity.sql", "in unsubscribe.sql"),
    ("src/send_batch/due.sql", "in load.sql"),
    ("cli/src/migrate/baseline.sql", "steps of several statements"),
    ("cli/src/migrate/suppressions.sql", "a step of the baseline"),
    ("cli/src/import/judge.sql", "several statements over a table of the session"),
    ("cli/src/import/table.sql", "a table of the session"),
    ("cli/src/suppressions/write.sql", "its rows differ by command"),
    ("cli/src/suppressions/read.sql", "a table of the session"),
    ("src/store/activities/plan.sql", "an EXPLAIN, whenever a table is learned"),
];

/// The types of parameters that PostgreSQL cannot infer, as the Rust code gives them.
const TYPES: [(&str, &str); 9] = [
    ("cli/src/demo/load.sql", "uuid, uuid, text, text, text, jsonb, text[], text[], jsonb[], bool[]"),
    ("cli/src/resolve/by_hand.sql", "uuid, uuid[], text[], text, text"),
    ("cli/src/resolve/uncertain.sql", "uuid, uuid[]"),
    ("cli/src/status/overviews.sql", "uuid, int8, text[], uuid"),
    ("src/send_batch/resend_unreported.sql", "uuid, float8"),
    ("src/send_batch/load.sql", "uuid, uuid[], text"),
    (
        "src/send_batch/record.sql",
        "uuid, int8, uuid, uuid[], text[], text[], text[], text[], timestamptz[], text[], bool, bool, text, text, \
         int, text, float8, bool",
    ),
    ("src/ses_events/pause.sql", "uuid[], text[], uuid[]"),
    (
        "src/ses_events/record.sql",
        "uuid[], uuid[], uuid[], text[], text[], text[], timestamptz[], timestamptz[], text[], text[], text[], \
         text[], bool[], uuid[], text[], text[], text[], jsonb[], text[], text[]",
    ),
];

/// Every `.sql` file of the functions and of the command line, by its path from the root.
fn files() -> BTreeMap<String, String> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "sql") {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    for folder in ["src", "cli/src"] {
        collect(&root.join(folder), &mut found);
    }
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn own_table(database: &TestDatabase) -> ActivitiesTable {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = database_url(Some(database.url.clone())).unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let learn = async {
        let database = Database::new(&url.into()).unwrap();
        plan::learn(&database, "activities", &["email_sent"], &[], until).await.unwrap()
    };
    runtime.block_on(learn)
}

#[test]
fn every_statement_is_planned_against_the_migrated_schema() {
    let mut database = TestDatabase::create();
    let table = own_table(&database);
    let files = files();
    let part = |name: &str| files[name].trim_end().to_owned();
    let (mut planned, mut refused) = (0, Vec::new());
    // (The table of an import is gone with its transaction.)
    let imported =
        part("cli/src/import/table.sql").replace(" ON COMMIT DROP", "").replace("SET LOCAL", "SET");
    database.client().batch_execute(&imported).unwrap();
    for (file, sql) in &files {
        if PARTS.iter().any(|(part, _)| part == file) {
            continue;
        }
        let sql = sql
            .replace("{due}", &part("src/send_batch/due.sql"))
            .replace("{catalogue}", &part("src/store/activities.sql"))
            .replace("{activity}", &part("src/unsubscribe/activity.sql"));
        let types = TYPES.iter().find(|(name, _)| name == file).map_or("", |(_, types)| types);
        let types = if types.is_empty() { String::new() } else { format!("({types})") };
        let sql = table.fill(&sql);
        let sql = sql.trim_end().trim_end_matches(';');
        match database.client().batch_execute(&format!("PREPARE planned_{planned} {types} AS {sql}")) {
            Ok(()) => planned += 1,
            Err(error) => refused.push(format!("{file}: {error:?}")),
        }
    }
    assert_eq!(refused, Vec::<String>::new());
    assert!(planned > 40, "{planned}");
}

#[test]
fn recording_is_the_statement_that_was_looked_at() {
    let database = TestDatabase::create();
    insta::assert_snapshot!("record", own_table(&database).fill(record::STATEMENT));
}

#[test]
fn the_signatures_of_the_sql_functions_are_those_that_were_looked_at() {
    let mut database = TestDatabase::create();
    let rows = database.query(
        "SELECT format('%s(%s)%s %s', p.proname, pg_get_function_arguments(p.oid),
                       coalesce(' RETURNS ' || pg_get_function_result(p.oid), ''),
                       CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END)
           FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
            AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
          ORDER BY p.proname COLLATE \"C\", 1",
        &[],
    );
    let signatures: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    insta::assert_snapshot!("signatures", signatures.join("\n"));
}

#[test]
fn the_tables_take_the_statuses_of_the_life_cycles_and_no_other() {
    let mut database = TestDatabase::create();
    let mut taken = |table: &str| -> Vec<String> {
        let sql = "SELECT pg_get_constraintdef(oid) FROM pg_constraint
                    WHERE conrelid = $1::text::regclass AND contype = 'c'
                      AND conkey = ARRAY[(SELECT attnum FROM pg_attribute
                                           WHERE attrelid = conrelid AND attname = 'status')]";
        let rows = database.query(sql, &[&table]);
        let [check] = rows.as_slice() else { panic!("{table}: {} checks of its status", rows.len()) };
        let check: String = check.get(0);
        let mut words: Vec<String> = check.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
        words.sort();
        words
    };
    let sorted = |mut words: Vec<&str>| {
        words.sort_unstable();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(taken("campaigns"), sorted(CampaignStatus::ALL.map(CampaignStatus::as_str).to_vec()));
    assert_eq!(taken("campaign_recipients"), sorted(Status::ALL.map(Status::as_str).to_vec()));
}
