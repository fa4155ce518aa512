//! `docs/timelines/espocrm.md`.

use super::*;

fn espocrm() -> Crm {
    let people = "
        INSERT INTO campaign (id, name) VALUES ('64c0e0a1b2c3d4e5f', 'Spring');
        INSERT INTO contact (id, first_name)
        SELECT left(md5(name), 17), initcap(name)
          FROM unnest(ARRAY['ana', 'ben', 'cleo', 'dora', 'emil', 'finn']) AS name;
        INSERT INTO email_address (id, name) SELECT reverse(id), lower(first_name) || '@example.com' FROM contact;
        INSERT INTO entity_email_address (entity_id, email_address_id, entity_type, \"primary\")
        SELECT id, reverse(id), 'Contact', true FROM contact;
        ALTER TABLE campaign_log_record ADD FOREIGN KEY (parent_id) REFERENCES contact (id)";
    let organization = "0d5b1a52-3b1f-4f6e-8f0a-6c2d8e7b9a10";
    let variables = json!({"espo_campaign_id": "64c0e0a1b2c3d4e5f"});
    Crm::new("espocrm", "campaign_timeline.espocrm", organization, people, &variables)
}

#[test]
fn a_campaign_is_in_the_campaign_log() {
    let mut crm = espocrm();
    execute(&mut crm.world, "DELETE FROM contact WHERE first_name = 'Finn'");
    // The foreign key refuses the activity of this person; the others of the batch are recorded.
    assert_eq!(crm.send(), "5 sent, 1 uncertain");
    assert_eq!(crm.world.outcome("finn@example.com").1.as_deref(), Some("activity_refused"));
    let sent = "SELECT parent_id FROM campaign_log_record
                 WHERE action = 'Sent' AND abs(extract(epoch FROM action_date AT TIME ZONE 'UTC' - now())) < 60";
    assert_eq!(crm.lines(sent).lines().count(), 5);

    assert_eq!(crm.everything_happens(), ["message-9"]);
    assert_eq!(crm.lines(sent).lines().count(), 5);
    let log = "SELECT concat_ws(' ', c.first_name, l.action, CASE WHEN l.action <> 'Sent' AND NOT (l.action = 'Opted Out' AND c.first_name = 'Dora')
                                                            THEN to_char(l.action_date, 'HH24:MI:SS') END,
                          l.string_data, l.string_additional_data, l.application, l.parent_type, l.campaign_id)
           FROM campaign_log_record AS l JOIN contact AS c ON c.id = l.parent_id
          WHERE NOT l.deleted AND NOT l.is_test AND l.created_at IS NOT NULL
                AND (l.data::json->>'campaignId') IS NOT NULL
          ORDER BY c.first_name, l.action <> 'Sent', l.action_date, l.action";
    insta::assert_snapshot!(crm.lines(log), @r"
    Ana Sent ana@example.com campaign-sender Contact 64c0e0a1b2c3d4e5f
    Ana Opened 09:20:19 ana@example.com campaign-sender Contact 64c0e0a1b2c3d4e5f
    Ana Clicked 09:21:25 https://shop.example.com/offers?spring=2026 campaign-sender Contact 64c0e0a1b2c3d4e5f
    Ben Sent ben@example.com campaign-sender Contact 64c0e0a1b2c3d4e5f
    Ben Bounced 09:00:04 ben@example.com Hard campaign-sender Contact 64c0e0a1b2c3d4e5f
    Cleo Sent cleo@example.com campaign-sender Contact 64c0e0a1b2c3d4e5f
    Cleo Bounced 09:00:06 cleo@example.com Soft campaign-sender Contact 64c0e0a1b2c3d4e5f
    Dora Sent dora@example.com campaign-sender Contact 64c0e0a1b2c3d4e5f
    Dora Opted Out dora@example.com campaign-sender Contact 64c0e0a1b2c3d4e5f
    Emil Sent emil@example.com campaign-sender Contact 64c0e0a1b2c3d4e5f
    Emil Opted Out 10:05:02 emil@example.com campaign-sender Contact 64c0e0a1b2c3d4e5f
    ");
    let ids = "SELECT concat(count(DISTINCT id), ' of ', min(length(id)), ' to ', max(length(id))) FROM campaign_log_record";
    assert_eq!(crm.lines(ids), "11 of 17 to 17");
}

#[test]
fn leads_are_parents_too_and_an_id_that_is_too_long_costs_its_own_row() {
    let mut crm = espocrm();
    execute(
        &mut crm.world,
        "ALTER TABLE campaign_log_record DROP CONSTRAINT campaign_log_record_parent_id_fkey;
         UPDATE campaign_recipients SET customer_ref = 'Lead/64c0e0a1b2c3d4e60' WHERE email = 'ana@example.com';
         UPDATE campaign_recipients SET customer_ref = NULL WHERE email = 'ben@example.com';
         UPDATE campaign_recipients SET customer_ref = 'Contact/64c0e0a1b2c3d4e5f-0' WHERE email = 'cleo@example.com'",
    );
    assert_eq!(crm.send(), "5 sent, 1 uncertain");
    assert_eq!(crm.world.outcome("cleo@example.com").1.as_deref(), Some("activity_refused"));
    let parents = "SELECT concat_ws(' ', string_data, parent_type, parent_id) FROM campaign_log_record
                    WHERE string_data < 'cleo' ORDER BY 1";
    assert_eq!(crm.lines(parents), "ana@example.com Lead 64c0e0a1b2c3d4e60\nben@example.com");
}
