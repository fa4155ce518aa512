//! An event changes something only if it fits the recipient that its tags name.

use super::*;
use crate::support::{ORGANIZATION, World};

/// Everything that events may change.
fn snapshot(world: &mut World) -> String {
    let rows = world.database.query(
        "SELECT 'recipient', r::text FROM campaign_recipients AS r
         UNION ALL SELECT 'campaign', c::text FROM campaigns AS c
         UNION ALL SELECT 'cursor', k::text FROM campaign_cursors AS k
         UNION ALL SELECT 'activity', a::text FROM activities AS a
         UNION ALL SELECT 'event', e::text FROM recipient_events AS e
         UNION ALL SELECT 'suppression', s::text FROM suppressions AS s
         UNION ALL SELECT 'soft bounce', b::text FROM soft_bounces AS b
         UNION ALL SELECT 'feedback', f::text FROM campaign_feedback AS f
         ORDER BY 1, 2",
        &[],
    );
    let lines: Vec<String> =
        rows.iter().map(|row| format!("{}: {}", row.get::<_, &str>(0), row.get::<_, &str>(1))).collect();
    lines.join("\n")
}

const KINDS: [&str; 9] = [
    "send",
    "delivery",
    "bounce-permanent",
    "bounce-transient",
    "complaint",
    "open",
    "click",
    "reject",
    "rendering-failure",
];

#[test]
fn an_event_of_another_destination_message_or_organization_changes_nothing() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[("METRICS", "on")]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 2);
    assert!(deliver(&mut function, &[event("send", campaign, recipients[0])]).is_empty());
    let before = snapshot(&mut world);
    let mut bodies = Vec::new();
    for kind in KINDS {
        for recipient in &recipients {
            let mut other = event(kind, campaign, *recipient);
            other["detail"]["mail"]["destination"] = json!(["somebody.else@example.com"]);
            bodies.push(other);
            let mut other = event(kind, campaign, *recipient);
            other["detail"]["mail"]["tags"]["organization_id"] = json!([Uuid::from_u128(0x0b)]);
            bodies.push(other);
        }
        let mut other = event(kind, campaign, recipients[0]);
        other["detail"]["mail"]["messageId"] = json!("another message");
        bodies.push(other);
    }
    assert!(deliver(&mut function, &bodies).is_empty());
    assert_eq!(snapshot(&mut world), before);
    assert_eq!(logged(&function, "do not fit")["misfit"], bodies.len());
    assert_eq!(logged(&function, "MisfitEvents")["MisfitEvents"], bodies.len());
}

#[test]
fn an_event_fits_whatever_the_spelling_of_the_address_and_what_it_leaves_out() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let addresses = [
        "Ada@Example.com",
        "ada.l@example.com",
        "ada.b@example.com",
        "ada.c@example.com",
        "ada.d@example.com",
    ];
    let recipients: Vec<Uuid> =
        addresses.iter().map(|address| world.add_recipient(campaign, address)).collect();
    set_uncertain(&mut world, campaign);
    let destinations = [
        json!(["ada@example.COM"]),
        json!(["Ada Lovelace <ada.l@example.com>"]),
        json!(["other@example.com", "ada.b@example.com"]),
        json!([]),
        json!(["ada.d@example.com"]),
    ];
    let mut bodies: Vec<Value> =
        recipients.iter().map(|recipient| event("delivery", campaign, *recipient)).collect();
    for (body, destination) in bodies.iter_mut().zip(destinations) {
        body["detail"]["mail"]["destination"] = destination;
        body["detail"]["mail"]["tags"]["organization_id"] = json!([ORGANIZATION]);
    }
    assert!(deliver(&mut function, &bodies).is_empty());
    assert_eq!(world.statuses(campaign), BTreeMap::from([("sent".to_owned(), 5)]));
    assert_exact(&mut world);
}
