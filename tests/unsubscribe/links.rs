//! What a link can change, and how often.

use super::*;

const AGAIN: &str = "subscribe-again";
const FINAL: &str = "This address gets no more emails";

/// The versions of all rows that a link changes, so that a write that changes no value is seen too.
fn versions(world: &mut World) -> Vec<String> {
    let sql = "SELECT xmin::text || ctid::text FROM suppressions
               UNION ALL SELECT xmin::text || ctid::text FROM campaign_recipients
               UNION ALL SELECT xmin::text || ctid::text FROM campaigns
               UNION ALL SELECT xmin::text || ctid::text FROM activities";
    world.database.query(sql, &[]).iter().map(|row| row.get(0)).collect()
}

#[test]
fn a_link_that_is_toggled_writes_once_a_minute() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    answer(&mut function, &request("one-click", &token(id)));
    let before = versions(&mut world);
    for _ in 0..20 {
        let (status, title) = answer(&mut function, &request(AGAIN, &token(id)));
        assert_eq!((status, title.as_str()), (200, "Please try again in a minute"));
        assert_eq!(answer(&mut function, &request("one-click", &token(id))).1, "You are unsubscribed");
    }
    assert_eq!(versions(&mut world), before, "nothing was written");
    assert_eq!(actions(&mut world, id), ["email_unsubscribed"]);

    rest(&mut world);
    for _ in 0..20 {
        answer(&mut function, &request(AGAIN, &token(id)));
        // Unsubscribing needs no waiting time.
        assert_eq!(answer(&mut function, &request("one-click", &token(id))).1, "You are unsubscribed");
        assert_eq!(suppressions(&mut world).len(), 1);
    }
    assert_eq!(actions(&mut world, id), ["email_unsubscribed", "email_resubscribed", "email_unsubscribed"]);
    assert_eq!(mark(&mut world, id), (true, 1));
}

#[test]
fn a_clock_that_was_set_back_keeps_nobody_from_subscribing_again() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    answer(&mut function, &request("one-click", &token(id)));
    world.database.execute("UPDATE campaign_recipients SET link_used_at = now() + interval '1 hour'", &[]);
    assert_eq!(answer(&mut function, &request(AGAIN, &token(id))).1, "You are subscribed again");
}

#[test]
fn an_old_link_takes_back_no_unsubscription_by_a_later_one() {
    let mut world = World::new();
    let mut function = function(&world);
    let old = recipient(&mut world, "ada@example.com");
    let new = recipient(&mut world, "Ada@example.com ");
    answer(&mut function, &request("one-click", &token(old)));
    answer(&mut function, &request("one-click", &token(new)));
    rest(&mut world);
    for id in [old, new] {
        assert_eq!(answer(&mut function, &request(AGAIN, &token(id))), (200, FINAL.to_owned()));
        assert_eq!(mark(&mut world, id), (true, 1));
        assert_eq!(actions(&mut world, id), ["email_unsubscribed"]);
        // The page offers no button that does nothing.
        let page = ask(&mut function, &request("get", &token(id)));
        let body = page["body"].as_str().unwrap();
        assert!(body.contains("You are unsubscribed") && !body.contains("<form"), "{body}");
    }
    assert_eq!(suppressions(&mut world), [("ada@example.com".to_owned(), "unsubscribe".to_owned())]);

    // The other way round: the old link is used again after the new one's unsubscription alone.
    world.database.execute("DELETE FROM suppressions", &[]);
    answer(&mut function, &request("one-click", &token(new)));
    assert_eq!(answer(&mut function, &request(AGAIN, &token(old))).1, FINAL);
    assert_eq!(suppressions(&mut world).len(), 1);
    assert_eq!(answer(&mut function, &request(AGAIN, &token(new))).1, "You are subscribed again");
    assert_eq!(suppressions(&mut world), []);
}

#[test]
fn what_the_crm_enters_over_a_links_entry_is_the_crms() {
    for entry in [
        "UPDATE suppressions SET reason = 'manual'",
        "UPDATE suppressions SET reason = 'unsubscribe'",
        "INSERT INTO suppressions (organization_id, email, reason) SELECT organization_id, email, 'unsubscribe'
           FROM suppressions ON CONFLICT (organization_id, email) DO UPDATE SET reason = excluded.reason",
        "UPDATE suppressions SET reason = 'manual'; UPDATE suppressions SET reason = 'unsubscribe'",
        "WITH old AS (DELETE FROM suppressions RETURNING organization_id, email)
         INSERT INTO suppressions (organization_id, email, reason)
         SELECT organization_id, 'ada2@example.com', 'unsubscribe' FROM old;
         UPDATE suppressions SET email = 'ada@example.com'",
    ] {
        let mut world = World::new();
        let mut function = function(&world);
        let id = recipient(&mut world, "ada@example.com");
        answer(&mut function, &request("one-click", &token(id)));
        rest(&mut world);
        world.database.client().batch_execute(entry).unwrap();
        let before = suppressions(&mut world);
        assert_eq!(answer(&mut function, &request(AGAIN, &token(id))), (200, FINAL.to_owned()), "{entry}");
        assert_eq!(suppressions(&mut world), before, "{entry}");
        assert_eq!(actions(&mut world, id), ["email_unsubscribed"], "{entry}");
    }
}

#[test]
fn a_bounce_that_a_link_outweighed_holds_again_when_the_link_takes_its_word_back() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    suppress(&mut world, "ada@example.com", "bounce");
    answer(&mut function, &request("one-click", &token(id)));
    assert_eq!(suppressions(&mut world)[0].1, "unsubscribe");
    rest(&mut world);
    assert_eq!(answer(&mut function, &request(AGAIN, &token(id))), (200, FINAL.to_owned()));
    assert_eq!(suppressions(&mut world), [("ada@example.com".to_owned(), "bounce".to_owned())]);
    assert_eq!(mark(&mut world, id), (false, 0));
    assert_eq!(actions(&mut world, id), ["email_unsubscribed", "email_resubscribed"]);
    // The same again, from that state.
    answer(&mut function, &request("one-click", &token(id)));
    assert_eq!(suppressions(&mut world)[0].1, "unsubscribe");
    rest(&mut world);
    answer(&mut function, &request(AGAIN, &token(id)));
    assert_eq!(suppressions(&mut world)[0].1, "bounce");
}

#[test]
fn requests_that_meet_change_one_thing_once() {
    let mut world = World::new();
    let ids = [recipient(&mut world, "ada@example.com"), recipient(&mut world, "ada@example.com")];
    let mut functions: Vec<Function> = (0..4).map(|_| function(&world)).collect();
    for kind in ["one-click", AGAIN, "one-click", AGAIN] {
        rest(&mut world);
        let begun: Vec<_> = functions
            .iter_mut()
            .zip([ids[0], ids[0], ids[1], ids[1]])
            .map(|(function, id)| {
                function.begin(&request(kind, &token(id)), Duration::from_secs(20)).unwrap()
            })
            .collect();
        for (function, begun) in functions.iter_mut().zip(&begun) {
            assert_eq!(function.finish(begun).unwrap()["statusCode"], 200, "{kind}");
        }
    }
    for id in ids {
        assert_eq!(actions(&mut world, id), ["email_unsubscribed"]);
        assert_eq!(mark(&mut world, id), (true, 1));
    }
    assert_eq!(suppressions(&mut world).len(), 1);
}

/// The connections of others than the test to its database.
fn connections(world: &mut World) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    world.database.query(sql, &[])[0].get(0)
}

/// Waits until an instance that is idle has closed its connections.
fn closes_its_connections(world: &mut World) {
    let begun = std::time::Instant::now();
    while connections(world) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} connections are open", connections(world));
        std::thread::yield_now();
    }
}

#[test]
fn an_idle_instance_holds_no_connection() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    // One request, and then Lambda would freeze the process: the answer is the last that it runs.
    answer(&mut function, &request("get", &token(id)));
    closes_its_connections(&mut world);
    // Several in a row.
    for _ in 0..5 {
        answer(&mut function, &request("get", &token(id)));
    }
    closes_its_connections(&mut world);
    assert_eq!(answer(&mut function, &request("one-click", &token(id))).0, 200);
}
