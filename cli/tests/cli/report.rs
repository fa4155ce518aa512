//! `campaign report`: what machines read of a campaign's results.

use local_ses::lambda::Function;
use local_ses::ses::{events, in_sqs_batch};
use serde_json::{Value, json};

use crate::support::{TIMEOUT, World, event, executable, run};
use crate::{campaign, done};

/// A campaign of 6 that was sent, and of which SES has told.
fn reported() -> (World, String) {
    let mut world = World::new();
    let made = world.campaign_of(6);
    world.database.execute(
        "UPDATE campaign_recipients SET email = 'bounce@simulator.amazonses.com' WHERE email ~ '^r1@'",
        &[],
    );
    run(&mut world.function(), event(made, 10));
    let mut told: Vec<Value> = world.ses.messages().iter().flat_map(events).collect();
    let mut click = told.iter().find(|event| event["detail"]["eventType"] == "Delivery").unwrap().clone();
    click["detail"]["eventType"] = json!("Click");
    click["detail"]["click"] =
        json!({"timestamp": "2026-11-03T12:00:00Z", "link": "https://shop.example.com/?a=1,2"});
    told.push(click);
    let environment = [("DATABASE_URL", world.database.url.as_str())];
    let mut function = Function::start(&executable("ses-events"), &environment).unwrap();
    function.invoke(&in_sqs_batch(&told), TIMEOUT).unwrap();
    drop(function);
    (world, made.to_string())
}

#[test]
fn the_results_are_an_object_for_machines_and_lines_for_a_spreadsheet() {
    let (world, id) = reported();
    let report = |form: &str| done(&campaign(&world.database.url, &["report", &id, form], ""));
    let json: Value = serde_json::from_str(&report("--json")).unwrap();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    insta::assert_snapshot!(names.join(" "), @"bounced bouncedSoftly campaignId clickedByMachines clickedByPeople complained completedAt delivered domains failed links name openedByApple openedByMachines openedByPeople organizationId rejected sent startedAt status suppressed total uncertain unsubscribed withheld");
    assert_eq!((&json["campaignId"], &json["sent"], &json["delivered"]), (&json!(id), &json!(6), &json!(5)));
    assert_eq!(
        json["links"],
        json!([{"link": "https://shop.example.com/?a=1,2", "clickedByPeople": 1, "clickedByMachines": 0}])
    );
    assert_eq!(json["domains"][0]["domain"], "example.com");
    assert!(json["completedAt"].as_str().unwrap().ends_with('Z'));
    insta::assert_snapshot!(report("--csv"), @r#"
    scope,name,sent,delivered,bounced,bounced_softly,withheld,complained,rejected,opened_by_people,opened_by_machines,opened_by_apple,clicked_by_people,clicked_by_machines,unsubscribed
    campaign,Spring,6,5,1,0,0,0,0,0,0,0,1,0,0
    domain,example.com,5,5,0,0,0,0,0,0,0,0,1,0,0
    domain,simulator.amazonses.com,1,0,1,0,0,0,0,0,0,0,0,0,0
    link,"https://shop.example.com/?a=1,2",,,,,,,,,,,1,0,
    "#);
}

#[test]
fn a_form_has_to_be_chosen_and_an_unknown_campaign_is_said() {
    let world = World::new();
    let id = "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35";
    for (arguments, status, part) in [
        (&["report", id][..], 64, "--json"),
        (&["report", id, "--json", "--csv"], 64, "--csv"),
        (&["report", id, "--csv"], 65, "there is no campaign"),
    ] {
        let output = campaign(&world.database.url, arguments, "");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(part), "{said}");
    }
}
