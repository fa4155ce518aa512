//! Tracking by SES, and parameters in a campaign's links.

use std::collections::BTreeMap;

use local_ses::ses::{FeatureStatus, Message};

use crate::support::{UNSUBSCRIBE_URL, World, event, run};

fn sent(world: &World) -> BTreeMap<String, Message> {
    world.ses.messages().into_iter().map(|message| (message.to[0].clone(), message)).collect()
}

#[test]
fn each_request_says_what_is_tracked_and_nothing_that_is_left_to_the_configuration_set() {
    let (on, off) = (Some(FeatureStatus::Enabled), Some(FeatureStatus::Disabled));
    for api in ["single", "bulk"] {
        for (columns, expected) in [
            ("track_opens = NULL", (None, None)),
            ("track_opens = false", (off, None)),
            ("track_opens = true, track_clicks = false", (on, off)),
            ("transactional = true", (off, off)),
            ("transactional = true, track_clicks = true", (off, on)),
        ] {
            let mut world = World::sending_by(api);
            let campaign = world.campaign_of(3);
            world.database.execute(&format!("UPDATE campaigns SET {columns} WHERE id = $1"), &[&campaign]);
            run(&mut world.function(), event(campaign, 3));
            let messages = world.ses.messages();
            assert_eq!(messages.len(), 3, "{api} {columns}");
            for message in messages {
                assert_eq!((message.open_tracking, message.click_tracking), expected, "{api} {columns}");
            }
        }
    }
}

#[test]
fn every_web_link_gets_the_parameters_and_the_link_to_unsubscribe_none() {
    for api in ["single", "bulk"] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign();
        world.add_recipient(campaign, "ada@example.com");
        world.database.execute(
            "UPDATE campaigns SET link_parameters = '{\"utm_source\": \"mail & more\", \"utm_id\": 7}',
                    html = '<a href=\"https://example.com/a?b=1&amp;utm_id=9#top\">a</a> <a href=\"{{ url }}\">b</a>
                            <a href=\"mailto:x@example.com\">c</a> <a href=\"{{ unsubscribe_url }}\">stop</a> {{ more|safe }}'
              WHERE id = $1",
            &[&campaign],
        );
        world.database.execute(
            "UPDATE campaign_recipients SET variables =
                jsonb_build_object('url', 'https://example.com/?x=a/b&y=2#z', 'more', '<a href=\"http://example.com/\">d</a>')",
            &[],
        );
        run(&mut world.function(), event(campaign, 3));
        let message = &sent(&world)["ada@example.com"];
        let html = message.html.as_deref().unwrap();
        for link in [
            "https://example.com/a?b=1&amp;utm_id=9&amp;utm_source=mail+%26+more#top",
            "https://example.com/?x=a/b&amp;y=2&amp;utm_id=7&amp;utm_source=mail+%26+more#z",
            "mailto:x@example.com",
            "http://example.com/?utm_id=7&amp;utm_source=mail+%26+more",
        ] {
            assert!(html.contains(&format!("href=\"{link}\"")), "{api} {link}: {html}");
        }
        let unsubscribe = html.split(UNSUBSCRIBE_URL).nth(1).unwrap().split('"').next().unwrap();
        assert!(!unsubscribe.contains("utm"), "{api}: {unsubscribe}");
        // The derived text part has the same links.
        let text = message.text.as_deref().unwrap();
        assert!(
            text.contains("https://example.com/?x=a/b&y=2&utm_id=7&utm_source=mail+%26+more#z"),
            "{text}"
        );
    }
}

#[test]
fn a_text_part_of_its_own_has_the_parameters_too() {
    let mut world = World::new();
    let campaign = world.campaign();
    world.add_recipient(campaign, "ada@example.com");
    world.database.execute(
        "UPDATE campaigns SET link_parameters = '{\"utm_source\": \"x\"}', html = NULL,
                variables = '{\"url\": \"https://example.com/b\"}',
                text = 'See https://example.com/a. Or {{ url }}! Dear {{ email }}, {{ unsubscribe_url }}' WHERE id = $1",
        &[&campaign],
    );
    run(&mut world.function(), event(campaign, 3));
    let text = sent(&world)["ada@example.com"].text.clone().unwrap();
    let expected = "See https://example.com/a?utm_source=x. Or https://example.com/b?utm_source=x! Dear ada@example.com, ";
    let rest = text.strip_prefix(expected).unwrap_or_else(|| panic!("{text}"));
    assert!(rest.starts_with(UNSUBSCRIBE_URL) && !rest.contains("utm_source"), "{rest}");
}

#[test]
fn link_parameters_that_are_no_object_of_texts_halt_before_anybody_is_claimed() {
    let mut world = World::new();
    let campaign = world.campaign_of(2);
    let sql = "UPDATE campaigns SET link_parameters = '[1]' WHERE id = $1";
    world.database.execute(sql, &[&campaign]);
    let results = run(&mut world.function(), event(campaign, 3));
    assert_eq!(results.last().unwrap()["status"], "halted");
    assert_eq!(
        world.campaign_status(campaign).1.unwrap(),
        "the campaign's link_parameters are no object: expected one, for example {\"utm_source\": \"newsletter\"}"
    );
    assert_eq!(world.statuses(campaign)["pending"], 2);
}
