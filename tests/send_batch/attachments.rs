//! The attachments of every email of a campaign.

use local_ses::ses::{Message, RequestKind};
use uuid::Uuid;

use crate::support::{World, event, invoke, run};

fn attach(world: &mut World, campaign: Uuid, name: &str, content: &[u8], content_id: Option<&str>) {
    let disposition = if content_id.is_some() { "inline" } else { "attachment" };
    world.database.execute(
        "INSERT INTO campaign_attachments (campaign_id, file_name, content, content_id, disposition, content_type)
         VALUES ($1, $2, $3, $4, $5, CASE WHEN $2 LIKE '%.pdf' THEN 'application/pdf' END)",
        &[&campaign, &name, &content, &content_id, &disposition],
    );
}

fn files(message: &Message) -> Vec<(String, Option<String>, bool, usize)> {
    let file = |file: &local_ses::ses::Attachment| {
        (file.file_name.clone(), file.content_id.clone(), file.inline, file.content.len())
    };
    message.attachments.iter().map(file).collect()
}

/// Bytes that are not text.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| u8::try_from(n * 31 % 256).unwrap()).collect()
}

#[test]
fn both_calls_carry_the_same_files() {
    let mut seen = Vec::new();
    for (api, kind) in [("single", RequestKind::Single), ("bulk", RequestKind::Bulk)] {
        let mut world = World::sending_by(api);
        let campaign = world.campaign_of(3);
        attach(&mut world, campaign, "Angebot für \"Sie\".pdf", &bytes(1000), None);
        attach(&mut world, campaign, "logo.png", &bytes(70), Some("logo@example"));
        let sql = "UPDATE campaigns SET html = '<p><img src=\"cid:logo%40example\"></p>' WHERE id = $1";
        world.database.execute(sql, &[&campaign]);
        run(&mut world.function(), event(campaign, 3));
        let messages = world.ses.messages();
        assert_eq!(messages.len(), 3, "{api}");
        for message in &messages {
            assert_eq!(message.kind, kind);
            assert_eq!(*message.attachments[0].content, bytes(1000), "{api}");
            assert_eq!(message.attachments[0].content_type.as_deref(), Some("application/pdf"));
            assert_eq!(message.attachments[1].content_type, None);
        }
        seen.push(files(&messages[0]));
        world.assert_consistent(campaign);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(
        seen[0],
        [
            ("Angebot für \"Sie\".pdf".to_owned(), None, false, 1000),
            ("logo.png".to_owned(), Some("logo@example".to_owned()), true, 70)
        ]
    );
}

#[test]
fn files_that_leave_no_room_in_a_bulk_call_go_with_single_ones() {
    for (size, kind) in [(300_000, RequestKind::Bulk), (600_000, RequestKind::Single)] {
        let mut world = World::sending_by("bulk");
        let campaign = world.campaign_of(20);
        attach(&mut world, campaign, "a.pdf", &bytes(size), None);
        run(&mut world.function(), event(campaign, 20));
        let messages = world.ses.messages();
        assert_eq!(messages.len(), 20);
        for message in messages {
            assert_eq!((message.kind, message.attachments[0].content.len()), (kind, size));
        }
        world.assert_consistent(campaign);
    }
}

#[test]
fn files_that_are_changed_between_batches_go_with_the_next_one() {
    let mut world = World::single();
    let campaign = world.campaign_of(2);
    attach(&mut world, campaign, "a.pdf", &bytes(10), None);
    let mut function = world.function();
    invoke(&mut function, &event(campaign, 1));
    world.database.execute("UPDATE campaign_attachments SET content = $1", &[&bytes(20)]);
    invoke(&mut function, &event(campaign, 1));
    // The file of another campaign, and a campaign without files.
    let (other, none) = (world.campaign_of(1), world.campaign_of(1));
    attach(&mut world, other, "b.pdf", &bytes(30), None);
    invoke(&mut function, &event(other, 1));
    invoke(&mut function, &event(none, 1));
    let sizes: Vec<Vec<usize>> = world
        .ses
        .messages()
        .iter()
        .map(|message| message.attachments.iter().map(|file| file.content.len()).collect())
        .collect();
    assert_eq!(sizes, [vec![10], vec![20], vec![30], vec![]]);
}

#[test]
fn what_ses_would_refuse_halts_before_anybody_is_claimed() {
    for (name, bytes, html, reason) in [
        ("virus.exe", 10, "<p>", "the attachment \"virus.exe\" has an ending that Amazon SES refuses"),
        (
            "big.pdf",
            30_000_000,
            "<p>",
            "the attachments have 41052648 bytes in base64: Amazon SES takes messages of up to 40000000",
        ),
        (
            "a.pdf",
            10,
            "<img src=\"cid:logo\">",
            "the link \"cid:logo\" names no attachment of the campaign by its content_id",
        ),
    ] {
        let mut world = World::single();
        let campaign = world.campaign_of(2);
        world.database.execute(
            "INSERT INTO campaign_attachments (campaign_id, file_name, content)
             SELECT $1, $2, convert_to(repeat('x', $3), 'UTF8')",
            &[&campaign, &name, &bytes],
        );
        world.database.execute("UPDATE campaigns SET html = $2 WHERE id = $1", &[&campaign, &html]);
        let result = invoke(&mut world.function(), &event(campaign, 2));
        assert_eq!((&result["status"], &result["reason"]), (&"halted".into(), &reason.into()));
        assert_eq!(world.statuses(campaign)["pending"], 2);
    }
    // Without any file, too.
    let mut world = World::single();
    let campaign = world.campaign_of(2);
    let sql = "UPDATE campaigns SET html = '<img src=\"cid:logo\">' WHERE id = $1";
    world.database.execute(sql, &[&campaign]);
    assert_eq!(invoke(&mut world.function(), &event(campaign, 2))["status"], "halted");
}
