//! `campaign import`: which rows become recipients, and the report on the others.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::support::{ORGANIZATION, World, event, run};
use crate::{Scratch, campaign, command, done, refused, waits_for_a_lock};

const PEOPLE: &str = "\u{feff}E-Mail;Full name;Customer;city;Notes
ada@example.com;Ada;5f0c2c1e-0000-4000-8000-00000000000a;Oslo;x
info@münchen.example;;;\"Mün\nchen\";
no-at-sign;Nobody;;Rome;
ADA@example.com;Ada again;;Oslo;
gone@example.com;Gone;;Oslo;
alan@example.com;Alan;12;Bern;
short@example.com;Short
";
const MAPPING: [&str; 8] = [
    "--map",
    "email=E-Mail",
    "--map",
    "name=Full name",
    "--map",
    "customer_id=Customer",
    "--ignore",
    "Notes",
];

impl World {
    fn draft(&mut self) -> Uuid {
        let campaign = self.campaign();
        self.set_status(campaign, "draft");
        campaign
    }

    fn suppress(&mut self, email: &str) {
        let sql = "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, $2, 'bounce')";
        self.database.execute(sql, &[&ORGANIZATION, &email]);
    }

    /// The campaign's recipients in their order: address, name, customer, variables, organization, status.
    fn recipients(&mut self, campaign: Uuid) -> Vec<String> {
        let sql = "SELECT concat_ws(' | ', email, coalesce(name, '-'), coalesce(customer_id::text, '-'),
                          coalesce(variables::text, '-'), status)
                     FROM campaign_recipients WHERE campaign_id = $1 AND organization_id = $2 ORDER BY position";
        self.database.query(sql, &[&campaign, &ORGANIZATION]).iter().map(|row| row.get(0)).collect()
    }
}

fn import(world: &World, campaign_id: Uuid, arguments: &[&str], input: &str) -> std::process::Output {
    let id = campaign_id.to_string();
    campaign(&world.database.url, &[&["import", &id], arguments].concat(), input)
}

#[test]
fn good_rows_become_recipients_and_the_others_are_reported_with_their_lines() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let campaign = world.draft();
    world.suppress("gone@example.com");
    let (people, report) = (scratch.file("people.csv", PEOPLE), scratch.path("refused.csv"));
    let arguments = [&[&people, "--skip-bad", "--refused", &report], &MAPPING[..]].concat();
    let said = done(&import(&world, campaign, &arguments, ""));
    insta::assert_snapshot!(scratch.stable(&said), @r#"
    "Spring": 2 of 7 rows imported in T
            1  bad_address   for example people.csv:5: it is not of the form local@domain
            1  duplicate     for example people.csv:6: the same address as in line 2
            1  malformed_id  for example people.csv:8: Customer is "12", not a UUID
            1  suppressed    for example people.csv:7: on the suppression list: bounce
            1  unreadable    for example people.csv:9: it has 2 fields, and the header 5
    The refused rows are in refused.csv.
    The campaign is a draft and has 2 recipients.
    "#);
    insta::assert_snapshot!(scratch.read("refused.csv"), @r#"
    line,reason,detail,email
    5,bad_address,it is not of the form local@domain,no-at-sign
    6,duplicate,the same address as in line 2,ADA@example.com
    7,suppressed,on the suppression list: bounce,gone@example.com
    8,malformed_id,"Customer is ""12"", not a UUID",alan@example.com
    9,unreadable,"it has 2 fields, and the header 5",
    "#);
    assert_eq!(
        world.recipients(campaign),
        [
            r#"ada@example.com | Ada | 5f0c2c1e-0000-4000-8000-00000000000a | {"city": "Oslo"} | pending"#,
            r#"info@münchen.example | - | - | {"city": "Mün\nchen"} | pending"#,
        ]
    );
}

#[test]
fn whom_sending_would_leave_out_is_refused_for_the_same_reasons() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let campaign = world.draft();
    world.suppress("own@example.com");
    world.suppress("both@example.com");
    world
        .database
        .client()
        .batch_execute(
            "INSERT INTO suppressions (organization_id, email, reason) VALUES
                 ('00000000-0000-0000-0000-000000000000', 'both@example.com', 'complaint'),
                 ('00000000-0000-0000-0000-000000000000', 'all@example.com', 'complaint'),
                 (gen_random_uuid(), 'ada@example.com', 'bounce');
             CREATE OR REPLACE VIEW opted_out AS
                 SELECT organization_id, 'crm@example.com' AS email FROM campaigns
                 UNION ALL SELECT gen_random_uuid(), 'ada@example.com'",
        )
        .unwrap();
    let rows = "email\nown@example.com\nboth@example.com\nALL@example.com\n CRM@example.com\u{a0}\nada@example.com\n";
    done(&import(&world, campaign, &["-", "--skip-bad", "--refused", &scratch.path("refused.csv")], rows));
    insta::assert_snapshot!(scratch.read("refused.csv"), @r"
    line,reason,detail,email
    2,suppressed,on the suppression list: bounce,own@example.com
    3,suppressed,on the suppression list: bounce,both@example.com
    4,suppressed,on the suppression list of all organizations: complaint,ALL@example.com
    5,suppressed,opted out in the CRM,CRM@example.com
    ");
    assert_eq!(world.recipients(campaign), ["ada@example.com | - | - | - | pending"]);
}

#[test]
fn nothing_is_imported_when_a_row_is_refused_or_in_a_dry_run() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let campaign = world.draft();
    let people = scratch.file("people.csv", "email\nada@example.com\nADA@EXAMPLE.COM\n");
    let output = import(&world, campaign, &[&people], "");
    assert_eq!(
        refused(&output),
        "65: campaign: 1 of 2 rows is refused, so nothing was imported: correct them, or give --skip-bad"
    );
    let said = done(&import(&world, campaign, &[&people, "--skip-bad", "--dry-run"], ""));
    assert!(said.ends_with("Nothing was imported: that was a dry run.\n"), "{said}");
    assert_eq!(world.recipients(campaign), [] as [&str; 0]);
    // Nothing was written and rolled back either.
    let written = "SELECT is_called FROM campaign_recipients_position_seq";
    assert!(!world.database.query(written, &[])[0].get::<_, bool>(0));

    world.add_recipient(campaign, "Ada@example.com");
    let said = done(&import(&world, campaign, &[&people, "--skip-bad", "--dry-run"], ""));
    insta::assert_snapshot!(scratch.stable(&said), @r#"
    "Spring": 0 of 2 rows good in T
            1  duplicate     for example people.csv:3: the same address as in line 2
            1  in_campaign   for example people.csv:2: the campaign has this address
    Nothing was imported: that was a dry run.
    "#);
}

#[test]
fn an_address_that_the_campaign_has_is_not_taken_again_whatever_its_case() {
    let mut world = World::new();
    let campaign = world.draft();
    world.add_recipient(campaign, "Ada@Example.com");
    let input = "{\"email\": \"ada@example.com\"}\n{\"email\": \"grace@example.com\", \"name\": null}\n";
    let said = done(&import(&world, campaign, &["-", "--skip-bad"], input));
    assert!(
        said.contains("1  in_campaign   for example standard input:1: the campaign has this address"),
        "{said}"
    );
    assert_eq!(
        world.recipients(campaign),
        ["Ada@Example.com | - | - | - | pending", "grace@example.com | - | - | - | pending"]
    );
}

#[test]
fn a_mailbox_is_imported_once_however_it_is_spelled() {
    let mut world = World::new();
    let campaign = world.draft();
    world.suppress("gone@xn--mnchen-3ya.example");
    world.add_recipient(campaign, "info@xn--mnchen-3ya.example");
    let input = "email\nada@example.com\nada@example.com\u{200b}\n\u{feff}ada@example.com\nada@exam\u{ad}ple.com\n\
                 ada@EXAMPLE\u{3002}com\n\u{a0}ada@example.com\ngone@m\u{fc}nchen.example\ninfo@m\u{fc}nchen.example\n\
                 Ada ada@example.net\n";
    let said = done(&import(&world, campaign, &["-", "--skip-bad"], input));
    for line in [
        "5  duplicate     for example standard input:3: the same address as in line 2",
        "1  suppressed    for example standard input:8: on the suppression list: bounce",
        "1  in_campaign   for example standard input:9: the campaign has this address",
        "1  bad_address   for example standard input:10: white space or a control character stands within it",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(
        world.recipients(campaign),
        ["info@xn--mnchen-3ya.example | - | - | - | pending", "ada@example.com | - | - | - | pending"]
    );
}

#[test]
fn an_address_that_another_transaction_is_adding_is_waited_for() {
    let mut world = World::new();
    let campaign_id = world.draft();
    let mut other = world.database.connect();
    let mut other = other.transaction().unwrap();
    let sql = "INSERT INTO campaign_recipients (campaign_id, organization_id, email) VALUES ($1, $2, 'ada@example.com')";
    other.execute(sql, &[&campaign_id, &ORGANIZATION]).unwrap();
    let url = world.database.url.clone();
    let said = std::thread::scope(|scope| {
        let importing = scope.spawn(move || {
            let arguments = ["import", &campaign_id.to_string(), "-", "--skip-bad"];
            done(&campaign(&url, &arguments, "email\nADA@example.com\ngrace@example.com\n"))
        });
        waits_for_a_lock(&world.database);
        other.commit().unwrap();
        importing.join().unwrap()
    });
    assert!(said.contains("1  in_campaign "), "{said}");
    assert!(said.contains("has 2 recipients"), "{said}");
}

#[test]
fn recipients_that_are_added_while_a_campaign_is_sending_are_counted_and_sent_to() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    let mut function = world.function();
    function.invoke(&event(campaign, 2), crate::support::TIMEOUT).unwrap();
    // These rows get positions before those of the rows that are imported below, and become visible after
    // them.
    let mut late = world.database.connect();
    let mut late = late.transaction().unwrap();
    let sql = "INSERT INTO campaign_recipients (campaign_id, organization_id, email) VALUES ($1, $2, 'late@example.com')";
    late.execute(sql, &[&campaign, &ORGANIZATION]).unwrap();
    let said =
        done(&import(&world, campaign, &["-"], "email,name\nada@example.com,Ada\ngrace@example.com,\n"));
    assert!(said.ends_with("The campaign is sending and has 5 recipients.\n"), "{said}");
    let total = |world: &mut World| -> i32 {
        world.database.query("SELECT total_count FROM campaigns WHERE id = $1", &[&campaign])[0].get(0)
    };
    assert_eq!(total(&mut world), 5);
    function.invoke(&event(campaign, 2), crate::support::TIMEOUT).unwrap();
    assert_eq!(total(&mut world), 5);
    late.commit().unwrap();
    run(&mut function, event(campaign, 10));
    assert_eq!(world.campaign_status(campaign).0, "sent");
    assert_eq!((world.ses.message_count(), total(&mut world)), (6, 6));
    world.assert_consistent(campaign);
}

#[test]
fn the_rows_of_a_query_become_recipients() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let campaign = world.draft();
    world.database.execute(
        "CREATE TABLE customers AS SELECT * FROM (VALUES
             ('ada@example.com', 'Ada', 'O\"s\\lo', ARRAY[1, 2]), ('grace@example.com', NULL, 'Rome', NULL))
             AS c (mail, name, city, tags)",
        &[],
    );
    let query = scratch.file(
        "newsletter.sql",
        "-- Who gets the newsletter.\nSELECT mail AS email, name, city, tags FROM customers ORDER BY mail; \n",
    );
    let said = done(&import(&world, campaign, &["--query", &query], ""));
    assert!(said.starts_with("\"Spring\": 2 of 2 rows imported in "), "{said}");
    assert_eq!(
        world.recipients(campaign),
        [
            r#"ada@example.com | Ada | - | {"city": "O\"s\\lo", "tags": [1, 2]} | pending"#,
            r#"grace@example.com | - | - | {"city": "Rome", "tags": null} | pending"#,
        ]
    );
    let elsewhere = World::new();
    let there = import(&elsewhere, Uuid::nil(), &["--query", &query, "--from", &world.database.url], "");
    assert!(refused(&there).starts_with("65: campaign: there is no campaign"));
}

#[test]
fn a_query_is_run_where_from_says_and_may_only_read() {
    let (mut world, mut crm, scratch) = (World::new(), World::new(), Scratch::new());
    let campaign = world.draft();
    crm.database.execute("CREATE TABLE people (email text)", &[]);
    crm.database.execute("CREATE SEQUENCE s", &[]);
    crm.database.execute("INSERT INTO people VALUES ('ada@example.com'), ('x'), ('ADA@example.com')", &[]);
    let query = scratch.file("people.sql", "SELECT email\n  FROM people");
    let from = ["--query", &query, "--from", &crm.database.url];
    let said = done(&import(&world, campaign, &[&from[..], &["--skip-bad"]].concat(), ""));
    insta::assert_snapshot!(scratch.stable(&said), @r#"
    "Spring": 1 of 3 rows imported in T
            1  bad_address   for example people.sql, row 2: it is not of the form local@domain
            1  duplicate     for example people.sql, row 3: the same address as in row 1
    The campaign is a draft and has 1 recipient.
    "#);
    assert_eq!(world.recipients(campaign).len(), 1);

    let error = |text: &str| {
        scratch.file("people.sql", text);
        scratch.stable(&refused(&import(&world, campaign, &from, "")))
    };
    insta::assert_snapshot!(error("SELECT email\n  FROM persons"), @r#"65: campaign: people.sql:2: relation "persons" does not exist [42P01]"#);
    insta::assert_snapshot!(error("SELECT email\n  FORM people"), @r#"65: campaign: people.sql:2: syntax error at or near "people" [42601]"#);
    insta::assert_snapshot!(error("SELECT setval('s', 7)::text AS email"), @"66: campaign: people.sql: cannot execute setval() in a read-only transaction [25006]");
    assert_eq!(crm.database.query("SELECT last_value FROM s", &[])[0].get::<_, i64>(0), 1);
}

#[test]
fn what_cannot_be_imported_at_all_is_told_with_its_place() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let campaign_id = world.draft();
    let error = |text: &str, arguments: &[&str]| {
        let people = scratch.file("people.csv", text);
        let output = import(&world, campaign_id, &[&[people.as_str()], arguments].concat(), "");
        scratch.stable(&refused(&output))
    };
    insta::assert_snapshot!(error("Mail,Name\n", &[]), @r#"65: campaign: people.csv:1: there is no column "email"; the columns are "Mail", "Name": name it with --map email=COLUMN"#);
    insta::assert_snapshot!(error("email\n", &["--ignore", "Notes"]), @r#"65: campaign: people.csv:1: --ignore: there is no column "Notes"; the columns are "email""#);
    insta::assert_snapshot!(error("email,name\nada@example.com,Ada\nbob@example.com,\"Bob\ncy@example.com,Cy\n", &["--skip-bad"]), @"65: campaign: people.csv:3: a quote is opened here and not closed in its own line: what follows in line 4 looks like a row of its own");
    insta::assert_snapshot!(error("email,city,city\n", &[]), @r#"65: campaign: people.csv:1: the columns 2 and 3 are both "city": leave one out with --ignore '#3', or take it under another name with --map NAME='#3'"#);
    insta::assert_snapshot!(error("", &[]), @"65: campaign: people.csv:1: there is no header: expected a first line with the names of the columns, for example email,name");
    insta::assert_snapshot!(error("[{\"email\": 1}]", &[]), @"65: campaign: people.csv:1: a JSON array: expected one object per line, as jq -c '.[]' gives");
    insta::assert_snapshot!(error("email\n", &["--refused", "/nowhere/x"]), @"73: campaign: --refused /nowhere/x: No such file or directory (os error 2)");
    let nowhere = import(&world, campaign_id, &["/nowhere"], "");
    insta::assert_snapshot!(refused(&nowhere), @"66: campaign: /nowhere: No such file or directory (os error 2)");
    world.set_status(campaign_id, "cancelled");
    let cancelled = import(&world, campaign_id, &["-"], "");
    assert!(refused(&cancelled).ends_with("is cancelled, and sends to nobody any more: create another one"));
}

#[test]
fn a_file_that_spreadsheets_write_is_imported_as_it_is_meant() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let header = "\u{feff}sep=;\r\n\"email\";\" Name (last, first)\u{a0}\";;city;city;it's;\r\n";
    let rows =
        "ada@example.com;Lovelace, Ada;;Oslo;Rome;1;\r\n;;;;;;\r\n\"'+bob@example.com\";Bob;x;;;;;;\r\n\r\n";
    let people = scratch.file("people.csv", [header, rows].concat());
    let campaign_id = world.draft();
    // The CRM's own table of that name is not used.
    world.database.execute("CREATE TABLE imported (line int)", &[]);
    let arguments = [&people, "--map", "name=Name (last, first)", "--ignore", "#5"];
    let said = done(&import(&world, campaign_id, &arguments, ""));
    insta::assert_snapshot!(scratch.stable(&said), @r#"
    "Spring": 2 of 2 rows imported in T
    No template can name the variable "it's": rename it with --map NAME='it'\''s', or leave it out with --ignore 'it'\''s'.
    Column 3 has values and no name, and is left out: take it with --map NAME='#3', or leave it out with --ignore '#3'.
    The campaign is a draft and has 2 recipients.
    "#);
    assert_eq!(
        world.recipients(campaign_id),
        [
            r#"ada@example.com | Lovelace, Ada | - | {"city": "Oslo", "it's": "1"} | pending"#,
            r#"+bob@example.com | Bob | - | {"city": "", "it's": ""} | pending"#,
        ]
    );
    let again = world.draft();
    let arguments =
        [&arguments[..], &["--map", "its=it's", "--map", "third=#3", "--delimiter", ";"]].concat();
    let said = done(&import(&world, again, &arguments, ""));
    insta::assert_snapshot!(scratch.stable(&said), @r#"
    "Spring": 2 of 2 rows imported in T
    The campaign is a draft and has 2 recipients.
    "#);
}

#[test]
fn the_report_of_refused_rows_is_no_formula_and_can_be_imported_again() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let campaign_id = world.draft();
    let people = scratch.file(
        "people.csv",
        "email,name\n=cmd|'/c calc'!A0,x\n+ada@example.com,\"A\"x\n+bob@example.com,Bob\n",
    );
    world.suppress("+bob@example.com");
    let report = scratch.path("refused.csv");
    let said = done(&import(&world, campaign_id, &[&people, "--skip-bad", "--refused", &report], ""));
    assert!(said.contains("0 of 3 rows imported"), "{said}");
    insta::assert_snapshot!(scratch.read("refused.csv"), @r#"
    line,reason,detail,email
    2,bad_address,white space or a control character stands within it,'=cmd|'/c calc'!A0
    3,unreadable,text after a closing quote: a quote within a quoted field is written twice,
    4,suppressed,on the suppression list: bounce,'+bob@example.com
    "#);
    world.database.execute("DELETE FROM suppressions", &[]);
    done(&import(&world, campaign_id, &[&report, "--skip-bad", "--ignore", "detail"], ""));
    assert_eq!(
        world.recipients(campaign_id),
        [r#"+bob@example.com | - | - | {"line": "4", "reason": "suppressed"} | pending"#]
    );
}

#[test]
fn an_import_of_100_000_rows_takes_memory_that_does_not_grow_with_it() {
    const ROWS: u32 = 100_000;
    let mut world = World::new();
    let campaign = world.draft();
    let mut process = command(&world.database.url, &["import", &campaign.to_string(), "-"])
        .spawn()
        .expect("campaign starts");
    let mut input = process.stdin.take().unwrap();
    let story = "x".repeat(400);
    let mut at_a_tenth = 0;
    for number in 0..ROWS {
        let row = json!({"email": format!("person{number}@example.com"), "name": "Ada", "story": story});
        writeln!(input, "{row}").unwrap();
        if number == ROWS / 10 {
            at_a_tenth = peak_memory(process.id());
        }
    }
    let at_the_end = peak_memory(process.id());
    drop(input);
    done(&process.wait_with_output().unwrap());
    assert_eq!(
        world.count(campaign, "status = 'pending' AND length(variables->>'story') = 400"),
        i64::from(ROWS)
    );
    let total: i32 = world.database.query("SELECT total_count FROM campaigns", &[])[0].get(0);
    assert_eq!(total.unsigned_abs(), ROWS);
    // 45 MB have gone through it.
    assert!(at_the_end < at_a_tenth + 8_000, "{at_a_tenth} kB at a tenth, {at_the_end} kB at the end");
}

/// `VmHWM` of a process in kB; 0 if the system does not report it.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or_default()
}

#[test]
fn a_customers_own_key_is_imported_as_it_is() {
    let mut world = World::new();
    let id = world.campaign();
    let csv =
        "email,Kundennummer\nada@example.com,5f0c9a7be4d2c81f3\nbob@example.com, 004711 \neve@example.com,\n";
    done(&campaign(
        &world.database.url,
        &["import", &id.to_string(), "-", "--map", "customer_ref=Kundennummer"],
        csv,
    ));
    let sql = "SELECT customer_ref, variables IS NULL FROM campaign_recipients ORDER BY position";
    let rows = world.database.query(sql, &[]);
    let keys: Vec<(Option<&str>, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(keys, [(Some("5f0c9a7be4d2c81f3"), true), (Some("004711"), true), (None, true)]);
}

/// Gives an import of ada, bob and cy a deadlock with another transaction, which has an uncommitted recipient with
/// bob's address and then wants to add ada. The import is the one that PostgreSQL ends. Returns what it said.
fn import_in_a_deadlock(
    world: &mut World,
    campaign_id: Uuid,
    arguments: &[&str],
    other_commits: bool,
) -> String {
    let mut gate = world.database.connect();
    gate.batch_execute(
        "CREATE SEQUENCE attempts;
         CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF new.email = 'bob@example.com' AND current_setting('application_name') <> 'other' THEN
                 PERFORM nextval('attempts');
                 PERFORM pg_advisory_lock(1), pg_advisory_unlock(1);
             END IF;
             RETURN new;
         END $$;
         CREATE TRIGGER gate BEFORE INSERT ON campaign_recipients FOR EACH ROW EXECUTE FUNCTION gate();
         SELECT pg_advisory_lock(1)",
    )
    .unwrap();
    let mut other = world.database.connect();
    // It waits for the import for as long as it takes, so PostgreSQL ends the import.
    other.batch_execute("SET application_name = 'other'; SET deadlock_timeout = '1h'").unwrap();
    let add = "INSERT INTO campaign_recipients (campaign_id, organization_id, email) VALUES ($1, $2, $3)";
    let mut other = other.transaction().unwrap();
    other.execute(add, &[&campaign_id, &ORGANIZATION, &"bob@example.com"]).unwrap();
    let url = world.database.url.clone();
    std::thread::scope(|scope| {
        let importing = scope.spawn(move || {
            let id = campaign_id.to_string();
            let people = "email\nada@example.com\nbob@example.com\ncy@example.com\n";
            done(&campaign(&url, &[&["import", &id, "-"], arguments].concat(), people))
        });
        let waiting = |count: i64| {
            let mut observer = world.database.connect();
            let sql = "SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
                        WHERE NOT l.granted AND a.datname = current_database()";
            let end = Instant::now() + Duration::from_secs(20);
            while observer.query_one(sql, &[]).unwrap().get::<_, i64>(0) < count {
                assert!(Instant::now() < end, "fewer than {count} wait for a lock");
                std::thread::yield_now();
            }
        };
        waiting(1);
        let adding = scope.spawn(move || {
            other.execute(add, &[&campaign_id, &ORGANIZATION, &"ada@example.com"]).unwrap();
            if other_commits { other.commit() } else { other.rollback() }.unwrap();
        });
        waiting(2);
        gate.batch_execute("SELECT pg_advisory_unlock(1)").unwrap();
        adding.join().unwrap();
        importing.join().unwrap()
    })
}

#[test]
fn an_import_that_postgresql_ends_because_of_a_deadlock_is_made_again_and_nobody_is_imported_twice() {
    for (other_commits, arguments, said, count) in
        [(false, &[][..], "3 of 3 rows imported", 3), (true, &["--skip-bad"], "1 of 3 rows imported", 3)]
    {
        let mut world = World::new();
        let campaign_id = world.draft();
        let output = import_in_a_deadlock(&mut world, campaign_id, arguments, other_commits);
        assert!(output.contains(said), "{output}");
        let sql = "SELECT count(*), count(DISTINCT email) FROM campaign_recipients";
        let row = &world.database.query(sql, &[])[0];
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (count, count));
        let attempts = world.database.query("SELECT last_value FROM attempts", &[])[0].get::<_, i64>(0);
        assert_eq!(attempts, 2);
    }
}

#[test]
fn an_import_that_is_always_in_a_conflict_ends_and_leaves_nothing() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let campaign_id = world.draft();
    world
        .database
        .client()
        .batch_execute(
            "CREATE SEQUENCE attempts;
             CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM nextval('attempts');
                 RAISE EXCEPTION 'meet' USING ERRCODE = 'serialization_failure';
             END $$;
             -- As a trigger that PostgreSQL would only run at the COMMIT.
             CREATE CONSTRAINT TRIGGER conflict AFTER INSERT ON campaign_recipients
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION conflict()",
        )
        .unwrap();
    let refused_rows = scratch.path("refused.csv");
    let arguments = ["-", "--skip-bad", "--refused", &refused_rows];
    let output = import(&world, campaign_id, &arguments, "email\nada@example.com\nnowhere\n");
    assert_eq!(
        refused(&output),
        "69: campaign: PostgreSQL at DATABASE_URL rolled the statement back each time: meet [40001]"
    );
    assert_eq!(world.count(campaign_id, "true"), 0);
    let attempts = world.database.query("SELECT last_value FROM attempts", &[])[0].get::<_, i64>(0);
    assert_eq!(attempts, 5);
    assert_eq!(scratch.read("refused.csv").lines().count(), 2, "the report is written once");
}
