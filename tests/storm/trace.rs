//! What happens to the smallest campaigns of the storm is recorded step by step, and the model has to be able to do the
//! same (`./dev model --traces`, docs/model.md). New ones are made all the time, as small as those of the model; a CRM adds
//! recipients to them, pauses and resumes them.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use postgres::{Client, Error};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ledger::{EndOnPanic, Ledger};
use crate::steady;
use crate::support::dice::Dice;
use crate::support::{CREATOR, World, executable};
use crate::weather::wait;

/// The organization of the campaigns that are recorded.
pub const ORGANIZATION: Uuid = Uuid::from_u128(0xc00);
/// The columns that the model compares.
const COLUMNS: [&str; 23] = [
    "id",
    "number",
    "position",
    "status",
    "message_id",
    "error_code",
    "sent_count",
    "failed_count",
    "uncertain_count",
    "completed_through",
    "first_position",
    "last_position",
    "claimed_through",
    "closed_through",
    "claim_token",
    "lease",
    "handed_by",
    "handed_through",
    "closed_at",
    "claimed_count",
    "batch_id",
    "checkpoint",
    "outcomes",
];
/// As many of the newest campaigns are invoked and changed.
const LIVELY: usize = 5;

/// The campaigns that are recorded, from the oldest to the newest.
#[derive(Default)]
pub struct Traced(Mutex<Vec<Uuid>>);

impl Traced {
    pub fn all(&self) -> Vec<Uuid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One of the newest.
    pub fn choose(&self, dice: &mut Dice) -> Option<Uuid> {
        let all = self.all();
        let newest = &all[all.len().saturating_sub(LIVELY)..];
        if newest.is_empty() { None } else { Some(*dice.choose(newest)) }
    }

    fn add(&self, campaign: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(campaign);
    }
}

/// Records each change of a row of these campaigns within the transaction that makes it: when, by which transaction, and
/// by which statement.
pub fn record(world: &mut World) {
    let changed = "status, position, message_id, error_code";
    let mut sql = format!(
        "CREATE TABLE trace (
            number bigint GENERATED ALWAYS AS IDENTITY, campaign_id uuid, at timestamptz, transaction xid8,
            by text, of text, operation text, line jsonb);
         CREATE FUNCTION traced(id uuid) RETURNS boolean LANGUAGE sql STABLE SET search_path = public AS
         $$ SELECT EXISTS (SELECT FROM campaigns AS c WHERE c.id = $1 AND c.organization_id = '{ORGANIZATION}') $$;
         CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
         DECLARE
             line jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
             campaign uuid := coalesce(line ->> 'campaign_id', line -> 'metadata' ->> 'campaignId',
                                       CASE TG_TABLE_NAME WHEN 'campaigns' THEN line ->> 'id' END);
         BEGIN
             IF TG_TABLE_NAME = 'campaign_batch_outcomes' THEN
                 SELECT campaign_id INTO campaign FROM campaign_batches WHERE id = (line ->> 'batch_id')::bigint;
             END IF;
             IF traced(campaign) THEN
                 INSERT INTO trace (campaign_id, at, transaction, by, of, operation, line)
                 VALUES (campaign, clock_timestamp(), pg_current_xact_id(),
                         CASE WHEN current_query() LIKE '%claim_next_batch%' THEN 'claim'
                              WHEN current_query() LIKE '%A checkpoint of batch%' THEN 'checkpoint'
                              WHEN current_query() LIKE '%Records outcomes of campaign%' THEN 'record'
                              WHEN current_query() LIKE '%complete_campaign%' THEN 'complete'
                              WHEN current_query() LIKE '%recipient_events%' THEN 'events'
                              ELSE 'other' END,
                         TG_TABLE_NAME, TG_OP, line);
             END IF;
             RETURN NULL;
         END
         $$;
         CREATE TRIGGER record AFTER INSERT ON activities FOR EACH ROW
             WHEN (NEW.action = 'email_sent' AND NEW.organization_id = '{ORGANIZATION}') EXECUTE FUNCTION record();
         CREATE TRIGGER record_changes AFTER UPDATE ON campaign_recipients FOR EACH ROW
             WHEN (NEW.organization_id = '{ORGANIZATION}' AND ({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION record();",
        old = of_row("OLD", changed),
        new = of_row("NEW", changed),
    );
    for (table, operations, condition) in [
        ("campaigns", "INSERT OR UPDATE", format!("NEW.organization_id = '{ORGANIZATION}'")),
        ("campaign_recipients", "INSERT", format!("NEW.organization_id = '{ORGANIZATION}'")),
        ("campaign_batches", "INSERT OR UPDATE", "true".to_owned()),
        ("campaign_batch_outcomes", "INSERT OR DELETE", "true".to_owned()),
        (
            "campaign_cursors",
            "UPDATE",
            "OLD.completed_through IS DISTINCT FROM NEW.completed_through".to_owned(),
        ),
    ] {
        let _ = write!(
            sql,
            "CREATE TRIGGER record AFTER {operations} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION record();"
        );
    }
    world.database.client().batch_execute(&sql).expect("the triggers are made");
}

fn of_row(row: &str, columns: &str) -> String {
    columns.split(", ").map(|column| format!("{row}.{column}")).collect::<Vec<_>>().join(", ")
}

/// Makes campaigns, adds recipients to them, pauses and resumes them, until the storm is over.
pub fn live(ledger: &Ledger, mut dice: Dice) {
    let _end = EndOnPanic(ledger);
    let mut client = None;
    while wait(ledger, Duration::from_millis(dice.between(10, 150))) {
        let mut act = || {
            if client.is_none() {
                client = Some(steady::connect(&ledger.url)?);
            }
            change(ledger, client.as_mut().expect("connected"), &mut dice)
        };
        if let Err(error) = act() {
            let is_conflict = error.code().is_some_and(|state| ["40P01", "23505"].contains(&state.code()));
            assert!(steady::is_away(&error) || is_conflict, "the campaigns that are recorded: {error:?}");
            client = None;
        }
    }
}

fn change(ledger: &Ledger, client: &mut Client, dice: &mut Dice) -> Result<(), Error> {
    let campaign = ledger.traced.choose(dice);
    match (dice.between(1, 12), campaign) {
        (1 | 2, Some(campaign)) => {
            let position = i64::try_from(dice.between(0, 9)).expect("fits") * 10 + 5;
            let hold = Duration::from_millis(dice.between(0, 20) * dice.between(0, 20));
            let mut transaction = client.transaction()?;
            let sql = "INSERT INTO campaign_recipients (campaign_id, organization_id, email, position)
                       SELECT $1::uuid, $2, 'late' || $3::bigint || '-' || $1::uuid || '@example.com', $3 WHERE 6 > (SELECT count(*) FROM campaign_recipients
                              WHERE campaign_id = $1)
                       ON CONFLICT DO NOTHING";
            transaction.execute(sql, &[&campaign, &ORGANIZATION, &position])?;
            sleep(hold);
            transaction.commit()
        }
        (3, Some(campaign)) => set_status(client, campaign, "sending", "paused"),
        (4..=7, Some(campaign)) => set_status(client, campaign, "paused", "sending"),
        (8 | 9, _) | (_, None) => {
            let campaign = make(client, i32::try_from(dice.between(1, 4)).expect("fits"))?;
            ledger.traced.add(campaign);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn set_status(client: &mut Client, campaign: Uuid, from: &str, to: &str) -> Result<(), Error> {
    let sql = "UPDATE campaigns SET status = $3 WHERE id = $1 AND status = $2";
    client.execute(sql, &[&campaign, &from, &to]).map(drop)
}

/// A campaign, with its recipients at 10, 20, 30 … in the same transaction.
fn make(client: &mut Client, recipients: i32) -> Result<Uuid, Error> {
    let id = Uuid::new_v4();
    let mut transaction = client.transaction()?;
    transaction.execute(
        "INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, html, created_by)
         VALUES ($1, $2, 'Traced', 'sending', 'News <news@example.com>', 'Hello', '<p>Hello</p>', $3)",
        &[&id, &ORGANIZATION, &CREATOR],
    )?;
    transaction.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email, position)
         SELECT $1::uuid, $2, 'traced' || n || '-' || $1::uuid || '@example.com', n * 10 FROM generate_series(1, $3) AS n",
        &[&id, &ORGANIZATION, &recipients],
    )?;
    transaction.commit()?;
    Ok(id)
}

/// Sets those going again that are paused, for the end of the storm.
pub fn resume(world: &mut World, campaign: Uuid) {
    set_status(world.database.client(), campaign, "paused", "sending").expect("it is set");
}

/// Lets the model judge what was recorded. The file stays, and `./dev model --traces` reads it again.
pub fn judge(world: &mut World) -> String {
    let rows = world.database.query(
        "SELECT campaign_id::text, (extract(epoch FROM at) * 1000000)::bigint, transaction::text::bigint, by, of, operation,
                line || CASE WHEN line ? 'lease_ends_at'
                             THEN jsonb_build_object('lease', (extract(epoch FROM (line ->> 'lease_ends_at')::timestamptz)
                                                               * 1000000)::bigint)
                             ELSE '{}' END
           FROM trace ORDER BY number",
        &[],
    );
    let mut lines: Vec<Value> = rows
        .iter()
        .map(|row| {
            let text = |at: usize| row.get::<_, String>(at);
            let mut line = row.get::<_, Value>(6);
            let columns = line.as_object_mut().expect("a row");
            columns.retain(|column, value| {
                !value.is_null() && (COLUMNS.contains(&column.as_str()) || column == "source_ref")
            });
            json!({"campaign": text(0), "at": row.get::<_, i64>(1), "transaction": row.get::<_, i64>(2),
                   "by": text(3), "table": text(4), "operation": text(5), "row": line})
        })
        .collect();
    for message in world.ses.messages() {
        let tag = |name: &str| message.tag(name).unwrap_or_default().to_owned();
        if tag("organization_id") == ORGANIZATION.to_string() {
            let at = message.received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
            lines.push(json!({"campaign": tag("campaign_id"), "at": u64::try_from(at).unwrap_or_default(),
                              "accepted": message.id, "recipient": tag("recipient_id")}));
        }
    }
    let file = executable("model").with_file_name("storm-traces.jsonl");
    let mut text = String::new();
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    std::fs::write(&file, text).expect("the traces are written");
    let judged =
        Command::new(executable("model")).arg("--traces").arg(&file).output().expect("the model runs");
    let said =
        String::from_utf8_lossy(&judged.stdout).into_owned() + &String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "./dev model --traces {}\n{said}", file.display());
    said.trim().to_owned()
}
