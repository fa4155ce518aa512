//! `campaign send create` stores tracking, link parameters and files beside the templates, and the emails have them.

use std::process::Output;

use local_ses::ses::{FeatureStatus, Message, RequestKind};
use uuid::Uuid;

use crate::support::{ORGANIZATION, World, event, run};
use crate::{Scratch, campaign, done};

const HTML: &str =
    "<p><a href=\"https://shop.example/?a=1#top\">Shop</a> <img src=\"cid:logo\" alt=\"Logo\"></p>";

fn create(world: &World, html: &str, more: &[&str]) -> Output {
    let organization = ORGANIZATION.to_string();
    let needed =
        ["send", "create", "--organization", &organization, "--name", "Spring", "--subject", "Hello"];
    let from = ["--from", "News <news@example.com>", "--html", html];
    campaign(&world.database.url, &[&needed[..], &from, more].concat(), "")
}

/// The emails of a campaign that was created with these options, by either call of SES.
fn emails(world: &mut World, created: &Output) -> Vec<Message> {
    let id: Uuid = done(created).trim().parse().unwrap();
    world.add_recipients(id, 2);
    world.set_status(id, "sending");
    run(&mut world.function(), event(id, 10));
    world.assert_consistent(id);
    let messages = world.ses.messages();
    assert_eq!(messages.len(), 2);
    messages
}

fn stopped(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn tracking_link_parameters_and_files_arrive_by_both_calls() {
    for (api, kind) in [("single", RequestKind::Single), ("bulk", RequestKind::Bulk)] {
        let (mut world, scratch) = (World::sending_by(api), Scratch::new());
        let html = scratch.file("spring.html", HTML);
        let terms = scratch.file("terms.pdf", "%PDF-1.7 terms");
        let logo = format!("logo={}", scratch.file("logo.png", "\u{89}PNG logo"));
        let created = create(
            &world,
            &html,
            &[
                "--track-opens",
                "true",
                "--track-clicks",
                "false",
                "--link-parameter",
                "utm_source=news letter",
                "--link-parameter",
                "utm_campaign=spring",
                "--attach",
                &terms,
                "--inline",
                &logo,
            ],
        );
        for message in emails(&mut world, &created) {
            assert_eq!(message.kind, kind);
            assert_eq!(message.open_tracking, Some(FeatureStatus::Enabled), "{api}");
            assert_eq!(message.click_tracking, Some(FeatureStatus::Disabled), "{api}");
            let html = message.html.as_deref().unwrap();
            let link = "https://shop.example/?a=1&amp;utm_campaign=spring&amp;utm_source=news+letter#top";
            assert!(html.contains(link), "{html}");
            let files: Vec<(&str, Option<&str>, bool, &[u8])> = message
                .attachments
                .iter()
                .map(|file| {
                    (file.file_name.as_str(), file.content_id.as_deref(), file.inline, &file.content[..])
                })
                .collect();
            let png = "\u{89}PNG logo".as_bytes();
            let mut expected = vec![
                ("terms.pdf", None, false, &b"%PDF-1.7 terms"[..]),
                ("logo.png", Some("logo"), true, png),
            ];
            expected.sort_unstable();
            let mut files = files;
            files.sort_unstable();
            assert_eq!(files, expected, "{api}");
        }
    }
}

#[test]
fn without_the_options_ses_decides_about_tracking_and_links_stay_as_they_are() {
    let (mut world, scratch) = (World::single(), Scratch::new());
    let html = scratch.file("plain.html", "<p><a href=\"https://shop.example/?a=1#top\">Shop</a></p>");
    let created = create(&world, &html, &[]);
    for message in emails(&mut world, &created) {
        assert_eq!((message.open_tracking, message.click_tracking), (None, None));
        assert!(message.html.as_deref().unwrap().contains("\"https://shop.example/?a=1#top\""));
        assert!(message.attachments.is_empty());
    }
}

#[test]
fn an_option_of_another_form_and_a_file_that_is_not_there_create_nothing() {
    let (mut world, scratch) = (World::single(), Scratch::new());
    let html = scratch.file("spring.html", HTML);
    let missing = scratch.path("missing.pdf");
    for (options, status, words) in [
        (["--track-opens", "yes"], 64, "'yes'"),
        (["--link-parameter", "utm_source"], 64, "expected NAME=VALUE"),
        (["--link-parameter", "=spring"], 64, "expected NAME=VALUE"),
        (["--inline", "logo.png"], 64, "expected ID=FILE"),
        (["--attach", &missing], 66, "missing.pdf"),
        // The HTML part shows an image that no file has.
        (["--track-clicks", "true"], 65, "cid:logo"),
    ] {
        let output = create(&world, &html, &options);
        let said = stopped(&output);
        assert!(said.contains(words), "{options:?}: {said}");
        assert_eq!(output.status.code(), Some(status), "{options:?}");
    }
    let campaigns: i64 = world.database.query("SELECT count(*) FROM campaigns", &[])[0].get(0);
    let files: i64 = world.database.query("SELECT count(*) FROM campaign_attachments", &[])[0].get(0);
    assert_eq!((campaigns, files), (0, 0));
}
