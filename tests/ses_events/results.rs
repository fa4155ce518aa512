//! What came of campaigns, as `campaign_results` and its companions have it.

use super::*;
use crate::support::World;

/// The row of a campaign, as `column count` for those that are not 0.
fn results(world: &mut World, campaign: Uuid) -> String {
    let sql = "SELECT string_agg(f.key || ' ' || f.value, ', ' ORDER BY f.key)
                 FROM (SELECT to_jsonb(r) - '{campaign_id,organization_id,name,status,started_at,completed_at}'::text[] AS row
                         FROM campaign_results AS r WHERE campaign_id = $1) AS r, jsonb_each_text(r.row) AS f
                WHERE f.value <> '0'";
    world.database.query(sql, &[&campaign])[0].get(0)
}

fn links(world: &mut World, campaign: Uuid) -> Vec<(String, i32, i32)> {
    let sql = "SELECT link, clicked_by_people, clicked_by_machines FROM campaign_link_results
                WHERE campaign_id = $1 ORDER BY link";
    let rows = world.database.query(sql, &[&campaign]);
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

fn domains(world: &mut World, campaign: Uuid) -> Vec<String> {
    let sql = "SELECT d.domain || ': ' || string_agg(f.key || ' ' || f.value, ', ' ORDER BY f.key)
                 FROM campaign_domain_results($1) AS d, jsonb_each_text(to_jsonb(d) - 'domain') AS f
                WHERE f.value <> '0' GROUP BY d.domain, d.sent ORDER BY d.sent DESC, d.domain";
    world.database.query(sql, &[&campaign]).iter().map(|row| row.get(0)).collect()
}

/// Counting anew from the events finds what was counted as they came.
fn assert_recount_agrees(world: &mut World, campaign: Uuid) {
    let counted = results(world, campaign);
    world.database.execute(
        "UPDATE campaign_feedback SET (delivered, bounced, bounced_softly, withheld, complained, rejected, opened_by_people,
                opened_by_machines, opened_by_apple, clicked_by_people, clicked_by_machines)
              = (9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9)",
        &[],
    );
    world.database.query("SELECT recount_campaign_results($1)", &[&campaign]);
    assert_eq!(results(world, campaign), counted);
}

/// A click of this recipient on a link.
fn click(kind: &str, campaign: Uuid, recipient: Uuid, link: &str) -> Value {
    let mut event = event(kind, campaign, recipient);
    event["detail"]["click"]["link"] = json!(link);
    event
}

#[test]
fn each_email_counts_once_in_each_column_whatever_comes_how_often() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[("GUARD_MIN_SAMPLE", "100000")]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 12);
    let mut events = Vec::new();
    for recipient in &recipients {
        events.extend(["send", "delivery"].map(|kind| event(kind, campaign, *recipient)));
    }
    let mut of = |kind: &str, nth: usize| events.push(event(kind, campaign, recipients[nth]));
    of("open", 0);
    of("open-by-machine", 0);
    of("open-by-machine", 1);
    of("bounce-transient", 2);
    of("bounce-permanent", 3);
    of("bounce-permanent", 4);
    of("bounce-by-ses", 5);
    of("complaint", 6);
    of("complaint-by-ses", 7);
    of("reject", 8);
    of("rendering-failure", 8);
    // Another kind of transient bounce of the same email, and one for what it holds.
    let mut full = event("bounce-transient", campaign, recipients[2]);
    full["detail"]["bounce"]["bounceSubType"] = json!("General");
    let mut content = event("bounce-transient", campaign, recipients[9]);
    content["detail"]["bounce"]["bounceSubType"] = json!("ContentRejected");
    let mut apple = event("open", campaign, recipients[1]);
    apple["detail"]["open"]["userAgent"] = json!("Mozilla/5.0");
    let mut not_spam = event("complaint", campaign, recipients[10]);
    not_spam["detail"]["complaint"]["complaintFeedbackType"] = json!("not-spam");
    events.extend([full, content, apple, not_spam]);
    for (nth, link) in [(0, "https://a.example/"), (0, "https://b.example/"), (1, "https://a.example/")] {
        events.push(click("click", campaign, recipients[nth], link));
        events.push(click("click-by-machine", campaign, recipients[nth], link));
    }
    events.push(click("click-by-machine", campaign, recipients[11], "https://a.example/"));
    // In two batches, twice, and backwards.
    let (first, second) = events.split_at(events.len() / 2);
    for part in [second, first, &events] {
        assert!(deliver(&mut function, part).is_empty());
    }
    events.reverse();
    assert!(deliver(&mut function, &events).is_empty());

    insta::assert_snapshot!(results(&mut world, campaign), @"bounced 2, bounced_softly 2, clicked_by_machines 3, clicked_by_people 2, complained 1, delivered 12, opened_by_apple 1, opened_by_machines 2, opened_by_people 1, rejected 1, sent 12, total 12, withheld 2");
    assert_eq!(
        links(&mut world, campaign),
        [("https://a.example/".to_owned(), 2, 3), ("https://b.example/".to_owned(), 1, 1)]
    );
    assert_recount_agrees(&mut world, campaign);
    assert_eq!(domains(&mut world, campaign).len(), 1);
}

#[test]
fn results_by_domain_add_up_to_those_of_the_campaign() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[("GUARD_MIN_SAMPLE", "100000")]);
    let campaign = world.campaign();
    let addresses = ["a@One.example", "b@one.example", "c@münchen.example", "d@two.example", "e@two.example"];
    let ids: Vec<Uuid> = addresses.iter().map(|address| world.add_recipient(campaign, address)).collect();
    set_uncertain(&mut world, campaign);
    let mut events: Vec<Value> = ids[..4].iter().map(|id| event("delivery", campaign, *id)).collect();
    events.push(event("bounce-permanent", campaign, ids[4]));
    events.push(event("open", campaign, ids[0]));
    events.push(event("click", campaign, ids[2]));
    assert!(deliver(&mut function, &events).is_empty());
    world
        .database
        .execute("UPDATE campaign_recipients SET unsubscribed_at = now() WHERE id = $1", &[&ids[0]]);
    insta::assert_snapshot!(domains(&mut world, campaign).join("\n"), @r"
    one.example: delivered 2, opened_by_people 1, sent 2, unsubscribed 1
    two.example: bounced 1, delivered 1, sent 2
    xn--mnchen-3ya.example: clicked_by_people 1, delivered 1, sent 1
    ");
    assert_recount_agrees(&mut world, campaign);
}

#[test]
fn clicks_of_one_recipient_that_arrive_together_count_once() {
    let mut world = World::new();
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 100);
    let sent: Vec<Value> = recipients.iter().map(|id| event("send", campaign, *id)).collect();
    // As a scanner follows all links of an email at once, and its events come by several batches.
    let mut functions: Vec<Function> = (0..4).map(|_| ses_events(&world, &[])).collect();
    for function in &mut functions {
        assert!(deliver(function, &sent).is_empty());
    }
    let together = std::sync::Barrier::new(functions.len());
    std::thread::scope(|scope| {
        for (nth, function) in functions.iter_mut().enumerate() {
            let (recipients, together) = (&recipients, &together);
            scope.spawn(move || {
                for round in 0..5 {
                    let link = format!("https://shop.example/{nth}/{round}");
                    let clicks: Vec<Value> =
                        recipients.iter().map(|id| click("click-by-machine", campaign, *id, &link)).collect();
                    together.wait();
                    assert!(deliver(function, &clicks).is_empty());
                }
            });
        }
    });
    assert!(results(&mut world, campaign).starts_with("clicked_by_machines 100, "));
    assert_eq!(links(&mut world, campaign).len(), 20);
    assert!(links(&mut world, campaign).iter().all(|(_, people, machines)| (*people, *machines) == (0, 100)));
    assert_recount_agrees(&mut world, campaign);
}

#[test]
fn a_campaign_whose_links_are_different_for_each_recipient_keeps_a_thousand_of_them() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    let clicks: Vec<Value> = (0..1500)
        .map(|n| click("click", campaign, recipient, &format!("https://shop.example/?id={n}")))
        .collect();
    for part in clicks.chunks(400) {
        assert!(deliver(&mut function, part).is_empty());
    }
    let links = links(&mut world, campaign);
    assert_eq!(links.len(), 1001);
    assert_eq!(links[0], (String::new(), 500, 0));
    assert!(results(&mut world, campaign).starts_with("clicked_by_people 1, "));
}
