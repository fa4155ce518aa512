//! The sender and the reply-to addresses of a campaign: in the columns, and as given to SES.

use serde_json::json;
use uuid::Uuid;

use crate::support::{World, event, invoke};

fn campaign_from(world: &mut World, from_address: &str, reply_to: &str) -> Uuid {
    let campaign = world.campaign_of(2);
    world.database.execute(
        &format!("UPDATE campaigns SET from_address = $2, reply_to = {reply_to} WHERE id = $1"),
        &[&campaign, &from_address],
    );
    campaign
}

#[test]
fn a_sender_is_given_to_ses_as_the_standard_wants_it() {
    for api in ["single", "bulk"] {
        let mut world = World::sending_by(api);
        let mut function = world.function();
        for (from, given) in [
            ("Acme, Inc. <news@example.com>", "\"Acme, Inc.\" <news@example.com>"),
            ("Exa:mple <news@example.com>", "\"Exa:mple\" <news@example.com>"),
            ("Support (EU) <news@example.com>", "\"Support (EU)\" <news@example.com>"),
            ("A \"B\" C <news@example.com>", r#""A \"B\" C" <news@example.com>"#),
            ("News\r\nof the day <news@example.com>", "News of the day <news@example.com>"),
            ("Zoë <news@bücher.example>", "=?UTF-8?Q?Zo=C3=AB?= <news@xn--bcher-kva.example>"),
        ] {
            let campaign =
                campaign_from(&mut world, from, "'{hilfe@bücher.example,\"Help, now <Help@example.com>\"}'");
            world.ses.clear_messages();
            assert_eq!(invoke(&mut function, &event(campaign, 10))["batch"]["sent"], 2, "{from}");
            for message in world.ses.messages() {
                assert_eq!(message.from, given);
                assert_eq!(
                    message.reply_to,
                    ["hilfe@xn--bcher-kva.example", "\"Help, now\" <Help@example.com>"]
                );
            }
        }
    }
}

#[test]
fn what_is_empty_in_reply_to_is_left_out_whatever_its_dimensions() {
    let mut world = World::new();
    let mut function = world.function();
    for (reply_to, given) in [
        ("NULL", &[][..]),
        ("'{}'", &[]),
        ("ARRAY[NULL]::text[]", &[]),
        ("ARRAY[NULL, '', ' ']", &[]),
        (
            "ARRAY[ARRAY['a@example.com', NULL], ARRAY['', 'b@example.com']]",
            &["a@example.com", "b@example.com"],
        ),
    ] {
        let campaign = campaign_from(&mut world, "news@example.com", reply_to);
        world.ses.clear_messages();
        // A tick finds it like any other campaign.
        assert_eq!(invoke(&mut function, &json!({}))["campaignId"], json!(campaign), "{reply_to}");
        assert_eq!(world.ses.message_count(), 2, "{reply_to}");
        for message in world.ses.messages() {
            assert_eq!(message.reply_to, given, "{reply_to}");
        }
    }
}

#[test]
fn what_ses_would_refuse_for_everybody_halts_before_anybody_is_claimed() {
    let mut world = World::new();
    let mut function = world.function();
    for (from, reply_to, column) in [
        ("News <news@example.com", "NULL", "from_address"),
        ("A <a@example.com>, B <b@example.com>", "NULL", "from_address"),
        ("nobody", "NULL", "from_address"),
        ("", "NULL", "from_address"),
        ("news@example.com", "'{\"a@example.com, b@example.com\"}'", "reply_to"),
        ("news@example.com", "'{nobody}'", "reply_to"),
        ("news@example.com", "ARRAY[ARRAY['a@example.com', 'nobody']]", "reply_to"),
    ] {
        let campaign = campaign_from(&mut world, from, reply_to);
        let result = invoke(&mut function, &event(campaign, 10));
        assert_eq!(result["status"], "halted", "{from} {reply_to}");
        let reason = result["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("{column} is no mailbox: ")), "{reason}");
        assert!(reason.contains("expected ADDRESS or NAME <ADDRESS>"), "{reason}");
        assert_eq!(world.campaign_status(campaign).0, "paused");
        assert_eq!(world.count(campaign, "status = 'pending'"), 2);
    }
    assert_eq!(world.ses.message_count(), 0);
    let log = function.logs().join("\n");
    assert!(log.contains("from_address is no mailbox") && !log.contains("a@example.com"), "{log}");
}

/// This holds also if the column was changed after the first batch.
#[test]
fn a_sender_that_becomes_wrong_halts_the_next_batch() {
    let mut world = World::new();
    let campaign = campaign_from(&mut world, "news@example.com", "NULL");
    let mut function = world.function();
    assert_eq!(invoke(&mut function, &event(campaign, 1))["batch"]["sent"], 1);
    world.database.execute("UPDATE campaigns SET reply_to = '{nobody}' WHERE id = $1", &[&campaign]);
    assert_eq!(invoke(&mut function, &event(campaign, 1))["status"], "halted");
    assert_eq!(world.statuses(campaign)["pending"], 1);
}
