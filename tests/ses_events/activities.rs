//! The activities of SES's events.

use super::*;
use crate::support::{CREATOR, World};

#[test]
fn each_event_has_one_activity_however_often_and_by_whatever_way_it_comes() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let kinds = ["click", "open", "send", "complaint", "delivery", "bounce-transient"];
    let mut bodies: Vec<Value> = kinds.iter().map(|kind| event(kind, campaign, recipient)).collect();
    bodies.extend(bodies.clone().iter().map(in_sns));
    bodies.extend(bodies[..kinds.len()].to_vec().iter().map(raw));
    deliver(&mut function, &bodies);
    bodies.reverse();
    deliver(&mut function, &bodies);
    let once = ["bounced", "clicked", "complained", "delivered", "opened", "sent"];
    let once: BTreeMap<String, i64> = once.into_iter().map(|action| (format!("email_{action}"), 1)).collect();
    assert_eq!(actions(&mut world, recipient), once);
}

#[test]
fn each_link_that_is_clicked_is_an_activity_once() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let (first, mut other_link, mut later) = (
        event("click", campaign, recipient),
        event("click", campaign, recipient),
        event("click", campaign, recipient),
    );
    other_link["detail"]["click"]["link"] = json!("https://shop.example.com/imprint");
    later["detail"]["click"]["timestamp"] = json!("2026-11-03T10:00:00.000Z");
    deliver(&mut function, &[first, other_link, later]);
    assert_eq!(actions(&mut world, recipient)["email_clicked"], 2);
}

#[test]
fn an_activity_says_what_happened_to_whom_and_when() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let customer = Uuid::from_u128(7);
    unguarded(
        &mut world,
        "UPDATE campaign_recipients SET name = 'Ana', email = 'ana@example.com', customer_id = $1",
        &[&customer],
    );
    let kinds = ["send", "delivery", "bounce-permanent", "complaint", "open", "click"];
    deliver(&mut function, &kinds.map(|kind| event(kind, campaign, recipient)));
    let rows = world.database.query(
        "SELECT action || ' ' || to_char(created_at, 'HH24:MI:SS.MS') || ' ' || description || ' '
                || (metadata - '{emailId,recipientEmail,campaignId,campaignName,messageId,userAgent}'::text[])::text
           FROM activities ORDER BY created_at",
        &[],
    );
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    email_sent 09:00:00.645 Email sent to Ana: Spring offers {"subject": "Spring offers", "recipientName": "Ana"}
    email_delivered 09:00:03.133 Email delivered to Ana {"occurredAt": "2026-11-02T09:00:03.133Z", "recipientName": "Ana"}
    email_bounced 09:00:04.669 Email bounced (Permanent/General) for Ana {"bounceType": "Permanent", "occurredAt": "2026-11-02T09:00:04.669Z", "bounceSubType": "General", "recipientName": "Ana", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
    email_opened 09:20:19.652 Email opened by Ana {"occurredAt": "2026-11-02T09:20:19.652Z", "recipientName": "Ana"}
    email_clicked 09:21:25.570 Link clicked by Ana: https://shop.example.com/offers?spring=2026 {"link": "https://shop.example.com/offers?spring=2026", "occurredAt": "2026-11-02T09:21:25.57Z", "recipientName": "Ana"}
    email_complained 10:05:02.669 Email reported as abuse by Ana {"occurredAt": "2026-11-02T10:05:02.669Z", "recipientName": "Ana", "complaintFeedbackType": "abuse"}
    "#);
    let row = &world.database.query(
        "SELECT bool_and(entity_type = 'customer' AND entity_id = $1 AND user_id = $2 AND source = 'email'
                         AND metadata @> jsonb_build_object('emailId', $3::uuid, 'recipientEmail', 'ana@example.com',
                             'campaignId', $4::uuid, 'campaignName', 'Spring', 'messageId', $5::text))
           FROM activities",
        &[&customer, &CREATOR, &recipient, &campaign, &message_id(recipient)],
    )[0];
    assert!(row.get::<_, bool>(0));
}

#[test]
fn a_subject_that_the_event_does_not_have_is_rendered_again() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 2);
    world.database.execute("UPDATE campaign_recipients SET name = 'Ana' WHERE id = $1", &[&recipients[0]]);
    let mut encoded = event("delivery", campaign, recipients[0]);
    encoded["detail"]["mail"]["commonHeaders"]["subject"] = json!("=?UTF-8?Q?Hello_Ana?=");
    let mut without = event("delivery", campaign, recipients[1]);
    without["detail"]["mail"]["commonHeaders"] = json!(null);
    without["detail"]["mail"]["headers"] = json!([]);
    deliver(&mut function, &[encoded, without]);
    let sql = "SELECT metadata->>'subject' FROM activities WHERE action = 'email_sent' ORDER BY 1";
    let subjects: Vec<String> = world.database.query(sql, &[]).iter().map(|row| row.get(0)).collect();
    assert_eq!(subjects, ["Hello Ana", "Hello you"]);
}

#[test]
fn a_subject_that_cannot_be_rendered_any_more_is_the_template_in_the_activity() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    world.database.execute("UPDATE campaigns SET subject = 'Hello {% if %}' WHERE id = $1", &[&campaign]);
    let mut delivery = event("delivery", campaign, recipient);
    delivery["detail"]["mail"]["commonHeaders"] = json!(null);
    delivery["detail"]["mail"]["headers"] = json!([]);
    assert!(deliver(&mut function, &[delivery]).is_empty());
    let sql = "SELECT metadata->>'subject' FROM activities WHERE action = 'email_sent'";
    assert_eq!(world.database.query(sql, &[])[0].get::<_, &str>(0), "Hello {% if %}");
    assert_exact(&mut world);
}

/// A CRM's table that is older than this package: its enums have no label for an opened or clicked email.
const CRM: &str = "
    CREATE SCHEMA crm;
    CREATE TYPE crm.action AS ENUM ('call_made', 'email_sent', 'email_delivered', 'email_bounced');
    CREATE TYPE crm.entity AS ENUM ('customer', 'email');
    CREATE TYPE crm.source AS ENUM ('email', 'phone');
    CREATE TABLE crm.timeline (
        id bigserial PRIMARY KEY, organization_id uuid NOT NULL, user_id uuid, entity_type crm.entity NOT NULL,
        entity_id uuid NOT NULL, action crm.action NOT NULL, description varchar(60), metadata json,
        source crm.source, source_ref uuid, created_at timestamptz NOT NULL DEFAULT now());";

#[test]
fn a_crms_own_table_gets_the_activities_that_its_enum_knows() {
    let mut world = World::new();
    world.database.client().batch_execute(CRM).unwrap();
    let mut function = ses_events(&world, &[("ACTIVITIES_TABLE", "crm.timeline")]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    for _ in 0..2 {
        let kinds = ["open", "click", "delivery", "bounce-permanent", "complaint"];
        assert!(deliver(&mut function, &kinds.map(|kind| event(kind, campaign, recipient))).is_empty());
    }
    let sql = "SELECT action::text FROM crm.timeline WHERE source_ref = $1 ORDER BY id";
    let written: Vec<String> =
        world.database.query(sql, &[&recipient]).iter().map(|row| row.get(0)).collect();
    assert_eq!(written, ["email_sent", "email_delivered", "email_bounced"]);
    logged(&function, "enum lacks actions");
    let told = function.logs().iter().filter(|line| line.contains("enum lacks actions")).count();
    assert_eq!(told, 1, "{:?}", function.logs());
}

#[test]
fn a_crms_table_that_changes_is_learned_again_and_gets_the_events_own_time() {
    let mut world = World::new();
    world.database.client().batch_execute(CRM).unwrap();
    let mut function = ses_events(&world, &[("ACTIVITIES_TABLE", "crm.timeline")]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    world.database.execute("UPDATE campaign_recipients SET customer_ref = 'K-17'", &[]);
    assert!(deliver(&mut function, &[event("send", campaign, recipient)]).is_empty());
    let change = "CREATE TYPE crm.origin AS ENUM ('email');
                  ALTER TABLE crm.timeline ALTER COLUMN source TYPE crm.origin USING source::text::crm.origin,
                      ADD COLUMN occurred_at timestamptz, ADD COLUMN entity_ref text";
    world.database.client().batch_execute(change).unwrap();
    assert!(deliver(&mut function, &[event("delivery", campaign, recipient)]).is_empty());
    world
        .database
        .client()
        .batch_execute(
            "ALTER TABLE crm.timeline RENAME TO base; CREATE VIEW crm.timeline AS SELECT * FROM crm.base",
        )
        .unwrap();
    assert!(deliver(&mut function, &[event("bounce-permanent", campaign, recipient)]).is_empty());
    let rows = world.database.query(
        "SELECT action::text, metadata->>'customerRef', (metadata->>'occurredAt')::timestamptz = occurred_at, entity_ref
           FROM crm.timeline ORDER BY id",
        &[],
    );
    let row = |row: &postgres::Row| {
        let (action, key): (String, Option<String>) = (row.get(0), row.get(1));
        let (in_time, entity_ref): (Option<bool>, Option<String>) = (row.get(2), row.get(3));
        (action, key, in_time, entity_ref)
    };
    let key = || Some("K-17".to_owned());
    let written: Vec<_> = rows.iter().map(row).collect();
    assert_eq!(written[0], ("email_sent".to_owned(), key(), None, None));
    assert_eq!(written[1], ("email_delivered".to_owned(), key(), Some(true), key()));
    assert_eq!(written[2], ("email_bounced".to_owned(), key(), Some(true), key()));
    assert_eq!(written.len(), 3);
}
