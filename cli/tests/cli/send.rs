//! `campaign send`: the life cycle of a campaign, and running one from this machine.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Output};
use std::time::Duration;

use local_ses::lambda::signal;
use local_ses::ses::{Effect, Rule};
use uuid::Uuid;

use crate::support::{ORGANIZATION, World, event, invoke, run};
use crate::{Scratch, campaign, done, refused, waits_for_a_lock};

const ID: &str = "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35";

fn send(world: &World, arguments: &[&str]) -> Output {
    campaign(&world.database.url, &[&["send"], arguments].concat(), "")
}

/// The last line that it wrote to standard error.
fn last_line(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    format!("{}: {}", output.status.code().unwrap_or(-1), said.lines().last().unwrap_or_default())
}

fn interrupt(process: &Child) {
    assert!(signal(process.id(), "INT"));
}

impl World {
    fn run(&self, campaign: Uuid, arguments: &[&str]) -> Output {
        self.campaign_command(&[&["send", "run", &campaign.to_string()], arguments].concat())
    }

    /// Waits until the local SES has this many messages.
    fn wait_for_messages(&self, count: usize) {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while self.ses.message_count() < count {
            assert!(std::time::Instant::now() < end, "{} messages", self.ses.message_count());
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_campaign_is_created_imported_started_and_run_from_the_command_line_alone() {
    let (mut world, scratch) = (World::single(), Scratch::new());
    let html = scratch.file("spring.html", "<p>{{ city }} is waiting, {{ name or \"friend\" }}.</p>");
    let variables = scratch.file("spring.json", "{\"city\": \"Oslo\"}");
    let organization = ORGANIZATION.to_string();
    let create = [
        "create",
        "--id",
        ID,
        "--organization",
        &organization,
        "--name",
        "Spring",
        "--from",
        "News <news@example.com>",
        "--subject",
        "Hello {{ name or \"you\" }}",
        "--html",
        &html,
        "--variables",
        &variables,
    ];
    let output = send(&world, &create);
    assert_eq!(done(&output), format!("{ID}\n"));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r#""Spring" is a draft. Next: campaign import 5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35 FILE, then campaign send start 5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35"#);
    let again = refused(&send(&world, &create));
    assert_eq!(again, format!("65: campaign: there is a campaign {ID} already"));
    let nobody = refused(&send(&world, &["start", ID]));
    assert_eq!(
        nobody,
        format!(
            "65: campaign: campaign {ID} has no recipients, and would be sent at once: add some with campaign import"
        )
    );
    done(&campaign(
        &world.database.url,
        &["import", ID, "-"],
        "email,name\nada@example.com,Ada\ngrace@example.com,\n",
    ));
    let draft = refused(&world.run(ID.parse().unwrap(), &[]));
    assert_eq!(
        draft,
        format!("65: campaign: campaign {ID} is a draft: start it first, with campaign send start {ID}")
    );
    assert_eq!(done(&send(&world, &["start", ID])), "\"Spring\" is sending to 2 recipients.\n");

    let said = done(&world.run(ID.parse().unwrap(), &[]));
    insta::assert_snapshot!(scratch.stable(&said), @r"
    2 emails sent in T, by 1 batch.
    The campaign: 2 of 2 sent, 0 failed, 0 suppressed, 0 uncertain, 0 to send.
    ");
    let bodies: Vec<_> = world.ses.messages().iter().filter_map(|message| message.html.clone()).collect();
    assert!(bodies.iter().any(|body| body.starts_with("<p>Oslo is waiting, Ada.</p>")), "{bodies:?}");
    world.assert_consistent(ID.parse().unwrap());
}

#[test]
fn several_lanes_send_a_campaign_and_nobody_gets_two() {
    let mut world = World::single();
    let campaign = world.campaign_of(100);
    let said = done(&world.run(campaign, &["--lanes", "4", "--batch-size", "10"]));
    assert!(said.starts_with("100 emails sent in "), "{said}");
    assert_eq!(world.campaign_status(campaign).0, "sent");
    world.assert_consistent(campaign);
}

#[test]
fn ctrl_c_records_what_was_accepted_and_leaves_the_rest_to_the_next_run() {
    let mut world = World::single();
    let campaign = world.campaign_of(40);
    world.database.execute("INSERT INTO send_rates (region, per_second) VALUES ('us-east-1', 20)", &[]);
    let environment = world.environment();
    let process = crate::command(&world.database.url, &["send", "run", &campaign.to_string()])
        .envs(environment)
        .env("SES_MAX_SEND_RATE", "20")
        .spawn()
        .unwrap();
    world.wait_for_messages(3);
    interrupt(&process);
    let output = process.wait_with_output().unwrap();
    assert_eq!(
        last_line(&output),
        format!("1: campaign: interrupted, and all is recorded; go on with campaign send run {campaign}")
    );
    let (sent, pending) =
        (world.count(campaign, "status = 'sent'"), world.count(campaign, "status = 'pending'"));
    assert!(sent >= 3 && pending > 0 && sent + pending == 40, "{sent} sent, {pending} pending");
    assert_eq!(world.ses.message_count(), usize::try_from(sent).unwrap());
    world.assert_consistent(campaign);
    // Nothing is locked: the next run continues at once.
    let leases = "SELECT count(*) FROM campaign_batches WHERE claim_token IS NOT NULL";
    assert_eq!(world.database.query(leases, &[])[0].get::<_, i64>(0), 0);
    done(&world.run(campaign, &[]));
    assert_eq!((world.campaign_status(campaign).0.as_str(), world.ses.message_count()), ("sent", 40));
    world.assert_consistent(campaign);
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_what_was_under_way_is_uncertain_and_not_sent_twice() {
    let mut world = World::single();
    let campaign = world.campaign_of(10);
    world.ses.add_rule(Rule::any(Effect::AcceptThenDelay { ms: 60_000 }));
    let mut process = world.start(&["send", "run", &campaign.to_string()]);
    world.wait_for_messages(10);
    interrupt(&process);
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("Ending: what is under way is being recorded.")));
    interrupt(&process);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(process.wait().unwrap().code(), Some(1), "{rest:?}");
    assert!(rest.last().unwrap().contains("ended at once"), "{rest:?}");

    world.ses.clear_rules();
    world.expire_leases();
    done(&world.run(campaign, &[]));
    assert_eq!(world.count(campaign, "status = 'uncertain'"), 10);
    assert_eq!(world.ses.message_count(), 10);
}

#[test]
fn a_campaign_that_stops_before_its_end_says_why_and_what_to_do() {
    let mut world = World::single();
    let campaign = world.campaign_of(3);
    world.ses.add_rule(Rule::any(Effect::Refuse {
        code: "SendingPausedException".to_owned(),
        message: "Sending is paused.".to_owned(),
        status: 400,
    }));
    let halted = last_line(&world.run(campaign, &[]));
    assert_eq!(
        halted,
        format!(
            "75: campaign: campaign {campaign} is halted: SendingPausedException: Sending is paused.; campaign status {campaign} says what to do; then campaign send resume {campaign}"
        )
    );
    let paused = last_line(&world.run(campaign, &[]));
    assert_eq!(
        paused,
        format!(
            "75: campaign: campaign {campaign} is paused (SendingPausedException: Sending is paused.): correct the cause, then campaign send resume {campaign}"
        )
    );
    let status = done(&crate::campaign(&world.database.url, &["status", &campaign.to_string()], ""));
    assert!(status.contains("Because: SendingPausedException: Sending is paused."), "{status}");
    assert!(status.contains("The account may not send: the SES console says why."), "{status}");

    world.ses.clear_rules();
    done(&send(&world, &["resume", &campaign.to_string()]));
    done(&world.run(campaign, &[]));
    world.set_status(campaign, "cancelled");
    assert!(
        last_line(&world.run(campaign, &[]))
            .starts_with(&format!("75: campaign: campaign {campaign} is cancelled"))
    );
}

#[test]
fn a_status_changes_only_from_those_that_allow_it() {
    let mut world = World::single();
    let campaign = world.campaign_of(2);
    let id = campaign.to_string();
    let said = |world: &World, arguments: &[&str]| {
        let output = send(
            world,
            &[arguments[0], &id].into_iter().chain(arguments[1..].iter().copied()).collect::<Vec<_>>(),
        );
        if output.status.success() {
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        } else {
            refused(&output).replace(&id, "ID")
        }
    };
    insta::assert_snapshot!(said(&world, &["start"]), @"65: campaign: campaign ID is sending: only what is draft, scheduled, sent can become sending");
    insta::assert_snapshot!(said(&world, &["pause", "--why", "the coupon is wrong"]), @r#""Spring" is paused: within two seconds no more is sent."#);
    assert_eq!(
        world.campaign_status(campaign),
        ("paused".to_owned(), Some("the coupon is wrong".to_owned()))
    );
    insta::assert_snapshot!(said(&world, &["start"]), @"65: campaign: campaign ID is paused: only what is draft, scheduled, sent can become sending; go on with campaign send resume ID");
    insta::assert_snapshot!(said(&world, &["resume"]), @r#""Spring" is sending again."#);
    assert_eq!(world.campaign_status(campaign), ("sending".to_owned(), None));
    insta::assert_snapshot!(said(&world, &["cancel"]), @"64: campaign: standard input is not a terminal, so nobody can confirm: give --yes");
    insta::assert_snapshot!(said(&world, &["cancel", "--yes"]), @r#""Spring" is cancelled: within two seconds no more is sent."#);
    insta::assert_snapshot!(said(&world, &["resume"]), @"65: campaign: campaign ID is cancelled: only what is paused can become sending");
    world.set_status(campaign, "draft");
    insta::assert_snapshot!(said(&world, &["schedule", "--at", "2099-03-20T08:00:00+01:00"]), @r#""Spring" is scheduled for 2099-03-20 07:00 UTC (2099-03-20 08:00 +01:00)."#);
    insta::assert_snapshot!(said(&world, &["schedule", "--at", "2099-06-01 09:00 Europe/Oslo"]), @r#""Spring" is scheduled for 2099-06-01 07:00 UTC (2099-06-01 09:00 +02:00, Europe/Oslo)."#);
    let scheduled_at = "SELECT scheduled_at = '2099-06-01T07:00:00Z' FROM campaigns";
    assert!(world.database.query(scheduled_at, &[])[0].get::<_, bool>(0));
    insta::assert_snapshot!(said(&world, &["schedule", "--at", "2020-06-01 09:00 GMT+2"]), @"64: campaign: --at: 2020-06-01 07:00 UTC (2020-06-01 09:00 +02:00) is in the past; campaign send start ID sends it now");
    assert!(world.database.query(scheduled_at, &[])[0].get::<_, bool>(0));
    let malformed = send(&world, &["schedule", &id, "--at", "2099-02-30T08:00:00Z"]);
    assert_eq!(malformed.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&malformed.stderr).contains("there is no such date or time of day"));
    insta::assert_snapshot!(said(&world, &["pause"]), @r#""Spring" is paused: within two seconds no more is sent."#);
}

#[test]
fn a_campaign_is_rendered_for_everybody_before_it_is_let_go_and_errors_stop_it() {
    let mut world = World::single();
    let campaign = world.campaign_of(1500);
    world.database.execute(
        "UPDATE campaigns SET status = 'draft', html = '<p>{{ unsubscribe_url }} <a href=/offers>{{ city }}</a></p>', variables = '{}'",
        &[],
    );
    world.database.execute("UPDATE campaign_recipients SET variables = '{\"city\": \"Oslo\"}'", &[]);
    world
        .database
        .execute("UPDATE campaign_recipients SET variables = NULL WHERE email = 'r1234@example.com'", &[]);
    let id = campaign.to_string();
    for order in [&["start", &id][..], &["schedule", &id, "--at", "2099-03-20T08:00:00Z"]] {
        let output = send(&world, order);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.starts_with(
                "1,500 recipients checked: 1,499 would be sent to, 1 would fail, 0 suppressed\n"
            ),
            "{said}"
        );
        assert!(
            said.contains(
                "error    render: would fail: city is not defined (html, line 1) (r1234@example.com)"
            ),
            "{said}"
        );
        assert_eq!(last_line(&output), "65: campaign: 1 error stops the campaign: see above");
        assert_eq!(world.campaign_status(campaign).0, "draft");
    }
    let started = send(&world, &["start", &id, "--unchecked"]);
    assert_eq!(done(&started), "\"Spring\" is sending to 1,500 recipients.\n");
    assert_eq!(String::from_utf8_lossy(&started.stderr), "");

    world.set_status(campaign, "draft");
    world.database.execute("UPDATE campaign_recipients SET variables = '{\"city\": \"Oslo\"}'", &[]);
    let warned = send(&world, &["start", &id]);
    assert_eq!(done(&warned), "\"Spring\" is sending to 1,500 recipients.\n");
    assert!(
        String::from_utf8_lossy(&warned.stderr).contains("warning  link_doubtful"),
        "shown, and no reason to stop"
    );
}

#[test]
fn a_change_that_comes_too_late_changes_nothing_and_says_what_the_campaign_is() {
    let mut world = World::single();
    let campaign = world.campaign_of(2);
    let mut other = world.database.connect();
    let mut other = other.transaction().unwrap();
    other.execute("UPDATE campaigns SET status = 'cancelled' WHERE id = $1", &[&campaign]).unwrap();
    let url = world.database.url.clone();
    let late = std::thread::scope(|scope| {
        let pausing =
            scope.spawn(move || crate::campaign(&url, &["send", "pause", &campaign.to_string()], ""));
        waits_for_a_lock(&world.database);
        other.commit().unwrap();
        pausing.join().unwrap()
    });
    let said = refused(&late).replace(&campaign.to_string(), "ID");
    assert_eq!(
        said,
        "65: campaign: campaign ID is cancelled: only what is sending, scheduled can become paused"
    );
    assert_eq!(world.campaign_status(campaign).0, "cancelled");
}

#[test]
fn a_campaign_that_was_sent_is_started_again_for_those_who_were_added() {
    let mut world = World::single();
    let campaign = world.campaign_of(2);
    done(&world.run(campaign, &[]));
    world.add_recipient(campaign, "late@example.com");
    done(&send(&world, &["start", &campaign.to_string()]));
    let open = "SELECT completed_at IS NULL FROM campaigns";
    assert!(world.database.query(open, &[])[0].get::<_, bool>(0));
    done(&world.run(campaign, &[]));
    assert_eq!((world.campaign_status(campaign).0.as_str(), world.ses.message_count()), ("sent", 3));
}

#[test]
fn what_a_campaign_is_created_with_is_what_stands_in_the_table() {
    let (mut world, scratch) = (World::single(), Scratch::new());
    let (html, text) = (scratch.file("x.html", "<p>h</p>"), scratch.file("x.txt", "t"));
    let variables = scratch.file("x.json", "{\"city\": \"Oslo\"}");
    let (organization, author) = (ORGANIZATION.to_string(), Uuid::from_u128(7).to_string());
    let create = [
        ["create", "--transactional"],
        ["--id", ID],
        ["--organization", &organization],
        ["--name", "Name"],
        ["--from", "From <from@example.com>"],
        ["--reply-to", "one@example.com"],
        ["--reply-to", "Two <two@example.com>"],
        ["--subject", "Subject"],
        ["--html", &html],
        ["--text", &text],
        ["--variables", &variables],
        ["--configuration-set", "set"],
        ["--created-by", &author],
    ];
    done(&send(&world, create.as_flattened()));
    let row = "SELECT concat_ws(' | ', organization_id = $1, name, from_address, reply_to, subject, html, text, variables,
                      configuration_set, transactional, created_by = $2, status) FROM campaigns";
    let row = &world.database.query(row, &[&ORGANIZATION, &Uuid::from_u128(7)])[0];
    assert_eq!(
        row.get::<_, String>(0),
        r#"t | Name | From <from@example.com> | {one@example.com,"Two <two@example.com>"} | Subject | <p>h</p> | t | {"city": "Oslo"} | set | t | t | draft"#
    );
}

#[test]
fn an_argument_that_is_no_id_is_told_what_is_expected() {
    let world = World::single();
    let output = send(&world, &["start", "spring"]);
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("invalid value 'spring' for '<CAMPAIGN>': expected a UUID, for example "),
        "{said}"
    );
    let nothing = send(&world, &[]);
    assert_eq!(nothing.status.code(), Some(64));
    assert!(String::from_utf8(nothing.stderr).unwrap().contains("  resume "), "the orders are listed");
}

#[test]
fn a_template_that_does_not_compile_is_told_with_its_file_and_line() {
    let (world, scratch) = (World::single(), Scratch::new());
    let html = scratch.file("spring.html", "<p>Hello</p>\n<p>{{ name </p>\n");
    let organization = ORGANIZATION.to_string();
    let create = |more: &[&str]| {
        let create = [
            "create",
            "--organization",
            &organization,
            "--name",
            "x",
            "--from",
            "a@example.com",
            "--subject",
            "x",
        ];
        let output = send(&world, &[&create[..], more].concat());
        (output.status.code().unwrap(), scratch.stable(&String::from_utf8_lossy(&output.stderr)))
    };
    let (status, said) = create(&["--html", &html]);
    assert_eq!(status, 65);
    assert!(said.contains("(spring.html:2)"), "{said}");
    let text = scratch.file("spring.txt", "Hello");
    let variables = scratch.file("spring.json", "{\n\"city\": Oslo}\n");
    let (status, said) = create(&["--text", &text, "--variables", &variables]);
    assert_eq!(status, 65);
    assert!(said.starts_with("campaign: spring.json:2: it is not JSON"), "{said}");
    assert_eq!(create(&["--text", &text, "--reply-to", "nobody"]).0, 64);
}

#[test]
fn a_campaign_whose_template_does_not_compile_is_not_started() {
    let mut world = World::single();
    let campaign = world.campaign_of(1);
    world.database.execute("UPDATE campaigns SET status = 'draft', html = E'<p>\n{{ name </p>'", &[]);
    let id = campaign.to_string();
    for order in [&["start", &id][..], &["schedule", &id, "--at", "2099-01-01T08:00:00Z"]] {
        let said = refused(&send(&world, order));
        assert!(
            said.starts_with(&format!("65: campaign: campaign {campaign}: the template does not compile: ")),
            "{said}"
        );
        assert!(said.ends_with("(html, line 2)"), "{said}");
    }
    assert_eq!(world.campaign_status(campaign).0, "draft");
}

#[test]
fn a_sender_that_ses_would_refuse_is_refused_by_every_order() {
    let mut world = World::single();
    let organization = ORGANIZATION.to_string();
    for (from, reply_to, option) in [
        ("News <news@example.com", "a@example.com", "--from"),
        ("A <a@example.com>, B <b@example.com>", "a@example.com", "--from"),
        ("news", "a@example.com", "--from"),
        ("news@example.com", "a@example.com, b@example.com", "--reply-to"),
    ] {
        let create = [
            "create",
            "--organization",
            &organization,
            "--name",
            "x",
            "--subject",
            "x",
            "--text",
            "/dev/null",
        ];
        let output = send(&world, &[&create[..], &["--from", from, "--reply-to", reply_to]].concat());
        assert_eq!(output.status.code(), Some(64), "{from}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(option) && said.contains("expected ADDRESS or NAME <ADDRESS>"), "{said}");
    }
    let campaign = world.campaign_of(1);
    world.database.execute("UPDATE campaigns SET status = 'draft', reply_to = '{nobody}'", &[]);
    let id = campaign.to_string();
    for order in [&["start", &id][..], &["schedule", &id, "--at", "2099-01-01T08:00:00Z"]] {
        let output = send(&world, order);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(65), "{said}");
        assert!(said.contains("reply_to is no mailbox: it is not of the form local@domain"), "{said}");
    }
    assert_eq!(world.campaign_status(campaign).0, "draft");
}

#[test]
fn a_run_without_a_region_does_not_start() {
    let mut world = World::single();
    let campaign = world.campaign_of(1);
    let output = crate::command(&world.database.url, &["send", "run", &campaign.to_string()])
        .env_remove("AWS_REGION")
        .env_remove("AWS_DEFAULT_REGION")
        .env("AWS_CONFIG_FILE", "/nowhere")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    assert!(last_line(&output).starts_with("78: campaign: AWS_REGION is not set"), "{}", last_line(&output));
}

#[test]
fn resuming_a_campaign_that_the_timeline_halted_writes_the_activities_of_what_ses_accepted() {
    let mut world = World::single();
    let campaign = world.campaign_of(30);
    world
        .database
        .client()
        .batch_execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'closed'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .unwrap();
    let id = campaign.to_string();
    invoke(&mut world.function(), &event(campaign, 12));
    assert_eq!(world.statuses(campaign)["uncertain"], 12);
    // As long as the table refuses activities, nothing continues.
    let output = send(&world, &["resume", &id]);
    assert!(last_line(&output).contains("takes no activity: ") && last_line(&output).contains("closed"));
    assert_eq!(world.campaign_status(campaign).0, "paused");
    world.database.client().batch_execute("DROP TRIGGER refuse ON activities").unwrap();
    let said = done(&send(&world, &["resume", &id]));
    assert!(said.starts_with("12 emails that SES had accepted became sent"), "{said}");
    assert_eq!(world.statuses(campaign)["sent"], 12);
    assert_eq!(run(&mut world.function(), event(campaign, 20)).last().unwrap()["status"], "done");
    assert_eq!(world.ses.message_count(), 30);
    world.assert_consistent(campaign);
}

#[test]
fn all_campaigns_are_paused_and_resumed_together() {
    let mut world = World::single();
    let [sending, later, person, guarded] = [1, 2, 3, 4].map(|_| world.campaign_of(1));
    let set = "UPDATE campaigns SET status = $2, status_reason = $3, scheduled_at = now() + interval '1 day' WHERE id = $1";
    for (campaign, status, reason) in [
        (later, "scheduled", None),
        (person, "paused", Some("wrong coupon")),
        (guarded, "paused", Some("the database has lost what it had committed: …")),
    ] {
        world.database.execute(set, &[&campaign, &status, &reason]);
    }
    world.database.execute("UPDATE campaigns SET started_at = now() WHERE id = $1", &[&guarded]);
    // The command also exists at the top level, so that it is found quickly in an emergency.
    let paused = campaign(&world.database.url, &["pause", "--all", "--why", "restored"], "");
    assert_eq!(done(&paused), "2 campaigns paused: within two seconds no more is sent.\n");
    let reason = Some("paused with all others: restored".to_owned());
    assert_eq!(world.campaign_status(sending), ("paused".to_owned(), reason.clone()));
    assert_eq!(world.campaign_status(later), ("paused".to_owned(), reason));
    assert_eq!(
        done(&send(&world, &["pause", "--all"])),
        "0 campaigns paused: within two seconds no more is sent.\n"
    );

    done(&send(&world, &["resume", "--all"]));
    assert_eq!(world.campaign_status(sending), ("sending".to_owned(), None));
    // Its time has not come.
    assert_eq!(world.campaign_status(later), ("scheduled".to_owned(), None));
    assert_eq!(world.campaign_status(person).0, "paused");
    assert_eq!(world.campaign_status(guarded).0, "sending");
    assert!(done(&send(&world, &["resume", "--all"])).starts_with("Nothing to resume"));
    assert_eq!(send(&world, &["pause"]).status.code(), Some(64));
    assert_eq!(send(&world, &["pause", "--all", ID]).status.code(), Some(64));
}
