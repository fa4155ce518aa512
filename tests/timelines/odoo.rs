//! `docs/timelines/odoo.md`.

use super::*;

fn odoo() -> Crm {
    let people = "
        INSERT INTO utm_campaign (id, name) VALUES (3, 'Spring');
        INSERT INTO mailing_mailing (id, state, campaign_id) VALUES (7, 'sending', 3);
        INSERT INTO res_partner (name, email_normalized)
        SELECT initcap(name), name || '@example.com'
          FROM unnest(ARRAY['ana', 'ben', 'cleo', 'dora', 'emil', 'finn']) AS name";
    let organization = "0d5b1a52-3b1f-4f6e-8f0a-6c2d8e7b9a10";
    let variables = json!({"odoo_mailing_id": 7, "odoo_campaign_id": 3});
    Crm::new("odoo", "campaign_timeline.odoo", organization, people, &variables)
}

const TRACES: &str = "
    SELECT concat_ws(' ', p.name, t.trace_status, t.failure_type, t.failure_reason,
                     'opened ' || to_char(t.open_datetime, 'HH24:MI:SS'),
                     'clicked ' || to_char(t.links_click_datetime, 'HH24:MI:SS'))
      FROM mailing_trace AS t LEFT JOIN res_partner AS p ON t.model = 'res.partner' AND p.id = t.res_id
     WHERE t.trace_type = 'mail' AND t.mass_mailing_id = 7 AND t.campaign_id = 3 AND t.message_id IS NOT NULL
           AND abs(extract(epoch FROM t.sent_datetime AT TIME ZONE 'UTC' - now())) < 60
     ORDER BY t.res_id";

#[test]
fn a_campaign_has_one_trace_for_each_recipient_and_events_update_it() {
    let mut crm = odoo();
    // A trace has no foreign key to its document.
    execute(&mut crm.world, "DELETE FROM res_partner WHERE name = 'Finn'");
    assert_eq!(crm.send(), "6 sent");
    assert_eq!(crm.lines(TRACES), "Ana sent\nBen sent\nCleo sent\nDora sent\nEmil sent\nsent");

    assert!(crm.everything_happens().is_empty());
    insta::assert_snapshot!(crm.lines(TRACES), @r"
    Ana open opened 09:20:19 clicked 09:21:25
    Ben bounce mail_bounce smtp; 550 5.1.1 user unknown
    Cleo sent
    Dora sent
    Emil sent
    sent
    ");
    assert_eq!(crm.lines("SELECT count(*)::text FROM mailing_trace"), "6");
}

#[test]
fn events_in_any_order_leave_the_same_trace() {
    let kinds = ["open", "click", "bounce-permanent", "reject"];
    let mut left = Vec::new();
    for turn in 0..kinds.len() {
        let mut crm = odoo();
        crm.send();
        let mut function = crm.function("ses-events");
        for nth in 0..kinds.len() {
            let event = crm.event(kinds[(turn + nth) % kinds.len()], "ana");
            function.invoke(&in_sqs_batch(&[event]), Duration::from_secs(60)).unwrap();
        }
        left.push(crm.lines(TRACES).lines().next().unwrap().to_owned());
    }
    assert_eq!(left, vec!["Ana open opened 09:20:19 clicked 09:21:25".to_owned(); kinds.len()]);
}

#[test]
fn documents_are_of_any_model_and_a_recipient_without_one_costs_its_own_row() {
    let mut crm = odoo();
    execute(
        &mut crm.world,
        "UPDATE campaign_recipients SET customer_ref = 'mailing.contact,12' WHERE email = 'ana@example.com';
         UPDATE campaign_recipients SET customer_ref = '2' WHERE email = 'ben@example.com';
         UPDATE campaign_recipients SET customer_ref = NULL WHERE email = 'cleo@example.com'",
    );
    assert_eq!(crm.send(), "5 sent, 1 uncertain");
    let (error, code) = ("customer_ref", crm.world.outcome("cleo@example.com").1);
    assert_eq!(code.as_deref(), Some("activity_refused"));
    let why = crm.lines("SELECT error FROM campaign_recipients WHERE status = 'uncertain'");
    assert!(why.contains(error), "{why}");
    let documents =
        "SELECT concat_ws(' ', model, res_id) FROM mailing_trace WHERE email < 'cleo' ORDER BY email";
    assert_eq!(crm.lines(documents), "mailing.contact 12\nres.partner 2");
}
