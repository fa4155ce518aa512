//! The results of commands with `--json`, and the one form of errors.

use std::process::Output;

use local_ses::ses::{Effect, Rule, SuppressedDestination, SuppressionReason, Vdm};
use serde_json::{Value, json};

use crate::support::{ORGANIZATION, World, event, run};
use crate::{Scratch, campaign};

/// The result of a command that ends with this exit status: one object on one line.
fn result(output: &Output, status: i32) -> Value {
    assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.lines().count(), 1, "{said}");
    serde_json::from_str(&said).unwrap()
}

/// The error of a command: the last line of standard error.
fn error(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    let error: Value = serde_json::from_str(said.lines().last().unwrap()).expect("an object");
    assert_eq!(error.as_object().unwrap().len(), 1, "{error}");
    let error = &error["error"];
    let mut keys: Vec<_> = error.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["code", "exitStatus", "message"]);
    assert_eq!(error["exitStatus"], output.status.code().unwrap());
    error.clone()
}

impl World {
    fn result(&self, arguments: &[&str]) -> Value {
        result(&self.campaign_command(&[arguments, &["--json"]].concat()), 0)
    }
}

#[test]
fn a_campaign_is_sent_from_its_draft_to_its_end_by_a_machine() {
    let (mut world, scratch) = (World::single(), Scratch::new());
    let html = scratch.file("spring.html", "<p>Dear {{ name or \"friend\" }}, spring is here.</p>");
    let organization = ORGANIZATION.to_string();
    let from = "News <news@example.com>";
    let of = ["--organization", &organization, "--name", "Spring", "--from", from, "--subject", "Hello"];
    let created = world.result(&[&["send", "create", "--html", &html], &of[..]].concat());
    let id = created["campaignId"].as_str().unwrap().to_owned();
    let status = |status: &str| json!({"campaignId": id, "status": status});
    assert_eq!(created, status("draft"));
    let people = scratch.file("people.csv", "email\nada@example.com\nbob@example.com\n");
    assert_eq!(world.result(&["import", &id, &people])["imported"], 2);

    let test = world.result(&["send", &id, "--test", "me@example.com", "you@example.com"]);
    assert_eq!((&test["campaignId"], &test["tests"][1]["to"]), (&json!(id), &json!("you@example.com")));
    assert!(test["tests"][0]["messageId"].is_string(), "{test}");

    let at = "2099-01-01 08:00Z";
    assert_eq!(world.result(&["send", "schedule", &id, "--at", at]), status("scheduled"));
    assert_eq!(world.result(&["send", "pause", &id]), status("paused"));
    let resumed = json!({"campaignId": id, "status": "scheduled", "settled": 0});
    assert_eq!(world.result(&["send", "resume", &id]), resumed);
    assert_eq!(world.result(&["send", "pause", "--all"]), json!({"campaigns": [status("paused")]}));
    assert_eq!(world.result(&["send", "resume", "--all"]), json!({"campaigns": [resumed]}));
    assert_eq!(world.result(&["send", "resume", "--all"]), json!({"campaigns": []}));
    assert_eq!(world.result(&["send", "start", &id]), status("sending"));

    let mut sent = world.result(&["send", "run", &id]);
    let took = sent.as_object_mut().unwrap().remove("seconds").unwrap();
    assert!(took.as_f64().unwrap() > 0.0);
    let progress =
        json!({"total": 2, "sent": 2, "failed": 0, "suppressed": 0, "uncertain": 0, "remaining": 0});
    assert_eq!(
        sent,
        json!({"campaignId": id, "end": "done", "reason": null, "sent": 2, "batches": 1, "progress": progress})
    );
    let second = world.campaign_of(1).to_string();
    let cancelled = world.result(&["send", "cancel", &second, "--yes"]);
    assert_eq!(cancelled, json!({"campaignId": second, "status": "cancelled"}));

    // A campaign that stops before its end has a result and an error.
    let output = world.campaign_command(&["send", "run", &second, "--json"]);
    assert_eq!(result(&output, 75)["end"], "cancelled");
    assert_eq!(error(&output)["code"], "stopped");
}

#[test]
fn what_is_left_over_is_settled_by_a_machine() {
    let mut world = World::single();
    let id = world.campaign_of(3);
    for address in ["r1@example.com", "r2@example.com"] {
        world.ses.add_rule(Rule::to(address, Effect::DropAfterAccept));
    }
    run(&mut world.function(), event(id, 10));
    let uncertain = "SELECT id::text FROM campaign_recipients WHERE status = 'uncertain' ORDER BY email";
    let uncertain: Vec<String> = world.database.query(uncertain, &[]).iter().map(|row| row.get(0)).collect();
    let campaign_id = id.to_string();
    let decided = ["--yes", "--by", "ada", "--why", "ticket 42"];
    let resolve = |more: &[&str]| world.result(&[&["resolve", &campaign_id], more].concat());
    let settled = resolve(&[&["--as", "sent", "--recipient", &uncertain[0]], &decided[..]].concat());
    let progress = |sent, failed, uncertain| json!({"total": 3, "sent": sent, "failed": failed, "suppressed": 0, "uncertain": uncertain, "remaining": 0});
    assert_eq!(
        settled,
        json!({
            "campaignId": id, "as": "sent", "recipients": 1, "recipientIds": [uncertain[0]], "skipped": 0,
            "status": "sent", "progress": progress(2, 0, 1)
        })
    );
    let settled = resolve(&[&["--as", "failed"], &decided[..]].concat());
    assert_eq!(
        (&settled["recipientIds"], &settled["progress"]),
        (&json!([uncertain[1]]), &progress(2, 1, 0))
    );
    let nobody = resolve(&[&["--as", "resend"], &decided[..]].concat());
    assert_eq!((&nobody["recipients"], &nobody["status"]), (&json!(0), &json!("sent")));

    let scratch = Scratch::new();
    let log = format!(
        "{{\"message\":\"accepted\",\"campaign_id\":\"{id}\",\"sent_at_ms\":1767600000123,\"messages\":\"{}=m1 {id}=m2\"}}\n{{\"message\":\"accepted\"",
        uncertain[0]
    );
    let log = resolve(&["--from-log", &scratch.file("log", log)]);
    assert_eq!(
        log,
        json!({
            "campaignId": id, "messages": 2, "replayed": 0, "known": 1, "unknownRecipients": 1,
            "ofOtherCampaigns": 0, "brokenLines": [2]
        })
    );
}

#[test]
fn a_machine_learns_what_ses_shows_of_each_uncertain_recipient_before_and_after_it_agrees() {
    let mut world = World::single();
    let id = world.campaign_of(4);
    world.ses.set_vdm(Vdm { enabled: true, failing: false });
    world.ses.add_rule(Rule::to("r1@example.com", Effect::DropAfterAccept));
    world.ses.add_rule(Rule::to("r2@example.com", Effect::ServerError));
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN IF NEW.description LIKE '%Recipient 3%' THEN RAISE 'closed'; END IF; RETURN NEW; END $$;
                  CREATE TRIGGER refuse BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION refuse()";
    world.database.client().batch_execute(refuse).unwrap();
    run(&mut world.function(), event(id, 10));
    let uncertain = "SELECT id::text FROM campaign_recipients WHERE status = 'uncertain' ORDER BY email";
    let uncertain: Vec<String> = world.database.query(uncertain, &[]).iter().map(|row| row.get(0)).collect();
    let message_of = |id: &str| {
        let message =
            world.ses.messages().into_iter().find(|message| message.tag("recipient_id") == Some(id));
        message.map(|message| message.id)
    };
    let [accepted, refused] = [0, 2].map(|n| message_of(&uncertain[n]).unwrap());
    let campaign_id = id.to_string();
    let from_ses = |more: &[&str]| world.result(&[&["resolve", &campaign_id, "--from-ses"], more].concat());
    let expected = |replayed| {
        json!({
            "campaignId": id,
            "recipients": [
                {"recipientId": uncertain[0], "finding": "accepted", "messageId": accepted},
                {"recipientId": uncertain[1], "finding": "noEmail", "messageId": null},
                {"recipientId": uncertain[2], "finding": "activityRefused", "messageId": refused},
            ],
            "replayed": replayed,
            "known": 0,
        })
    };
    assert_eq!(from_ses(&[]), expected(0));
    assert_eq!(from_ses(&["--yes"]), expected(1));
    let rest = from_ses(&["--recipient", &uncertain[1]]);
    let nothing = json!([{"recipientId": uncertain[1], "finding": "noEmail", "messageId": null}]);
    assert_eq!((&rest["recipients"], &rest["replayed"]), (&nothing, &json!(0)));
    world.result(&["resolve", &campaign_id, "--as", "failed", "--yes", "--by", "ada", "--why", "ticket 42"]);
    assert_eq!(from_ses(&[])["recipients"], json!([]));
}

#[test]
fn lists_checks_and_deletions_are_read_by_a_machine() {
    let (mut world, scratch) = (World::single(), Scratch::new());
    let file = scratch.file("gone.csv", "email,reason\nada@example.com,complaint\nnowhere,\n");
    let arguments = ["suppressions", "import", &file, "--account-wide", "--json"];
    let output = world.campaign_command(&arguments);
    let refused = json!([{"reason": "bad_address", "count": 1, "firstLine": 3, "detail": "it is not of the form local@domain"}]);
    let counts =
        |added| json!({"rows": 2, "refused": refused, "added": added, "strengthened": 0, "known": 0});
    assert_eq!(result(&output, 65), counts(0));
    assert_eq!(error(&output)["code"], "data");
    assert_eq!(world.result(&[&arguments[..4], &["--skip-bad"]].concat()), counts(1));

    world.ses.set_suppressed(vec![SuppressedDestination {
        email_address: "bob@example.com".to_owned(),
        reason: SuppressionReason::Bounce,
        last_update: std::time::SystemTime::UNIX_EPOCH,
    }]);
    let everybody = "00000000-0000-0000-0000-000000000000";
    assert_eq!(
        world.result(&["suppressions", "pull-ses"]),
        json!({"organizationId": everybody, "tenant": null, "addresses": 1, "added": 1, "strengthened": 0, "known": 0})
    );
    let list = world.result(&["suppressions", "list"]);
    assert_eq!(list["byReason"], json!({"bounce": 1, "complaint": 1}));
    assert_eq!(
        list["newest"][1],
        json!({"email": "bob@example.com", "reason": "bounce", "createdAt": "1970-01-01T00:00:00Z", "organizationId": everybody})
    );
    let nobody = world.result(&["suppressions", "list", "--email", "cy@example.com"]);
    assert_eq!(nobody, json!({"byReason": {}, "newest": []}));

    let pruned = world.result(&["prune", "--older-than", "180d", "--yes"]);
    assert_eq!(
        pruned,
        json!({"olderThanDays": 180, "campaigns": 0, "batches": 0, "events": 0, "recipients": 0, "bouncesAndReservations": 0})
    );
    let schema = world.result(&["migrate"]);
    assert_eq!((&schema["version"], &schema["upToDate"]), (&schema["needed"], &json!(true)));

    let id = world.campaign_of(2).to_string();
    let shared = "<p>What everybody gets, in a paragraph that is as long as it needs to be.</p>";
    let html = format!("{shared}{{{{ name or 1 }}}}{shared}");
    world.database.execute("UPDATE campaigns SET html = $1", &[&html]);
    world.database.execute("UPDATE campaign_recipients SET name = 'Ada' WHERE email LIKE 'r1@%'", &[]);
    let compared = world.result(&["check", "--ses", &id]);
    assert_eq!(compared["campaignId"], id);
    let first = &compared["recipients"][0];
    assert_eq!(
        (&first["email"], &first["result"], &first["detail"]),
        (&json!("r1@example.com"), &json!("same"), &Value::Null)
    );
    world.ses.mangle_templates();
    let output = world.campaign_command(&["check", "--ses", &id, "--json"]);
    assert_eq!(result(&output, 65)["recipients"][0]["result"], "differs");
    assert_eq!(error(&output)["code"], "data");
}

#[test]
fn an_error_has_one_form_for_machines_whatever_the_command() {
    let (mut world, scratch) = (World::single(), Scratch::new());
    let (id, away) = (world.campaign_of(1).to_string(), "postgres://nobody@127.0.0.1:1/none");
    let nobody = "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35";
    let (missing, unwritable) = (scratch.path("missing.csv"), scratch.path("missing/refused.csv"));
    let people = scratch.file("people.csv", "email\nada@example.com\n");
    let refused = |url: &str, arguments: &[&str], code: &str, said: &str| {
        let output = campaign(url, &[arguments, &["--json"]].concat(), "");
        let error = error(&output);
        assert_eq!(error["code"], code, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(said) && !message.contains('\n'), "{message}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    };
    let url = &world.database.url;
    for (arguments, code, said) in [
        (&["status", "x"][..], "usage", "invalid value 'x' for '[CAMPAIGN]': expected a UUID"),
        (&["import", &id], "usage", "required arguments were not provided: <FILE|--query <FILE.sql>>"),
        (&["prune", "--older-than", "180d"], "usage", "so nobody can confirm: give --yes"),
        (&["status", nobody], "data", "there is no campaign 5f0c2b1e"),
        (&["send", "start", nobody], "data", "there is no campaign 5f0c2b1e"),
        (&["import", &id, &missing], "noInput", "No such file"),
        (&["import", &id, &people, "--refused", &unwritable], "cannotCreate", "--refused"),
    ] {
        refused(url, arguments, code, said);
    }
    refused("mysql://x", &["status"], "config", "DATABASE_URL");
    for arguments in [
        &["status"][..],
        &["report", &id],
        &["import", &id, &people],
        &["retry-failed", &id, "--code", "render"],
        &["suppressions", "list"],
        &["suppressions", "import", &people, "--account-wide"],
        &["suppressions", "pull-ses"],
        &["send", "pause", &id],
        &["send", "resume", "--all"],
        &["send", "cancel", &id, "--yes"],
        &["prune", "--older-than", "180d", "--yes"],
        &["migrate"],
        &["migrate", "--status"],
    ] {
        refused(away, arguments, "unavailable", "127.0.0.1:1");
    }
    // An argument of that name is not the option.
    let output = campaign(url, &["import", &id, "--", "--json"], "");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "campaign: --json: No such file or directory (os error 2)\n"
    );
}
