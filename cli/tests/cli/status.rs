//! `campaign status`: the output for people and for machines.

use local_ses::ses::{Effect, Rule};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{World, event, run};
use crate::{campaign, done, refused, without_times};

fn status(world: &World, arguments: &[&str]) -> String {
    done(&campaign(&world.database.url, &[&["status"], arguments].concat(), ""))
}

impl World {
    /// A campaign of 12 with 8 outcomes: two recipients failed, one is suppressed, one is uncertain; a lane
    /// was lost.
    fn campaign_under_way(&mut self) -> String {
        let made = self.campaign_of(12);
        self.database
            .execute("UPDATE campaign_recipients SET email = 'nowhere' WHERE email = 'r2@example.com'", &[]);
        self.database.execute(
            "UPDATE campaign_recipients SET id = '5f0c2b1e-0000-4000-8000-000000000001' WHERE email = 'r4@example.com'",
            &[],
        );
        self.database.execute(
            "INSERT INTO suppressions (organization_id, email, reason) SELECT organization_id, 'r3@example.com', 'bounce' FROM campaigns",
            &[],
        );
        let refusal = "Email address is not verified: r1@example.com, at once";
        let effect = Effect::Refuse { code: "Odd".to_owned(), message: refusal.to_owned(), status: 400 };
        self.ses.add_rule(Rule::to("r1@example.com", effect));
        self.ses.add_rule(Rule::to("r4@example.com", Effect::DropAfterAccept));
        self.function().invoke(&event(made, 8), crate::support::TIMEOUT).unwrap();
        self.ses.clear_rules();
        self.database
            .client()
            .batch_execute(&format!(
                "INSERT INTO campaign_batches (campaign_id, number, first_position, last_position, claimed_through,
                                               closed_through, claim_token, lease_ends_at)
                 SELECT '{made}', (SELECT count(*) + 1 FROM campaign_batches), min(position), max(position), max(position), -1, gen_random_uuid(),
                        now() - interval '90 seconds'
                   FROM campaign_recipients WHERE status = 'pending';
                 UPDATE campaigns SET started_at = now() - interval '10 seconds';"
            ))
            .unwrap();
        made.to_string()
    }
}

#[test]
fn a_campaign_is_shown_with_its_causes_its_batches_and_what_to_do() {
    let mut world = World::single();
    let id = world.campaign_under_way();
    let said = without_times(&status(&world, &[&id]).replace(&id, "ID"));
    insta::assert_snapshot!(said, @r#"

      "Spring"  sending
      ID
      started D T UTC

      ━━━━━━━━━━━━━━━━━━━━━━━━━━──────────────  66%  8 of 12
      T per second now, T per second on average, about T left

      Sent                4
      Failed              2
                          1  Odd              Email address is not verified: r…@example.com, at once, for example r…@example.com
                          1  invalid_address  it is not of the form local@domain, for example …
      Suppressed          1
      Uncertain           1
                          1  connection_lost  for up to T: connection closed before message completed, for example r…@example.com
      To send             4

      Batches     batch 2: 4 pending; lost: its lease ended T ago; the next claim takes it over

      Now         an invocation ended without recording its batch

      Next        The next invocation takes it over; look at the log of send-batch for why it was lost.
                  Wait for SES's events, which settle most of what is uncertain (for T so far).
                  When you have corrected the cause of Odd, send to these recipients again: campaign retry-failed ID --code Odd

    "#);
    let whole = status(&world, &[&id, "--show-addresses"]);
    assert!(
        whole.contains("for example r1@example.com") && whole.contains("not verified: r…@example.com, at"),
        "{whole}"
    );
}

#[test]
fn machines_read_the_same_under_names_that_stay() {
    let mut world = World::single();
    let id = world.campaign_under_way();
    let said = status(&world, &[&id, "--json"]);
    assert_eq!(said.lines().count(), 1);
    let json: Value = serde_json::from_str(&said).unwrap();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "advice",
            "campaignId",
            "completedAt",
            "lanes",
            "lastEventSeconds",
            "name",
            "now",
            "outcomes",
            "overdueSeconds",
            "perSecondMean",
            "perSecondNow",
            "progress",
            "rejected",
            "scheduledAt",
            "secondsLeft",
            "sendBefore",
            "startedAt",
            "status",
            "statusReason",
        ]
    );
    assert_eq!(
        json["progress"].to_string(),
        r#"{"failed":2,"remaining":4,"sent":4,"suppressed":1,"total":12,"uncertain":1}"#
    );
    let uncertain =
        json["outcomes"].as_array().unwrap().iter().find(|outcome| outcome["status"] == "uncertain").unwrap();
    assert_eq!((&uncertain["code"], &uncertain["count"]), (&"connection_lost".into(), &1.into()));
    assert_eq!(uncertain["example"]["recipientId"], "5f0c2b1e-0000-4000-8000-000000000001");
    assert_eq!(uncertain["example"]["email"], "r…@example.com");
    assert!(uncertain["oldestSeconds"].as_f64().unwrap() >= 0.0);
    let lane = &json["lanes"][0];
    assert_eq!((&lane["state"], &lane["pending"], &lane["noted"]), (&"lost".into(), &4.into(), &0.into()));
    assert!(lane["leaseSeconds"].as_f64().unwrap() < -80.0);
    assert!(json["perSecondNow"].as_f64().unwrap() > 0.0 && json["secondsLeft"].as_u64().unwrap() > 0);

    let all: Value = serde_json::from_str(&status(&world, &["--json"])).unwrap();
    assert_eq!((&all[0]["campaignId"], &all[0]["progress"]), (&id.as_str().into(), &json["progress"]));
}

#[test]
fn batches_at_work_show_their_leases_and_what_they_have_noted_and_uncertain_recipients_their_age() {
    let mut world = World::single();
    let campaign = world.campaign_of(9);
    run(&mut world.function(), event(campaign, 10));
    world
        .database
        .client()
        .batch_execute(&format!(
            "UPDATE campaigns SET status = 'sending', started_at = now() - interval '1 hour',
                    sent_count = 1, uncertain_count = 2;
             UPDATE campaign_recipients SET sent_at = now() - interval '10 minutes';
             UPDATE campaign_cursors SET last_event_at = now() - interval '5 minutes';
             UPDATE campaign_recipients SET status = 'uncertain', error_code = 'timed_out', sent_at = NULL,
                    uncertain_since = now() - make_interval(hours => substr(email, 2, 1)::int)
              WHERE email IN ('r1@example.com', 'r2@example.com');
             UPDATE campaign_recipients SET status = 'pending', sent_at = NULL, message_id = NULL
              WHERE email > 'r3@example.com';
             INSERT INTO campaign_batches (campaign_id, number, first_position, last_position, claimed_through,
                                           closed_through, claim_token, lease_ends_at)
             SELECT campaign_id, 100 + row_number() OVER (), p - 1, p + 2, p + 2, -1, token, ends FROM
                 (SELECT campaign_id, min(position) AS p FROM campaign_recipients WHERE status = 'pending' GROUP BY 1) AS x,
                 (VALUES (gen_random_uuid(), now() + interval '1 minute'), (NULL, NULL)) AS lane (token, ends);
             INSERT INTO campaign_batch_outcomes
             SELECT max(id), 1,
                    (SELECT jsonb_agg(jsonb_build_array(gen_random_uuid(), CASE WHEN n > 120 THEN 'pending' ELSE 'sent' END, 'm',
                                                        extract(epoch FROM now()) * 1000 - CASE WHEN n > 60 THEN 90000 ELSE 0 END))
                       FROM generate_series(1, 130) AS n)
               FROM campaign_batches WHERE claim_token IS NOT NULL AND campaign_id = '{campaign}';"
        ))
        .unwrap();
    let json: Value = serde_json::from_str(&status(&world, &[&campaign.to_string(), "--json"])).unwrap();
    let uncertain =
        &json["outcomes"].as_array().unwrap().iter().find(|of| of["status"] == "uncertain").unwrap();
    assert!((7200.0..7300.0).contains(&uncertain["oldestSeconds"].as_f64().unwrap()), "{uncertain}");
    let lanes = json["lanes"].as_array().unwrap();
    let states: Vec<_> = lanes
        .iter()
        .map(|lane| (lane["state"].as_str().unwrap(), &lane["noted"], &lane["pending"]))
        .collect();
    assert!(
        states.contains(&("working", &120.into(), &3.into()))
            && states.contains(&("open", &0.into(), &3.into())),
        "{json}"
    );
    // The rate comes from notes that are not recorded yet, half of which are older than a minute.
    assert_eq!((&json["perSecondNow"], &json["secondsLeft"]), (&1.0.into(), &6.into()));
    let said = without_times(&status(&world, &[&campaign.to_string()]));
    assert!(said.contains("120 of them done and not recorded yet; at work, its lease ends in T"), "{said}");
    assert!(said.contains("SES last reported T ago"), "{said}");
    assert!(said.contains("settled nothing of what is uncertain for T: look at ses-events"), "{said}");
    assert!(said.contains("Now         an invocation is at work on it"), "{said}");
}

#[test]
fn emails_that_ses_rejected_after_accepting_them_are_shown() {
    let mut world = World::single();
    let campaign = world.campaign_of(4);
    run(&mut world.function(), event(campaign, 10));
    let sql = "INSERT INTO campaign_feedback (campaign_id, organization_id, rejected) SELECT id, organization_id, 3 FROM campaigns";
    world.database.execute(sql, &[]);
    let said = status(&world, &[&campaign.to_string()]);
    assert!(said.contains("\"Spring\"  sent, and rejected by Amazon SES"), "{said}");
    assert!(said.contains("        3  rejected by Amazon SES after it had accepted them"), "{said}");
    assert!(said.contains("Look at the content of the emails"), "{said}");
    let json: Value = serde_json::from_str(&status(&world, &[&campaign.to_string(), "--json"])).unwrap();
    assert_eq!((&json["rejected"], &json["status"]), (&3.into(), &"sent".into()));
}

#[test]
fn a_campaign_that_is_halted_says_why_and_what_to_do() {
    let mut world = World::single();
    let campaign = world.campaign_of(2);
    for (reason, advice) in [
        ("SendingPausedException: no", "The account may not send: the SES console says why."),
        (
            "7 of 100 emails bounced (7 %), more than 5 %: clean the list",
            "The reputation guard stopped it: look where the list comes from",
        ),
    ] {
        world.database.execute("UPDATE campaigns SET status = 'paused', status_reason = $1", &[&reason]);
        let said = status(&world, &[&campaign.to_string()]);
        assert!(said.contains(&format!("Because: {reason}")), "{said}");
        let next = said.split("Next  ").nth(1).unwrap();
        assert!(next.trim().starts_with(advice), "{said}");
        assert!(next.contains(&format!("Go on with it: campaign send resume {campaign}")), "{said}");
    }
}

#[test]
fn campaigns_are_shown_at_a_glance_the_live_ones_first() {
    let mut world = World::single();
    assert_eq!(status(&world, &[]), "There are no campaigns yet: campaign send create --help\n");
    let sent = world.campaign_of(2);
    run(&mut world.function(), event(sent, 10));
    let draft = world.campaign_of(3);
    world.set_status(draft, "draft");
    let live = world.campaign_of(1);
    let said = status(&world, &[]);
    let lines: Vec<String> =
        said.lines().map(|line| line.split_whitespace().take(9).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "CAMPAIGN NAME STATUS DONE TOTAL SENT FAILED SUPPRESSED UNCERTAIN".to_owned(),
            format!("{live} Spring sending 0% 1 0 0 0 0"),
            format!("{sent} Spring sent 100% 2 2 0 0 0"),
            format!("{draft} Spring draft 0% 3 0 0 0 0"),
        ]
    );
    let organization = crate::support::ORGANIZATION.to_string();
    for (arguments, expected) in [
        (&["--status", "sent,draft"][..], vec![sent, draft]),
        (&["--organization", &organization, "--limit", "1"], vec![live]),
        (&["--organization", &Uuid::nil().to_string()], vec![]),
    ] {
        let json: Value = serde_json::from_str(&status(&world, &[&["--json"], arguments].concat())).unwrap();
        let found: Vec<String> =
            json.as_array().unwrap().iter().map(|of| of["campaignId"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, expected.iter().map(Uuid::to_string).collect::<Vec<_>>(), "{arguments:?}");
    }
    assert_eq!(status(&world, &["--status", "cancelled"]), "No campaign is like that.\n");
}

#[test]
fn other_commands_answer_machines_too() {
    let mut world = World::single();
    let draft = world.campaign_of(1);
    world.set_status(draft, "draft");
    let html = r#"UPDATE campaigns SET html = '<p>Dear friend, here are <a href="/x">the offers</a></p>'"#;
    world.database.execute(html, &[]);
    let scratch = crate::Scratch::new();
    let people = scratch.file("people.csv", "email\nada@example.com\nnowhere\nr1@example.com\n");
    let id = draft.to_string();
    let json = |arguments: &[&str], status: i32| -> Value {
        let output = world.campaign_command(arguments);
        assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        serde_json::from_str(&said).unwrap()
    };
    let refused = json(&["import", &id, &people, "--json"], 65);
    assert_eq!((&refused["imported"], &refused["recipients"]), (&0.into(), &Value::Null));
    let imported = json(&["import", &id, &people, "--json", "--skip-bad"], 0);
    assert_eq!(
        (&imported["rows"], &imported["imported"], &imported["recipients"]),
        (&3.into(), &1.into(), &2.into())
    );
    let reasons: Vec<&str> =
        imported["refused"].as_array().unwrap().iter().map(|of| of["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["bad_address", "in_campaign"]);
    let preview = json(&["preview", &id, "--check", "--json"], 0);
    assert_eq!(preview["checked"]["sendable"], 2);
    assert_eq!(preview["findings"][0]["severity"], "warning");
    let schema = json(&["migrate", "--status", "--json"], 0);
    assert_eq!(schema["version"], schema["needed"]);
    let broken = "UPDATE campaign_recipients SET status = 'failed', error_code = 'render' WHERE email = 'ada@example.com'";
    world.database.connect().batch_execute(broken).unwrap();
    let dry = json(&["retry-failed", &id, "--code", "render", "--json", "--dry-run"], 0);
    assert_eq!(
        (&dry["recipients"], &dry["byCode"]["render"], &dry["dryRun"]),
        (&1.into(), &1.into(), &true.into())
    );
}

#[test]
fn watching_ends_with_the_campaign() {
    let mut world = World::single();
    let campaign = world.campaign_of(2);
    let watching = world.start(&["status", &campaign.to_string(), "--watch", "--json", "--interval", "1"]);
    run(&mut world.function(), event(campaign, 10));
    let said = done(&watching.wait_with_output().unwrap());
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&last["status"], &last["progress"]["sent"]), (&"sent".into(), &2.into()));
    let unknown = campaign_of_nobody(&world);
    assert!(unknown.starts_with("65: campaign: there is no campaign "), "{unknown}");
}

fn campaign_of_nobody(world: &World) -> String {
    refused(&campaign(&world.database.url, &["status", &Uuid::nil().to_string()], ""))
}

#[test]
fn shells_and_man_are_told_of_every_command() {
    let world = World::single();
    for shell in ["bash", "zsh", "fish"] {
        let script = done(&campaign(&world.database.url, &["completions", shell], ""));
        assert!(script.contains("retry-failed") && script.contains("skip-bad"), "{shell}");
    }
    let scratch = crate::Scratch::new();
    done(&campaign(&world.database.url, &["man", &scratch.path("man1")], ""));
    let pages: Vec<String> = std::fs::read_dir(scratch.path("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for page in ["campaign.1", "campaign-import.1", "campaign-send-run.1", "campaign-status.1"] {
        assert!(pages.contains(&page.to_owned()), "{page} of {pages:?}");
    }
    assert!(scratch.read("man1/campaign.1").contains("the campaign stopped before its end"));
}
