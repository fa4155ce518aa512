//! `campaign prune`.

use crate::support::{self, World, run};
use crate::{campaign, done, refused};

/// The number of rows of each table.
fn rows(world: &mut World) -> Vec<i64> {
    ["campaigns", "campaign_recipients", "campaign_batches", "recipient_events", "soft_bounces", "activities"]
        .map(|table| world.database.query(&format!("SELECT count(*) FROM {table}"), &[])[0].get(0))
        .to_vec()
}

#[test]
fn what_campaigns_that_ended_leave_behind_is_deleted_and_no_activity() {
    let mut world = World::single();
    let [ended, recent, uncertain] = [1, 2, 3].map(|_| world.campaign_of(20));
    world.database.execute("UPDATE campaign_recipients SET email = id || '@example.com'", &[]);
    for campaign in [ended, recent, uncertain] {
        run(&mut world.function(), support::event(campaign, 5));
    }
    world.database.client().batch_execute(&format!(
        "INSERT INTO recipient_events (recipient_id, action, occurred_at, key)
         SELECT id, 'email_delivered', now(), gen_random_uuid() FROM campaign_recipients;
         INSERT INTO soft_bounces (organization_id, email, bounces)
         VALUES (gen_random_uuid(), 'old@example.com', jsonb_build_object('m', extract(epoch FROM now() - interval '200 days'))),
                (gen_random_uuid(), 'new@example.com', jsonb_build_object('m', extract(epoch FROM now() - interval '20 days')));
         UPDATE campaigns SET completed_at = now() - interval '190 days' WHERE id IN ('{ended}', '{uncertain}');
         UPDATE campaigns SET uncertain_count = 1 WHERE id = '{uncertain}'",
    )).unwrap();
    let url = world.database.url.clone();
    let prune = |more: &[&str]| campaign(&url, &[&["prune", "--older-than", "180d"], more].concat(), "");
    assert_eq!(rows(&mut world), [3, 60, 12, 60, 2, 60]);
    assert_eq!(
        refused(&prune(&[])),
        "64: campaign: standard input is not a terminal, so nobody can confirm: give --yes"
    );
    assert_eq!(campaign(&url, &["prune", "--older-than", "7d", "--yes"], "").status.code(), Some(64));
    insta::assert_snapshot!(done(&prune(&["--yes"])), @"1 campaign ended 180 days ago or earlier. Deleted: 3 batches, 20 events, 0 recipients, and 1 row of transient bounces and rate reservations.");
    // The newest batch has the cursor.
    assert_eq!(rows(&mut world), [3, 60, 9, 40, 1, 60]);
    world.assert_consistent(ended);
    // The campaign has ended all the same, and accepts added recipients.
    let id = support::event(ended, 5);
    assert_eq!(run(&mut world.function(), id.clone()).last().unwrap()["status"], "done");
    world.add_recipient(ended, "late@example.com");
    assert_eq!(run(&mut world.function(), id).last().unwrap()["status"], "done");
    world.assert_consistent(ended);

    world
        .database
        .execute("UPDATE campaigns SET completed_at = now() - interval '190 days' WHERE id = $1", &[&ended]);
    done(&prune(&["--recipients", "--yes"]));
    assert_eq!(rows(&mut world), [3, 40, 9, 40, 1, 61]);
    assert_eq!(run(&mut world.function(), support::event(ended, 5)).last().unwrap()["status"], "done");
    assert_eq!(world.campaign_status(ended).0, "sent");
}
