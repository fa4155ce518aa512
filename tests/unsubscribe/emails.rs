//! From the arriving email to the next campaign: what a recipient and its mail program see.

use local_ses::ses::Message;
use mail_parser::MessageParser;

use super::*;
use crate::support::{UNSUBSCRIBE_URL, event, invoke};

/// The email as a mail program has it: its source, and the headers in it.
fn as_it_arrived(world: &World, to: &str) -> Vec<u8> {
    let directory = std::env::temp_dir().join(format!("unsubscribe-{}", Uuid::new_v4()));
    world.ses.write_eml(&directory).unwrap();
    let of = |path: &std::path::PathBuf| path.to_string_lossy().ends_with(&format!("-{to}.eml"));
    let mut files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let source = std::fs::read(files.find(of).expect("it arrived")).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    source
}

fn message(world: &World, to: &str) -> Message {
    world.ses.messages().into_iter().find(|message| message.to == [to]).expect("it arrived")
}

#[test]
fn one_click_in_the_mail_program_ends_the_emails_of_that_organization() {
    for api in ["single", "bulk"] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign();
        for email in ["ada@example.com", "bob@example.com"] {
            world.add_recipient(campaign, email);
        }
        let mut send_batch = world.function();
        support::run(&mut send_batch, event(campaign, 10));

        let source = as_it_arrived(&world, "ada@example.com");
        let mail = MessageParser::default().parse(&source).unwrap();
        let header = |name: &str| mail.header_raw(name).map(str::trim).unwrap_or_default().to_owned();
        assert_eq!(header("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
        let list = header("List-Unsubscribe").replace("\r\n", "");
        let url = list.strip_prefix('<').and_then(|rest| rest.split_once('>')).unwrap().0;
        // Both parts show the same link to a person.
        assert!(
            mail.body_html(0).unwrap().contains(&format!("<a ses:no-track href=\"{url}\">Unsubscribe</a>"))
        );
        assert!(mail.body_text(0).unwrap().contains(url));

        let path_token = url.strip_prefix(&format!("{UNSUBSCRIBE_URL}/")).unwrap();
        let mut unsubscribe = function(&world);
        assert_eq!(answer(&mut unsubscribe, &request("one-click", path_token)).0, 200);

        let next = world.campaign();
        let again = world.add_recipient(next, "Ada@Example.com");
        world.add_recipient(next, "bob@example.com");
        let result = support::run(&mut send_batch, event(next, 10)).remove(0);
        assert_eq!((&result["batch"]["sent"], &result["batch"]["suppressed"]), (&json!(1), &json!(1)));
        let sql = "SELECT status FROM campaign_recipients WHERE id = $1";
        assert_eq!(world.database.query(sql, &[&again])[0].get::<_, String>(0), "suppressed");

        let first: Uuid = message(&world, "ada@example.com").tag("recipient_id").unwrap().parse().unwrap();
        assert_eq!(actions(&mut world, first), ["email_sent", "email_unsubscribed"]);
        assert_eq!(mark(&mut world, first), (true, 1));
    }
}

#[test]
fn every_email_has_the_headers_of_its_kind_whichever_call_carries_it() {
    for api in ["single", "bulk"] {
        for transactional in [false, true] {
            let mut world = World::sending_by(api);
            let campaign = world.campaign();
            let id = world.add_recipient(campaign, "ada@example.com");
            world.add_recipient(campaign, "bob@example.com");
            let sql = "UPDATE campaigns SET transactional = $1 WHERE id = $2";
            world.database.execute(sql, &[&transactional, &campaign]);
            let mut send_batch = world.function_with(&[("UNSUBSCRIBE_MAILTO", "off@example.com")]);
            support::run(&mut send_batch, event(campaign, 10));

            let message = message(&world, "ada@example.com");
            let mut names: Vec<&str> = message.headers.iter().map(|header| header.name.as_str()).collect();
            names.sort_unstable();
            let feedback = message.header("Feedback-ID").unwrap();
            let kind = if transactional { "transactional" } else { "campaign" };
            assert_eq!(feedback, format!("{campaign}:{ORGANIZATION}:{kind}:campaign-sender"));
            if transactional {
                assert_eq!(names, ["Feedback-ID"]);
                assert_eq!(message.html.as_deref(), Some("<p>Dear friend</p>"));
            } else {
                assert_eq!(names, ["Feedback-ID", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post"]);
                let token = token(id);
                assert_eq!(
                    message.header("List-Unsubscribe").unwrap(),
                    format!(
                        "<{UNSUBSCRIBE_URL}/{token}>, <mailto:off@example.com?subject=unsubscribe%20{token}>"
                    )
                );
                let list = format!("<{}.example.com>", ORGANIZATION.simple());
                assert_eq!(message.header("List-Id"), Some(list.as_str()));
            }
        }
    }
}

#[test]
fn without_a_link_to_give_a_campaign_halts_before_anything_is_claimed() {
    let mut world = World::new();
    for (missing, campaign) in
        ["UNSUBSCRIBE_URL", "UNSUBSCRIBE_SECRET"].map(|missing| (missing, world.campaign_of(3)))
    {
        let mut send_batch = world.function_with(&[(missing, "")]);
        let result = invoke(&mut send_batch, &event(campaign, 10));
        assert_eq!((&result["status"], &result["batch"]["claimed"]), (&json!("halted"), &json!(0)));
        let reason = result["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("{missing} is not set")), "{reason}");
        assert_eq!(world.campaign_status(campaign), ("paused".to_owned(), Some(reason.to_owned())));
        assert_eq!(world.count(campaign, "status = 'pending'"), 3);
        assert_eq!(world.database.query("SELECT FROM campaign_batches", &[]).len(), 0);

        let sql = "UPDATE campaigns SET status = 'sending', transactional = true WHERE id = $1";
        world.database.execute(sql, &[&campaign]);
        assert_eq!(invoke(&mut send_batch, &event(campaign, 10))["batch"]["sent"], 3);
        world.database.execute("DELETE FROM campaign_batches", &[]);
    }
}
