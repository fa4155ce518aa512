//! One mailbox has one form, in PostgreSQL and in Rust, wherever addresses are compared.

use campaign_sender::domain::address::{canonical, sendable};
use postgres::Client;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::support::database::TestDatabase;
use crate::support::{ORGANIZATION, World, event, invoke};

/// The addresses for which SQL and Rust have different results.
fn differences(client: &mut Client, addresses: &[String]) -> Vec<String> {
    let sql = "SELECT canonical_address(a.email) FROM unnest($1::text[]) WITH ORDINALITY AS a (email, nth) ORDER BY nth";
    let rows = client.query(sql, &[&addresses]).unwrap();
    assert_eq!(rows.len(), addresses.len());
    let differs = |(address, row): (&String, &postgres::Row)| {
        let (sql, rust): (String, _) = (row.get(0), canonical(address));
        (sql != rust).then(|| format!("{address:?}: SQL {sql:?}, Rust {rust:?}"))
    };
    addresses.iter().zip(&rows).filter_map(differs).collect()
}

/// Characters that are known to be difficult in comparisons: letter case that is not one to one, invisible
/// characters, marks, compatibility forms, dots, and the edges of Unicode.
const ODD: &str = "ßẞİıſKςΣσÅÅµΜǅᾳ\u{345}\u{300}\u{308}\u{327}\u{338}ﬁ㎒①ⓐＡ｡。．＠ａ𝐀𝔞𝚨㋿㌖가각\u{1100}\u{1161}\u{11a8}が\u{304b}\u{3099}ﾞ\u{200b}\u{200d}\u{ad}\u{feff}\u{a0}\u{3000}\u{85}\u{2028}\u{202e}\u{fe0f}\u{e0061}\u{180e}\u{34f}\u{115f}\u{2060}אب٣؀ก็👍🏽\u{10ffff}\u{e000}\u{fffd}\u{fffe}\u{378}\u{1f9ff}\u{1fae8}\u{0958}\u{fb1d}\u{2f868}\u{f951}ꭰᏰᲐაⰀⰰ";

fn addresses() -> impl Strategy<Value = String> {
    let odd: Vec<char> = ODD.chars().collect();
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9]{1,5}",
        1 => "[ -~]",
        3 => prop::sample::select(odd).prop_map(String::from),
        2 => any::<char>().prop_filter("PostgreSQL's text cannot hold it", |c| *c != '\0').prop_map(String::from),
        1 => proptest::char::range('\u{80}', '\u{2fff}').prop_map(String::from),
        1 => Just(".".to_owned()),
    ];
    let part =
        |piece: BoxedStrategy<String>| prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    let piece = piece.boxed();
    (part(piece.clone()), prop_oneof![9 => Just("@"), 1 => Just("")], part(piece.clone()), part(piece))
        .prop_map(|(local, at, domain, end)| format!("{local}{at}{domain}.{end}"))
}

#[test]
fn sql_and_rust_make_the_same_form_of_any_address() {
    let mut database = TestDatabase::create();
    let client = std::cell::RefCell::new(database.connect());
    let mut runner = TestRunner::new(Config { cases: 100, max_shrink_iters: 2000, ..Config::default() });
    runner
        .run(&prop::collection::vec(addresses(), 1..200), |addresses| {
            let differences = differences(&mut client.borrow_mut(), &addresses);
            prop_assert!(differences.is_empty(), "{}", differences.join("\n"));
            Ok(())
        })
        .unwrap();
    let long = [
        "ü".repeat(64),
        "ü".repeat(63),
        "é.".repeat(127),
        "é.".repeat(126),
        "㌖".repeat(60),
        "é".repeat(300),
    ];
    let long: Vec<String> = long.iter().map(|domain| format!("a@{domain}example")).collect();
    assert_eq!(differences(database.client(), &long), Vec::<String>::new());
}

/// Each code point alone in a label of a domain and in a local part, and a few of the planes that Unicode
/// does not use.
#[test]
fn sql_and_rust_make_the_same_form_of_every_character() {
    let mut database = TestDatabase::create();
    let assigned = ('\u{1}'..'\u{33480}').chain('\u{e0000}'..'\u{e1000}');
    let every: Vec<char> = assigned.chain(('\u{33480}'..=char::MAX).step_by(997)).collect();
    for chunk in every.chunks(20_000) {
        let locals: Vec<String> =
            chunk.chunks(50).map(|chunk| format!("{}@example.com", String::from_iter(chunk))).collect();
        assert_eq!(differences(database.client(), &locals), Vec::<String>::new());
        // A domain of several labels is mapped if each of its characters can be.
        let mut domains = Vec::new();
        for chunk in chunk.chunks(40) {
            let labels = chunk.iter().flat_map(|character| ['x', *character, '.']).collect::<String>();
            if canonical(&format!("a@{labels}")).is_ascii() {
                domains.push(format!("a@{labels}"));
            } else {
                domains.extend(chunk.iter().map(|character| format!("a@{character}.é")));
            }
        }
        assert_eq!(differences(database.client(), &domains), Vec::<String>::new());
    }
}

/// A column's collation decides neither what the lower case of a letter is, nor which texts are the same. (If
/// PostgreSQL is built without ICU, there is only the default.)
#[test]
fn the_form_does_not_depend_on_a_collation() {
    let mut database = TestDatabase::create();
    let icu = "SELECT EXISTS (SELECT FROM pg_collation WHERE collname = 'tr-x-icu')";
    let collations: &[&str] = if database.query(icu, &[])[0].get(0) {
        let create =
            "CREATE COLLATION loose (provider = icu, locale = 'tr-u-ks-level1', deterministic = false)";
        database.client().batch_execute(create).unwrap();
        &["default", "C", "tr-x-icu", "loose"]
    } else {
        &["default", "C"]
    };
    for collation in collations {
        for address in ["INFO@EXAMPLE.COM", "INFO@EXAMPLE.COM ", "INFO@M\u{dc}NCHEN.example"] {
            let sql = format!("SELECT canonical_address($1::text COLLATE \"{collation}\")");
            let form: String = database.query(&sql, &[&address])[0].get(0);
            assert_eq!(form, canonical(address), "{collation}");
            database
                .client()
                .batch_execute(&format!(
                    "DROP TABLE IF EXISTS people; CREATE TABLE people (email text COLLATE \"{collation}\")"
                ))
                .unwrap();
            database.execute("INSERT INTO people VALUES ($1)", &[&address]);
            let row = &database.query("SELECT canonical_address(email) FROM people", &[])[0];
            assert_eq!(row.get::<_, String>(0), canonical(address), "{collation}");
        }
    }
}

#[test]
fn the_form_of_plain_addresses_costs_no_call_of_a_function_of_ours() {
    let mut database = TestDatabase::create();
    let plan: Vec<String> = database
        .query("EXPLAIN (VERBOSE, COSTS off) SELECT canonical_address(email) FROM campaign_recipients", &[])
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(plan.join("\n").contains("THEN lower((email)::text)"), "{plan:?}");
}

/// The spellings of four mailboxes; the first one is given to SES.
const SPELLINGS: [&[&str]; 4] = [
    &[
        "bob@example.com",
        " bob@example.com",
        "bob@example.com\u{a0}",
        "bob@example.com ",
        "Bob@Example.COM",
        "\u{2003}bob@example.com\u{3000}",
        "bob@example.com\u{2028}",
        "bob@example.com\u{85}",
        "bob@example.com\u{202f}",
        "bob@example.com\u{200b}",
        "bob@example.com\u{feff}",
        "bob@exam\u{ad}ple.com",
        "bob@EXAMPLE\u{3002}com",
    ],
    &[
        "info@xn--mnchen-3ya.example",
        "info@münchen.example",
        "info@MÜNCHEN.example",
        "info@mu\u{308}nchen.example",
    ],
    &["ada@example.net", "ada@ｅｘａｍｐｌｅ.net", "ada@ⓔⓧⓐⓜⓟⓛⓔ.net", "ada@𝐞𝐱𝐚𝐦𝐩𝐥𝐞.net"],
    &["li@xn--r8jz45g.xn--zckzah", "li@例え.テスト", "li@例え｡テスト"],
];

#[test]
fn each_mailbox_is_in_a_campaign_once_however_it_is_spelled() {
    let mut world = World::new();
    let campaign = world.campaign();
    for spellings in SPELLINGS {
        for (nth, spelling) in spellings.iter().rev().enumerate() {
            let insert =
                "INSERT INTO campaign_recipients (campaign_id, organization_id, email) VALUES ($1, $2, $3)";
            let refused =
                world.database.client().execute(insert, &[&campaign, &ORGANIZATION, spelling]).is_err();
            assert_eq!(refused, nth > 0, "{spelling:?}");
            let quietly = format!("{insert} ON CONFLICT DO NOTHING");
            assert_eq!(world.database.execute(&quietly, &[&campaign, &ORGANIZATION, spelling]), 0);
        }
    }
    assert_eq!(invoke(&mut world.function(), &event(campaign, 100))["batch"]["sent"], 4);
    let mut received: Vec<_> = world.ses.messages().into_iter().flat_map(|message| message.to).collect();
    received.sort();
    assert_eq!(
        received,
        ["ada@example.net", "bob@example.com", "info@xn--mnchen-3ya.example", "li@xn--r8jz45g.xn--zckzah"]
    );
    world.assert_consistent(campaign);
}

#[test]
fn a_suppression_of_any_spelling_holds_for_all() {
    let mut world = World::new();
    let mut function = world.function();
    for spellings in SPELLINGS {
        let campaign = world.campaign();
        for (nth, spelling) in spellings.iter().enumerate() {
            // Each spelling in a campaign of its own, suppressed by the one after it.
            let suppressed = spellings[(nth + 1) % spellings.len()];
            world.database.execute("DELETE FROM suppressions", &[]);
            world.database.execute(
                "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, $2, 'complaint')",
                &[&ORGANIZATION, &suppressed],
            );
            let stored: String = world.database.query("SELECT email FROM suppressions", &[])[0].get(0);
            assert_eq!(stored, spellings[0]);
            world.database.execute("DELETE FROM campaign_recipients WHERE campaign_id = $1", &[&campaign]);
            world.set_status(campaign, "sending");
            world.add_recipient(campaign, spelling);
            let result = invoke(&mut function, &event(campaign, 10));
            assert_eq!(result["batch"]["suppressed"], 1, "{spelling:?} by {suppressed:?}");
        }
    }
    assert_eq!(world.ses.message_count(), 0);
}

/// It cannot be known which of these was meant.
#[test]
fn an_address_that_ses_would_not_take_fails_alone() {
    let mut world = World::new();
    let campaign = world.campaign_of(1);
    let odd = [
        "Ada ada@example.com",
        "j\u{fc}rgen@example.com",
        "a@\u{1f80}.example",
        "a@\u{378}.example",
        "\u{200b}",
    ];
    for email in odd {
        assert!(sendable(email).is_err());
        world.add_recipient(campaign, email);
    }
    let result = invoke(&mut world.function(), &event(campaign, 100));
    assert_eq!((&result["batch"]["sent"], &result["batch"]["failed"]), (&json!(1), &json!(odd.len())));
    for email in odd {
        assert_eq!(
            world.outcome(email),
            ("failed".to_owned(), Some("invalid_address".to_owned())),
            "{email:?}"
        );
    }
    world.assert_consistent(campaign);
}
