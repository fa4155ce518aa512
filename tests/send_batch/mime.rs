//! Emails as they arrive: MIME, read by a parser that is not this package's own.

use mail_parser::MessageParser;

use crate::support::{World, event, invoke};

#[test]
fn what_arrives_is_what_was_rendered() {
    let mut world = World::new();
    let campaign = world.campaign();
    let html = "<h1>Grüße</h1>\n<p>.</p>\n<p>{{ name }}: 日本語 = \
                <a href=\"https://example.com/?a=1&amp;b=2\">die Angebote</a> <img alt=\"Eine Tasse\" src=\"https://example.com/a.png\"></p>";
    world.database.execute(
        "UPDATE campaigns SET subject = 'Grüße, {{ name }} — 日本語 ' || repeat('lang ', 40), html = $1,
                from_address = 'Zoë & Łukasz <news@example.com>', reply_to = '{Help <help@example.com>}', transactional = true",
        &[&html],
    );
    for (email, name) in
        [("ada@example.com", "Ada"), ("li@example.com", "李"), ("o@example.com", "O'Neil <x>")]
    {
        world.add_recipient(campaign, email);
        world.database.execute("UPDATE campaign_recipients SET name = $2 WHERE email = $1", &[&email, &name]);
    }
    assert_eq!(invoke(&mut world.function(), &event(campaign, 10))["status"], "done");

    let directory = std::env::temp_dir().join(format!("mime-{}-{campaign}", std::process::id()));
    assert_eq!(world.ses.write_eml(&directory).unwrap(), 3);
    let mut read = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let source = std::fs::read(entry.unwrap().path()).unwrap();
        let message = MessageParser::default().parse(&source).unwrap();
        let address = message.to().unwrap().first().unwrap().address().unwrap().to_owned();
        let sql = "SELECT name FROM campaign_recipients WHERE email = $1";
        let name: String = world.database.query(sql, &[&address])[0].get(0);
        let from = message.from().unwrap().first().unwrap();
        assert_eq!((from.name(), from.address()), (Some("Zoë & Łukasz"), Some("news@example.com")));
        assert_eq!(message.reply_to().unwrap().first().unwrap().address(), Some("help@example.com"));
        let subject = format!("Grüße, {name} — 日本語 {}", "lang ".repeat(40));
        assert_eq!(message.subject(), Some(subject.trim_end()));
        let escaped = name.replace('\'', "&#x27;").replace('<', "&lt;").replace('>', "&gt;");
        let lines = |part: &str| part.replace("\r\n", "\n").trim_end().to_owned();
        assert_eq!(lines(&message.body_html(0).unwrap()), html.replace("{{ name }}", &escaped));
        let text = lines(&message.body_text(0).unwrap());
        assert!(text.contains("(https://example.com/?a=1&b=2)") && text.contains("Grüße"), "{text}");
        assert!(text.contains(&name), "{text}");
        assert!(source.split(|byte| *byte == b'\n').all(|line| line.len() <= 998), "RFC 5322, 2.1.1");
        read += 1;
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(read, 3);
}
