//! `docs/timelines/twenty.md`.

use super::*;

const ORGANIZATION: &str = "00000000-0000-0000-0000-00000000000a";
const SCHEMA: &str = "workspace_3ix2c9fbm1r2h6z8kq5u4qis0";

fn twenty() -> Crm {
    let people = format!(
        r#"INSERT INTO {SCHEMA}."workspaceMember" (id, "userId")
           VALUES ('00000000-0000-0000-0000-00000000000c', gen_random_uuid());
           INSERT INTO {SCHEMA}.person ("nameFirstName", "emailsPrimaryEmail")
           SELECT initcap(name), name || '@example.com'
             FROM unnest(ARRAY['ana', 'ben', 'cleo', 'dora', 'emil', 'finn']) AS name"#
    );
    Crm::new("twenty", "campaign_timeline.twenty", ORGANIZATION, &people, &Value::Null)
}

const TIMELINE: &str = r#"
    SELECT concat_ws(' ', p."nameFirstName", a.name, to_char(a."happensAt" AT TIME ZONE 'UTC', 'HH24:MI:SS.MS'),
                     CASE WHEN a."workspaceMemberId" = '00000000-0000-0000-0000-00000000000c' THEN 'by a member' END,
                     a.properties->>'description', a.properties->>'link')
      FROM workspace_3ix2c9fbm1r2h6z8kq5u4qis0."timelineActivity" AS a
      LEFT JOIN workspace_3ix2c9fbm1r2h6z8kq5u4qis0.person AS p ON p.id = a."targetPersonId"
     WHERE a."deletedAt" IS NULL AND a."createdBySource" = 'MANUAL'"#;

#[test]
fn a_campaign_is_in_the_timelines_of_its_people() {
    let mut crm = twenty();
    execute(&mut crm.world, &format!(r#"DELETE FROM {SCHEMA}.person WHERE "nameFirstName" = 'Finn'"#));
    // The foreign key refuses the activity of this person; the others of the batch are recorded.
    assert_eq!(crm.send(), "5 sent, 1 uncertain");
    assert_eq!(crm.world.outcome("finn@example.com").1.as_deref(), Some("activity_refused"));
    let sent = format!(
        r#"{TIMELINE} AND a.name = 'email.sent' AND a."happensAt" BETWEEN now() - interval '1 minute' AND now()"#
    );
    assert_eq!(crm.lines(&sent).lines().count(), 5);

    assert_eq!(crm.everything_happens(), ["message-9"]);
    assert_eq!(crm.lines(&sent).lines().count(), 5);
    let heard = format!(
        r#"{TIMELINE} AND a.name NOT IN ('email.sent', 'email.unsubscribed') ORDER BY p."nameFirstName", a."happensAt""#
    );
    insta::assert_snapshot!(crm.lines(&heard), @r"
    Ana email.delivered 09:00:03.133 by a member Email delivered to Ana
    Ana email.opened 09:20:19.652 by a member Email opened by Ana
    Ana email.clicked 09:21:25.570 by a member Link clicked by Ana: https://shop.example.com/offers?spring=2026 https://shop.example.com/offers?spring=2026
    Ben email.bounced 09:00:04.669 by a member Email bounced (Permanent/General) for Ben
    Cleo email.opened 09:00:05.120 by a member Email opened by a machine for Cleo
    Cleo email.clicked 09:00:05.380 by a member Link followed by a machine for Cleo: https://shop.example.com/offers?spring=2026 https://shop.example.com/offers?spring=2026
    Cleo email.bounced 09:00:06.114 by a member Email bounced (Transient/MailboxFull) for Cleo
    Dora email.delivered 09:00:03.133 by a member Email delivered to Dora
    Emil email.complained 10:05:02.669 by a member Email reported as abuse by Emil
    ");
    let left = format!("{TIMELINE} AND a.name = 'email.unsubscribed'");
    assert!(crm.lines(&left).starts_with("Dora email.unsubscribed "));
}

#[test]
fn an_organization_without_a_workspace_halts_its_campaign_and_gets_its_activities_when_it_has_one() {
    let mut crm = twenty();
    crm.world.database.execute("DELETE FROM campaign_timeline.workspaces", &[]);
    let result = support::invoke(&mut crm.function("send-batch"), &support::event(CAMPAIGN, 3));
    assert_eq!(result["status"], "halted", "{result}");
    let said = "campaign_timeline.workspaces has no row for the organization";
    assert!(result["reason"].as_str().unwrap().contains(said), "{result}");

    let row = format!("INSERT INTO campaign_timeline.workspaces VALUES ('{ORGANIZATION}', '{SCHEMA}')");
    execute(&mut crm.world, &row);
    crm.world.set_status(CAMPAIGN, "sending");
    assert_eq!(crm.send(), "6 sent");
    assert_eq!(crm.lines(TIMELINE).lines().count(), 6);
    assert_eq!(crm.world.ses.message_count(), 6);
}

#[test]
fn each_workspace_has_the_activities_of_its_own_people() {
    let mut crm = twenty();
    let other = "workspace_9jj1w48f60br2q6wtz6trrdb6";
    let sql = format!(
        r#"INSERT INTO {other}.person ("nameFirstName", "emailsPrimaryEmail") VALUES ('Gil', 'gil@example.com');
           INSERT INTO campaigns (id, organization_id, status, from_address, subject, text)
           SELECT id, id, 'sending', 'news@example.com', 'Hello', 'Good day' FROM core.workspace
            WHERE "databaseSchema" = '{other}';
           INSERT INTO campaign_recipients (campaign_id, organization_id, email, customer_id)
           SELECT w.id, w.id, "emailsPrimaryEmail", p.id FROM core.workspace AS w, {other}.person AS p
            WHERE "databaseSchema" = '{other}'"#
    );
    execute(&mut crm.world, &sql);
    assert_eq!(crm.send(), "6 sent");
    let result = support::invoke(&mut crm.function("send-batch"), &json!({}));
    assert_eq!((&result["status"], &result["activities"]["count"]), (&json!("done"), &json!(1)));
    let count = |schema| {
        format!(
            r#"SELECT count(*)::text FROM {schema}."timelineActivity" WHERE "targetPersonId" IS NOT NULL"#
        )
    };
    assert_eq!((crm.lines(&count(SCHEMA)), crm.lines(&count(other))), ("6".to_owned(), "1".to_owned()));
}

#[test]
fn a_person_in_the_trash_gets_the_activity_and_a_stranger_may_have_made_the_campaign() {
    let mut crm = twenty();
    execute(
        &mut crm.world,
        &format!(
            r#"UPDATE {SCHEMA}.person SET "deletedAt" = now() WHERE "nameFirstName" = 'Ana';
               UPDATE campaigns SET created_by = gen_random_uuid();
               UPDATE campaign_recipients SET customer_ref = customer_id::text, customer_id = NULL
                WHERE email = 'ben@example.com';
               UPDATE campaign_recipients SET customer_id = NULL WHERE email = 'cleo@example.com'"#
        ),
    );
    assert_eq!(crm.send(), "6 sent");
    let who = format!(
        r#"SELECT coalesce(p."nameFirstName", 'nobody') FROM {SCHEMA}."timelineActivity" AS a
             LEFT JOIN {SCHEMA}.person AS p ON p.id = a."targetPersonId"
            WHERE a."workspaceMemberId" IS NULL ORDER BY 1"#
    );
    assert_eq!(crm.lines(&who).replace('\n', " "), "Ana Ben Dora Emil Finn nobody");
}
