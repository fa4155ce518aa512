//! `access/roles.sql -v activities=…` grants all that the functions need of a timeline, whatever it is made of.

use super::*;

/// The nine columns as a CRM may have them, with an id of a sequence and a number that a function gives.
const TABLE: &str = "
    CREATE SCHEMA crm;
    CREATE SCHEMA crm_types;
    CREATE TYPE crm_types.action AS ENUM ('email_sent', 'email_delivered', 'email_unsubscribed');
    CREATE DOMAIN crm_types.origin AS text CHECK (VALUE <> '');
    CREATE FUNCTION crm_types.next_number() RETURNS bigint LANGUAGE sql AS 'SELECT 7';
    REVOKE ALL ON FUNCTION crm_types.next_number() FROM PUBLIC;
    CREATE TABLE crm.activities (
        id bigserial PRIMARY KEY, organization_id uuid NOT NULL, user_id uuid, entity_type text NOT NULL,
        entity_id uuid NOT NULL, action crm_types.action NOT NULL, description text NOT NULL, metadata jsonb NOT NULL,
        source crm_types.origin NOT NULL, source_ref text, number bigint NOT NULL DEFAULT crm_types.next_number())";

/// Sends a campaign into `crm.activities`, takes its events and unsubscribes somebody, each in its role; returns what
/// roles.sql said.
fn used(sql: &str, rows: &str) -> String {
    let mut world = World::new();
    execute(&mut world, sql);
    world.database.execute(
        "INSERT INTO campaigns (id, organization_id, status, from_address, subject, text)
         VALUES ($1, $1, 'sending', 'news@example.com', 'Hello', 'Good day')",
        &[&CAMPAIGN],
    );
    world.database.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email)
         SELECT $1, $1, name || '@example.com' FROM unnest(ARRAY['ana', 'dora']) AS name",
        &[&CAMPAIGN],
    );
    let said = grant(&world, "crm.activities");
    // As after new migrations.
    grant(&world, "crm.activities");
    let mut crm = Crm { world, table: "crm.activities", organization: CAMPAIGN };
    assert_eq!(crm.send(), "2 sent", "{sql}");
    let event = crm.event("delivery", "ana");
    let answer = crm.function("ses-events").invoke(&in_sqs_batch(&[event]), TIMEOUT).unwrap();
    assert_eq!(answer["batchItemFailures"], json!([]), "{sql}");
    crm.unsubscribe("dora");
    let count = format!("SELECT string_agg(action::text, ' ' ORDER BY action::text) FROM ({rows}) AS r");
    assert_eq!(crm.lines(&count), "email_delivered email_sent email_sent email_unsubscribed", "{sql}");
    said
}

#[test]
fn a_table_with_a_sequence_and_types_and_functions_of_other_schemas_needs_no_further_right() {
    let said = used(TABLE, "SELECT * FROM crm.activities WHERE number = 7");
    assert!(!said.contains("trigger"), "{said}");
}

#[test]
fn a_partitioned_table_needs_no_further_right() {
    let table = TABLE.replace("bigserial PRIMARY KEY", "bigserial");
    let sql = format!(
        "{table} PARTITION BY LIST (action); CREATE TABLE crm.others PARTITION OF crm.activities DEFAULT"
    );
    used(&sql, "SELECT * FROM crm.others");
}

#[test]
fn views_over_a_table_need_no_further_right() {
    let table = TABLE.replace("crm.activities", "crm.base");
    let columns =
        "organization_id, user_id, entity_type, entity_id, action, description, metadata, source, source_ref";
    let sql = format!(
        "{table}; CREATE SCHEMA crm_views; CREATE VIEW crm_views.inner AS SELECT {columns} FROM crm.base;
         CREATE VIEW crm.activities AS SELECT * FROM crm_views.inner"
    );
    used(&sql, "SELECT * FROM crm.base");
}

#[test]
fn a_view_with_the_rights_of_its_user_needs_no_further_right() {
    let version: String = World::new().database.query("SHOW server_version_num", &[])[0].get(0);
    // PostgreSQL 14 has no such views.
    let option =
        if version.parse::<u32>().unwrap() < 150_000 { "" } else { "WITH (security_invoker = true)" };
    let table = TABLE.replace("crm.activities", "crm_types.base");
    let columns =
        "organization_id, user_id, entity_type, entity_id, action, description, metadata, source, source_ref";
    let sql = format!("{table}; CREATE VIEW crm.activities {option} AS SELECT {columns} FROM crm_types.base");
    used(&sql, "SELECT * FROM crm_types.base");
}

#[test]
fn a_trigger_that_runs_with_the_roles_rights_is_named() {
    let adapter = |rights: &str| {
        format!(
            "CREATE SCHEMA crm; CREATE SCHEMA hidden; CREATE TABLE hidden.log (action text);
             CREATE VIEW crm.activities AS SELECT NULL::uuid AS organization_id, NULL::uuid AS user_id,
                 NULL::text AS entity_type, NULL::uuid AS entity_id, NULL::text AS action, NULL::text AS description,
                 NULL::jsonb AS metadata, NULL::text AS source, NULL::text AS source_ref;
             CREATE FUNCTION crm.log() RETURNS trigger LANGUAGE plpgsql {rights} AS
                 'BEGIN INSERT INTO hidden.log VALUES (NEW.action); RETURN NEW; END';
             CREATE TRIGGER log INSTEAD OF INSERT ON crm.activities FOR EACH ROW EXECUTE FUNCTION crm.log()"
        )
    };
    let said = used(&adapter("SECURITY DEFINER"), "SELECT * FROM hidden.log");
    assert!(!said.contains("trigger"), "{said}");

    let mut world = World::new();
    execute(&mut world, &adapter(""));
    let said = grant(&world, "crm.activities");
    assert!(
        said.contains("the trigger log of crm.activities has the rights of the functions' roles"),
        "{said}"
    );
}
