//! Why nothing is being sent: each situation is constructed, and `campaign status` shows the cause and what
//! to do.

use local_ses::ses::{Account, Effect, Rule};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{ORGANIZATION, TIMEOUT, World, event, failure, invoke, run};
use crate::{campaign, done, without_times};

/// The cause's code, and the lines that a person reads: the cause, and what to do first.
pub fn now(world: &World, id: Uuid) -> (String, String) {
    let read = |more: &[&str]| {
        done(&campaign(&world.database.url, &[&["status", &id.to_string()], more].concat(), ""))
    };
    let json: Value = serde_json::from_str(&read(&["--json"])).unwrap();
    let said = without_times(&read(&[]).replace(&id.to_string(), "ID"));
    let block = |label: &str| {
        let lines = said.lines().skip_while(|line| !line.starts_with(&format!("  {label} ")));
        let text: Vec<&str> = lines.take(1).map(|line| line[label.len() + 2..].trim()).collect();
        text.join(" ")
    };
    let code = json["now"]["code"].as_str().unwrap_or("none").to_owned();
    (code, format!("{}\n{}", block("Now"), block("Next")))
}

/// The output after one invocation for this campaign.
fn after(mut world: World, more: &[(&str, &str)]) -> (String, String) {
    let id = world.campaign_of(30);
    let result = invoke(&mut world.function_with(more), &event(id, 30));
    assert_eq!(result["status"], "wait", "{result}");
    now(&world, id)
}

#[test]
fn a_daily_quota_that_is_used_up_is_the_cause_for_every_campaign() {
    let mut world = World::single();
    let (first, second) = (world.campaign_of(2), world.campaign_of(2));
    world.ses.set_account(Account { max_24_hour_send: 10.0, sent_last_24_hours: 10.0, ..Account::default() });
    invoke(&mut world.function(), &event(first, 10));
    let expected = "SES's daily sending quota is used up (noted T ago; the next invocation is to come in T)\n\
        Wait: the quota is a rolling window of 24 hours, so sending continues automatically. If it is too small, ask AWS for a higher one (SES console, Account dashboard).";
    for id in [first, second] {
        assert_eq!(now(&world, id), ("quota_exhausted".to_owned(), expected.to_owned()));
    }
    // The next invocation is an hour late, and there was no other.
    world.database.execute(
        "UPDATE campaign_last_invocations SET at = at - interval '1 hour', wait_until = wait_until - interval '1 hour'",
        &[],
    );
    let (code, said) = now(&world, first);
    assert_eq!(code, "overdue");
    assert!(said.starts_with("no invocation has come (for T); the last one said: SES: the daily sending quota is used up\nTurn on the schedule"), "{said}");
}

#[test]
fn answers_that_let_nothing_through_are_told_apart() {
    let answer = |accept, status| Effect::Answer {
        accept,
        status,
        content_type: "text/html".to_owned(),
        body: "<html>blocked, says admin@example.com</html>".to_owned(),
    };
    let world = |effect| {
        let world = World::single();
        world.ses.add_rule(Rule::any(effect));
        world
    };
    std::thread::scope(|scope| {
        let cases = [
            (
                scope.spawn(|| after(world(Effect::Throttle), &[])),
                "throttled",
                "SES says that messages come too fast",
                "lower SES_MAX_SEND_RATE",
            ),
            (
                scope.spawn(|| after(world(answer(false, 403)), &[])),
                "not_ses",
                "the answers come from something other than SES",
                "Look at AWS_ENDPOINT_URL_SESV2, and at the proxy or firewall",
            ),
            (
                scope.spawn(|| after(world(answer(true, 502)), &[])),
                "unclear_answers",
                "SES's answers cannot be understood",
                "Look at the health of SES and at a proxy on the way to it.",
            ),
            (
                scope.spawn(|| after(World::single(), &[("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:9")])),
                "ses_unreachable",
                "SES cannot be reached",
                "Look at the way to SES: DNS, the route out of the VPC",
            ),
        ];
        for (case, code, cause, advice) in cases {
            let (seen, said) = case.join().unwrap();
            assert_eq!(seen, code, "{said}");
            let (first, next) = said.split_once('\n').unwrap();
            assert!(first.starts_with(cause) && next.contains(advice), "{said}");
            assert!(!said.contains("admin@"), "{said}");
        }
    });
}

#[test]
fn an_activities_table_that_takes_no_activity_is_named() {
    let mut world = World::single();
    let id = world.campaign_of(2);
    world.database.client().batch_execute("CREATE TABLE odd (organization_id uuid)").unwrap();
    let mut function = world.function_with(&[("ACTIVITIES_TABLE", "odd")]);
    for event in [json!({}), event(id, 10)] {
        failure(&mut function, &event);
        let (code, said) = now(&world, id);
        assert_eq!(code, "unusable_activities_table");
        assert_eq!(
            said,
            "the activities table takes no activities (noted T ago): ACTIVITIES_TABLE odd: it has no column user_id\n\
             Correct the activities table, or ACTIVITIES_TABLE. Sending continues with the next invocation."
        );
        world.database.execute("DELETE FROM campaign_last_invocations", &[]);
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_named() {
    let mut world = World::single();
    let id = world.campaign_of(2);
    let mut function = world.function_with(&[
        ("UNSUBSCRIBE_SECRET", ""),
        ("UNSUBSCRIBE_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:key-AbCdEf"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9"),
    ]);
    let said = failure(&mut function, &event(id, 10));
    assert!(said.starts_with("UnsubscribeSecretUnavailable: "), "{said}");
    let (code, said) = now(&world, id);
    assert_eq!(code, "unsubscribe_secret_unavailable", "{said}");
    assert!(said.contains("\nLet the function's role read the secret of UNSUBSCRIBE_SECRET_ARN"), "{said}");
}

#[test]
fn a_campaign_that_kills_invocations_is_seen_to_rest() {
    let mut world = World::single();
    let id = world.campaign_of(2);
    let mut dying = world.function_with(&[("FAILPOINTS", "claim-before=return")]);
    dying.invoke(&json!({}), TIMEOUT).unwrap_err();
    let (code, said) = now(&world, id);
    assert_eq!(code, "resting");
    assert_eq!(
        said,
        "the last invocations that worked on it were lost (the schedule tries it again in T)\n\
         Look at the log of send-batch before its invocations end: the template or a recipient's data may kill it (memory, time). Correct that, and try it at once: campaign send run ID"
    );
}

#[test]
fn a_campaign_on_which_the_function_panics_is_seen_as_such() {
    let mut world = World::single();
    let id = world.campaign_of(2);
    let mut panicking = world.function_with(&[("FAILPOINTS", "claim-before=panic")]);
    assert_eq!(invoke(&mut panicking, &json!({}))["status"], "idle");
    let (code, said) = now(&world, id);
    assert_eq!(code, "panicked", "{said}");
    assert_eq!(
        said,
        "send-batch crashed on this campaign (noted T ago)\n\
         Look at the log of send-batch: it names the place. Correct the campaign's template or data."
    );
}

#[test]
fn a_campaign_that_postgresql_refuses_to_work_on_says_with_which_words() {
    let mut world = World::single();
    let id = world.campaign_of(2);
    world
        .database
        .client()
        .batch_execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not ours: ada@example.com'; END $$;
             CREATE TRIGGER no BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION no();",
        )
        .unwrap();
    failure(&mut world.function(), &event(id, 10));
    let (code, said) = now(&world, id);
    assert_eq!(code, "database_refused");
    assert!(
        said.starts_with(
            "PostgreSQL refuses a statement about this campaign (noted T ago): not ours: a…@example.com"
        ),
        "{said}"
    );
    assert!(said.contains("\nCorrect what PostgreSQL names"), "{said}");
}

#[test]
fn a_database_that_may_have_lost_something_holds_every_campaign() {
    let mut world = World::single();
    let id = world.campaign_of(20);
    invoke(&mut world.function(), &event(id, 10));
    world.database.execute(
        "UPDATE database_history SET hold_until = now() + interval '90 seconds', reason = 'a standby was promoted'",
        &[],
    );
    let (code, said) = now(&world, id);
    assert_eq!(code, "history_changed");
    assert_eq!(
        said,
        "the database may lack what it had committed (for another T): a standby was promoted\n\
         Read docs/restore.md before anything is sent."
    );
}

#[test]
fn other_transactions_that_are_in_the_way_are_named_after_a_tick() {
    let mut world = World::single();
    let (locked, imported) = (world.campaign_of(2), world.campaign());
    let mut other = world.database.connect();
    let mut lock = other.transaction().unwrap();
    lock.execute("SELECT FROM campaigns WHERE id = $1 FOR UPDATE", &[&locked]).unwrap();
    let mut crm = world.database.connect();
    let mut import = crm.transaction().unwrap();
    let sql = "INSERT INTO campaign_recipients (campaign_id, organization_id, email) VALUES ($1, $2, 'late@example.com')";
    import.execute(sql, &[&imported, &ORGANIZATION]).unwrap();
    assert_eq!(invoke(&mut world.function(), &json!({}))["status"], "idle");
    let (code, said) = now(&world, locked);
    assert_eq!(code, "locked", "{said}");
    assert!(
        said.contains("\nWait for that transaction. If it never ends, look for it in pg_locks"),
        "{said}"
    );
    let (code, said) = now(&world, imported);
    assert_eq!(code, "open_import", "{said}");
    assert!(said.contains("\nWait for the import. If it never ends, look in pg_stat_activity"), "{said}");
}

#[test]
fn a_batch_that_could_not_be_recorded_is_handed_on() {
    let mut world = World::single();
    let id = world.campaign_of(2);
    world
        .database
        .client()
        .batch_execute(
            "CREATE TABLE parts (LIKE activities INCLUDING DEFAULTS) PARTITION BY RANGE (created_at);
             CREATE TABLE parts_now PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2100-01-01');",
        )
        .unwrap();
    world.ses.add_rule(Rule::any(Effect::Delay { ms: 1000 }));
    let mut function = world.function_with(&[("ACTIVITIES_TABLE", "parts")]);
    let begun = function.begin(&event(id, 10), TIMEOUT).unwrap();
    world.wait_until("a batch is claimed", "SELECT EXISTS (SELECT FROM campaign_batches)");
    world.database.execute("DROP TABLE parts_now", &[]);
    let result = function.finish(&begun).unwrap();
    assert_eq!(result["activities"]["success"], false, "{result}");
    // At once, and when the lease of the invocation has ended.
    let (code, said) = now(&world, id);
    assert_eq!(code, "unrecorded", "{said}");
    assert!(said.contains("no partition of relation"), "{said}");
    world.expire_leases();
    let (code, said) = now(&world, id);
    assert_eq!(code, "unrecorded", "{said}");
    assert!(said.contains("\nCorrect what PostgreSQL says of it, and let the orchestrator follow next, which carries what is unrecorded. If it is lost: campaign resolve ID --from-log FILE"), "{said}");
}

#[test]
fn somebody_at_work_is_seen_as_such_and_nobody_is_missed_a_moment_later() {
    let mut world = World::single();
    let id = world.campaign_of(4);
    let never = now(&world, id);
    assert_eq!(never.0, "overdue");
    assert_eq!(
        never.1,
        "no invocation has come\nTurn on the schedule (ScheduleState=ENABLED), or start the state machine; if it is on, look at the log of send-batch: it may not start, not reach PostgreSQL, or not be able to write there. Or run it from here: campaign send run ID"
    );
    world.ses.add_rule(Rule::any(Effect::Delay { ms: 1500 }));
    let mut function = world.function();
    let begun = function.begin(&event(id, 2), TIMEOUT).unwrap();
    world.wait_until(
        "a batch is claimed",
        "SELECT EXISTS (SELECT FROM campaign_batches WHERE claim_token IS NOT NULL)",
    );
    let at_work = now(&world, id);
    assert_eq!(
        at_work,
        ("at_work".to_owned(), "an invocation is at work on it (its lease ends in T)\n".to_owned())
    );
    assert_eq!(function.finish(&begun).unwrap()["status"], "continue");
    assert_eq!(now(&world, id).0, "expected");
    world.database.execute(
        "UPDATE campaign_batches SET opened_at = opened_at - interval '1 hour', closed_at = closed_at - interval '1 hour'",
        &[],
    );
    assert_eq!(now(&world, id).0, "overdue");
    // Invocations work on another campaign, so the schedule is not off.
    let other = world.campaign_of(2);
    world.ses.clear_rules();
    run(&mut world.function(), event(other, 10));
    let (code, said) = now(&world, id);
    assert_eq!(code, "other_campaigns", "{said}");
    assert!(said.ends_with("\nWait: campaigns that have been due for longer go first."), "{said}");
}

#[test]
fn a_campaign_that_is_due_and_not_begun_is_overdue() {
    let mut world = World::single();
    let id = world.campaign_of(2);
    for (due, code) in [
        ("now() + interval '1 hour'", "none"),
        ("now() - interval '1 hour'", "overdue"),
        ("'-infinity'", "overdue"),
    ] {
        world
            .database
            .execute(&format!("UPDATE campaigns SET status = 'scheduled', scheduled_at = {due}"), &[]);
        assert_eq!(now(&world, id).0, code, "{due}");
    }
}

#[test]
fn a_rate_that_others_have_reserved_is_waited_for() {
    let mut world = World::single();
    let (first, second) = (world.campaign_of(100), world.campaign_of(2));
    let mut function = world.function_with(&[("SES_MAX_SEND_RATE", "2")]);
    let mut beside = world.function_with(&[("SES_MAX_SEND_RATE", "2")]);
    let begun = function.begin(&event(first, 100), TIMEOUT / 4).unwrap();
    world.wait_until("the rate is reserved", "SELECT EXISTS (SELECT FROM send_shares)");
    let result = beside.invoke(&event(second, 10), TIMEOUT / 30).unwrap();
    assert_eq!(result["status"], "wait", "{result}");
    let (code, said) = now(&world, second);
    assert_eq!(code, "rate_reserved", "{said}");
    assert!(said.contains("\nWait: the account's rate is shared, and this campaign has its turn."), "{said}");
    function.finish(&begun).unwrap();
}

#[test]
fn what_is_gone_leaves_no_note_and_a_role_without_the_right_still_sends() {
    let mut world = World::single();
    let id = world.campaign_of(2);
    world.database.execute("DROP TABLE campaign_last_invocations", &[]);
    world.ses.set_account(Account { max_24_hour_send: 10.0, sent_last_24_hours: 10.0, ..Account::default() });
    let result = invoke(&mut world.function(), &event(id, 10));
    assert_eq!((&result["status"], &result["waitSeconds"]), (&json!("wait"), &json!(900)));
}
