//! Batches of records: which records fail alone, which fail together, and how many there may be.

use local_ses::lambda::InvocationError;

use super::*;
use crate::support::{TIMEOUT, World, failure};

#[test]
fn a_bad_record_fails_alone() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 2);
    let mut batch = in_sqs_batch(&[
        event("send", campaign, recipients[0]),
        json!("not an object"),
        json!({"Type": "Notification", "Message": "hello"}),
        in_sns(&event("send", campaign, recipients[1])),
        json!({"source": "aws.s3", "detail": {}}),
    ]);
    batch["Records"][4]["body"] = json!("{\"cut");
    assert_eq!(deliver_batch(&mut function, &batch), ["message-1", "message-2", "message-4"]);
    assert_eq!(recipients.iter().map(|id| status(&mut world, *id)).collect::<Vec<_>>(), ["sent"; 2]);
    assert_exact(&mut world);
}

#[test]
fn what_the_crms_table_refuses_fails_alone() {
    let mut world = World::new();
    world
        .database
        .client()
        .batch_execute("ALTER TABLE activities ADD CHECK (description NOT LIKE '%offers%')")
        .unwrap();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipients = uncertain(&mut world, campaign, 8);
    let mut bodies: Vec<Value> = recipients.iter().map(|id| event("delivery", campaign, *id)).collect();
    for (n, body) in bodies.iter_mut().enumerate().filter(|(n, _)| *n != 5) {
        body["detail"]["mail"]["commonHeaders"]["subject"] = json!(format!("Subject {n}"));
    }
    assert_eq!(deliver(&mut function, &bodies), ["message-5"]);
    assert_eq!(status(&mut world, recipients[5]), "uncertain");
    assert_eq!(world.count(campaign, "status = 'sent'"), 7);
    assert_exact(&mut world);
}

#[test]
fn ten_thousand_records_of_several_campaigns_are_one_batch() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaigns = [world.campaign(), world.campaign(), world.campaign()];
    for campaign in campaigns {
        world.add_recipients(campaign, 1000);
        set_uncertain(&mut world, campaign);
    }
    let rows = world.database.query("SELECT campaign_id, id FROM campaign_recipients", &[]);
    let kinds = ["click", "delivery", "open", "send"];
    let mut bodies: Vec<Value> = kinds
        .iter()
        .flat_map(|kind| rows.iter().map(|row| event(kind, row.get(0), row.get(1))))
        .take(10_000)
        .collect();
    bodies.reverse();
    let batch = in_sqs_batch(&bodies);
    let started_at = Instant::now();
    assert!(deliver_batch(&mut function, &batch).is_empty());
    let took = started_at.elapsed();
    assert!(took < Duration::from_secs(30), "took {took:?}");
    println!("10,000 records took {took:?}");
    assert_eq!(world.database.query("SELECT count(*) FROM recipient_events", &[])[0].get::<_, i64>(0), 9000);
    let sql = "SELECT count(*) FROM activities WHERE action <> 'email_sent'";
    assert_eq!(world.database.query(sql, &[])[0].get::<_, i64>(0), 9000);
    assert_eq!(world.database.query("SELECT sum(sent_count) FROM campaigns", &[])[0].get::<_, i64>(0), 3000);
    assert_exact(&mut world);
}

#[test]
fn two_invocations_with_the_same_events_at_once_write_them_once() {
    let mut world = World::new();
    let campaigns = [world.campaign(), world.campaign()];
    for campaign in campaigns {
        world.add_recipients(campaign, 300);
        set_uncertain(&mut world, campaign);
    }
    let rows = world.database.query("SELECT campaign_id, id FROM campaign_recipients", &[]);
    let mut bodies: Vec<Value> = ["bounce-permanent", "complaint", "delivery"]
        .iter()
        .flat_map(|kind| rows.iter().map(|row| event(kind, row.get(0), row.get(1))))
        .collect();
    let one = in_sqs_batch(&bodies);
    bodies.reverse();
    let other = in_sqs_batch(&bodies);
    let mut functions = [ses_events(&world, &[]), ses_events(&world, &[])];
    // A lock holds both at the same place, so that they run into each other.
    let mut gate = world.database.connect();
    let mut gate = gate.transaction().unwrap();
    gate.batch_execute("LOCK TABLE campaign_recipients IN ACCESS EXCLUSIVE MODE").unwrap();
    let begun = [functions[0].begin(&one, TIMEOUT).unwrap(), functions[1].begin(&other, TIMEOUT).unwrap()];
    let waiting = "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    world.wait_until("both invocations wait", waiting);
    gate.commit().unwrap();
    for (function, begun) in functions.iter_mut().zip(&begun) {
        assert_eq!(function.finish(begun).unwrap(), json!({"batchItemFailures": []}));
    }
    let sql = "SELECT count(*), count(DISTINCT (source_ref, action)) FROM activities";
    let row = &world.database.query(sql, &[])[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2400, 2400));
    assert_exact(&mut world);
}

#[test]
fn without_postgresql_the_whole_batch_comes_again() {
    let world = World::new();
    let mut function = ses_events(&world, &[("DATABASE_URL", "postgres://postgres@127.0.0.1:1/none")]);
    let batch = in_sqs_batch(&[event("send", Uuid::new_v4(), Uuid::new_v4())]);
    match function.invoke(&batch, Duration::from_secs(2)) {
        Err(InvocationError::Failed { error_type, .. }) => assert_eq!(error_type, "DatabaseUnavailable"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_function_may_be_the_target_of_the_rule_itself() {
    let mut world = World::new();
    let mut function = ses_events(&world, &[]);
    let campaign = world.campaign();
    let recipient = uncertain(&mut world, campaign, 1)[0];
    assert!(deliver_batch(&mut function, &event("delivery", campaign, recipient)).is_empty());
    assert_eq!(status(&mut world, recipient), "sent");
    insta::assert_snapshot!(failure(&mut function, &json!({"detail": {}, "source": "aws.ec2"})), @r#"InvalidEvent: source is "aws.ec2": expected "aws.ses""#);
    insta::assert_snapshot!(failure(&mut function, &json!({"campaignId": 1})), @r#"InvalidEvent: the event has no Records: expected a batch of SQS, {"Records": […]}, or an EventBridge event"#);
}
