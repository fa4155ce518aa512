//! Answers that are not SES's, or that cannot be understood: nobody fails, nobody gets a second email, and
//! such answers do not affect a whole campaign.

use std::time::Duration;

use local_ses::ses::{Effect, RequestKind, Rule};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, assert_identity, event, invoke, run};

const HTML: &str = "<html><body>Access denied</body></html>";

fn answer(accept: bool, status: u16, content_type: &str, body: &str) -> Effect {
    Effect::Answer { accept, status, content_type: content_type.into(), body: body.into() }
}

fn refuse(status: u16, code: &str, message: &str) -> Effect {
    Effect::Refuse { code: code.into(), message: message.into(), status }
}

/// Invokes again and again, without the waits, until the campaign stops; at most 30 times.
fn run_at_once(world: &World, campaign: Uuid, batch_size: u32) -> Vec<Value> {
    let mut function = world.function();
    let mut results = Vec::new();
    while results.len() < 30 {
        let result = function.invoke(&event(campaign, batch_size), Duration::from_secs(4)).unwrap();
        assert_identity(&result);
        let goes_on = result["next"].is_object();
        results.push(result);
        if !goes_on {
            return results;
        }
    }
    panic!("no end: {}", results.last().unwrap());
}

#[test]
fn an_accepted_call_whose_answer_cannot_be_read_is_uncertain_and_never_sent_again() {
    let bodies = [
        ("text/html", HTML),
        ("application/json", r#"{"MessageId":"0100"#),
        (
            "application/json",
            "{\"MessageId\":\"\u{ff}\u{fe}\",\"BulkEmailEntryResults\":[{\"Status\":\"\u{ff}\"}]}",
        ),
        ("application/json", r#"{"MessageId":12,"BulkEmailEntryResults":{}}"#),
        ("application/json", "\u{1f}\u{8b}\u{8}\0\0\0\0\0"),
    ];
    for api in ["single", "bulk"] {
        let mut world = World::sending_by(api);
        let mut function = world.function();
        for (content_type, body) in bodies {
            let campaign = world.campaign_of(60);
            world.ses.clear_messages();
            world.ses.add_rule(Rule::nth(1, answer(true, 200, content_type, body)));
            assert_eq!(run(&mut function, event(campaign, 60)).last().unwrap()["status"], "done");
            assert_eq!(world.ses.message_count(), 60, "{api} {body:?}");
            let uncertain =
                world.count(campaign, "status = 'uncertain' AND error_code = 'unreadable_answer'");
            let expected = if api == "single" { 1..=1 } else { 10..=50 };
            assert!(expected.contains(&uncertain), "{api} {body:?}: {uncertain}");
            assert_eq!(world.statuses(campaign)["sent"], 60 - uncertain);
            world.assert_consistent(campaign);
            world.ses.clear_rules();
            world.database.execute("DELETE FROM campaigns WHERE id = $1", &[&campaign]);
        }
    }
}

#[test]
fn an_entry_without_a_result_is_uncertain_alone_and_a_missing_result_makes_its_call_uncertain() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(60);
    world.ses.add_rule(Rule::to("r7@example.com", Effect::AcceptWithEmptyResult));
    assert_eq!(run(&mut world.function(), event(campaign, 60)).last().unwrap()["status"], "done");
    let unreadable = ("uncertain".to_owned(), Some("unreadable_answer".to_owned()));
    assert_eq!(world.outcome("r7@example.com"), unreadable);
    assert_eq!((world.statuses(campaign)["sent"], world.ses.message_count()), (59, 60));
    world.assert_consistent(campaign);

    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(60);
    world.ses.add_rule(Rule::to("r7@example.com", Effect::AcceptWithFewerResults));
    assert_eq!(run(&mut world.function(), event(campaign, 60)).last().unwrap()["status"], "done");
    let uncertain = world.statuses(campaign)["uncertain"];
    assert!((10..=50).contains(&uncertain), "{uncertain}");
    assert_eq!((world.statuses(campaign)["sent"], world.ses.message_count()), (60 - uncertain, 60));
    world.assert_consistent(campaign);
}

#[test]
fn what_a_proxy_answers_in_place_of_ses_fails_nobody_and_waits_with_the_answer_as_reason() {
    for (api, status) in [("single", 403), ("bulk", 407), ("single", 404), ("bulk", 400)] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign_of(1000);
        let mut function = world.function();
        assert_eq!(invoke(&mut function, &event(campaign, 100))["batch"]["sent"], 100);
        world.ses.add_rule(Rule::any(answer(false, status, "text/html", HTML)));
        let requests = world.ses.statistics().send_requests;
        let result = function.invoke(&event(campaign, 500), Duration::from_secs(5)).unwrap();
        assert_eq!(
            (&result["status"], &result["batch"]["deferred"]),
            (&json!("wait"), &json!(500)),
            "{result}"
        );
        let reason = result["reason"].as_str().unwrap();
        assert!(
            reason.ends_with(&format!("http_{status}: <html><body>Access denied</body></html>")),
            "{reason}"
        );
        assert_eq!(world.statuses(campaign), [("pending".to_owned(), 900), ("sent".to_owned(), 100)].into());
        // Not all recipients are tried in vain.
        assert!(world.ses.statistics().send_requests - requests < 100);

        world.ses.clear_rules();
        assert_eq!(run(&mut function, event(campaign, 500)).last().unwrap()["status"], "done");
        assert_eq!(world.statuses(campaign)["sent"], 1000);
        world.assert_consistent(campaign);
    }
}

#[test]
fn uncertain_answers_stop_the_batch_and_halt_the_campaign_before_they_run_through_it() {
    for (api, effect, reason) in [
        ("single", answer(false, 502, "text/html", HTML), "http_502"),
        ("bulk", answer(true, 503, "text/html", HTML), "http_503"),
        ("single", answer(true, 302, "text/html", ""), "unreadable_answer"),
        ("bulk", answer(false, 408, "text/html", ""), "http_408"),
        ("single", answer(true, 200, "text/html", HTML), "unreadable_answer"),
        ("single", Effect::DropAfterAccept, "connection_lost"),
    ] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign_of(2000);
        invoke(&mut world.function(), &event(campaign, 100));
        world.ses.add_rule(Rule::any(effect));
        let results = run_at_once(&world, campaign, 1000);
        let waits: Vec<_> = results.iter().map(|result| result["waitSeconds"].as_u64().unwrap()).collect();
        assert_eq!(waits, [5, 10, 15, 20, 25, 0], "{reason}");
        let last = results.last().unwrap();
        assert_eq!(last["status"], "halted", "{last}");
        let begin = format!("SES repeatedly gave no clear answer: {reason}");
        assert!(last["reason"].as_str().unwrap().starts_with(&begin), "{last}");
        let statuses = world.statuses(campaign);
        // The requests that were under way when it began, and then one after another.
        let under_way = if api == "single" { 50 } else { 200 };
        assert!(statuses["uncertain"] <= under_way + 10, "{api} {reason}: {statuses:?}");
        assert_eq!((statuses["sent"], statuses.get("failed")), (100, None));

        world.ses.clear_rules();
        world.set_status(campaign, "sending");
        assert_eq!(run_at_once(&world, campaign, 1000).last().unwrap()["status"], "done");
        assert_eq!(world.statuses(campaign)["sent"] + statuses["uncertain"], 2000);
        world.assert_consistent(campaign);
    }
}

#[test]
fn bulk_calls_whose_answers_cannot_be_read_are_given_up_where_single_ones_can() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(1000);
    world.ses.add_rule(Rule::any(Effect::AcceptWithFewerResults));
    // One call at a time: how many are under way when the first answer comes is the machine's.
    let mut function = world.function_with(&[("SEND_CONCURRENCY", "1")]);
    assert_eq!(run(&mut function, event(campaign, 500)).last().unwrap()["status"], "done");
    let uncertain = world.statuses(campaign)["uncertain"];
    assert!((20..=200).contains(&uncertain), "{uncertain}");
    assert_eq!((world.statuses(campaign)["sent"], world.ses.message_count()), (1000 - uncertain, 1000));
    world.assert_consistent(campaign);
}

#[test]
fn a_few_uncertain_answers_do_not_stop_a_batch() {
    let mut world = World::single();
    let campaign = world.campaign_of(300);
    for request in [1, 60, 120, 121, 122, 200, 300] {
        world.ses.add_rule(Rule::nth(request, answer(true, 502, "text/html", HTML)));
    }
    let result = invoke(&mut world.function(), &event(campaign, 300));
    assert_eq!((&result["status"], &result["batch"]["uncertain"]), (&json!("done"), &json!(7)), "{result}");
    world.assert_consistent(campaign);
}

#[test]
fn one_message_that_a_firewall_does_not_let_pass_keeps_nobody_of_its_batch_waiting() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(120);
    world.ses.add_rule(Rule::to("r7@example.com", answer(false, 403, "text/html", HTML)));
    let results = run_at_once(&world, campaign, 120);
    let last = results.last().unwrap();
    assert_eq!(last["status"], "halted");
    let reason =
        "every answer came from something other than SES: http_403: <html><body>Access denied</body></html>";
    assert_eq!(last["reason"], reason);
    assert_eq!(world.statuses(campaign), [("pending".to_owned(), 1), ("sent".to_owned(), 119)].into());
    assert_eq!(world.outcome("r7@example.com").0, "pending");
    world.assert_consistent(campaign);
}

#[test]
fn the_same_refusal_in_mid_campaign_halts_and_those_of_the_streak_are_pending_again() {
    for api in ["single", "bulk"] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign_of(600);
        let mut function = world.function();
        assert_eq!(invoke(&mut function, &event(campaign, 100))["batch"]["sent"], 100);
        let effect = refuse(400, "MessageRejected", "Content is not allowed (r1@example.com)");
        world.ses.add_rule(Rule::any(effect.clone()));
        world.ses.add_rule(Rule::to_containing("@", effect));
        for count in [20, 40] {
            let result = invoke(&mut function, &event(campaign, 250));
            assert_eq!((&result["status"], &result["batch"]["deferred"]), (&json!("halted"), &json!(250)));
            let reason = format!(
                "each of {count} recipients in a row was refused: MessageRejected: Content is not allowed (…)"
            );
            assert_eq!(result["reason"], reason);
            assert_eq!(
                world.statuses(campaign),
                [("pending".to_owned(), 500), ("sent".to_owned(), 100)].into()
            );
            world.set_status(campaign, "sending");
        }
        world.ses.clear_rules();
        assert_eq!(run(&mut function, event(campaign, 250)).last().unwrap()["status"], "done");
        assert_eq!(world.statuses(campaign)["sent"], 600);
        world.assert_consistent(campaign);
    }
}

#[test]
fn a_stretch_of_recipients_that_are_refused_for_their_own_sake_is_passed_when_a_person_goes_on() {
    let mut world = World::single();
    let campaign = world.campaign_of(50);
    world.database.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email)
         SELECT id, organization_id, 'x' || n || '@refused.example' FROM campaigns, generate_series(1, 30) AS n",
        &[],
    );
    world.add_recipients(campaign, 20);
    world.ses.add_rule(Rule::to_containing("@refused.example", refuse(400, "MessageRejected", "no")));
    // One at a time, so that the streak is the list's.
    let mut function = world.function_with(&[("SEND_CONCURRENCY", "1")]);
    assert_eq!(invoke(&mut function, &event(campaign, 100))["status"], "halted");
    assert_eq!(world.count(campaign, "status = 'failed'"), 0);
    world.set_status(campaign, "sending");
    assert_eq!(invoke(&mut function, &event(campaign, 100))["status"], "done");
    assert_eq!(world.statuses(campaign), [("failed".to_owned(), 30), ("sent".to_owned(), 70)].into());
    world.assert_consistent(campaign);
}

#[test]
fn nineteen_in_a_row_do_not_halt_and_other_refusals_between_them_restart_the_count() {
    let mut world = World::single();
    let campaign = world.campaign_of(100);
    let no = |words: &str| refuse(400, "MessageRejected", words);
    world.ses.add_rule(Rule::any(no("this")).times(19));
    world.ses.add_rule(Rule::any(no("that")).times(19));
    world.ses.add_rule(Rule::any(no("this")).times(19));
    let result = invoke(&mut world.function_with(&[("SEND_CONCURRENCY", "1")]), &event(campaign, 100));
    assert_eq!((&result["status"], &result["batch"]["failed"]), (&json!("done"), &json!(57)), "{result}");
    world.assert_consistent(campaign);
}

#[test]
fn a_signature_that_came_too_late_is_made_again() {
    let mut world = World::single();
    let campaign = world.campaign_of(40);
    for message in
        ["Signature expired: … is now earlier than …", "Signature not yet current: … is still later than …"]
    {
        world.ses.add_rule(Rule::any(refuse(403, "InvalidSignatureException", message)).times(1));
    }
    assert_eq!(run(&mut world.function(), event(campaign, 40)).last().unwrap()["status"], "done");
    assert_eq!(world.statuses(campaign), [("sent".to_owned(), 40)].into());
    world.assert_consistent(campaign);
}

#[test]
fn bulk_calls_with_large_bodies_have_as_many_entries_as_fit() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(20);
    // With the text that is made of it each recipient's own is 180 kB, so that five of them fit into a request.
    let sql = "UPDATE campaigns SET html = '{{ \"0123456789\" * 9000 }}' WHERE id = $1";
    world.database.execute(sql, &[&campaign]);
    assert_eq!(run(&mut world.function(), event(campaign, 20)).last().unwrap()["status"], "done");
    // There is one more call if the mark has to move first.
    assert!((4..=8).contains(&world.ses.statistics().send_requests));
    assert!(world.ses.messages().iter().all(|message| message.kind == RequestKind::Bulk));
    world.assert_consistent(campaign);
}
