//! Checks that no text that others than the CRM may read shows an address, a name, a token or a secret,
//! whatever goes wrong: the functions' logs, their answers, what they hand on to the next invocation, and the
//! reasons for which they pause a campaign.
//!
//! Each test causes an error whose message names a recipient, at the level `trace`.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use campaign_sender::message::token::{Keys, RecipientIds};
use local_ses::lambda::{Function, InvocationError};
use local_ses::ses::in_sqs_batch;
use serde_json::{Value, json};
use support::{ORGANIZATION, UNSUBSCRIBE_SECRET, World, event, executable};
use uuid::Uuid;

/// The recipient whose data must not be shown.
const ADDRESS: &str = "xqada.xqlovelace@example.com";
const NAME: &str = "Xqada Xqlovelace";
/// Texts that must not be found, in any letter case.
const TRACES: [&str; 2] = ["xqada", "xqlovelace"];

/// All that a function has written: its output, its answers, and the reasons for which campaigns are paused.
struct Transcript {
    said: Vec<String>,
    secrets: Vec<String>,
}

impl Transcript {
    fn of(world: &World) -> Transcript {
        let secret =
            |name: &str| world.environment().into_iter().find(|(known, _)| *known == name).unwrap().1;
        Transcript {
            said: Vec::new(),
            secrets: vec![
                UNSUBSCRIBE_SECRET.to_owned(),
                secret("AWS_SECRET_ACCESS_KEY"),
                world.database.url.clone(),
            ],
        }
    }

    fn invoke(&mut self, function: &mut Function, event: &Value) -> Result<Value, InvocationError> {
        self.invoke_within(function, event, Duration::from_secs(30))
    }

    fn invoke_within(
        &mut self,
        function: &mut Function,
        event: &Value,
        timeout: Duration,
    ) -> Result<Value, InvocationError> {
        let answer = function.invoke(event, timeout);
        self.said.push(match &answer {
            Ok(result) => result.to_string(),
            Err(error) => format!("{error:?}"),
        });
        answer
    }

    /// Fails if any of it has one of these texts.
    fn tells_nothing(mut self, world: &mut World, function: &Function) {
        self.said.extend(function.logs());
        let reasons =
            world.database.query("SELECT status_reason FROM campaigns WHERE status_reason IS NOT NULL", &[]);
        self.said.extend(reasons.iter().map(|row| row.get::<_, String>(0)));
        assert!(self.said.len() > 1, "{:?}", self.said);
        for line in &self.said {
            let lower = line.to_lowercase();
            assert!(!TRACES.iter().any(|trace| lower.contains(trace)), "{line}");
            for secret in &self.secrets {
                assert!(!line.contains(secret.as_str()), "{line}");
            }
        }
    }
}

fn send_batch(world: &World, more: &[(&str, &str)]) -> Function {
    let mut variables = vec![("RUST_LOG", "trace")];
    variables.extend_from_slice(more);
    world.function_with(&variables)
}

/// A campaign with this recipient and others.
fn campaign(world: &mut World) -> (Uuid, Uuid) {
    let campaign = world.campaign_of(5);
    let id = world.add_recipient(campaign, ADDRESS);
    world.database.execute("UPDATE campaign_recipients SET name = $2 WHERE id = $1", &[&id, &NAME]);
    (campaign, id)
}

#[test]
fn a_batch_that_goes_well_tells_nothing_even_at_the_level_trace() {
    for api in ["single", "bulk"] {
        let mut world = World::sending_by(api);
        let (campaign, _) = campaign(&mut world);
        let mut function = send_batch(&world, &[]);
        let mut transcript = Transcript::of(&world);
        let result = transcript.invoke(&mut function, &event(campaign, 10)).unwrap();
        assert_eq!(result["batch"]["sent"], 6);
        transcript.tells_nothing(&mut world, &function);
    }
}

#[test]
fn the_words_of_ses_are_told_without_addresses() {
    for (code, words) in [
        ("MessageRejected", "Address blacklisted: "),
        (
            "MessageRejected",
            "Email address is not verified. The following identities failed the check in region US-EAST-1: news@example.com, ",
        ),
        ("AccessDeniedException", "not authorized to send to "),
        ("InternalFailure", "no mailbox "),
    ] {
        let mut world = World::single();
        let (campaign, id) = campaign(&mut world);
        let status = if code == "InternalFailure" { 500 } else { 400 };
        let refuse = json!({"code": code, "message": format!("{words}{ADDRESS}"), "status": status});
        let rule = json!({"recipient": {"exact": ADDRESS}, "effect": {"refuse": refuse}});
        world.ses.add_rule(serde_json::from_value(rule).unwrap());
        let mut function = send_batch(&world, &[]);
        let mut transcript = Transcript::of(&world);
        transcript.invoke(&mut function, &event(campaign, 10)).unwrap();
        let row = &world.database.query("SELECT error FROM campaign_recipients WHERE id = $1", &[&id])[0];
        if let Some(error) = row.get::<_, Option<String>>(0) {
            transcript.said.push(error);
        }
        transcript.tells_nothing(&mut world, &function);
    }
}

/// Triggers and constraints of a CRM that name the refused recipient, in the message, the detail, the hint or
/// a value.
const REFUSALS: [&str; 6] = [
    "RAISE EXCEPTION 'no customer has the address %', NEW.metadata->>'recipientEmail'",
    "RAISE EXCEPTION USING MESSAGE = 'refused', DETAIL = NEW.metadata::text, HINT = NEW.description",
    "RAISE EXCEPTION USING ERRCODE = '08006', MESSAGE = 'lost ' || (NEW.metadata->>'recipientEmail')",
    "RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'conflict at ' || (NEW.metadata->>'recipientEmail')",
    "PERFORM (NEW.metadata->>'recipientName')::int",
    "PERFORM (NEW.metadata->>'recipientName')::timestamptz",
];

fn refuse_activities(world: &mut World, action: &str) {
    let sql = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.metadata->>'recipientEmail' = '{ADDRESS}' THEN {action}; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION refuse()"
    );
    world.database.client().batch_execute(&sql).unwrap();
}

#[test]
fn the_words_of_postgresql_are_told_without_addresses_names_and_rows() {
    for action in REFUSALS {
        let mut world = World::new();
        let (campaign, id) = campaign(&mut world);
        refuse_activities(&mut world, action);
        let mut function = send_batch(&world, &[]);
        let mut transcript = Transcript::of(&world);
        let result = transcript.invoke_within(&mut function, &event(campaign, 10), Duration::from_secs(8));
        // Unrecorded outcomes go through the history of Step Functions, and come back.
        if let Ok(next) = result.map(|result| result["next"].clone())
            && next.is_object()
        {
            let _ = transcript.invoke_within(&mut function, &next, Duration::from_secs(6));
        }
        let row = &world.database.query("SELECT error FROM campaign_recipients WHERE id = $1", &[&id])[0];
        transcript.said.extend(row.get::<_, Option<String>>(0));
        transcript.tells_nothing(&mut world, &function);
    }
}

#[test]
fn what_is_unrecorded_is_logged_without_addresses() {
    let mut world = World::single();
    let (campaign, _) = campaign(&mut world);
    let refuse =
        json!({"code": "MessageRejected", "message": format!("{ADDRESS} is blacklisted"), "status": 400});
    let rule = json!({"recipient": {"exact": ADDRESS}, "effect": {"refuse": refuse}});
    world.ses.add_rule(serde_json::from_value(rule).unwrap());
    let sql = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
               BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$;
               CREATE TRIGGER wait BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION wait()";
    world.database.client().batch_execute(sql).unwrap();
    let mut function = send_batch(&world, &[]);
    let mut transcript = Transcript::of(&world);
    let result =
        transcript.invoke_within(&mut function, &event(campaign, 10), Duration::from_secs(5)).unwrap();
    let unrecorded = result["next"]["unrecorded"]["outcomes"].as_array().map_or(0, Vec::len);
    assert!(unrecorded > 0, "{result}");
    transcript.tells_nothing(&mut world, &function);
}

#[test]
fn a_template_that_fails_on_a_value_tells_no_value() {
    for template in [
        "{{ email|frob }}",
        "{{ email + 1 }}",
        "{{ name|int }}",
        "{{ email.x.y }}",
        "{{ name / 2 }}",
        "{{ [name]|first|abs }}",
    ] {
        let mut world = World::new();
        let (campaign, id) = campaign(&mut world);
        world.database.execute("UPDATE campaigns SET subject = $1", &[&template]);
        let mut function = send_batch(&world, &[]);
        let mut transcript = Transcript::of(&world);
        transcript.invoke(&mut function, &event(campaign, 10)).unwrap();
        let row = &world.database.query("SELECT error FROM campaign_recipients WHERE id = $1", &[&id])[0];
        transcript.said.extend(row.get::<_, Option<String>>(0));
        transcript.tells_nothing(&mut world, &function);
    }
}

#[test]
fn a_panic_is_told_without_addresses_and_the_next_invocation_works() {
    let mut world = World::single();
    let (campaign, _) = campaign(&mut world);
    let failpoint = format!("send-answered=1*panic(at {ADDRESS})");
    let mut function = send_batch(&world, &[("FAILPOINTS", failpoint.as_str())]);
    let mut transcript = Transcript::of(&world);
    let Err(InvocationError::Failed { error_type, message }) =
        transcript.invoke(&mut function, &event(campaign, 10))
    else {
        panic!("{:?}", transcript.said)
    };
    assert_eq!(
        (error_type.as_str(), message.as_str()),
        ("Panic", "the function panicked: at x…@example.com")
    );
    transcript.invoke(&mut function, &event(campaign, 10)).unwrap();
    // The first letter of an address may be shown.
    transcript.tells_nothing(&mut world, &function);
}

#[test]
fn an_event_of_another_form_is_told_without_addresses() {
    let mut world = World::new();
    let mut function = send_batch(&world, &[]);
    let mut transcript = Transcript::of(&world);
    for event in [
        json!({"campaignId": ADDRESS}),
        json!({"batchSize": ADDRESS}),
        json!({ADDRESS: 1}),
        json!([ADDRESS]),
        json!({"campaignId": Uuid::nil(), "unrecorded": {"batchId": ADDRESS}}),
    ] {
        assert!(transcript.invoke(&mut function, &event).is_err(), "{event}");
    }
    transcript.tells_nothing(&mut world, &function);
}

#[test]
fn the_events_of_ses_are_recorded_without_a_word_of_whom_they_are() {
    for action in [None, Some(REFUSALS[0]), Some(REFUSALS[1]), Some(REFUSALS[4])] {
        let mut world = World::new();
        let (campaign, id) = campaign(&mut world);
        if let Some(action) = action {
            refuse_activities(&mut world, action);
        }
        let variables = [("RUST_LOG", "trace"), ("DATABASE_URL", world.database.url.as_str())];
        let mut function = Function::start(&executable("ses-events"), &variables).unwrap();
        let mut transcript = Transcript::of(&world);
        let mut bodies =
            vec![json!({"detail": ADDRESS}), json!(ADDRESS), json!({"mail": {"destination": [ADDRESS]}})];
        for kind in ["bounce-permanent", "complaint", "reject", "rendering-failure", "delivery", "click"] {
            let file = format!("{}/events/ses/eventbridge/{kind}.json", env!("CARGO_MANIFEST_DIR"));
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let mut event: Value = serde_json::from_str(&text).unwrap();
            let mail = &mut event["detail"]["mail"];
            mail["tags"]["campaign_id"] = json!([campaign]);
            mail["tags"]["recipient_id"] = json!([id]);
            mail["tags"]["organization_id"] = json!([ORGANIZATION]);
            mail["destination"] = json!([ADDRESS]);
            if kind == "bounce-permanent" {
                let bounced = json!([{"emailAddress": ADDRESS, "diagnosticCode": format!("smtp; 550 <{ADDRESS}> unknown")}]);
                event["detail"]["bounce"]["bouncedRecipients"] = bounced;
            }
            if kind == "reject" {
                event["detail"]["reject"]["reason"] = json!(format!("Bad content for {ADDRESS}"));
            }
            bodies.push(event);
        }
        assert!(bodies.len() > 6);
        transcript.invoke(&mut function, &in_sqs_batch(&bodies)).unwrap();
        transcript.tells_nothing(&mut world, &function);
    }
}

#[test]
fn a_link_is_used_without_a_word_of_whom_it_is_or_what_it_is() {
    for action in [None, Some(REFUSALS[0]), Some(REFUSALS[1]), Some(REFUSALS[4])] {
        let mut world = World::new();
        let (_, id) = campaign(&mut world);
        if let Some(action) = action {
            refuse_activities(&mut world, action);
        }
        let variables = [
            ("RUST_LOG", "trace"),
            ("DATABASE_URL", world.database.url.as_str()),
            ("UNSUBSCRIBE_SECRET", UNSUBSCRIBE_SECRET),
        ];
        let mut function = Function::start(&executable("unsubscribe"), &variables).unwrap();
        let mut transcript = Transcript::of(&world);
        let ids = RecipientIds { recipient_id: id, organization_id: ORGANIZATION };
        let token = Keys::parse(UNSUBSCRIBE_SECRET).unwrap().sign(ids);
        transcript.secrets.push(token.clone());
        for kind in ["get", "one-click", "subscribe-again"] {
            let file = format!("{}/events/unsubscribe/{kind}.json", env!("CARGO_MANIFEST_DIR"));
            let request = std::fs::read_to_string(file).unwrap().replace("TOKEN", &token);
            let answer = transcript.invoke(&mut function, &serde_json::from_str(&request).unwrap()).unwrap();
            assert_eq!(answer["statusCode"], 200);
        }
        transcript.tells_nothing(&mut world, &function);
    }
}
