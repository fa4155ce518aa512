//! Addresses that an organization writes to no more.

use super::*;
use crate::support::{ORGANIZATION, World};

/// The reasons for which addresses are suppressed, by address.
fn suppressions(world: &mut World, organization: Uuid) -> BTreeMap<String, String> {
    let sql = "SELECT email, reason FROM suppressions WHERE organization_id = $1";
    world.database.query(sql, &[&organization]).iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn expected(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(email, reason)| ((*email).to_owned(), (*reason).to_owned())).collect()
}

#[test]
fn a_permanent_bounce_and_a_complaint_suppress_the_address_for_that_organization_only() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let (campaign, other) = (world.campaign(), world.campaign());
    let other_organization = Uuid::from_u128(0x0b);
    let mut bodies = Vec::new();
    for (campaign, email, kind) in [
        (campaign, " Nobody@Example.com", "bounce-permanent"),
        (campaign, "full@example.com", "bounce-transient"),
        (campaign, "angry@example.com", "complaint"),
        (other, "nobody@example.com", "delivery"),
        (other, "gone@example.com", "bounce-permanent"),
    ] {
        let recipient = world.add_recipient(campaign, email);
        bodies.push(event(kind, campaign, recipient));
    }
    for table in [
        "campaigns SET organization_id = $2 WHERE id",
        "campaign_recipients SET organization_id = $2 WHERE campaign_id",
    ] {
        world.database.execute(&format!("UPDATE {table} = $1"), &[&other, &other_organization]);
    }
    assert!(deliver(&mut function, &bodies).is_empty());
    let here = expected(&[("angry@example.com", "complaint"), ("nobody@example.com", "bounce")]);
    assert_eq!(suppressions(&mut world, ORGANIZATION), here);
    assert_eq!(suppressions(&mut world, other_organization), expected(&[("gone@example.com", "bounce")]));
    assert_exact(&mut world);
}

#[test]
fn a_reason_only_gets_stronger() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let mut bodies = Vec::new();
    for (email, before, kinds) in [
        ("a@example.com", "unsubscribe", &["bounce-permanent", "complaint"][..]),
        ("b@example.com", "manual", &["complaint"]),
        ("c@example.com", "complaint", &["bounce-permanent"]),
        ("d@example.com", "unsubscribe", &["bounce-permanent"]),
        ("e@example.com", "bounce", &["complaint", "complaint"]),
    ] {
        let recipient = world.add_recipient(campaign, email);
        let sql = "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, $2, $3)";
        world.database.execute(sql, &[&ORGANIZATION, &email, &before]);
        bodies.extend(kinds.iter().map(|kind| event(kind, campaign, recipient)));
    }
    assert!(deliver(&mut function, &bodies).is_empty());
    let reasons: Vec<String> = suppressions(&mut world, ORGANIZATION).into_values().collect();
    assert_eq!(reasons, ["complaint", "manual", "complaint", "unsubscribe", "complaint"]);
}
