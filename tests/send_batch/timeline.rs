//! A CRM's own timeline: a table that cannot take activities is found before anything is claimed; other
//! tables are written with their own types, also through views, partitions and foreign tables, and after they
//! change.

use local_ses::lambda::Function;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{CREATOR, World, event, failure, invoke, run};

/// The nine columns, as a CRM may have them.
const NINE: [(&str, &str); 9] = [
    ("organization_id", "uuid NOT NULL"),
    ("user_id", "uuid"),
    ("entity_type", "text NOT NULL"),
    ("entity_id", "uuid NOT NULL"),
    ("action", "text NOT NULL"),
    ("description", "text"),
    ("metadata", "jsonb"),
    ("source", "text"),
    ("source_ref", "text"),
];

/// `CREATE TABLE crm.timeline` with the nine columns, of which some have another type, and with further ones.
fn table(types: &[(&str, &str)], more: &str) -> String {
    let column = |(name, usual): (&str, &str)| {
        let own = types.iter().find(|(column, _)| *column == name);
        format!("{name} {}", own.map_or(usual, |(_, own)| *own))
    };
    let columns: Vec<String> = NINE.into_iter().map(column).collect();
    format!("CREATE TABLE crm.timeline ({}{more});", columns.join(", "))
}

fn world(sql: &str) -> (World, Uuid) {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    let sql = format!("CREATE SCHEMA crm; {sql}");
    world.database.client().batch_execute(&sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    (world, campaign)
}

fn function(world: &World) -> Function {
    world.function_with(&[("ACTIVITIES_TABLE", "crm.timeline")])
}

fn query(world: &mut World, sql: &str) -> Vec<String> {
    world.database.query(sql, &[]).iter().map(|row| row.get(0)).collect()
}

/// The error for such a table; nothing has been claimed or sent.
fn refused(sql: &str) -> String {
    let (mut world, campaign) = world(sql);
    let failure = failure(&mut function(&world), &event(campaign, 10));
    assert_eq!(world.ses.message_count(), 0, "{sql}");
    assert_eq!(world.database.query("SELECT FROM campaign_batches", &[]).len(), 0, "{sql}");
    let expected = "UnusableActivitiesTable: ACTIVITIES_TABLE crm.timeline: ";
    failure.strip_prefix(expected).unwrap_or_else(|| panic!("{sql}: {failure}")).to_owned()
}

#[test]
fn a_column_that_cannot_hold_what_is_written_is_found_before_anything_is_claimed() {
    let domain = |over: &str| format!("CREATE DOMAIN crm.d AS {over};");
    for (before, column, own) in [
        ("", "entity_id", "bigint"),
        ("", "entity_id", "varchar(17)"),
        ("", "entity_id", "char(35)"),
        (&*domain("varchar(17)"), "entity_id", "crm.d"),
        (&*domain("text CHECK (length(VALUE) = 17)"), "entity_id", "crm.d"),
        (&*domain("bigint"), "source_ref", "crm.d"),
        ("", "source_ref", "varchar(20)"),
        ("", "source_ref", "bytea"),
        ("", "user_id", "int"),
        ("", "organization_id", "varchar(8)"),
        ("", "action", "varchar(8)"),
        ("", "action", "char(5)"),
        (&*domain("varchar(8)"), "action", "crm.d"),
        (&*domain("text CHECK (VALUE IN ('call', 'note'))"), "action", "crm.d"),
        (&*domain("text CHECK (VALUE <> 'email')"), "entity_type", "crm.d"),
        (&*domain("text CHECK (VALUE <> 'customer')"), "entity_type", "crm.d"),
        (&*domain("text CHECK (VALUE <> 'email')"), "source", "crm.d"),
        (&*domain("jsonb CHECK (VALUE ? 'version')"), "metadata", "crm.d"),
        ("CREATE TYPE crm.d AS ENUM ('call');", "action", "crm.d"),
        ("CREATE TYPE crm.e AS ENUM ('call'); CREATE DOMAIN crm.d AS crm.e;", "action", "crm.d"),
        ("", "action", "int"),
        ("", "metadata", "varchar(200)"),
        ("", "metadata", "hstore_is_not_there"),
        ("", "description", "text[]"),
        ("", "description", "text GENERATED ALWAYS AS ('x') STORED"),
        ("", "source_ref", "int GENERATED ALWAYS AS IDENTITY"),
    ] {
        let own = own.replace("hstore_is_not_there", "point");
        let said = refused(&format!("{before} {}", table(&[(column, &own)], "")));
        let domain_said = said.contains("violates check constraint");
        assert!(said.contains(&format!("column {column} ")) || domain_said, "{column} {own}: {said}");
        assert!(!said.contains('@'), "{said}");
    }
}

#[test]
fn a_table_that_takes_no_insert_is_found_before_anything_is_claimed() {
    let base = table(&[], "").replace("crm.timeline", "crm.base");
    let expected = |sql: &str, part: &str| {
        let said = refused(sql);
        assert!(said.contains(part), "{sql}: {said}");
    };
    expected(
        &format!("{base} CREATE VIEW crm.timeline AS SELECT DISTINCT * FROM crm.base"),
        "cannot insert into view",
    );
    expected(
        &format!("{base} CREATE VIEW crm.timeline AS SELECT *, 1 AS occurred_at FROM crm.base"),
        "column occurred_at has the type integer",
    );
    expected(
        &format!(
            "{base} CREATE VIEW crm.timeline AS SELECT organization_id, user_id, entity_type, entity_id, action, upper(description) AS description, metadata, source, source_ref FROM crm.base"
        ),
        "cannot insert into column",
    );
    expected(
        &format!(
            "{base} CREATE VIEW crm.timeline AS SELECT * FROM crm.base; CREATE RULE r AS ON INSERT TO crm.timeline DO INSTEAD NOTHING"
        ),
        "rules",
    );
    expected(
        &format!("{base} CREATE MATERIALIZED VIEW crm.timeline AS SELECT * FROM crm.base"),
        "no such table",
    );
    expected(&table(&[], ", channel text NOT NULL"), "column channel is NOT NULL");
    expected(
        &format!("CREATE DOMAIN crm.d AS text NOT NULL; {}", table(&[], ", channel crm.d")),
        "column channel is NOT NULL",
    );
    expected(
        &format!(
            "{} CREATE VIEW crm.timeline AS SELECT organization_id, user_id, entity_type, entity_id, action, description, metadata, source, source_ref FROM crm.base",
            table(&[], ", kind int NOT NULL").replace("crm.timeline", "crm.base")
        ),
        "column kind of crm.base is NOT NULL, has no default and is not in the view",
    );
    expected(&table(&[], ", occurred_at date"), "column occurred_at has the type date");
    expected(&table(&[], ", entity_ref bigint"), "column entity_ref has the type bigint");
    expected(
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE crm.timeline (organization_id uuid, user_id uuid, entity_type text, entity_id uuid, action text,
             description text, metadata text, source text, source_ref text) SERVER files OPTIONS (filename '/dev/null')",
        "cannot insert into foreign table",
    );
}

#[test]
fn rights_that_are_missing_are_found_before_anything_is_claimed() {
    let (mut world, campaign) = world(&table(&[], ""));
    let role = format!("sender_{}", Uuid::new_v4().simple());
    world
        .database
        .client()
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'secret';
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};"
        ))
        .unwrap();
    let url = world.database.url_for(&role, "secret");
    let mut function = world.function_with(&[("DATABASE_URL", &url), ("ACTIVITIES_TABLE", "crm.timeline")]);
    for (expected, right) in [
        ("lacks USAGE on its schema", format!("GRANT USAGE ON SCHEMA crm TO {role}")),
        (
            "may not INSERT into column action",
            format!("GRANT INSERT (organization_id) ON crm.timeline TO {role}"),
        ),
        (
            "may not INSERT into column action",
            format!(
                "GRANT INSERT ON crm.timeline TO {role}; ALTER TABLE crm.timeline ENABLE ROW LEVEL SECURITY"
            ),
        ),
        (
            "row level security refuses every row",
            format!(
                "CREATE POLICY readers ON crm.timeline FOR SELECT TO {role} USING (true);
                     CREATE POLICY writers ON crm.timeline FOR INSERT TO postgres WITH CHECK (true)"
            ),
        ),
        (
            "row level security refuses every row",
            format!("CREATE POLICY own ON crm.timeline TO {role} USING (true)"),
        ),
    ] {
        let said = failure(&mut function, &event(campaign, 10));
        assert!(said.starts_with("UnusableActivitiesTable: ") && said.contains(expected), "{said}");
        world.database.client().batch_execute(&right).unwrap();
    }
    assert_eq!(world.ses.message_count(), 0);
    assert_eq!(invoke(&mut function, &event(campaign, 10))["status"], "done");
    drop(function);
    world.database.client().batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

/// Sends a campaign of three, with ids as text, into `crm.timeline`, and returns the base table's rows.
fn written(sql: &str, rows: &str) -> Vec<String> {
    let (mut world, campaign) = world(sql);
    let results = run(&mut function(&world), event(campaign, 2));
    assert_eq!(results.last().unwrap()["status"], "done", "{results:?}");
    assert_eq!(results.iter().map(|result| result["activities"]["count"].as_u64().unwrap()).sum::<u64>(), 3);
    assert_eq!(world.statuses(campaign)["sent"], 3);
    let ids = query(&mut world, "SELECT id::text FROM campaign_recipients ORDER BY position");
    let found = query(&mut world, rows);
    assert_eq!(found.len(), 3, "{sql}: {found:?}");
    for id in ids {
        assert!(found.iter().any(|row| row.contains(&id)), "{sql}: {found:?}");
    }
    found
}

#[test]
fn a_table_is_written_by_its_own_types_whatever_holds_the_words_and_ids() {
    let rows = "SELECT concat_ws(' ', entity_type, entity_id, action, source, source_ref, metadata::jsonb->>'emailId')
                  FROM crm.timeline ORDER BY description";
    let enums = "CREATE TYPE crm.entity AS ENUM ('customer', 'email'); CREATE DOMAIN crm.kind AS crm.entity;
                 CREATE DOMAIN crm.act AS varchar(10) CHECK (VALUE ~ '^email_'); CREATE DOMAIN crm.ref AS uuid NOT NULL;
                 CREATE DOMAIN crm.wide AS varchar(36); CREATE DOMAIN crm.wider AS crm.wide;";
    for types in [
        &[("entity_id", "text"), ("user_id", "text"), ("source_ref", "uuid"), ("metadata", "text")][..],
        &[
            ("entity_id", "varchar(36)"),
            ("action", "varchar(10)"),
            ("metadata", "json"),
            ("entity_type", "char(8)"),
        ],
        &[
            ("entity_type", "crm.kind"),
            ("action", "crm.act"),
            ("source_ref", "crm.ref"),
            ("entity_id", "crm.wider"),
        ],
        &[("organization_id", "text"), ("source_ref", "char(36)"), ("source", "varchar(5)")],
    ] {
        for row in written(&format!("{enums} {}", table(types, "")), rows) {
            assert!(row.starts_with("email ") && row.contains(" email_sent email "), "{types:?}: {row}");
        }
    }
}

#[test]
fn views_partitions_and_foreign_tables_take_activities() {
    let renaming = "CREATE TABLE crm.events (key bigserial, org uuid, who uuid, what text, whose uuid, did text, said text,
             more jsonb, via text, ref text, happened timestamptz);
         CREATE VIEW crm.timeline AS SELECT org AS organization_id, who AS user_id, what AS entity_type, whose AS entity_id,
             did AS action, said AS description, more AS metadata, via AS source, ref AS source_ref,
             happened AS occurred_at FROM crm.events";
    written(
        renaming,
        "SELECT concat(whose, ' ', more->>'emailId') FROM crm.events WHERE happened IS NOT NULL ORDER BY key",
    );

    // The CRM's own short keys, which a trigger finds.
    let adapter = "CREATE TABLE crm.log (id char(17) PRIMARY KEY, parent_id varchar(17) NOT NULL, name varchar(50), data text NOT NULL);
         CREATE VIEW crm.timeline AS SELECT NULL::uuid AS organization_id, NULL::uuid AS user_id, NULL::text AS entity_type,
             NULL::text AS entity_id, NULL::text AS action, NULL::text AS description, NULL::jsonb AS metadata,
             NULL::text AS source, NULL::text AS source_ref, NULL::text AS entity_ref;
         CREATE FUNCTION crm.log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO crm.log VALUES (substr(md5(NEW.source_ref), 1, 17), coalesce(NEW.entity_ref, 'none'), left(NEW.description, 50), NEW.metadata);
             RETURN NULL; END $$;
         CREATE TRIGGER log INSTEAD OF INSERT ON crm.timeline FOR EACH ROW EXECUTE FUNCTION crm.log()";
    written(adapter, "SELECT data FROM crm.log ORDER BY name");

    let rule = format!(
        "{} CREATE VIEW crm.timeline AS SELECT * FROM crm.base UNION ALL SELECT * FROM crm.base;
         CREATE RULE add AS ON INSERT TO crm.timeline DO INSTEAD INSERT INTO crm.base VALUES (NEW.*)",
        table(&[], "").replace("crm.timeline", "crm.base")
    );
    written(&rule, "SELECT source_ref FROM crm.base ORDER BY description");

    let partitioned = format!(
        "{} PARTITION BY RANGE (created_at);
         CREATE TABLE crm.now PARTITION OF crm.timeline FOR VALUES FROM ('2000-01-01') TO (MAXVALUE)",
        table(&[], ", created_at timestamptz NOT NULL DEFAULT now()").trim_end_matches(';')
    );
    written(&partitioned, "SELECT source_ref FROM crm.now ORDER BY description");
}

#[test]
fn a_foreign_table_takes_activities() {
    let mut world = World::new();
    let campaign = world.campaign_of(3);
    let row =
        &world.database.query("SELECT current_database(), inet_server_port(), current_user::text", &[])[0];
    let (name, port, role): (String, i32, String) = (row.get(0), row.get(1), row.get(2));
    let columns: Vec<String> = NINE.iter().map(|(name, sql_type)| format!("{name} {sql_type}")).collect();
    let columns = columns.join(", ");
    world.database.client().batch_execute(&format!(
        "CREATE SCHEMA crm; CREATE EXTENSION postgres_fdw;
         CREATE TABLE public.far ({columns});
         CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname '{name}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user '{role}', password 'any');
         CREATE FOREIGN TABLE crm.timeline ({columns}) SERVER far OPTIONS (schema_name 'public', table_name 'far')"
    )).unwrap();
    let results = run(&mut function(&world), event(campaign, 2));
    assert_eq!(results.last().unwrap()["status"], "done");
    assert_eq!(query(&mut world, "SELECT source_ref FROM public.far").len(), 3);
}

#[test]
fn the_tables_and_views_of_the_documentation_take_activities() {
    let mut world = World::new();
    let document = include_str!("../../docs/your-activities-table.md");
    let blocks = document.split("```sql\n").skip(1).filter_map(|rest| rest.split_once("```"));
    for (block, _) in blocks {
        world.database.client().batch_execute(block).unwrap_or_else(|error| panic!("{block}: {error:?}"));
    }
    for (table, filled) in [
        ("crm.activities", "crm.activities"),
        ("crm.email_events", "crm.events"),
        ("crm.email_log", "crm.log"),
    ] {
        let campaign = world.campaign_of(3);
        let result = invoke(&mut world.function_with(&[("ACTIVITIES_TABLE", table)]), &event(campaign, 10));
        assert_eq!(
            (&result["status"], &result["activities"]["count"]),
            (&json!("done"), &json!(3)),
            "{table}"
        );
        assert_eq!(query(&mut world, &format!("SELECT 'row' FROM {filled}")).len(), 3, "{table}");
    }
}

#[test]
fn a_trigger_may_fill_what_has_no_default() {
    let sql = format!(
        "{} CREATE FUNCTION crm.fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.channel := 'email'; RETURN NEW; END $$;
         CREATE TRIGGER fill BEFORE INSERT ON crm.timeline FOR EACH ROW EXECUTE FUNCTION crm.fill()",
        table(&[], ", channel text NOT NULL")
    );
    written(&sql, "SELECT source_ref FROM crm.timeline WHERE channel = 'email' ORDER BY description");
}

#[test]
fn the_time_and_the_customers_own_key_are_written_where_the_table_has_them() {
    let (mut world, campaign) =
        world(&table(&[], ", occurred_at timestamptz NOT NULL, entity_ref varchar(20)"));
    world.database.execute(
        "UPDATE campaign_recipients SET customer_ref = '5f0c9a7be4d2c81f3' WHERE email = 'r1@example.com'",
        &[],
    );
    assert_eq!(invoke(&mut function(&world), &event(campaign, 10))["status"], "done");
    let rows = world.database.query(
        "SELECT t.occurred_at = r.sent_at, t.entity_ref, t.metadata->'customerRef', t.user_id
           FROM crm.timeline AS t JOIN campaign_recipients AS r ON r.id::text = t.source_ref ORDER BY r.position",
        &[],
    );
    let key = "5f0c9a7be4d2c81f3";
    for (row, expected) in rows.iter().zip([Some(key), None, None]) {
        assert!(row.get::<_, bool>(0));
        assert_eq!(row.get::<_, Option<&str>>(1), expected);
        assert_eq!(row.get::<_, Option<Value>>(2), expected.map(Value::from));
        assert_eq!(row.get::<_, Uuid>(3), CREATOR);
    }
    assert_eq!(rows.len(), 3);
}

#[test]
fn a_description_that_is_longer_than_its_column_is_cut_and_the_log_says_so_once() {
    let (mut world, campaign) = world(&table(&[("description", "varchar(30)")], ""));
    let mut function = function(&world);
    run(&mut function, event(campaign, 1));
    let rows = query(&mut world, "SELECT description FROM crm.timeline ORDER BY description");
    assert_eq!(rows[0], "Email sent to Recipient 1: He…");
    assert!(rows.iter().all(|row| row.chars().count() == 30), "{rows:?}");
    let told = function.logs().iter().filter(|line| line.contains("longer than their column")).count();
    assert_eq!(told, 1, "{:?}", function.logs());
}

#[test]
fn a_table_that_changes_while_instances_are_warm_is_learned_again_at_once() {
    let (mut world, campaign) = world(&table(&[], ""));
    world.add_recipients(campaign, 40);
    let mut function = function(&world);
    assert_eq!(invoke(&mut function, &event(campaign, 3))["activities"]["count"], 3);
    let replaced =
        format!("DROP TABLE crm.timeline; {}", table(&[("entity_id", "text"), ("metadata", "text")], ""));
    for change in [
        "ALTER TABLE crm.timeline ALTER COLUMN source_ref TYPE uuid USING source_ref::uuid",
        "CREATE TYPE crm.act AS ENUM ('email_sent'); ALTER TABLE crm.timeline ALTER COLUMN action TYPE crm.act USING action::crm.act",
        "ALTER TYPE crm.act RENAME TO action",
        "ALTER TABLE crm.timeline ALTER COLUMN metadata TYPE json",
        "ALTER TABLE crm.timeline ADD COLUMN occurred_at timestamptz",
        "ALTER TABLE crm.timeline DROP COLUMN occurred_at, ALTER COLUMN description TYPE varchar(10) USING left(description, 10)",
        "ALTER TABLE crm.timeline RENAME TO base; CREATE VIEW crm.timeline AS SELECT * FROM crm.base",
        "DROP VIEW crm.timeline; ALTER TABLE crm.base RENAME TO timeline",
        &replaced,
    ] {
        world.database.client().batch_execute(change).unwrap();
        let result = invoke(&mut function, &event(campaign, 3));
        assert_eq!(
            (&result["activities"]["count"], &result["activities"]["success"]),
            (&json!(3), &json!(true)),
            "{change}: {result}"
        );
        assert_eq!(result["batch"]["sent"], 3, "{change}");
    }
    assert_eq!(world.statuses(campaign).get("uncertain"), None);
}

#[test]
fn a_table_that_is_gone_in_mid_campaign_leaves_what_was_sent_unrecorded_and_sends_nothing_more() {
    let (mut world, campaign) = world(&table(&[], ""));
    let mut function = function(&world);
    assert_eq!(invoke(&mut function, &event(campaign, 1))["activities"]["count"], 1);
    world.database.client().batch_execute("ALTER TABLE crm.timeline RENAME TO elsewhere").unwrap();
    let mut result = invoke(&mut function, &event(campaign, 1));
    for _ in 0..2 {
        assert_eq!((&result["status"], &result["activities"]["success"]), (&json!("wait"), &json!(false)));
        let error = result["activities"]["error"].as_str().unwrap();
        assert!(error.contains("ACTIVITIES_TABLE crm.timeline: there is no such table"), "{error}");
        result = invoke(&mut function, &result["next"]);
    }
    assert_eq!(world.ses.message_count(), 2);
    world.database.client().batch_execute("ALTER TABLE crm.elsewhere RENAME TO timeline").unwrap();
    assert_eq!(run(&mut function, result["next"].clone()).last().unwrap()["status"], "done");
    assert_eq!(query(&mut world, "SELECT source_ref FROM crm.timeline").len(), 3);
    assert_eq!(world.ses.message_count(), 3);
}
