//! The tables: what a writer may leave out, the activity field by field, and a CRM's own activities table.

use std::process::Command;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{CREATOR, ORGANIZATION, World, event, failure, invoke, run};

#[test]
fn the_tables_have_the_columns_of_the_contract() {
    let mut world = World::new();
    let mut columns = |table: &str| {
        let sql = "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position)
                     FROM information_schema.columns WHERE table_name = $1";
        world.database.query(sql, &[&table])[0].get::<_, String>(0)
    };
    insta::assert_snapshot!(columns("campaigns"), @"id uuid, organization_id uuid, name text, status text, from_address text, reply_to ARRAY, subject text, html text, text text, variables jsonb, configuration_set text, transactional boolean, created_by uuid, scheduled_at timestamp with time zone, started_at timestamp with time zone, completed_at timestamp with time zone, status_reason text, total_count integer, sent_count integer, failed_count integer, suppressed_count integer, uncertain_count integer, unsubscribed_count integer, send_before timestamp with time zone, track_opens boolean, track_clicks boolean, link_parameters jsonb");
    insta::assert_snapshot!(columns("campaign_recipients"), @"id uuid, campaign_id uuid, organization_id uuid, position bigint, customer_id uuid, customer_ref text, contact_id uuid, email text, name text, variables jsonb, status text, message_id text, error_code text, error text, sent_at timestamp with time zone, previous_status text, uncertain_since timestamp with time zone, unsubscribed_at timestamp with time zone, duplicate_of uuid, link_used_at timestamp with time zone");
    insta::assert_snapshot!(columns("activities"), @"id uuid, organization_id uuid, user_id uuid, entity_type text, entity_id uuid, action text, description text, metadata jsonb, source text, source_ref text, created_at timestamp with time zone");
    insta::assert_snapshot!(columns("suppressions"), @"organization_id uuid, email text, reason text, created_at timestamp with time zone, link_recipient_id uuid, outweighs_bounce boolean");
}

#[test]
fn ids_that_nobody_gives_are_in_the_order_of_time() {
    let mut world = World::new();
    let campaign = world.campaign_of(1);
    invoke(&mut world.function(), &event(campaign, 10));
    let sql = "SELECT id, (date_part('epoch', now()) * 1000)::bigint FROM campaign_recipients
               UNION ALL SELECT id, (date_part('epoch', now()) * 1000)::bigint FROM activities";
    let mut last = 0;
    for row in world.database.query(sql, &[]) {
        let (id, now): (Uuid, i64) = (row.get(0), row.get(1));
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        let made = i64::try_from(seconds).unwrap() * 1000 + i64::from(nanos) / 1_000_000;
        assert!(last <= made && made <= now, "{last} {made} {now}");
        last = made;
    }
    assert!(last > 0);
}

#[test]
fn one_address_is_once_in_a_campaign_whatever_its_letter_case() {
    let mut world = World::new();
    let campaign = world.campaign();
    world.add_recipient(campaign, "Ada@Example.com");
    let sql = "INSERT INTO campaign_recipients (campaign_id, organization_id, email) VALUES ($1, $2, 'ada@example.com')";
    let error = world.database.client().execute(sql, &[&campaign, &ORGANIZATION]).unwrap_err();
    assert_eq!(error.code(), Some(&postgres::error::SqlState::UNIQUE_VIOLATION));
}

#[test]
fn an_activity_says_who_got_what() {
    let mut world = World::new();
    let campaign = world.campaign_of(1);
    let customer = Uuid::new_v4();
    world.database.execute("UPDATE campaign_recipients SET customer_id = $1", &[&customer]);
    let nameless = world.add_recipient(campaign, "nameless@example.com");
    invoke(&mut world.function(), &event(campaign, 10));

    let rows = world.database.query(
        "SELECT a.organization_id, a.user_id, a.entity_type, a.entity_id, a.action, a.description, a.metadata,
                a.source, a.source_ref, r.id, r.message_id, a.created_at = r.sent_at
           FROM activities AS a JOIN campaign_recipients AS r ON r.id::text = a.source_ref ORDER BY r.position",
        &[],
    );
    assert_eq!(rows.len(), 2);
    let expected = [
        (
            "customer",
            customer,
            "Email sent to Recipient 1: Hello Recipient 1",
            "r1@example.com",
            Some("Recipient 1"),
        ),
        ("email", nameless, "Email sent to nameless@example.com: Hello you", "nameless@example.com", None),
    ];
    for (row, (entity_type, entity_id, description, email, name)) in rows.iter().zip(expected) {
        let (id, message_id): (Uuid, String) = (row.get(9), row.get(10));
        assert_eq!((row.get::<_, Uuid>(0), row.get::<_, Uuid>(1)), (ORGANIZATION, CREATOR));
        assert_eq!((row.get::<_, &str>(2), row.get::<_, Uuid>(3)), (entity_type, entity_id));
        assert_eq!((row.get::<_, &str>(4), row.get::<_, &str>(5)), ("email_sent", description));
        let mut metadata = json!({
            "emailId": id, "recipientEmail": email, "subject": description.split_once(": ").unwrap().1,
            "campaignId": campaign, "campaignName": "Spring", "messageId": message_id,
        });
        if let Some(name) = name {
            metadata["recipientName"] = name.into();
        }
        assert_eq!(row.get::<_, Value>(6), metadata);
        assert_eq!((row.get::<_, &str>(7), row.get::<_, String>(8)), ("email", id.to_string()));
        assert!(row.get::<_, bool>(11));
    }
}

#[test]
fn every_message_carries_the_tags_by_which_its_events_are_traced() {
    let mut world = World::new();
    let campaign = world.campaign_of(1);
    world.database.execute(
        "UPDATE campaigns SET configuration_set = 'own-set', reply_to = '{a@example.com,b@example.com}', from_address = 'Zoë <news@example.com>', text = 'Hi {{ name }}', transactional = true",
        &[],
    );
    invoke(&mut world.function_with(&[("SES_CONFIGURATION_SET", "default-set")]), &event(campaign, 10));
    let id: Uuid = world.database.query("SELECT id FROM campaign_recipients", &[])[0].get(0);
    let message = world.ses.messages().remove(0);
    assert_eq!(message.tag("campaign_id"), Some(campaign.to_string().as_str()));
    assert_eq!(message.tag("recipient_id"), Some(id.to_string().as_str()));
    assert_eq!(message.tag("organization_id"), Some(ORGANIZATION.to_string().as_str()));
    assert_eq!(message.configuration_set.as_deref(), Some("own-set"));
    assert_eq!(message.reply_to, ["a@example.com", "b@example.com"]);
    assert_eq!(message.from, "=?UTF-8?Q?Zo=C3=AB?= <news@example.com>");
    assert_eq!(message.text.as_deref(), Some("Hi Recipient 1"));
    assert_eq!(message.html.as_deref(), Some("<p>Dear Recipient 1</p>"));
}

/// A CRM's own table, older than this package: enums, a uuid reference, further and generated columns, a trigger,
/// row-level security for the role in use, and no index at all.
const CRM_TABLE: &str = "
    CREATE SCHEMA crm;
    CREATE SCHEMA crm_types;
    CREATE TYPE crm_types.entity AS ENUM ('customer', 'deal', 'email');
    CREATE TYPE crm.action AS ENUM ('call_made', 'email_sent');
    CREATE TYPE crm.origin AS ENUM ('email', 'phone');
    CREATE TABLE crm.timeline (
        serial bigint GENERATED ALWAYS AS IDENTITY,
        organization_id uuid NOT NULL,
        user_id uuid,
        entity_type crm_types.entity NOT NULL,
        entity_id uuid NOT NULL,
        action crm.action NOT NULL,
        description varchar(40) NOT NULL,
        metadata json NOT NULL,
        source crm.origin NOT NULL,
        source_ref uuid,
        happened_at timestamptz NOT NULL DEFAULT now(),
        created_at date GENERATED ALWAYS AS ('2024-01-01'::date) STORED,
        touched boolean
    );
    CREATE FUNCTION crm.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := true; RETURN NEW; END';
    CREATE TRIGGER touch BEFORE INSERT ON crm.timeline FOR EACH ROW EXECUTE FUNCTION crm.touch();
    ALTER TABLE crm.timeline ENABLE ROW LEVEL SECURITY;
    CREATE POLICY writers ON crm.timeline FOR INSERT TO public WITH CHECK (organization_id = '00000000-0000-0000-0000-00000000000a');
";

#[test]
fn a_crms_own_activities_table_is_written_as_its_catalogue_says() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    let role = format!("sender_{}", Uuid::new_v4().simple());
    world.database.client().batch_execute(CRM_TABLE).unwrap();
    // The rights are those of access/roles.sql, and no others.
    let roles = Command::new("psql")
        .args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--set=activities=crm.timeline"])
        .arg(concat!("--file=", env!("CARGO_MANIFEST_DIR"), "/access/roles.sql"))
        .arg(&world.database.url)
        .output()
        .expect("psql starts");
    assert!(roles.status.success(), "{}", String::from_utf8_lossy(&roles.stderr));
    let login = format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT campaign_send_batch TO {role}");
    world.database.client().batch_execute(&login).unwrap();
    let url = world.database.url_for(&role, "secret");
    let mut function = world.function_with(&[("DATABASE_URL", &url), ("ACTIVITIES_TABLE", "crm.timeline")]);
    let results = run(&mut function, event(campaign, 2));
    assert_eq!(results.last().unwrap()["status"], "done");
    drop(function);

    let rows = world.database.query(
        "SELECT entity_type::text, action::text, description, metadata->>'messageId', source::text, source_ref, touched
           FROM crm.timeline ORDER BY serial",
        &[],
    );
    assert_eq!(rows.len(), 3);
    let recipients =
        world.database.query("SELECT id, message_id FROM campaign_recipients ORDER BY position", &[]);
    for (row, recipient) in rows.iter().zip(recipients) {
        assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("email", "email_sent"));
        assert!(row.get::<_, &str>(2).starts_with("Email sent to "));
        assert_eq!(row.get::<_, &str>(3), recipient.get::<_, &str>(1));
        assert_eq!((row.get::<_, &str>(4), row.get::<_, Uuid>(5)), ("email", recipient.get::<_, Uuid>(0)));
        assert!(row.get::<_, bool>(6));
    }
    assert_eq!(world.database.query("SELECT FROM activities", &[]).len(), 0);
    world.database.client().batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[test]
fn a_table_that_cannot_take_activities_is_an_error_before_anything_is_sent() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    world.database.client().batch_execute("CREATE TABLE odd (organization_id uuid)").unwrap();
    for (table, expected) in [
        ("odd", "UnusableActivitiesTable: ACTIVITIES_TABLE odd: it has no column user_id"),
        (
            "nowhere.to_be",
            "UnusableActivitiesTable: ACTIVITIES_TABLE nowhere.to_be: there is no such table (run the migrations, or name the CRM's own)",
        ),
    ] {
        let mut function = world.function_with(&[("ACTIVITIES_TABLE", table)]);
        assert_eq!(failure(&mut function, &event(campaign, 10)), expected);
    }
    assert_eq!(world.ses.message_count(), 0);
    assert_eq!(world.statuses(campaign)["pending"], 3);
}

#[test]
fn recipients_that_are_added_late_are_counted_and_sent() {
    let mut world = World::new();
    let campaign = world.campaign_of(10);
    let mut function = world.function();
    assert_eq!(invoke(&mut function, &event(campaign, 5))["progress"]["total"], 10);
    world.add_recipients(campaign, 7);
    assert_eq!(invoke(&mut function, &event(campaign, 5))["progress"]["total"], 17);
    assert_eq!(run(&mut function, event(campaign, 5)).last().unwrap()["progress"]["sent"], 17);
    world.assert_consistent(campaign);

    // This holds also after the campaign was done, for an invocation with its id and for a tick.
    world.add_recipients(campaign, 2);
    assert_eq!(run(&mut function, event(campaign, 5)).last().unwrap()["progress"]["sent"], 19);
    world.add_recipients(campaign, 2);
    assert_eq!(run(&mut function, json!({})).last().unwrap()["progress"]["sent"], 21);
    assert_eq!(invoke(&mut function, &json!({}))["status"], "idle");
    world.assert_consistent(campaign);
}

#[test]
fn a_campaign_that_is_sending_before_it_has_recipients_forgets_nobody() {
    let mut world = World::new();
    let campaign = world.campaign();
    let mut function = world.function();
    let result = invoke(&mut function, &event(campaign, 5));
    assert_eq!((&result["status"], &result["progress"]["total"]), (&json!("done"), &json!(0)));
    world.add_recipients(campaign, 3);
    assert_eq!(run(&mut function, event(campaign, 5)).last().unwrap()["progress"]["sent"], 3);
    world.assert_consistent(campaign);
}

#[test]
fn recipients_that_commit_late_behind_the_cursor_are_sent_before_the_campaign_is_done() {
    let mut world = World::new();
    let campaign = world.campaign_of(5);
    let mut writer = world.database.connect();
    let mut late = writer.transaction().unwrap();
    late.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email)
         SELECT $1, $2, 'late' || n || '@example.com' FROM generate_series(1, 12) AS n",
        &[&campaign, &ORGANIZATION],
    )
    .unwrap();
    world.add_recipients(campaign, 5);
    let mut function = world.function();
    let mut result = invoke(&mut function, &event(campaign, 4));
    for _ in 0..4 {
        result = invoke(&mut function, &event(campaign, 4));
    }
    // Everything that is visible is sent, and the open insert is not forgotten.
    assert_eq!((&result["status"], &result["progress"]["sent"]), (&json!("wait"), &json!(10)));
    late.commit().unwrap();
    assert_eq!(run(&mut function, event(campaign, 4)).last().unwrap()["progress"]["sent"], 22);
    world.assert_consistent(campaign);
}

#[test]
fn batches_leave_no_old_versions_of_the_rows_that_every_claim_looks_up() {
    let mut world = World::new();
    let campaign = world.campaign_of(40);
    let mut function = world.function();
    let mut versions = |world: &mut World| {
        assert_eq!(invoke(&mut function, &event(campaign, 10))["batch"]["sent"], 10);
        let sql =
            "SELECT ARRAY[(SELECT ctid FROM campaign_cursors), (SELECT ctid FROM send_rates)]::text[] AS versions,
                          (SELECT max(claimed_through) FROM campaign_batches) AS cursor";
        let row = &world.database.query(sql, &[])[0];
        (row.get::<_, Vec<String>>("versions"), row.get::<_, i64>("cursor"))
    };
    let (first, begun) = versions(&mut world);
    versions(&mut world);
    let (last, ended) = versions(&mut world);
    assert_eq!((first, begun + 20), (last, ended));
}

#[test]
fn the_written_total_of_a_writer_is_made_true() {
    let mut world = World::new();
    let campaign = world.campaign_of(4);
    world.database.execute("UPDATE campaigns SET total_count = 1000", &[]);
    assert_eq!(invoke(&mut world.function(), &event(campaign, 2))["progress"]["total"], 4);
    world.add_recipients(campaign, 1);
    assert_eq!(run(&mut world.function(), event(campaign, 2)).last().unwrap()["progress"]["total"], 5);
    world.assert_consistent(campaign);
}

#[test]
fn the_new_version_of_a_recipient_finds_room_in_its_page() {
    let mut world = World::new();
    let campaign = world.campaign();
    // The smallest rows that a writer may insert, because they grow most.
    let sql = "INSERT INTO campaign_recipients (campaign_id, organization_id, email)
               SELECT $1, $2, 'r' || n || '@example.com' FROM generate_series(1, 1000) AS n";
    world.database.client().execute(sql, &[&campaign, &ORGANIZATION]).unwrap();
    let pages = |world: &mut World, status: &str| {
        let sql = "SELECT array_agg((ctid::text::point)[0]::int ORDER BY position) FROM campaign_recipients WHERE status = $1";
        world.database.query(sql, &[&status])[0].get::<_, Vec<i32>>(0)
    };
    let before = pages(&mut world, "pending");
    invoke(&mut world.function(), &event(campaign, 1000));
    assert_eq!(pages(&mut world, "sent"), before);
}

#[test]
fn no_index_mentions_what_recording_changes_so_that_its_updates_touch_none() {
    let mut world = World::new();
    let sql = "SELECT string_agg(regexp_replace(indexdef, '^.* ON ', ''), ', ' ORDER BY indexname)
                 FROM pg_indexes WHERE tablename = 'campaign_recipients'";
    let indexes: String = world.database.query(sql, &[])[0].get(0);
    insta::assert_snapshot!(indexes, @"public.campaign_recipients USING btree (campaign_id, canonical_address(email) COLLATE \"C\") WHERE (duplicate_of IS NULL), public.campaign_recipients USING btree (id), public.campaign_recipients USING btree (campaign_id, \"position\")");
}

#[test]
fn the_functions_that_recording_uses_are_part_of_its_plan() {
    let mut world = World::new();
    let name: String = world.database.query("SELECT current_database()", &[])[0].get(0);
    // A function that PostgreSQL inlines is not called, and so not counted.
    world
        .database
        .client()
        .batch_execute(&format!("ALTER DATABASE {name} SET track_functions = 'all'"))
        .unwrap();
    let campaign = world.campaign_of(20);
    let mut function = world.function();
    run(&mut function, event(campaign, 10));
    // The calls of a connection are counted when it ends.
    drop(function);
    let counted = "SELECT EXISTS (SELECT FROM pg_stat_user_functions WHERE funcname = 'complete_campaign')";
    world.wait_until("calls are counted", counted);
    let sql = "SELECT coalesce(string_agg(funcname, ', ' ORDER BY funcname), '') FROM pg_stat_user_functions
                WHERE funcname ~ '^(email_sent_|recipient_may_become|time_ordered_uuid|(canonical|normalized)_address)'";
    assert_eq!(world.database.query(sql, &[])[0].get::<_, String>(0), "");
}
