//! `campaign suppressions import` and `export`: other tools' files, all rows of a file or none, and the
//! export.

use uuid::Uuid;

use crate::support::World;
use crate::{Scratch, campaign, done, refused};

impl World {
    fn suppressed(&mut self) -> Vec<String> {
        let sql = "SELECT concat_ws(' ', email, reason, CASE WHEN created_at < '2026-01-01' THEN created_at::date END)
                     FROM suppressions ORDER BY email COLLATE \"C\"";
        self.database.query(sql, &[]).iter().map(|row| row.get(0)).collect()
    }
}

fn import(world: &World, file: &str, arguments: &[&str]) -> std::process::Output {
    let whole = [&["suppressions", "import", file], arguments].concat();
    campaign(&world.database.url, &whole, "")
}

#[test]
fn the_exports_of_other_tools_are_imported() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    // The CRM's own table of that name is not used.
    world.database.execute("CREATE TABLE read (email text)", &[]);
    for (name, text, arguments, expected) in [
        (
            "mailchimp.csv",
            "\"Email Address\",\"First Name\",UNSUB_TIME,UNSUB_REASON\nada@example.com,Ada,\"2024-01-31 08:00:00\",\"No longer interested\"\n",
            &["--reason", "unsubscribe"][..],
            "ada@example.com unsubscribe",
        ),
        (
            "sendgrid.csv",
            "status,reason,email,created\n5.1.1,\"550 5.1.1 no such user, sorry\",bob@example.com,1706688000\n",
            &["--reason", "bounce", "--map", "created_at=created"],
            "bob@example.com bounce 2024-01-31",
        ),
        (
            "brevo.csv",
            "sep=;\nE-Mail;Reason;Date\ncy@example.com;spam;31.01.2024\n",
            &["--map", "created_at=Date", "--ignore", "Date"],
            "cy@example.com complaint",
        ),
        (
            "ses.csv",
            "EmailAddress,Reason,LastUpdateTime\ndee@example.com,BOUNCE,2024-01-31T08:00:00.123+00:00\n",
            &["--map", "created_at=LastUpdateTime"],
            "dee@example.com bounce 2024-01-31",
        ),
        (
            "own.csv",
            "Kontakt|Grund\neve@example.com|optout\n",
            &["--map", "email=Kontakt", "--map", "reason=#2", "--delimiter", "|"],
            "eve@example.com unsubscribe",
        ),
    ] {
        let file = scratch.file(name, text);
        done(&import(&world, &file, &[&["--account-wide"], arguments].concat()));
        let suppressed = world.suppressed();
        assert_eq!(suppressed.last().unwrap(), expected, "{suppressed:?}");
    }
    assert_eq!(world.suppressed().len(), 5);
}

#[test]
fn a_file_with_a_row_that_cannot_be_used_is_imported_without_it_or_not_at_all() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let file = scratch.file(
        "gone.csv",
        "Email Address;Reason;created_at\nada@example.com;bounce;\nnobody;bounce;\nbob@example.com;tired;\ncy@example.com;;31.1.24\ndee@example.com\n=cmd|'/c calc'!A0;bounce;\n\"eve\"@example.com;;\n",
    );
    let report = scratch.path("refused.csv");
    let arguments = ["--account-wide", "--refused", &report];
    let output = import(&world, &file, &arguments);
    insta::assert_snapshot!(refused(&output), @"65: campaign: 6 of 7 rows are refused, so nothing was imported: correct them, or give --skip-bad");
    assert!(world.suppressed().is_empty());
    let output = import(&world, &file, &[&arguments[..], &["--skip-bad"]].concat());
    insta::assert_snapshot!(scratch.stable(&done(&output)), @r#"
    1 added, 0 with a stronger reason now, 0 known already
            2  bad_address     for example gone.csv:3: it is not of the form local@domain
            1  malformed_time  for example gone.csv:5: created_at is "31.1.24": expected a time, for example 2026-01-31T08:00:00Z; --ignore created_at takes the present one
            1  unknown_reason  for example gone.csv:4: reason is "tired": expected bounce, unsubscribe, complaint or manual; --reason gives the one of all others
            2  unreadable      for example gone.csv:6: it has 1 field, and the header 3
    The refused rows are in refused.csv.
    "#);
    insta::assert_snapshot!(scratch.read("refused.csv"), @r#"
    line,reason,detail,email
    3,bad_address,it is not of the form local@domain,nobody
    4,unknown_reason,"reason is ""tired"": expected bounce, unsubscribe, complaint or manual; --reason gives the one of all others",bob@example.com
    5,malformed_time,"created_at is ""31.1.24"": expected a time, for example 2026-01-31T08:00:00Z; --ignore created_at takes the present one",cy@example.com
    6,unreadable,"it has 1 field, and the header 3",
    7,bad_address,white space or a control character stands within it,'=cmd|'/c calc'!A0
    8,unreadable,text after a closing quote: a quote within a quoted field is written twice,
    "#);
    assert_eq!(world.suppressed(), ["ada@example.com bounce"]);
    // The test follows the advice.
    let output = import(
        &world,
        &file,
        &["--account-wide", "--skip-bad", "--reason", "manual", "--ignore", "created_at"],
    );
    insta::assert_snapshot!(done(&output).lines().next().unwrap(), @"2 added, 0 with a stronger reason now, 1 known already");
}

#[test]
fn a_quote_that_is_not_closed_imports_nothing_whatever_is_given() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let rows: String = (0..6000).fold(String::new(), |rows, n| rows + &format!("p{n}@example.com,bounce\n"));
    let file = scratch.file("gone.csv", format!("email,reason\n{rows}bob@example.com,\"bounce\n{rows}"));
    let output = import(&world, &file, &["--account-wide", "--skip-bad"]);
    insta::assert_snapshot!(scratch.stable(&refused(&output)), @"65: campaign: gone.csv:6002: a quote is opened here and not closed in its own line: what follows in line 6003 looks like a row of its own");
    assert!(world.suppressed().is_empty());
}

#[test]
fn a_formula_is_text_in_an_export_and_the_same_address_when_it_is_imported() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let emails =
        ["+ada@example.com", "-bob@example.com", "=cy@example.com", "'=dee@example.com", "'eve@example.com"];
    for email in emails {
        let sql = "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, $2, 'bounce')";
        world.database.execute(sql, &[&Uuid::nil(), &email]);
    }
    let before = world.suppressed();
    let file = scratch.path("out.csv");
    done(&campaign(&world.database.url, &["suppressions", "export", &file], ""));
    let text = scratch.read("out.csv");
    let starts = ["'+ada", "'-bob", "'=cy", "''=dee", "'eve"];
    assert!(starts.iter().all(|start| text.contains(&format!("-000000000000,{start}"))), "{text}");
    world.database.execute("DELETE FROM suppressions", &[]);
    done(&import(&world, &file, &[]));
    assert_eq!(world.suppressed(), before);
    // The same to a pipe.
    assert_eq!(done(&campaign(&world.database.url, &["suppressions", "export"], "")), text);
}

#[test]
fn an_entry_of_a_link_that_is_imported_too_is_no_links_any_more() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let organization = Uuid::from_u128(0x0a);
    let sql = "INSERT INTO suppressions (organization_id, email, reason, link_recipient_id)
               SELECT $1, email, 'unsubscribe', gen_random_uuid()
                 FROM unnest('{ada@example.com,bob@example.com,cy@example.com}'::text[]) AS email";
    world.database.execute(sql, &[&organization]);
    let text = "email,reason\nada@example.com,unsubscribe\nbob@example.com,bounce\n";
    let file = scratch.file("own.csv", text);
    done(&import(&world, &file, &["--organization", &organization.to_string()]));
    let sql = "SELECT email, link_recipient_id IS NOT NULL FROM suppressions ORDER BY email";
    let of_links: Vec<(String, bool)> =
        world.database.query(sql, &[]).iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [("ada@example.com", false), ("bob@example.com", true), ("cy@example.com", true)];
    assert_eq!(of_links, expected.map(|(email, of_link)| (email.to_owned(), of_link)));
}

/// The account's list of SES, and those of two tenants.
fn lists(world: &mut World) {
    use local_ses::ses::{SuppressedDestination, SuppressionReason, Tenant};
    let on = |address: &str, reason| SuppressedDestination {
        email_address: address.to_owned(),
        reason,
        last_update: std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000),
    };
    world.ses.set_suppressed(vec![
        on("Ada@Example.com", SuppressionReason::Bounce),
        on("bob@example.com", SuppressionReason::Complaint),
    ]);
    let tenant = |name: &str, address: &str| Tenant {
        name: name.to_owned(),
        suppressed: vec![on(address, SuppressionReason::Complaint)],
        ..Tenant::default()
    };
    world.ses.set_tenants(vec![tenant("acme", "cy@example.com"), tenant("other", "dan@example.com")]);
    world.database.execute(
        "INSERT INTO organization_settings (organization_id, ses_tenant) VALUES ($1, ' acme ')",
        &[&crate::support::ORGANIZATION],
    );
}

fn pull(world: &World, arguments: &[&str]) -> std::process::Output {
    world.campaign_command(&[&["suppressions", "pull-ses"], arguments].concat())
}

#[test]
fn the_list_of_ses_is_the_tenants_where_the_organization_has_one_and_else_the_accounts() {
    let mut world = World::new();
    lists(&mut world);
    let organization = crate::support::ORGANIZATION.to_string();
    let said = done(&pull(&world, &["--organization", &organization]));
    assert_eq!(
        said,
        format!(
            "1 address on the list of SES's tenant acme, for {organization}\n1 added, 0 with a stronger reason now, 0 known already\n"
        )
    );
    let rows = |world: &mut World| -> Vec<(Uuid, String, String)> {
        let sql = "SELECT organization_id, email, reason FROM suppressions ORDER BY email";
        world.database.query(sql, &[]).iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    };
    let cy = (crate::support::ORGANIZATION, "cy@example.com".to_owned(), "complaint".to_owned());
    assert_eq!(rows(&mut world), std::slice::from_ref(&cy));

    let said = done(&pull(&world, &[]));
    assert_eq!(
        said,
        "2 addresses on SES's list, for all organizations\n2 added, 0 with a stronger reason now, 0 known already\n"
    );
    let all = |email: &str, reason: &str| (Uuid::nil(), email.to_owned(), reason.to_owned());
    let expected = [all("ada@example.com", "bounce"), all("bob@example.com", "complaint"), cy];
    assert_eq!(rows(&mut world), expected);

    // An organization without a tenant has the account's list.
    let other = Uuid::new_v4().to_string();
    let said = done(&pull(&world, &["--organization", &other]));
    assert!(said.starts_with(&format!("2 addresses on SES's list, for {other}\n")), "{said}");
}

#[test]
fn a_tenant_that_ses_does_not_know_suppresses_nobody_and_its_name_is_shown() {
    let mut world = World::new();
    lists(&mut world);
    world.ses.set_tenants(Vec::new());
    let organization = crate::support::ORGANIZATION.to_string();
    let output = pull(&world, &["--organization", &organization]);
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Tenant acme does not exist"), "{said}");
    let count: i64 = world.database.query("SELECT count(*) FROM suppressions", &[])[0].get(0);
    assert_eq!(count, 0);
}
