//! `campaign resolve`, `migrate` and `demo`, and their errors.

mod from_ses;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use campaign_sender::store::schema::VERSION;
use local_ses::ses::{Effect, Rule};
use serde_json::Value;
use uuid::Uuid;

use crate::support::database::TestDatabase;
use crate::support::{self, World, event, run};
use crate::{campaign, done, refused, waits_for_a_lock};

impl World {
    /// A finished campaign of 6 with 3 uncertain recipients: SES has accepted the emails to r1 and r2, and
    /// not that to r3.
    fn campaign_with_uncertain(&mut self) -> Uuid {
        let campaign = self.campaign_of(6);
        self.ses.add_rule(Rule::to("r1@example.com", Effect::DropAfterAccept));
        self.ses.add_rule(Rule::to("r2@example.com", Effect::DropAfterAccept));
        self.ses.add_rule(Rule::to("r3@example.com", Effect::ServerError));
        run(&mut self.function(), event(campaign, 10));
        self.ses.clear_rules();
        assert_eq!(self.counters(campaign), "sent: 6 = 3 sent + 0 failed + 3 uncertain + 0 pending");
        campaign
    }

    fn recipient(&mut self, email: &str) -> String {
        let rows = self.database.query("SELECT id FROM campaign_recipients WHERE email = $1", &[&email]);
        rows[0].get::<_, Uuid>(0).to_string()
    }

    /// The campaign's status and counters, which are also those of its recipients.
    fn counters(&mut self, campaign: Uuid) -> String {
        let row = &self.database.query(
            "SELECT status, total_count, sent_count, failed_count, uncertain_count FROM campaigns WHERE id = $1",
            &[&campaign],
        )[0];
        let (status, total): (String, i32) = (row.get(0), row.get(1));
        let (sent, failed, uncertain): (i32, i32, i32) = (row.get(2), row.get(3), row.get(4));
        let counted =
            |world: &mut World, status: &str| world.count(campaign, &format!("status = '{status}'"));
        assert_eq!(counted(self, "sent"), i64::from(sent));
        assert_eq!(counted(self, "failed"), i64::from(failed));
        assert_eq!(counted(self, "uncertain"), i64::from(uncertain));
        let pending = counted(self, "pending");
        format!(
            "{status}: {total} = {sent} sent + {failed} failed + {uncertain} uncertain + {pending} pending"
        )
    }

    /// Everything that recording writes.
    fn contents(&mut self) -> Vec<String> {
        let sql = "SELECT r::text FROM (SELECT * FROM campaign_recipients ORDER BY id) AS r
                   UNION ALL SELECT c::text FROM campaigns AS c
                   UNION ALL SELECT a::text FROM (SELECT * FROM activities ORDER BY id) AS a";
        self.database.query(sql, &[]).iter().map(|row| row.get(0)).collect()
    }
}

const WHO: [&str; 5] = ["--yes", "--by", "ada", "--why", "SES support: ticket 42"];

fn resolve(world: &World, campaign_id: Uuid, arguments: &[&str]) -> Output {
    resolve_on(&world.database.url, campaign_id, arguments)
}

fn resolve_on(database_url: &str, campaign_id: Uuid, arguments: &[&str]) -> Output {
    let id = campaign_id.to_string();
    campaign(database_url, &[&["resolve", &id], arguments].concat(), "")
}

#[test]
fn migrating_twice_or_two_at_once_changes_nothing_more() {
    let mut database = TestDatabase::create_empty();
    let url = database.url.clone();
    let both: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn({
                let url = url.clone();
                move || campaign(&url, &["migrate"], "")
            })
        })
        .collect();
    for one in both {
        let said = done(&one.join().unwrap());
        assert!(said.starts_with("V0__addresses\nV1__tables\n") || said.starts_with("up to date"), "{said}");
    }
    let schema = "SELECT string_agg(c::text, ',' ORDER BY c.table_name, c.ordinal_position)
                    FROM information_schema.columns AS c WHERE table_schema = 'public'";
    let before: String = database.query(schema, &[])[0].get(0);
    done(&campaign(&url, &["migrate"], ""));
    assert_eq!(database.query(schema, &[])[0].get::<_, String>(0), before);
}

#[test]
fn a_recipient_resolved_as_sent_has_its_activity_and_gets_no_email() {
    let mut world = World::single();
    let campaign = world.campaign_with_uncertain();
    let r1 = world.recipient("r1@example.com");
    // As if the answer had been lost a while ago.
    let sql =
        "UPDATE campaign_recipients SET uncertain_since = now() - interval '2 hours' WHERE id::text = $1";
    world.database.execute(sql, &[&r1]);
    let output = resolve(&world, campaign, &[&["--as", "sent", "--recipient", &r1], &WHO[..]].concat());

    let times =
        "SELECT now() - sent_at BETWEEN interval '2 hours' AND interval '3 hours' AND uncertain_since IS NULL
                   FROM campaign_recipients WHERE id::text = $1";
    assert!(
        world.database.query(times, &[&r1])[0].get::<_, bool>(0),
        "SES accepted it before the answer was lost"
    );
    let summary = done(&output);
    assert!(summary.contains("1 recipient now sent, with an activity for each."), "{summary}");
    assert!(
        summary
            .contains("The campaign is sent: 4 of 6 sent, 0 failed, 0 suppressed, 2 uncertain, 0 to send."),
        "{summary}"
    );
    assert_eq!(world.counters(campaign), "sent: 6 = 4 sent + 0 failed + 2 uncertain + 0 pending");
    let activity = &world.database.query(
        "SELECT action, description, metadata->>'messageId', source, user_id FROM activities WHERE source_ref = $1",
        &[&r1],
    );
    assert_eq!(activity.len(), 1);
    let column = |i| activity[0].get::<_, Option<String>>(i);
    assert_eq!(column(0).unwrap(), "email_sent");
    assert_eq!(column(1).unwrap(), "Email sent to Recipient 1: Hello Recipient 1");
    assert_eq!((column(2), column(3).unwrap()), (None, "email".to_owned()));
    assert_eq!(activity[0].get::<_, Uuid>(4), support::CREATOR);
    assert_eq!(world.outcome("r1@example.com"), ("sent".to_owned(), None));

    let log: Value = serde_json::from_slice(&output.stderr).expect("one JSON line");
    assert_eq!(
        (&log["message"], &log["by"], &log["recipient_ids"]),
        (&"resolved by hand".into(), &"ada".into(), &r1.into())
    );
    assert_eq!((&log["why"], &log["status"]), (&"SES support: ticket 42".into(), &"sent".into()));
}

#[test]
fn a_recipient_resolved_as_failed_says_who_and_why() {
    let mut world = World::single();
    let campaign = world.campaign_with_uncertain();
    done(&resolve(&world, campaign, &[&["--as", "failed"], &WHO[..]].concat()));
    assert_eq!(world.counters(campaign), "sent: 6 = 3 sent + 3 failed + 0 uncertain + 0 pending");
    assert_eq!(world.outcome("r3@example.com"), ("failed".to_owned(), Some("resolved".to_owned())));
    let errors =
        world.database.query("SELECT DISTINCT error FROM campaign_recipients WHERE status = 'failed'", &[]);
    assert_eq!(errors[0].get::<_, String>(0), "decided by ada: SES support: ticket 42");
    let activities = world.database.query("SELECT count(*) FROM activities", &[]);
    assert_eq!(activities[0].get::<_, i64>(0), 3);
}

#[test]
fn a_recipient_resolved_to_be_sent_again_is_found_behind_the_cursor() {
    let mut world = World::single();
    let campaign = world.campaign_with_uncertain();
    let r3 = world.recipient("r3@example.com");
    let summary =
        done(&resolve(&world, campaign, &[&["--as", "resend", "--recipient", &r3], &WHO[..]].concat()));
    assert!(summary.contains("The next invocation of send-batch sends to them."), "{summary}");
    assert_eq!(world.counters(campaign), "sending: 6 = 3 sent + 0 failed + 2 uncertain + 1 pending");

    let results = run(&mut world.function(), serde_json::json!({}));
    assert_eq!((&results[0]["batch"]["claimed"], &results[0]["batch"]["sent"]), (&1.into(), &1.into()));
    assert_eq!(world.counters(campaign), "sent: 6 = 4 sent + 0 failed + 2 uncertain + 0 pending");
    world.assert_consistent(campaign);
}

#[test]
fn a_decision_opens_a_complete_campaign_for_who_is_sent_to_again_and_leaves_every_other_status() {
    for (status, decision, expected) in [
        ("sent", "sent", ("sent", true)),
        ("sent", "failed", ("sent", true)),
        ("sent", "resend", ("sending", false)),
        ("paused", "resend", ("paused", true)),
        ("cancelled", "resend", ("cancelled", true)),
        ("failed", "resend", ("failed", true)),
    ] {
        let mut world = World::single();
        let campaign = world.campaign_with_uncertain();
        // A person has stopped it since, and the time of its completion is still there.
        world.set_status(campaign, status);
        let r3 = world.recipient("r3@example.com");
        done(&resolve(&world, campaign, &[&["--as", decision, "--recipient", &r3], &WHO[..]].concat()));
        assert_ne!(world.outcome("r3@example.com").0, "uncertain");
        let sql = "SELECT status, completed_at IS NOT NULL FROM campaigns WHERE id = $1";
        let row = &world.database.query(sql, &[&campaign])[0];
        assert_eq!((row.get::<_, &str>(0), row.get(1)), expected, "{decision} in {status}");
    }
}

#[test]
fn an_email_that_ses_is_known_to_have_accepted_is_settled_but_not_sent_again() {
    for (decision, expected) in
        [("resend", ["uncertain", "pending"]), ("sent", ["sent", "sent"]), ("failed", ["failed", "failed"])]
    {
        let mut world = World::single();
        let campaign = world.campaign_with_uncertain();
        let r1 = world.recipient("r1@example.com");
        // The activities table has refused its activity.
        let sql = "UPDATE campaign_recipients SET message_id = 'm', error_code = 'activity_refused' WHERE id::text = $1";
        world.database.execute(sql, &[&r1]);
        if decision == "resend" {
            let arguments = [&["--as", decision, "--recipient", &r1], &WHO[..]].concat();
            let error = refused(&resolve(&world, campaign, &arguments));
            assert_eq!(
                error,
                format!(
                    "65: campaign: --recipient {r1}: Amazon SES has accepted its email, so it is not sent again; give --as sent: nothing was changed"
                )
            );
        }
        let said = done(&resolve(&world, campaign, &[&["--as", decision], &WHO[..]].concat()));
        let left = "Not sent again, because Amazon SES has accepted their emails: 1 recipient. --as sent settles them.";
        assert_eq!(said.contains(left), decision == "resend", "{said}");
        let outcomes = ["r1@example.com", "r2@example.com"].map(|email| world.outcome(email).0);
        assert_eq!(outcomes, expected, "{decision}");
        let sql = "SELECT message_id FROM campaign_recipients WHERE id::text = $1";
        assert_eq!(world.database.query(sql, &[&r1])[0].get::<_, &str>(0), "m", "{decision}");
    }
}

#[test]
fn a_machine_is_told_how_many_are_not_sent_again_because_ses_has_accepted_their_emails() {
    let mut world = World::single();
    let campaign = world.campaign_with_uncertain();
    world
        .database
        .execute("UPDATE campaign_recipients SET message_id = 'm' WHERE email = 'r1@example.com'", &[]);
    let arguments = [&["--as", "resend", "--json"], &WHO[..]].concat();
    for expected in [(2, 1), (0, 1)] {
        let told: Value = serde_json::from_str(&done(&resolve(&world, campaign, &arguments))).unwrap();
        let counted = (told["recipients"].as_u64().unwrap(), told["skipped"].as_u64().unwrap());
        assert_eq!(counted, expected, "{told}");
    }
}

#[test]
fn what_is_not_uncertain_is_not_resolved() {
    let mut world = World::single();
    let campaign = world.campaign_with_uncertain();
    let before = world.contents();
    let (r1, r4) = (world.recipient("r1@example.com"), world.recipient("r4@example.com"));
    let both = ["--as", "failed", "--recipient", &r1, "--recipient", &r4];
    let error = refused(&resolve(&world, campaign, &[&both, &WHO[..]].concat()));
    assert_eq!(error, format!("65: campaign: --recipient {r4} is sent, not uncertain: nothing was changed"));
    assert_eq!(world.contents(), before);
}

#[test]
fn word_from_ses_that_comes_while_a_person_decides_wins() {
    let mut world = World::single();
    let campaign = world.campaign_with_uncertain();
    // SES's event for r1 is being recorded and is not committed yet when the person decides.
    let mut events = world.database.connect();
    let mut event = events.transaction().unwrap();
    event
        .batch_execute("UPDATE campaign_recipients SET status = 'sent' WHERE email = 'r1@example.com'")
        .unwrap();
    event.batch_execute("UPDATE campaigns SET sent_count = 4, uncertain_count = 2").unwrap();
    let url = world.database.url.clone();
    let summary = std::thread::scope(|scope| {
        let decision =
            scope.spawn(move || resolve_on(&url, campaign, &[&["--as", "failed"], &WHO[..]].concat()));
        waits_for_a_lock(&world.database);
        event.commit().unwrap();
        done(&decision.join().unwrap())
    });
    assert!(
        summary.contains(
            "2 recipients now failed.\nNot changed, because they were settled in the meantime: 1 recipient."
        ),
        "{summary}"
    );
    assert_eq!(world.counters(campaign), "sent: 6 = 4 sent + 2 failed + 0 uncertain + 0 pending");
}

#[test]
fn an_acceptance_that_becomes_known_while_a_person_decides_is_not_sent_again() {
    let mut world = World::single();
    let campaign = world.campaign_with_uncertain();
    let mut recording = world.database.connect();
    let mut record = recording.transaction().unwrap();
    let sql = "UPDATE campaign_recipients SET message_id = 'm', error_code = 'activity_refused' WHERE email = 'r1@example.com'";
    record.batch_execute(sql).unwrap();
    let url = world.database.url.clone();
    let said = std::thread::scope(|scope| {
        let decision =
            scope.spawn(move || resolve_on(&url, campaign, &[&["--as", "resend"], &WHO[..]].concat()));
        waits_for_a_lock(&world.database);
        record.commit().unwrap();
        done(&decision.join().unwrap())
    });
    assert!(said.contains("2 recipients now pending again."), "{said}");
    assert_eq!(world.outcome("r1@example.com").0, "uncertain");
    assert_eq!(world.counters(campaign), "sending: 6 = 3 sent + 0 failed + 1 uncertain + 2 pending");
}

#[test]
fn nothing_is_resolved_without_a_yes() {
    let mut world = World::single();
    let campaign = world.campaign_with_uncertain();
    let before = world.contents();
    let error = refused(&resolve(&world, campaign, &[&["--as", "failed"], &WHO[1..]].concat()));
    assert_eq!(error, "64: campaign: standard input is not a terminal, so nobody can confirm: give --yes");
    assert_eq!(world.contents(), before);
}

#[test]
fn what_the_log_says_was_accepted_is_recorded_once() {
    let mut world = World::single();
    let campaign_id = world.campaign_of(6);
    let other = world.campaign_of(0);
    let mut function = world.function();
    run(&mut function, event(campaign_id, 10));
    let logs = function.logs();
    // The state as if nothing of r1 to r4 had been recorded, and the next invocation had taken their batch
    // over.
    world.database.execute(
        "DELETE FROM activities WHERE source_ref IN (SELECT id::text FROM campaign_recipients
        WHERE email < 'r5')",
        &[],
    );
    world.database.execute(
        "UPDATE campaign_recipients SET status = 'uncertain', message_id = NULL, sent_at = NULL
        WHERE email < 'r5'",
        &[],
    );
    world
        .database
        .execute("UPDATE campaigns SET sent_count = 2, uncertain_count = 4 WHERE id = $1", &[&campaign_id]);

    let accepted: Vec<&String> = logs.iter().filter(|line| line.contains("\"accepted\"")).collect();
    assert_eq!(accepted.len(), 6);
    let of_other = accepted[0].replace(&campaign_id.to_string(), &other.to_string());
    let cut_off = &accepted[0][..accepted[0].len() / 2];
    let tail =
        logs.iter().map(|line| format!("2026-01-05T08:00:00.123000+00:00 2026/01/05/[$LATEST]4f0f {line}\n"));
    let log = format!("{}{of_other}\n{}\n{cut_off}", tail.collect::<String>(), accepted[5]);
    let broken = log.lines().count();

    let replay = |world: &World| {
        done(&campaign(&world.database.url, &["resolve", &campaign_id.to_string(), "--from-log", "-"], &log))
    };
    assert_eq!(
        replay(&world),
        format!(
            "\"Spring\": 6 accepted messages in the log
       4  replayed: now sent, with their activities
       2  were known already
       1  of other campaigns, skipped
       1  incomplete, skipped; the first is line {broken}
"
        )
    );
    assert_eq!(world.counters(campaign_id), "sent: 6 = 6 sent + 0 failed + 0 uncertain + 0 pending");
    world.assert_consistent(campaign_id);
    let contents = world.contents();
    assert!(
        replay(&world)
            .contains("       0  replayed: now sent, with their activities\n       6  were known already")
    );
    assert_eq!(world.contents(), contents);
}

#[test]
fn the_log_settles_what_a_restored_database_has_as_pending() {
    let mut world = World::single();
    let campaign_id = world.campaign_of(6);
    let mut function = world.function();
    run(&mut function, event(campaign_id, 10));
    // The tables as before the first batch.
    world.database.client().batch_execute(
        "DELETE FROM activities; DELETE FROM campaign_batches;
         SET session_replication_role = replica;
         UPDATE campaign_recipients SET status = 'pending', previous_status = NULL, message_id = NULL, sent_at = NULL;
         UPDATE campaigns SET status = 'paused', sent_count = 0, completed_at = NULL;
         RESET session_replication_role",
    ).unwrap();
    let log = function.logs().join("\n");
    let said =
        done(&campaign(&world.database.url, &["resolve", &campaign_id.to_string(), "--from-log", "-"], &log));
    assert!(said.contains("       6  replayed: now sent, with their activities"), "{said}");
    assert_eq!(world.counters(campaign_id), "paused: 6 = 6 sent + 0 failed + 0 uncertain + 0 pending");
    world.assert_consistent(campaign_id);
    done(&campaign(&world.database.url, &["send", "resume", &campaign_id.to_string()], ""));
    let results = run(&mut function, event(campaign_id, 10));
    assert_eq!(results.last().unwrap()["status"], "done");
    world.assert_consistent(campaign_id);
}

#[test]
fn the_demo_sends_a_campaign_to_its_end_and_leaves_nothing_but_emails() {
    let database = TestDatabase::create_empty();
    let emails = std::env::temp_dir().join(format!("demo-{}", Uuid::new_v4()));
    let arguments = ["demo", "--recipients", "60", "--batch-size", "25", "--latency", "0", "--emails"];
    let output = campaign(&database.url, &[&arguments[..], &[emails.to_str().unwrap()]].concat(), "");
    let (summary, progress) = (done(&output), String::from_utf8(output.stderr).unwrap());

    for line in [
        "  Sent             55  55 in the mailbox, nobody got two",
        "  Failed            4",
        "                    2  invalid_address  it is not of the form local@domain, for example no-at-sign-7.example.com",
        "                    1  MessageRejected  Address blacklisted, for example priya.sharma17@refused.example",
        "                    1  render           coupon is not defined (html, line 15), for example lukasz_wojcik37@example.org",
        "  Suppressed        1  not sent to",
        "  Uncertain         0",
        "  Timeline    55 activities, one for each email sent",
    ] {
        assert!(summary.lines().any(|found| found == line), "{line}\n{summary}");
    }
    assert!(summary.contains(": 3 batches in "), "{summary}");
    assert_eq!(progress.lines().count(), 3, "{progress}");
    assert!(
        progress.starts_with("  batch 1: 23 sent, 2 failed, 0 suppressed, 0 uncertain in "),
        "{progress}"
    );

    let run = std::fs::read_dir(&emails).unwrap().next().unwrap().unwrap();
    assert_eq!(std::fs::read_dir(run.path()).unwrap().count(), 55);
    let name = run.file_name().into_string().unwrap();
    let left = database.connect().query("SELECT FROM pg_database WHERE datname = $1", &[&name]).unwrap();
    assert!(left.is_empty(), "{name} is dropped");
    std::fs::remove_dir_all(emails).unwrap();
}

#[test]
fn ctrl_c_in_a_terminal_ends_the_demo_and_drops_its_database() {
    let database = TestDatabase::create_empty();
    let arguments = ["demo", "--recipients", "1000", "--batch-size", "10", "--latency", "200"];
    let mut process = crate::command(&database.url, &arguments).process_group(0).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("  batch 1: ")));
    // A terminal sends it to the function too.
    let group = format!("-{}", process.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    assert_eq!(lines.map(Result::unwrap).last().unwrap(), "campaign: interrupted");
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let name = said.split_whitespace().find(|word| word.starts_with("campaign_demo_")).unwrap();
    let left = database.connect().query("SELECT FROM pg_database WHERE datname = $1", &[&name]).unwrap();
    assert!(left.is_empty(), "{name} is dropped");
}

#[test]
fn an_error_is_one_line_that_says_what_to_do() {
    let database = TestDatabase::create_empty();
    let url = database.url.as_str();
    let id = "5f0c2c1e-0000-4000-8000-000000000001";
    let from_log = ["resolve", id, "--from-log", "/nowhere"];
    insta::assert_snapshot!(refused(&campaign("", &["migrate"], "")), @"78: campaign: DATABASE_URL is not set: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE");
    insta::assert_snapshot!(refused(&campaign("", &["demo"], "")), @"78: campaign: DATABASE_URL is not set: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE; or run ./dev demo, which starts one");
    insta::assert_snapshot!(refused(&campaign("postgres://postgres@127.0.0.1:1/d", &["migrate"], "")), @"69: campaign: PostgreSQL at 127.0.0.1:1 could not be reached: error connecting to server: Connection refused (os error 111); check DATABASE_URL, and that the server is up");
    for (password, place) in [("a@b", "127.0.0.1:1"), ("a%b", "127.0.0.1:1"), ("a#b/c?d", "127.0.0.1:1")] {
        let unreachable = format!("postgres://u:{password}@127.0.0.1:1/d");
        let said = refused(&campaign(&unreachable, &["migrate"], ""));
        assert!(said.contains("write # as %23, @ as %40"), "{said}");
        assert!(said.contains(place) && !said.contains(password), "{said}");
    }
    let said = refused(&campaign(url, &from_log, "")).replace(&format!("version {VERSION}"), "version N");
    insta::assert_snapshot!(said, @r#"78: campaign: this release needs version N of the schema, and the database has none: its schema public has no tables of campaign-sender; run `campaign migrate` of this release on it"#);
    done(&campaign(url, &["migrate"], ""));
    insta::assert_snapshot!(refused(&campaign(url, &from_log, "")), @"65: campaign: there is no campaign 5f0c2c1e-0000-4000-8000-000000000001 in this database");
    database.connect().execute("INSERT INTO campaigns (id, organization_id, from_address, subject) VALUES ('5f0c2c1e-0000-4000-8000-000000000001', gen_random_uuid(), 'a@example.com', '')", &[]).unwrap();
    insta::assert_snapshot!(refused(&campaign(url, &from_log, "")), @"66: campaign: --from-log /nowhere: No such file or directory (os error 2)");
    insta::assert_snapshot!(refused(&campaign(url, &["demo", "--send-batch", "/nowhere"], "")), @"78: campaign: the built function is not at /nowhere: run ./dev demo, or name it in SEND_BATCH");
    assert_eq!(campaign(url, &["resolve", id], "").status.code(), Some(64));
    assert_eq!(campaign(url, &["resolve", id, "--as", "sent", "--by", "ada"], "").status.code(), Some(64));
    assert_eq!(campaign(url, &["resolve", "x", "--from-log", "-"], "").status.code(), Some(64));
    assert!(campaign(url, &["--help"], "").status.success());
}
