//! Templates and data that try to stop other campaigns, or that would arrive changed.

use std::sync::Arc;

use serde_json::json;

use crate::support::{World, event, invoke};

#[test]
fn a_poisoned_template_halts_its_campaign_and_every_other_goes_on() {
    let many = |unit: &str| unit.repeat(50_000);
    let mut world = World::new();
    let mut function = world.function();
    for (template, reason) in [
        (format!("{{{{ 1{} }}}}", "+1".repeat(29_000)), "an expression has more than 100 operators"),
        (format!("{{{{ a{} }}}}", many("|upper")), "an expression has more than 100 operators"),
        (format!("{{{{ a{} }}}}", many(".a")), "an expression has more than 100 operators"),
        (format!("{{{{ a{} }}}}", many("~a")), "an expression has more than 100 operators"),
        (format!("{{{{ {} a }}}}", many("not ")), "an expression has more than 100 operators"),
        (format!("{{{{ {} a }}}}", many("-")), "an expression has more than 100 operators"),
        (
            format!("{{% if a %}}{}{{% endif %}}", many("{% elif a %}")),
            "blocks are nested more than 100 deep",
        ),
        (many("{% if a %}"), "blocks are nested more than 100 deep"),
        (format!("{{{{ {} }}}}", many("(")), "brackets are nested more than 20 deep"),
        (format!("{{{{ {} }}}}", many("a[")), "brackets are nested more than 20 deep"),
        (many("{% set x = [x] %}"), "assignments nest values more than 100 deep"),
        (
            "{% set n = namespace() %}{% set n.a = n %}{{ n }}".to_owned(),
            "an attribute of a namespace holds text",
        ),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(), "recursion limit exceeded"),
        ("{{ 'a' * 10**9 }}".to_owned(), "the template cannot be rendered"),
    ] {
        for (part, other) in [("html", "text"), ("subject", "html"), ("text", "html")] {
            let campaign = world.campaign_of(2);
            let sql = format!("UPDATE campaigns SET {other} = 'x', {part} = $2 WHERE id = $1");
            world.database.execute(&sql, &[&campaign, &template]);
            let result = invoke(&mut function, &event(campaign, 10));
            assert_eq!(result["status"], "halted", "{result}");
            let told = result["reason"].as_str().unwrap();
            assert!(told.contains(reason) && told.contains(&format!("({part}")), "{part}: {told}");
            assert_eq!(world.statuses(campaign)["pending"], 2);
        }
    }
    let healthy = world.campaign_of(2);
    assert_eq!(invoke(&mut function, &event(healthy, 10))["status"], "done");
    assert_eq!(world.ses.messages().len(), 2);
}

#[test]
fn data_arrives_as_it_was_written() {
    let mut world = World::single();
    let campaign = world.campaign_of(1);
    world.database.execute(
        "UPDATE campaigns SET text = NULL, variables = '{\"fee\": 0.10, \"x\": \"campaign\"}',
                html = '{{ price }} {{ big }} {{ huge }} {{ list[1] }} {{ fee }} {{ price * 2 }} {{ x }} {{ contact.first_name or \"friend\" }}'",
        &[],
    );
    world.database.execute(
        "UPDATE campaign_recipients SET variables = '{\"price\": 20.00, \"big\": 12345678901234567891234, \"huge\": 1e400,
                \"list\": [null, 0.50], \"x\": null, \"contact\": {\"first_name\": null}}'",
        &[],
    );
    let result = invoke(&mut world.function(), &event(campaign, 10));
    assert_eq!(result["batch"]["sent"], json!(1), "{result}");
    let html = world.ses.messages()[0].html.clone().unwrap();
    let huge = format!("1{}", "0".repeat(400));
    let shown = format!("20.00 12345678901234567891234 {huge} 0.50 0.10 40.0 campaign friend");
    assert!(html.starts_with(&shown), "{html}");
}

#[test]
fn a_page_that_never_closes_its_tags_is_sent_as_soon_as_any_other() {
    let mut world = World::single();
    let campaign = world.campaign_of(20);
    let page = format!("<p>Hello</p>{}", "<a href=".repeat(20_000));
    world.database.execute("UPDATE campaigns SET text = NULL, html = $1", &[&page]);
    let result = invoke(&mut world.function(), &event(campaign, 100));
    assert_eq!((&result["status"], &result["batch"]["sent"]), (&json!("done"), &json!(20)), "{result}");
    let text: Arc<str> = world.ses.messages()[0].text.clone().unwrap();
    assert!(text.contains("Hello"), "{text}");
}
