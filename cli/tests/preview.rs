//! `campaign preview` and `campaign suppressions`, as an executable, on a real PostgreSQL.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use local_ses::lambda::{Function, signal};
use local_ses::ses::{MailFrom, SuppressedDestination, SuppressionReason};
use serde_json::json;
use support::{ORGANIZATION, TIMEOUT, World, event, executable, invoke};
use uuid::Uuid;

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_campaign"));
    command.args(arguments).env_clear().envs(world.environment()).env("DNS_SERVER", "none");
    command
}

fn campaign(world: &World, arguments: &[&str]) -> Output {
    command(world, arguments).output().expect("campaign starts")
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The text with a placeholder for each unsubscribe link, whose token differs from run to run.
fn without_tokens(text: &str) -> String {
    let (mut parts, mut stable) = (text.split("https://unsubscribe.example.com/u/"), String::new());
    stable.push_str(parts.next().unwrap_or_default());
    for part in parts {
        stable.push_str("LINK");
        stable.push_str(&part[campaign_sender::message::token::LENGTH..]);
    }
    stable
}

fn refused(output: &Output) -> String {
    let line = String::from_utf8_lossy(&output.stderr);
    format!("{}: {}", output.status.code().unwrap(), line.trim())
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("{}-{}-{name}", std::process::id(), Uuid::new_v4()));
    std::fs::write(&path, text).unwrap();
    path
}

impl World {
    fn suppressions(&mut self) -> Vec<String> {
        let sql = "SELECT organization_id, email, reason FROM suppressions ORDER BY 1, 2";
        let rows = self.database.query(sql, &[]);
        let of = |id: Uuid| {
            if id.is_nil() {
                "all"
            } else if id == ORGANIZATION {
                "own"
            } else {
                "other"
            }
        };
        rows.iter()
            .map(|row| format!("{} {} {}", of(row.get(0)), row.get::<_, String>(1), row.get::<_, String>(2)))
            .collect()
    }

    fn draft(&mut self, html: &str) -> Uuid {
        let campaign = self.campaign();
        self.database.execute("UPDATE campaigns SET status = 'draft', html = $1", &[&html]);
        campaign
    }
}

#[test]
fn suppressions_come_from_a_file_and_go_into_one_and_reasons_only_get_stronger() {
    let mut world = World::new();
    world.database.execute(
        "INSERT INTO suppressions (organization_id, email, reason)
         VALUES ($1, 'a@example.com', 'bounce'), ($1, 'b@example.com', 'complaint'), ($1, 'd@example.com', 'bounce')",
        &[&ORGANIZATION],
    );
    let organization = ORGANIZATION.to_string();
    let given = file(
        "in.csv",
        "\u{feff}Reason,EMAIL,created_at\nmanual, A@Example.com ,2026-01-31T08:00:00+01:00\nunsubscribe,b@example.com,\n,c@example.com,\nbounce,C@example.com,\nunsubscribe,d@example.com,\n",
    );
    let import = ["suppressions", "import", "--organization", &organization, "--reason", "unsubscribe"];
    let import: Vec<&str> = import.into_iter().chain([given.to_str().unwrap()]).collect();
    insta::assert_snapshot!(done(&campaign(&world, &import)), @"1 added, 2 with a stronger reason now, 2 known already");
    insta::assert_snapshot!(done(&campaign(&world, &import)), @"0 added, 0 with a stronger reason now, 5 known already");
    assert_eq!(
        world.suppressions(),
        [
            "own a@example.com manual",
            "own b@example.com complaint",
            "own c@example.com unsubscribe",
            "own d@example.com unsubscribe"
        ]
    );

    let exported = file("out.csv", "");
    done(&campaign(&world, &["suppressions", "export", exported.to_str().unwrap()]));
    let text = std::fs::read_to_string(&exported).unwrap();
    assert_eq!(text.lines().count(), 5);
    assert!(text.starts_with("organization_id,email,reason,created_at\n"), "{text}");
    world.database.execute("DELETE FROM suppressions", &[]);
    done(&campaign(&world, &["suppressions", "import", exported.to_str().unwrap()]));
    let before = text;
    done(&campaign(&world, &["suppressions", "export", exported.to_str().unwrap()]));
    assert_eq!(std::fs::read_to_string(&exported).unwrap(), before);
    let listed = done(&campaign(&world, &["suppressions", "list", "--email", "A@example.com"]));
    assert!(listed.contains("a@example.com  manual") && listed.lines().count() == 3, "{listed}");
}

#[test]
fn a_line_that_cannot_be_used_is_named_or_passed_over() {
    let mut world = World::new();
    let refusal = |world: &World, text: &str, more: &[&str]| {
        let given = file("bad.csv", text);
        let path = given.to_str().unwrap();
        let output = campaign(world, &[&["suppressions", "import", path], more].concat());
        refused(&output).replace(path, "FILE")
    };
    insta::assert_snapshot!(refusal(&world, "address\na@example.com\n", &["--account-wide"]), @r#"65: campaign: FILE:1: there is no column "email"; the columns are "address": name it with --map email=COLUMN"#);
    insta::assert_snapshot!(refusal(&world, "email\na@example.com\n", &[]), @"65: campaign: FILE:1: it has no column organization_id: name one with --organization ID, or --account-wide");
    let bad = "email,reason\na@example.com,bounce\nb@example.com,because\n";
    insta::assert_snapshot!(refusal(&world, bad, &["--account-wide"]), @"65: campaign: 1 of 2 rows is refused, so nothing was imported: correct them, or give --skip-bad");
    assert!(world.suppressions().is_empty());
    let given = file("bad.csv", "email\nnobody\nb@example.com\n");
    let path = given.to_str().unwrap();
    let import = ["suppressions", "import", "--account-wide", "--skip-bad", path];
    insta::assert_snapshot!(done(&campaign(&world, &import)).replace(path, "FILE"), @r"
    1 added, 0 with a stronger reason now, 0 known already
            1  bad_address   for example FILE:2: it is not of the form local@domain
    ");
    assert_eq!(world.suppressions(), ["all b@example.com manual"]);
}

#[test]
fn what_ses_suppresses_for_the_account_is_read_page_by_page() {
    let mut world = World::new();
    let on_list = (0..2500).map(|n| SuppressedDestination {
        email_address: format!("N{n:04}@example.com"),
        reason: if n == 7 { SuppressionReason::Complaint } else { SuppressionReason::Bounce },
        last_update: std::time::SystemTime::UNIX_EPOCH,
    });
    world.ses.set_suppressed(on_list.collect());
    insta::assert_snapshot!(done(&campaign(&world, &["suppressions", "pull-ses"])), @r"
    2,500 addresses on SES's list, for all organizations
    2,500 added, 0 with a stronger reason now, 0 known already
    ");
    insta::assert_snapshot!(done(&campaign(&world, &["suppressions", "pull-ses"])), @r"
    2,500 addresses on SES's list, for all organizations
    0 added, 0 with a stronger reason now, 2,500 known already
    ");
    let suppressions = world.suppressions();
    assert_eq!((suppressions.len(), suppressions[7].as_str()), (2500, "all n0007@example.com complaint"));
}

#[test]
fn a_preview_shows_what_a_recipient_gets_and_changes_nothing() {
    let mut world = World::new();
    let id = world.draft(
        "<p>Dear {{ name or 'friend' }}, <a href='/offers'>see our offers</a> of this spring, please.</p>",
    );
    world.add_recipients(id, 3);
    let shown = done(&campaign(&world, &["preview", &id.to_string(), "--recipient", "R1@example.com"]));
    let shown = without_tokens(&shown)
        .replace(&id.to_string(), "CAMPAIGN")
        .replace(&ORGANIZATION.to_string(), "ORGANIZATION");
    let shown: Vec<&str> = shown.lines().filter(|line| !line.contains("recipient_id=")).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    From: News <news@example.com>
    To: r1@example.com
    Subject: Hello Recipient 1
    List-Unsubscribe: <LINK>
    List-Unsubscribe-Post: List-Unsubscribe=One-Click
    List-Id: <0000000000000000000000000000000a.example.com>
    Feedback-ID: CAMPAIGN:ORGANIZATION:campaign:campaign-sender
    Tag: campaign_id=CAMPAIGN
    Tag: organization_id=ORGANIZATION
    Size: HTML 431 bytes, text 222 bytes; of both and the subject, 670 bytes are only this recipient's
    Bulk call: 50 such messages in a request of 78,505 bytes

    Dear Recipient 1, see our offers (/offers) of this spring, please.

    Unsubscribe (LINK) from these emails

    warning  link_doubtful: the link "/offers" is relative, and an email has no page that it could be relative to
    "#);
    assert_eq!(world.ses.statistics().send_requests, 0);
    assert_eq!(world.count(id, "status = 'pending'"), 3);
    let unknown = campaign(&world, &["preview", &id.to_string(), "--recipient", "r9@example.com"]);
    insta::assert_snapshot!(refused(&unknown), @"65: campaign: --recipient r9@example.com: the campaign has no such recipient");
}

#[test]
fn a_sender_is_shown_as_a_mail_program_shows_it() {
    let mut world = World::new();
    let id = world.draft("<p>Dear {{ name or 'friend' }}, here are the offers of this spring.</p>");
    world.add_recipients(id, 1);
    world.database.execute(
        "UPDATE campaigns SET from_address = 'Grün & Söhne <news@example.com>', reply_to = ARRAY['\"Hilfe, täglich\" <hilfe@example.com>']",
        &[],
    );
    let shown = done(&campaign(&world, &["preview", &id.to_string()]));
    assert!(shown.starts_with("From: Grün & Söhne <news@example.com>\n"), "{shown}");
    assert!(shown.contains("Reply-To: Hilfe, täglich <hilfe@example.com>\n"), "{shown}");
}

#[test]
fn a_preview_has_the_link_to_unsubscribe_and_a_test_has_nobodys() {
    let mut world = World::new();
    let id = world.draft("<p>Dear {{ name or 'friend' }}, here are the offers of this spring.</p>");
    world.add_recipients(id, 1);
    let shown = done(&campaign(&world, &["preview", &id.to_string()]));
    assert!(shown.contains("List-Unsubscribe: <https://unsubscribe.example.com/u/"), "{shown}");
    let shown_link = shown.split("List-Unsubscribe: <").nth(1).unwrap().split('>').next().unwrap();
    done(&campaign(&world, &["preview", &id.to_string(), "--send-to", "me@example.com"]));
    let messages = world.ses.messages();
    let link = messages[0].header("List-Unsubscribe").unwrap();
    assert!(link.starts_with("<https://unsubscribe.example.com/u/") && !link.contains(shown_link), "{link}");
}

#[test]
fn a_link_that_cannot_be_made_stops_a_campaign_that_is_not_transactional() {
    let mut world = World::new();
    let id =
        world.draft("<p>Dear {{ name or 'friend' }}, here are the offers of this spring.</p>").to_string();
    for missing in ["UNSUBSCRIBE_URL", "UNSUBSCRIBE_SECRET"] {
        let output =
            command(&world, &["preview", &id]).env_remove(missing).output().expect("campaign starts");
        let shown = String::from_utf8(output.stdout.clone()).unwrap();
        let (_, finding) = shown.split_once("error    unsubscribe_missing: ").expect(&shown);
        assert!(
            finding.starts_with("there is no List-Unsubscribe header") && finding.contains(missing),
            "{finding}"
        );
        assert_eq!(refused(&output), "65: campaign: 1 error stops the campaign: see above");
    }
    world.database.execute("UPDATE campaigns SET transactional = true", &[]);
    let output = command(&world, &["preview", &id]).env_remove("UNSUBSCRIBE_URL").output().unwrap();
    assert!(!done(&output).contains("unsubscribe_missing"));
    // A template that has the link itself would fail for a reason that is not the template's.
    world
        .database
        .execute("UPDATE campaigns SET html = html || '<a href=\"{{ unsubscribe_url }}\">Leave</a>'", &[]);
    let output = command(&world, &["preview", &id]).env_remove("UNSUBSCRIBE_URL").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("error    unsubscribe_missing: the template has unsubscribe_url, and there are no links to unsubscribe: set UNSUBSCRIBE_URL"),
        "{shown}"
    );
    assert!(!shown.contains("render"), "{shown}");
}

#[test]
fn a_dry_run_goes_over_all_recipients_and_counts_what_it_finds() {
    let mut world = World::new();
    let id = world.draft("<p>{{ name or 'Friend' }}, the offers of {{ city }} are here: <a href='{{ url }}'>have a look</a></p>");
    world.add_recipients(id, 2500);
    world.database.execute(
        r#"UPDATE campaign_recipients SET variables = '{"city": "Oslo", "url": "https://example.com"}'"#,
        &[],
    );
    world.database.execute("UPDATE campaign_recipients SET variables = NULL WHERE email LIKE 'r10_@%'", &[]);
    world.database.execute(
        r#"UPDATE campaign_recipients SET variables = '{"city": "Oslo", "url": "http://"}' WHERE email = 'r2400@example.com'"#,
        &[],
    );
    world.database.execute(
        "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, 'r1@example.com', 'manual')",
        &[&ORGANIZATION],
    );
    let output = campaign(&world, &["preview", &id.to_string(), "--check"]);
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    let (_, verdict) = shown.split_once("2,500 recipients").expect(&shown);
    insta::assert_snapshot!(verdict, @r#"
     checked: 2,489 would be sent to, 10 would fail, 1 suppressed
    error    link_broken: the link "http://" is not a valid address of the web (r2400@example.com)
    error    render: would fail: city is not defined (html, line 1) (10 recipients, for example r100@example.com)
    "#);
    insta::assert_snapshot!(refused(&output), @"65: campaign: 2 errors stop the campaign: see above");
}

#[test]
fn a_check_finds_mailboxes_that_ses_would_refuse() {
    let mut world = World::new();
    let id = world.campaign_of(1);
    world
        .database
        .execute("UPDATE campaigns SET from_address = 'News <news@example.com', reply_to = '{nobody}'", &[]);
    let output = campaign(&world, &["preview", &id.to_string(), "--check"]);
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    for error in
        ["from_address is no mailbox: its angle bracket", "reply_to is no mailbox: it is not of the form"]
    {
        assert!(shown.contains(error), "{shown}");
    }
    insta::assert_snapshot!(refused(&output), @"65: campaign: 2 errors stop the campaign: see above");
}

#[test]
fn a_sender_that_ses_has_not_verified_is_an_error_and_one_without_its_domain_a_warning() {
    let mut world = World::new();
    let id = world.draft("<p>Dear friend, here are the offers of this spring.</p>").to_string();
    world.ses.set_identities(vec!["other.example".to_owned()]);
    let unverified = campaign(&world, &["preview", &id]);
    assert_eq!(unverified.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&unverified.stdout).contains("identity_unverified"));
    world.ses.set_identities(vec!["news@example.com".to_owned()]);
    assert!(done(&campaign(&world, &["preview", &id])).contains("identity_unaligned"));
    world.ses.set_identities(vec!["example.com".to_owned()]);
    assert!(!done(&campaign(&world, &["preview", &id])).contains("identity_"));
}

#[test]
fn a_test_is_marked_and_touches_no_recipient() {
    let mut world = World::new();
    let id = world.draft("<p>Dear {{ name }}</p>");
    world.add_recipients(id, 1);
    let id_text = id.to_string();
    for sent in [
        &["preview", &id_text, "--send-to", "me@example.com", "--send-to", "you@example.com"][..],
        &["send", &id_text, "--test", "me@example.com", "you@example.com"],
        &["send", "--test", "me@example.com", "you@example.com", &id_text],
        &["send", "--test", "me@example.com", "--test", "you@example.com", &id_text],
        &["send", "--recipient", "r1@example.com", "--test", "me@example.com", "you@example.com", &id_text],
        &["send", "--test", "me@example.com", &id_text, "you@example.com", "--recipient", "r1@example.com"],
    ] {
        world.ses.clear_messages();
        done(&campaign(&world, sent));
        let messages = world.ses.messages();
        let to: Vec<&str> = messages.iter().flat_map(|message| &message.to).map(String::as_str).collect();
        assert_eq!(to, ["me@example.com", "you@example.com"]);
        assert_eq!(messages[0].subject, "[Test] Hello Recipient 1");
        assert_eq!((messages[0].tag("campaign_test"), messages[0].tag("recipient_id")), (Some("true"), None));
    }
    assert_eq!(world.count(id, "status = 'pending'"), 1);
    assert!(world.database.query("SELECT 1 FROM activities", &[]).is_empty());
}

#[test]
fn a_link_in_a_test_leads_to_a_page_that_says_so_and_unsubscribes_nobody() {
    let mut world = World::new();
    let id = world.draft("<p>Dear {{ name }}, here are the offers of this spring.</p>").to_string();
    world.add_recipients(id.parse().unwrap(), 1);
    done(&campaign(&world, &["send", &id, "--test", "me@example.com"]));
    let message = &world.ses.messages()[0];
    let header = message.headers.iter().find(|header| header.name == "List-Unsubscribe").unwrap();
    let token = header.value.split("/u/").nth(1).unwrap().trim_end_matches('>').to_owned();
    assert!(message.html.as_deref().unwrap().contains(&token), "{message:?}");
    let environment = world.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut function = Function::start(&executable("unsubscribe"), &environment).unwrap();
    for (method, body) in [("GET", ""), ("POST", "List-Unsubscribe=One-Click")] {
        let request = json!({
            "version": "2.0", "rawPath": format!("/{token}"), "headers": {"content-type": "application/x-www-form-urlencoded"},
            "requestContext": {"http": {"method": method, "path": format!("/{token}")}}, "body": body,
        });
        let answer = function.invoke(&request, TIMEOUT).unwrap();
        let page = answer["body"].as_str().unwrap();
        assert_eq!(answer["statusCode"], 200, "{answer}");
        assert!(page.contains("the link of a test email") && page.contains("nothing has changed"), "{page}");
    }
    assert!(world.suppressions().is_empty());
}

#[test]
fn both_ways_of_testing_say_that_there_is_no_link_to_unsubscribe() {
    let mut world = World::new();
    let id =
        world.draft("<p>Dear {{ name or 'friend' }}, here are the offers of this spring.</p>").to_string();
    for arguments in
        [&["send", &id, "--test", "me@example.com"][..], &["preview", &id, "--send-to", "me@example.com"]]
    {
        let output = command(&world, arguments).env_remove("UNSUBSCRIBE_URL").output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("unsubscribe_missing: there is no List-Unsubscribe header"), "{said}");
        assert!(said.contains("Test to me@example.com: accepted"), "{said}");
    }
}

#[test]
fn one_page_to_share_needs_nothing_else_and_unsubscribes_nobody() {
    let mut world = World::new();
    let id =
        world.draft("<p title='\"x\"'>Dear {{ name }}, see <a href='/offers'>the offers</a> &amp; more</p>");
    world.add_recipients(id, 1);
    let path = file("preview.html", "");
    let shown = path.display().to_string();
    let said = done(&campaign(&world, &["preview", &id.to_string(), "--file", &shown]));
    assert!(said.contains(&format!("The preview of \"Spring\" is in {shown}")), "{said}");
    let page = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(
        page.contains("<h2 dir=\"auto\">Hello Recipient 1</h2>") && page.contains("r…@example.com"),
        "{page}"
    );
    assert!(page.contains("the link &quot;&#x2f;offers&quot; is relative"), "{page}");
    assert_eq!(page.matches("<iframe sandbox").count(), 2);
    assert!(!page.contains("<script") && !page.contains("r1@example.com"), "{page}");
    let token = without_tokens(&said);
    let own = said.split("https://unsubscribe.example.com/u/").nth(1).unwrap();
    assert!(!page.contains(&own[..campaign_sender::message::token::LENGTH]), "{token}");
    let nowhere = campaign(&world, &["preview", &id.to_string(), "--file", "/nowhere/preview.html"]);
    assert!(refused(&nowhere).starts_with("73: campaign: /nowhere/preview.html: "), "{}", refused(&nowhere));
}

#[test]
fn one_line_stands_for_one_finding() {
    let mut world = World::new();
    let long = format!("https://exa mple.com/{}", "x".repeat(100));
    let id = world.draft(&format!(
        "<style>.b{{color:red}}</style><p class=b>Dear friend, here are the offers of this spring.</p>\
         <a href='{long}'>a</a><a href='{long}'>b</a><a href='JavaScript:x()'>c</a><form><input></form><a href='/x'>d</a><a href='/x'>e</a>"
    ));
    let check = |world: &World| {
        let output = campaign(world, &["preview", &id.to_string(), "--check"]);
        String::from_utf8(output.stdout).unwrap().split("recipients checked").nth(1).unwrap().to_owned()
    };
    let nobody = check(&world);
    assert!(nobody.contains("error    no_recipients: the campaign has no recipients"), "{nobody}");
    world.add_recipients(id, 2);
    let verdict = check(&world);
    insta::assert_snapshot!(verdict, @r#"
    : 2 would be sent to, 0 would fail, 0 suppressed
    error    link_broken: the link "https://exa mple.com/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" is not a valid address of the web
    error    link_broken: the link "JavaScript:x()" is a script, which no mail program runs
    warning  css_not_inline: the rule ".b" and perhaps others stand in <style> only, which some mail programs drop: inline them in the template (2 recipients, for example r1@example.com)
    warning  form: it has a form or a <button>, which most mail programs do not show or warn of: link to a page that has it (2 recipients, for example r1@example.com)
    warning  link_doubtful: the link "/x" is relative, and an email has no page that it could be relative to (2 recipients, for example r1@example.com)
    "#);
}

#[test]
fn the_inbox_page_shows_the_message_until_it_is_interrupted() {
    let mut world = World::new();
    let id = world.draft("<p>Dear {{ name }}</p>");
    world.add_recipients(id, 1);
    let mut process = command(&world, &["preview", &id.to_string(), "--inbox"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("campaign starts");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("Inbox")).expect("the address of the page");
    let address = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let mut page = TcpStream::connect(&address).unwrap();
    write!(page, "GET /_local/messages HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("Hello Recipient 1"), "{answer}");
    assert_eq!(world.ses.statistics().send_requests, 0, "Amazon is not asked to send");
    assert!(signal(process.id(), "INT") && process.wait().unwrap().success());
}

#[test]
fn a_campaign_that_is_wrong_for_everybody_halts_before_the_first_batch() {
    let mut world = World::new();
    let id = world.campaign_of(3);
    world.database.execute("UPDATE campaigns SET html = '<a href=\"https://exa mple.com\">x</a>'", &[]);
    let result = invoke(&mut world.function(), &event(id, 10));
    assert_eq!(result["status"], "halted");
    insta::assert_snapshot!(result["reason"].as_str().unwrap(), @r#"the link "https://exa mple.com" is not a valid address of the web"#);
    assert_eq!((world.ses.statistics().send_requests, world.count(id, "status = 'pending'")), (0, 3));
}

#[test]
fn a_timeline_that_cannot_take_activities_is_found_before_a_campaign_is_started() {
    let mut world = World::new();
    let campaign = world.campaign_of(2);
    world.set_status(campaign, "draft");
    world
        .database
        .client()
        .batch_execute("CREATE TABLE timeline AS SELECT * FROM activities; ALTER TABLE timeline ALTER entity_id TYPE varchar(17)")
        .unwrap();
    let id = campaign.to_string();
    for arguments in [&["preview", id.as_str(), "--check"][..], &["send", "start", &id]] {
        let output =
            command(&world, arguments).env("ACTIVITIES_TABLE", "timeline").output().expect("campaign starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(65), "{said}");
        assert!(said.contains("column entity_id has the type character varying(17)"), "{said}");
    }
    assert_eq!(world.campaign_status(campaign).0, "draft");
}

/// A DNS server on loopback that answers TXT questions from a list, and anything else by NXDOMAIN.
struct DnsServer {
    address: std::net::SocketAddr,
}

impl DnsServer {
    fn start(records: &'static [(&'static str, &'static str)]) -> DnsServer {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        // It ends with the process.
        std::thread::spawn(move || {
            let mut question = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let _ = socket.send_to(&DnsServer::answer(&question[..length], records), from);
            }
        });
        DnsServer { address }
    }

    /// RFC 1035, section 4: the header, the question as it came, and a record for each text.
    fn answer(message: &[u8], records: &[(&str, &str)]) -> Vec<u8> {
        let (mut labels, mut at) = (Vec::new(), 12);
        while message[at] != 0 {
            let length = usize::from(message[at]);
            labels.push(String::from_utf8_lossy(&message[at + 1..=at + length]).to_lowercase());
            at += 1 + length;
        }
        let end = at + 5;
        let name = labels.join(".");
        let is_txt = message[at + 1..at + 3] == [0, 16];
        let texts: Vec<&str> =
            records.iter().filter(|(known, _)| is_txt && *known == name).map(|(_, text)| *text).collect();
        let code = if texts.is_empty() { 3 } else { 0 };
        let count = u8::try_from(texts.len()).unwrap();
        let mut answer = message[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        answer.extend(&message[12..end]);
        for text in texts {
            let length = u8::try_from(text.len()).unwrap();
            answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, length + 1, length]);
            answer.extend(text.as_bytes());
        }
        answer
    }
}

#[test]
fn what_dns_says_of_the_sender_is_told_with_what_to_publish() {
    let mut world = World::new();
    let id = world.draft("<p>Dear friend, here are the offers of this spring.</p>").to_string();
    let preview = |world: &World, server: &str| {
        done(&command(world, &["preview", &id]).env("DNS_SERVER", server).output().unwrap())
    };
    let server = DnsServer::start(&[("_dmarc.example.com", "v=DMARC1; p=none; rua=mailto:d@example.com")]);
    let found = |shown: &str| {
        ["dmarc_", "spf_unaligned", "mail_from_", "dkim_unaligned", "dns_unknown"]
            .into_iter()
            .filter(|kind| shown.contains(kind))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(found(&preview(&world, &server.address.to_string())), "");
    // SES's own MAIL FROM.
    world.ses.set_mail_from(MailFrom::default());
    let shown = preview(&world, &server.address.to_string());
    assert_eq!(found(&shown), "spf_unaligned");
    assert!(shown.contains("10 feedback-smtp.us-east-1.amazonses.com"), "{shown}");
    world.ses.set_mail_from(MailFrom { domain: "bounce.example.com".to_owned(), found: false });
    assert_eq!(found(&preview(&world, &server.address.to_string())), "mail_from_");

    // Without the record, with two, and with a strict one of a subdomain's parent.
    world.ses.set_mail_from(MailFrom { domain: "bounce.example.com".to_owned(), found: true });
    let shown = preview(&world, &DnsServer::start(&[]).address.to_string());
    assert!(
        shown.contains("dmarc_missing") && shown.contains("v=DMARC1; p=none; rua=mailto:dmarc@example.com"),
        "{shown}"
    );
    let two = DnsServer::start(&[
        ("_dmarc.example.com", "v=DMARC1; p=none"),
        ("_dmarc.example.com", "v=DMARC1; p=reject"),
    ]);
    assert!(preview(&world, &two.address.to_string()).contains("dmarc_invalid"));
    let strict = DnsServer::start(&[("_dmarc.example.com", "v=DMARC1; p=reject; adkim=s; aspf=s")]);
    world.ses.set_identities(vec!["example.com".to_owned()]);
    world.database.execute("UPDATE campaigns SET from_address = 'news@mail.example.com'", &[]);
    assert_eq!(found(&preview(&world, &strict.address.to_string())), "spf_unaligned dkim_unaligned");

    // A server that does not answer, and a value that is none.
    assert_eq!(found(&preview(&world, "127.0.0.1:1")), "dns_unknown");
    assert!(preview(&world, "somewhere").contains("expected ADDRESS:PORT, for example 9.9.9.9:53, or none"));
}

#[test]
fn ses_renders_what_bulk_calls_would_carry_and_keeps_no_template() {
    let mut world = World::new();
    let id = world.campaign_of(7);
    let shared = "<p>What everybody gets, {% raw %}{{name}}{% endraw %} &amp; all, in a paragraph that is as long as it needs to be.</p>";
    world.database.execute(
        "UPDATE campaigns SET html = $1, text = NULL, transactional = false",
        &[&format!("{shared}{{{{ name or 1 }}}}{shared}<b>{{{{ name or 2 }}}}</b>{shared}")],
    );
    let output = done(&campaign(&world, &["check", "--ses", &id.to_string()]));
    assert_eq!(output.matches("the same by both calls").count(), 5, "{output}");
    let again = done(&campaign(
        &world,
        &[
            "check",
            "--ses",
            &id.to_string(),
            "--recipient",
            "r6@example.com",
            "--recipient",
            "r2@example.com",
        ],
    ));
    assert_eq!(again, "r6@example.com: the same by both calls\nr2@example.com: the same by both calls\n");
    let statistics = world.ses.statistics();
    assert_eq!(
        (statistics.templates_created, statistics.templates_deleted, statistics.send_requests),
        (2, 2, 0)
    );
    let usage = refused(&campaign(&world, &["check", &id.to_string()]));
    assert!(usage.starts_with("64: ") && usage.contains("--ses"), "{usage}");
}

#[test]
fn what_ses_renders_otherwise_is_told_for_each_recipient() {
    let mut world = World::new();
    let id = world.campaign_of(2);
    world.database.execute("UPDATE campaigns SET html = '<p>{{ name or 1 }}</p>'", &[]);
    world.ses.mangle_templates();
    let output = campaign(&world, &["check", "--ses", &id.to_string()]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("differs"), "{output:?}");
    assert_eq!(output.status.code(), Some(65));
    let statistics = world.ses.statistics();
    assert_eq!(statistics.templates_created, statistics.templates_deleted);
}
