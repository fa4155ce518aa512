//! Each class of outcome, in the tables and the mailbox.

use std::time::{Duration, Instant};

use local_ses::ses::{Effect, Rule, TokenBucket};
use serde_json::json;
use uuid::Uuid;

use crate::support::{ORGANIZATION, World, event, invoke, run};

fn of(status: &str, code: Option<&str>) -> (String, Option<String>) {
    (status.to_owned(), code.map(str::to_owned))
}

#[test]
fn a_recipient_whose_own_data_is_wrong_fails_alone_and_ses_is_not_asked() {
    let mut world = World::single();
    let campaign = world.campaign_of(2);
    world.database.execute(
        "UPDATE campaigns SET html = '<p>{{ company }}</p>', variables = '{\"company\": \"Acme\"}'",
        &[],
    );
    for email in [
        "no-at-sign",
        "jürgen@example.com",
        "a b@example.com",
        "x@localhost",
        "fits@example.com",
        "unfit@example.com",
    ] {
        world.add_recipient(campaign, email);
    }
    world.add_recipient(campaign, "  Info@MÜNCHEN.example ");
    world
        .database
        .execute("UPDATE campaign_recipients SET variables = '[1]' WHERE email = 'unfit@example.com'", &[]);
    world.database.execute(
        "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, 'r2@example.com', 'manual')",
        &[&ORGANIZATION],
    );
    let result = invoke(&mut world.function(), &event(campaign, 100));
    assert_eq!(result["status"], "done");
    assert_eq!(
        result["batch"],
        json!({"claimed": 9, "sent": 3, "failed": 5, "suppressed": 1, "uncertain": 0, "deferred": 0})
    );
    for email in ["no-at-sign", "jürgen@example.com", "a b@example.com", "x@localhost"] {
        assert_eq!(world.outcome(email), of("failed", Some("invalid_address")), "{email}");
    }
    assert_eq!(world.outcome("unfit@example.com"), of("failed", Some("render")));
    assert_eq!(world.outcome("r2@example.com"), of("suppressed", None));
    assert_eq!(world.outcome("  Info@MÜNCHEN.example "), of("sent", None));
    let received: Vec<_> = world.ses.messages().into_iter().flat_map(|message| message.to).collect();
    assert!(received.contains(&"info@xn--mnchen-3ya.example".to_owned()), "{received:?}");
    assert_eq!(world.ses.statistics().send_requests, 3);
    world.assert_consistent(campaign);
}

#[test]
fn an_address_is_suppressed_by_its_organization_by_all_and_by_the_crms_own_opt_out() {
    let mut world = World::new();
    let campaign = world.campaign();
    let addresses = [" Own@Example.com\t", "all@example.com", "out@example.com", "other@example.com"];
    for email in addresses.into_iter().chain(["ada@example.com"]) {
        world.add_recipient(campaign, email);
    }
    let (all, other) = (Uuid::nil(), Uuid::from_u128(0x0b));
    for (organization, email) in
        [(ORGANIZATION, "\u{a0}own@Example.com "), (all, "All@example.com"), (other, "other@example.com")]
    {
        world.database.execute(
            "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, $2, 'manual')",
            &[&organization, &email],
        );
    }
    world
        .database
        .client()
        .batch_execute(
            "CREATE TABLE customers (id uuid, organization_id uuid, email varchar(200), wants_email boolean);
             CREATE OR REPLACE VIEW opted_out AS
             SELECT organization_id, normalized_address(email) AS email FROM customers WHERE NOT wants_email",
        )
        .unwrap();
    world.database.execute(
        "INSERT INTO customers SELECT gen_random_uuid(), $1, email, wants
           FROM (VALUES ('Out@example.com', false), ('ada@example.com', true)) AS c (email, wants)",
        &[&ORGANIZATION],
    );
    let result = invoke(&mut world.function(), &event(campaign, 100));
    assert_eq!(result["batch"]["suppressed"], 3);
    for (email, status) in addresses.into_iter().zip(["suppressed", "suppressed", "suppressed", "sent"]) {
        assert_eq!(world.outcome(email).0, status, "{email}");
    }
    assert_eq!(world.outcome("ada@example.com").0, "sent");
    world.assert_consistent(campaign);
}

#[test]
fn a_variable_that_is_missing_is_named_in_the_recipients_error() {
    let mut world = World::single();
    let campaign = world.campaign_of(1);
    world.database.execute(
        "UPDATE campaigns SET html = '<p>{{ order.number }}</p>', variables = '{\"order\": {}}'",
        &[],
    );
    invoke(&mut world.function(), &event(campaign, 10));
    let error: String = world.database.query("SELECT error FROM campaign_recipients", &[])[0].get(0);
    assert_eq!(error, "order.number is not defined (html, line 1)");
}

#[test]
fn a_refusal_is_the_recipients_own_and_says_why() {
    let mut world = World::single();
    let campaign = world.campaign_of(30);
    let refuse = Effect::Refuse {
        code: "MessageRejected".into(),
        message: "Local address contains control".into(),
        status: 400,
    };
    world.ses.add_rule(Rule::to("r7@example.com", refuse));
    let result = invoke(&mut world.function(), &event(campaign, 100));
    assert_eq!((&result["batch"]["sent"], &result["batch"]["failed"]), (&json!(29), &json!(1)));
    let row = &world.database.query(
        "SELECT status, error_code, error FROM campaign_recipients WHERE email = 'r7@example.com'",
        &[],
    )[0];
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(1), row.get::<_, &str>(2)),
        ("failed", "MessageRejected", "Local address contains control")
    );
    world.assert_consistent(campaign);
}

#[test]
fn too_fast_is_tried_again_and_fails_nobody() {
    let mut world = World::single();
    let campaign = world.campaign_of(100);
    world.ses.set_rate(Some(TokenBucket::full(100.0, 20.0)));
    let results = run(&mut world.function(), event(campaign, 100));
    assert_eq!(results.last().unwrap()["status"], "done");
    assert!(world.ses.statistics().refused > 0, "the rate was never met");
    assert_eq!(world.statuses(campaign)["sent"], 100);
    world.assert_consistent(campaign);
}

#[test]
fn a_connection_that_was_never_made_leaves_nobody_uncertain() {
    let mut world = World::single();
    let campaign = world.campaign_of(60);
    // Nothing listens on this port.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = format!("http://127.0.0.1:{port}");
    let mut function = world.function_with(&[("AWS_ENDPOINT_URL_SESV2", &nowhere)]);
    let result = function.invoke(&event(campaign, 60), Duration::from_secs(5)).unwrap();
    assert_eq!((&result["status"], &result["batch"]["deferred"]), (&json!("wait"), &json!(60)), "{result}");
    assert_eq!(world.statuses(campaign)["pending"], 60);

    let results = run(&mut world.function(), event(campaign, 60));
    assert_eq!(results.last().unwrap()["status"], "done");
    assert_eq!(world.statuses(campaign)["sent"], 60);
    world.assert_consistent(campaign);
}

#[test]
fn a_name_that_does_not_resolve_and_a_handshake_that_fails_leave_nobody_uncertain() {
    let mut world = World::single();
    let campaign = world.campaign_of(3);
    // A port that speaks no TLS.
    let plain = world.ses.url().replace("http://", "https://");
    for endpoint in ["http://ses.invalid", plain.as_str()] {
        let mut function = world.function_with(&[("AWS_ENDPOINT_URL_SESV2", endpoint)]);
        let result = function.invoke(&event(campaign, 10), Duration::from_secs(4)).unwrap();
        assert_eq!(result["batch"]["deferred"], 3, "{endpoint}: {result}");
    }
    assert_eq!(world.statuses(campaign)["pending"], 3);
}

#[test]
fn a_request_that_cannot_be_addressed_or_signed_leaves_nobody_uncertain() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    let nobody = ("AWS_EC2_METADATA_DISABLED", "true");
    for api in ["single", "bulk"] {
        for (variables, cause) in [
            (vec![("AWS_ENDPOINT_URL_SESV2", "nonsense")], "scheme"),
            (vec![("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), nobody], "credentials"),
            (vec![("AWS_REGION", ""), nobody], "egion"),
        ] {
            let variables = [variables, vec![("SEND_API", api)]].concat();
            let mut function = world.function_with(&variables);
            let result = function.invoke(&event(campaign, 10), Duration::from_secs(4)).unwrap();
            assert_eq!((&result["status"], &result["batch"]["deferred"]), (&json!("wait"), &json!(3)));
            assert!(result["reason"].as_str().unwrap().contains(cause), "{result}");
        }
    }
    assert_eq!(world.statuses(campaign)["pending"], 3);
}

#[test]
fn a_connection_that_breaks_after_the_request_makes_it_uncertain_and_it_is_never_sent_again() {
    let mut world = World::single();
    let campaign = world.campaign_of(20);
    world.ses.add_rule(Rule::to("r3@example.com", Effect::DropBeforeAccept));
    world.ses.add_rule(Rule::to("r4@example.com", Effect::DropAfterAccept));
    world.ses.add_rule(Rule::to("r5@example.com", Effect::ServerError));
    let result = invoke(&mut world.function(), &event(campaign, 20));
    assert_eq!((&result["status"], &result["batch"]["uncertain"]), (&json!("done"), &json!(3)));
    assert_eq!(result["progress"]["uncertain"], 3);
    assert_eq!(world.outcome("r3@example.com"), of("uncertain", Some("connection_lost")));
    assert_eq!(world.outcome("r4@example.com"), of("uncertain", Some("connection_lost")));
    assert_eq!(world.outcome("r5@example.com"), of("uncertain", Some("InternalFailure")));
    world.assert_consistent(campaign);
}

#[test]
fn all_requests_that_are_unanswered_at_the_deadline_are_uncertain_and_never_sent_again() {
    let mut world = World::single();
    let campaign = world.campaign_of(20);
    world.ses.add_rule(Rule::any(Effect::AcceptThenDelay { ms: 60_000 }));
    let mut function = world.function_with(&[("SEND_CONCURRENCY", "8")]);
    let result = function.invoke(&event(campaign, 20), Duration::from_secs(8)).unwrap();
    let batch = &result["batch"];
    assert_eq!((&batch["uncertain"], &batch["deferred"]), (&json!(8), &json!(12)), "{result}");
    world.ses.clear_rules();
    world.set_status(campaign, "sending");
    run(&mut world.function(), event(campaign, 20));
    assert_eq!(world.statuses(campaign)["uncertain"], 8);
    assert_eq!(world.ses.message_count(), 20);
    world.assert_consistent(campaign);
}

#[test]
fn an_answer_that_does_not_come_in_time_is_uncertain_and_the_rest_is_recorded() {
    let mut world = World::single();
    let campaign = world.campaign_of(10);
    world.ses.add_rule(Rule::to("r2@example.com", Effect::AcceptThenDelay { ms: 60_000 }));
    let mut function = world.function();
    let started = Instant::now();
    let result = function.invoke(&event(campaign, 10), Duration::from_secs(4)).unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "answered after the deadline");
    assert_eq!((&result["batch"]["sent"], &result["batch"]["uncertain"]), (&json!(9), &json!(1)));
    assert_eq!(world.outcome("r2@example.com"), of("uncertain", Some("timed_out")));
    world.assert_consistent(campaign);
}

#[test]
fn a_batch_larger_than_an_invocation_can_send_is_carried_on_by_the_next() {
    let mut world = World::single();
    let campaign = world.campaign_of(300);
    world.ses.set_latency(Duration::from_millis(400));
    let mut function = world.function_with(&[("SEND_CONCURRENCY", "10")]);
    let result = function.invoke(&event(campaign, 300), Duration::from_secs(4)).unwrap();
    assert_eq!(result["status"], "continue");
    let (sent, deferred) =
        (result["batch"]["sent"].as_i64().unwrap(), result["batch"]["deferred"].as_i64().unwrap());
    assert!(sent > 0 && deferred > 0 && sent + deferred == 300, "{result}");
    assert_eq!(result["batch"]["uncertain"], 0);
    world.assert_consistent(campaign);

    world.ses.set_latency(Duration::ZERO);
    assert_eq!(run(&mut function, result["next"].clone()).last().unwrap()["status"], "done");
    assert_eq!(world.statuses(campaign)["sent"], 300);
    world.assert_consistent(campaign);
}

#[test]
fn data_that_would_break_the_process_costs_its_recipient_only() {
    let mut world = World::single();
    let campaign = world.campaign_of(20);
    world.database.execute(
        "UPDATE campaigns SET html = '<p>{% for i in range(n|default(1)) %}{% for j in range(n|default(1)) %}{{ x|default(\"\") }}{% endfor %}{% endfor %}</p>'",
        &[],
    );
    for (email, variables) in [
        ("endless@example.com", "'{\"n\": 90000}'::jsonb"),
        ("large@example.com", "jsonb_build_object('x', repeat('y', 10000000))"),
        ("larger@example.com", "jsonb_build_object('n', 400, 'x', repeat('y', 1000))"),
        ("deep@example.com", "(repeat('[', 5000) || repeat(']', 5000))::jsonb"),
        ("text@example.com", "'\"not an object\"'"),
    ] {
        world.add_recipient(campaign, email);
        world.database.execute(
            &format!("UPDATE campaign_recipients SET variables = {variables} WHERE email = $1"),
            &[&email],
        );
    }
    let result = invoke(&mut world.function(), &event(campaign, 100));
    assert_eq!((&result["batch"]["sent"], &result["batch"]["failed"]), (&json!(20), &json!(5)));
    for email in [
        "endless@example.com",
        "large@example.com",
        "larger@example.com",
        "deep@example.com",
        "text@example.com",
    ] {
        assert_eq!(world.outcome(email), of("failed", Some("render")), "{email}");
    }
    world.assert_consistent(campaign);
}

#[test]
fn no_header_can_be_added_by_what_the_data_holds() {
    let mut world = World::single();
    let campaign = world.campaign_of(0);
    let id = world.add_recipient(campaign, "ada@example.com");
    world.database.execute(
        "UPDATE campaign_recipients SET name = E'Ada\\r\\nBcc: eve@example.com\\r\\n\\r\\n<script>' WHERE id = $1",
        &[&id],
    );
    invoke(&mut world.function(), &event(campaign, 10));
    let message = &world.ses.messages()[0];
    assert_eq!(message.subject, "Hello Ada Bcc: eve@example.com <script>");
    assert!(message.bcc.is_empty() && message.to == ["ada@example.com"]);
    assert!(!message.html.as_ref().unwrap().contains("<script>"));
    let subject: String = world.database.query("SELECT metadata->>'subject' FROM activities", &[])[0].get(0);
    assert_eq!(subject, message.subject);
}
