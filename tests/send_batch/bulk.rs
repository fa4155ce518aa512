//! `SendBulkEmail`: the same messages as by single calls, and the same rules for what is not accepted.

use std::collections::BTreeMap;

use local_ses::ses::{Account, Effect, Message, RequestKind, Rule};
use serde_json::json;
use uuid::Uuid;

use crate::support::{ORGANIZATION, World, event, invoke, run};

/// The visible parts of a message, by address.
fn mailbox(world: &World) -> BTreeMap<String, (RequestKind, Vec<String>)> {
    let seen = |message: &Message| {
        let text = |part: &Option<std::sync::Arc<str>>| format!("{part:?}");
        let mut tags: Vec<_> = message.tags.iter().map(|tag| format!("{}={}", tag.name, tag.value)).collect();
        tags.sort();
        let headers = message.headers.iter().map(|header| format!("{}: {}", header.name, header.value));
        let mut fields = vec![
            message.from.clone(),
            message.subject.clone(),
            text(&message.html),
            text(&message.text),
            format!("{:?} {:?}", message.reply_to, message.configuration_set),
        ];
        fields.extend(headers);
        fields.extend(tags);
        fields
    };
    world
        .ses
        .messages()
        .iter()
        .map(|message| (message.to[0].clone(), (message.kind, seen(message))))
        .collect()
}

fn calls(world: &World) -> u64 {
    world.ses.statistics().send_requests
}

#[test]
fn what_arrives_is_the_same_whichever_call_carries_it() {
    let people = [
        ("ada@example.com", Some("Ada <\"&'{{subject}}{{{html}}}\\"), json!({"city": "Zürich \u{1F600}"})),
        ("bob@example.com", None, json!({"city": "a\r\nb\tc \u{2028}"})),
        ("cyd@exämple.com", Some("ÇŸÐ"), json!({"city": "</p><script>"})),
    ];
    let boxes = ["single", "bulk"].map(|api| {
        let mut world = World::sending_by(api);
        let campaign = Uuid::from_u128(7);
        world.database.execute(
            "INSERT INTO campaigns (id, organization_id, name, status, from_address, reply_to, subject, html, text,
                                    configuration_set)
             VALUES ($1, $2, 'Spring', 'sending', 'Néws <news@example.com>', '{a@example.com,b@example.com}',
                     'Hi {{ name or \"you\" }} & {{ city }}', '<p class=\"{{ city }}\">{{ name or 1 }} {{ city }}</p>',
                     E'{{ city }}\\n\"{{ name or 2 }}\"', 'marketing')",
            &[&campaign, &ORGANIZATION],
        );
        for (n, (email, name, variables)) in people.iter().enumerate() {
            world.database.execute(
                "INSERT INTO campaign_recipients (id, campaign_id, organization_id, email, name, variables)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                &[&Uuid::from_u128(n as u128), &campaign, &ORGANIZATION, email, name, variables],
            );
        }
        assert_eq!(invoke(&mut world.function(), &event(campaign, 10))["status"], "done");
        world.assert_consistent(campaign);
        mailbox(&world)
    });
    assert_eq!(boxes[0].len(), 3);
    for (address, (kind, seen)) in &boxes[0] {
        assert_eq!((*kind, boxes[1][address].0), (RequestKind::Single, RequestKind::Bulk));
        assert_eq!(seen, &boxes[1][address].1, "{address}");
    }
}

/// A newsletter: what all share is most of it, and the text part is derived.
fn newsletter() -> String {
    let shared = "<p>A paragraph that everybody gets, with what there is to say of the harvest &amp; of the coffee.</p>".repeat(6);
    let row = |n: usize| {
        format!(
            "<tr><td style=\"padding:16px 24px;font-family:Arial,sans-serif\"><h2>Letter {n}</h2>{shared}\
             <p>The beans \\{{{{ '{{{{name}}}}' }}}} of {{{{ name or 'friend' }}}}: \
             <a href=\"https://example.com/{n}?id={{{{ id }}}}\">this page</a>.</p>{{% if vip %}}<p>VIP</p>{{% endif %}}\
             {shared}</td></tr>"
        )
    };
    let rows: String = (0..30).map(row).collect();
    format!(
        "<html><head><style>@media print{{.a{{color:red}}}}</style></head><body><table>{rows}</table></body></html>"
    )
}

#[test]
fn a_newsletter_is_carried_once_for_all_recipients_of_a_call_and_arrives_as_it_is() {
    let boxes = ["single", "bulk"].map(|api| {
        let mut world = World::sending_by(api);
        let campaign = world.campaign_of(60);
        world.database.execute(
            "UPDATE campaigns SET html = $2, text = NULL, transactional = false WHERE id = $1",
            &[&campaign, &newsletter()],
        );
        world.database.execute(
            "UPDATE campaign_recipients SET name = CASE WHEN position % 3 > 0 THEN '{{{h1}}} \\ <' || position END,
                    variables = jsonb_build_object('id', position, 'vip', position % 5 = 0)",
            &[],
        );
        assert_eq!(run(&mut world.function(), event(campaign, 60)).last().unwrap()["status"], "done");
        world.assert_consistent(campaign);
        let statistics = world.ses.statistics();
        let lengths = mailbox(&world).into_values().map(|(_, seen)| seen.iter().map(String::len).sum::<usize>());
        (mailbox(&world), statistics, lengths.sum::<usize>())
    });
    let [(single, ..), (bulk, statistics, length)] = &boxes;
    assert_eq!((single.len(), bulk.len(), statistics.send_requests), (60, 60, 2));
    assert!(statistics.send_bytes * 3 < *length as u64, "{} of {length} bytes", statistics.send_bytes);
    for (address, (kind, seen)) in single {
        assert_eq!((*kind, bulk[address].0), (RequestKind::Single, RequestKind::Bulk));
        // The recipients of the two worlds have other ids, and so other links and tags.
        let without_links = |seen: &[String]| -> Vec<String> {
            seen.iter()
                .take(4)
                .map(|part| part.split("/u/").map(|rest| rest.get(87..).unwrap_or(rest)).collect())
                .collect()
        };
        assert_eq!(without_links(seen), without_links(&bulk[address].1), "{address}");
    }
}

#[test]
fn the_rate_decides_which_call_is_made_and_how_many_recipients_it_has() {
    for (api, per_second, requests, kind) in [
        ("auto", 10_000.0, 2, RequestKind::Bulk),
        ("auto", 90.0, 20, RequestKind::Single),
        ("single", 10_000.0, 20, RequestKind::Single),
        ("bulk", 30.0, 7, RequestKind::Bulk),
    ] {
        let mut world = World::sending_by(api);
        world.ses.set_account(Account { max_send_rate: per_second, ..Account::default() });
        let campaign = world.campaign_of(20);
        run(&mut world.function(), event(campaign, 20));
        assert_eq!(calls(&world), requests, "{api} at {per_second}/s");
        assert!(world.ses.messages().iter().all(|message| message.kind == kind));
        world.assert_consistent(campaign);
    }
}

#[test]
fn each_entry_of_a_call_has_an_outcome_of_its_own() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(10);
    let refuse = |code: &str| Effect::Refuse { code: code.into(), message: "no".into(), status: 400 };
    world.ses.add_rule(Rule::to("r2@example.com", refuse("MessageRejected")));
    world.ses.add_rule(Rule::to("r3@example.com", Effect::Throttle).times(1));
    world.ses.add_rule(Rule::to("r4@example.com", Effect::ServerError).times(1));
    let results = run(&mut world.function(), event(campaign, 10));
    assert_eq!(results.last().unwrap()["status"], "done");
    assert_eq!(world.outcome("r2@example.com"), ("failed".to_owned(), Some("MessageRejected".to_owned())));
    assert_eq!(world.statuses(campaign), [("failed".to_owned(), 1), ("sent".to_owned(), 9)].into());
    world.assert_consistent(campaign);
}

#[test]
fn a_call_that_is_refused_as_a_whole_is_sent_one_by_one() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(8);
    let refuse =
        Effect::Refuse { code: "BadRequestException".into(), message: "malformed".into(), status: 400 };
    world.ses.add_rule(Rule::nth(1, refuse.clone()));
    world.ses.add_rule(Rule::to("r5@example.com", refuse));
    let result = invoke(&mut world.function(), &event(campaign, 8));
    assert_eq!((&result["batch"]["sent"], &result["batch"]["failed"]), (&json!(7), &json!(1)));
    assert_eq!(
        world.outcome("r5@example.com"),
        ("failed".to_owned(), Some("BadRequestException".to_owned()))
    );
    world.assert_consistent(campaign);
}

#[test]
fn a_call_whose_connection_breaks_makes_its_recipients_uncertain_and_they_are_never_sent_again() {
    for effect in [Effect::DropAfterAccept, Effect::DropBeforeAccept] {
        let mut world = World::sending_by("bulk");
        let campaign = world.campaign_of(60);
        world.ses.add_rule(Rule::to("r1@example.com", effect.clone()).times(1));
        let results = run(&mut world.function(), event(campaign, 60));
        assert_eq!(results.last().unwrap()["status"], "done");
        let statuses = world.statuses(campaign);
        assert!((1..=50).contains(&statuses["uncertain"]), "{statuses:?}");
        let accepted =
            if effect == Effect::DropAfterAccept { 60 } else { usize::try_from(statuses["sent"]).unwrap() };
        assert_eq!(world.ses.message_count(), accepted);
        world.assert_consistent(campaign);
    }
}

#[test]
fn a_message_that_is_too_large_for_a_bulk_call_is_sent_singly() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(3);
    world.database.execute(
        "UPDATE campaigns SET html = repeat('<p>0123456789</p>', 20000) || '{{ name or \"\" }}'
          WHERE id = $1",
        &[&campaign],
    );
    world.database.execute(
        "UPDATE campaigns SET html = '{% if name %}' || html || '{% else %}small{% endif %}' WHERE id = $1",
        &[&campaign],
    );
    run(&mut world.function(), event(campaign, 3));
    let kinds = mailbox(&world).into_values().map(|(kind, _)| kind).collect::<Vec<_>>();
    assert_eq!(kinds, [RequestKind::Single, RequestKind::Bulk, RequestKind::Single]);
    world.assert_consistent(campaign);
}

#[test]
fn a_cause_for_all_halts_by_bulk_calls_too() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(60);
    world.ses.set_account(Account { sending_enabled: false, ..Account::default() });
    let result = invoke(&mut world.function(), &event(campaign, 60));
    assert_eq!((&result["status"], &result["batch"]["deferred"]), (&json!("halted"), &json!(60)));
    assert_eq!(world.statuses(campaign)["pending"], 60);
}

fn refuse(status: u16, code: &str, message: &str) -> Effect {
    Effect::Refuse { code: code.into(), message: message.into(), status }
}

#[test]
fn an_endpoint_without_bulk_calls_is_asked_for_one_once() {
    for (status, code) in [
        (501, "NotImplemented"),
        (404, "NotFoundException"),
        (405, "MethodNotAllowed"),
        (400, "UnknownOperationException"),
    ] {
        let mut world = World::sending_by("bulk");
        let campaign = world.campaign_of(180);
        world.ses.add_rule(Rule::any(refuse(status, code, "no")).by(RequestKind::Bulk));
        // One request at a time, so that none is under way while the first is answered.
        let mut function = world.function_with(&[("SEND_CONCURRENCY", "1")]);
        assert_eq!(run(&mut function, event(campaign, 60)).last().unwrap()["status"], "done");
        assert_eq!(world.statuses(campaign), [("sent".to_owned(), 180)].into(), "{status} {code}");
        assert_eq!(calls(&world), 1 + 180, "{status} {code}");
        world.assert_consistent(campaign);
    }
}

#[test]
fn an_endpoint_without_any_call_halts_and_makes_nobody_uncertain() {
    for api in ["bulk", "single"] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign_of(60);
        world.ses.add_rule(Rule::any(refuse(501, "NotImplemented", "no")));
        let result = invoke(&mut world.function(), &event(campaign, 60));
        assert_eq!(result["status"], "halted", "{result}");
        assert_eq!(result["reason"], "NotImplemented: no");
        assert_eq!(world.statuses(campaign), [("pending".to_owned(), 60)].into());
    }
}

#[test]
fn a_configuration_set_that_does_not_exist_halts_and_bulk_calls_go_on_when_it_does() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(60);
    let missing = "Configuration set <x> does not exist.";
    world.ses.add_rule(Rule::any(refuse(404, "NotFoundException", missing)));
    let mut function = world.function();
    let result = invoke(&mut function, &event(campaign, 60));
    assert_eq!(result["status"], "halted", "{result}");
    assert_eq!(result["reason"], format!("NotFoundException: {missing}"));
    assert_eq!(world.statuses(campaign)["pending"], 60);

    world.ses.clear_rules();
    world.set_status(campaign, "sending");
    assert_eq!(run(&mut function, event(campaign, 60)).last().unwrap()["status"], "done");
    assert!(world.ses.messages().iter().all(|message| message.kind == RequestKind::Bulk));
    world.assert_consistent(campaign);
}

#[test]
fn what_the_words_of_an_entry_say_of_all_goes_before_its_status() {
    let mut world = World::sending_by("bulk");
    let campaign = world.campaign_of(60);
    let failed = |message: &str| refuse(400, "Failed", message);
    world
        .ses
        .add_rule(Rule::to_containing("example.com", failed("Maximum sending rate exceeded.")).times(20));
    let mut function = world.function();
    assert_eq!(run(&mut function, event(campaign, 60)).last().unwrap()["status"], "done");
    assert_eq!(world.statuses(campaign), [("sent".to_owned(), 60)].into());

    let campaign = world.campaign_of(60);
    world.ses.add_rule(Rule::to_containing("example.com", failed("Sending paused for this account.")));
    let result = invoke(&mut function, &event(campaign, 60));
    assert_eq!((&result["status"], &result["batch"]["deferred"]), (&json!("halted"), &json!(60)), "{result}");
    assert_eq!(result["reason"], "FAILED: Sending paused for this account.");
    assert_eq!(world.statuses(campaign)["pending"], 60);
}
