//! Compares the tables with the model.

use std::fmt::Write as _;

use serde_json::Value;

use super::sql::{message_id, uuid};
use crate::tables::{BEFORE_ALL, Code, Row};
use crate::world::World;

/// # Errors
/// The lines that differ.
pub fn compare(seen: &Value, world: &World) -> Result<(), String> {
    let (seen, modelled) = (of_tables(seen), of_model(world, seen));
    if seen == modelled {
        return Ok(());
    }
    let mut said = String::new();
    for at in 0..seen.len().max(modelled.len()) {
        let (table, model) = (seen.get(at), modelled.get(at));
        if table != model {
            let none = String::from("nothing");
            let (table, model) = (table.unwrap_or(&none), model.unwrap_or(&none));
            let _ = write!(said, "  tables: {table}\n  model:  {model}\n");
        }
    }
    Err(said)
}

/// The lowest position stands for `BEFORE_ALL`.
fn position(value: &Value) -> String {
    match value.as_i64() {
        Some(i64::MIN) => BEFORE_ALL.to_string(),
        Some(position) => position.to_string(),
        None => "none".to_owned(),
    }
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| if value.is_null() { "none".to_owned() } else { value.to_string() }, str::to_owned)
}

fn of_tables(seen: &Value) -> Vec<String> {
    let of = &seen["campaign"];
    let mut lines = vec![format!(
        "campaign {} with {} sent, {} failed, {} uncertain, complete through {}",
        text(&of[0]),
        of[1],
        of[2],
        of[3],
        position(&of[4])
    )];
    let list = |name: &str| seen[name].as_array().cloned().unwrap_or_default();
    let rows = list("recipients");
    for id in list("ids") {
        lines.push(match rows.iter().find(|row| row["id"] == id) {
            None => "no recipient".to_owned(),
            Some(r) => {
                let code = match r["code"].as_str() {
                    None => Code::None,
                    Some("MessageRejected") => Code::Refused,
                    Some("rejected") => Code::Rejected,
                    Some("resolved") => Code::Resolved,
                    Some(_) => Code::Uncertain,
                };
                format!(
                    "recipient at {} {} message {} code {code:?} activities {}",
                    r["position"],
                    text(&r["status"]),
                    text(&r["message"]),
                    r["activities"]
                )
            }
        });
    }
    for b in list("batches") {
        let closed = b["closed"] == true;
        // Nobody reads the notes of a closed batch.
        let notes = if closed { "[]".to_owned() } else { b["notes"].to_string() };
        lines.push(format!(
            "batch {} to {} claimed through {} closed through {} token {} holds {} mark {} by {} closed {closed} count {} notes {notes}",
            position(&b["first"]),
            position(&b["last"]),
            position(&b["claimed_through"]),
            position(&b["closed_through"]),
            text(&b["token"]),
            b["holds"],
            position(&b["mark"]),
            text(&b["by"]),
            text(&b["count"]),
        ));
    }
    lines
}

fn of_model(world: &World, seen: &Value) -> Vec<String> {
    let t = &world.tables;
    let mut lines = vec![format!(
        "campaign {} with {} sent, {} failed, {} uncertain, complete through {}",
        t.campaign.as_str(),
        t.sent_count,
        t.failed_count,
        t.uncertain_count,
        or_none(t.completed_through)
    )];
    for (at, r) in (0u8..).zip(&t.recipients) {
        lines.push(if r.row == Row::Visible {
            let message = or_none(r.message.map(|message| message_id(at, message)));
            format!(
                "recipient at {} {} message {message} code {:?} activities {}",
                r.position, r.status, r.code, r.activities
            )
        } else {
            "no recipient".to_owned()
        });
    }
    for b in &t.batches {
        let notes = if b.closed { &[][..] } else { &b.notes[..] };
        let mut notes: Vec<Value> = notes.iter().map(|(r, _)| seen["ids"][usize::from(*r)].clone()).collect();
        notes.sort_by_key(Value::to_string);
        lines.push(format!(
            "batch {} to {} claimed through {} closed through {} token {} holds {} mark {} by {} closed {} count {} notes {}",
            b.first,
            b.last,
            b.claimed_through,
            b.closed_through,
            or_none(b.token.map(uuid)),
            b.lease_holds,
            or_none(b.handed_through),
            or_none(b.handed_by.map(uuid)),
            b.closed,
            or_none(b.claimed_count),
            Value::from(notes),
        ));
    }
    lines
}
