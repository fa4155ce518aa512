//! The subject of an email that an event proves sent, if the event does not have it.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use std::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::event::Event;
use crate::domain::campaign::Source;
use crate::domain::recipient::Status;
use crate::message::render::Templates;
use crate::store::person::person;
use crate::store::{Database, DatabaseError};

/// Renders the subject again for events that prove an email sent and lack its subject, unless the email is
/// already recorded as sent. If the subject cannot be rendered, it stays empty, and the activity shows the
/// template.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn complete(
    database: &Database,
    events: &mut [&mut Event],
    until: Instant,
) -> Result<(), DatabaseError> {
    let lacking = |event: &Event| event.subject.is_none() && event.kind.status() == Status::Sent;
    let with_subject: HashSet<Uuid> =
        events.iter().filter(|event| event.subject.is_some()).map(|event| event.recipient_id).collect();
    let ids: Vec<Uuid> = events
        .iter()
        .filter(|event| lacking(event) && !with_subject.contains(&event.recipient_id))
        .map(|event| event.recipient_id)
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::UUID_ARRAY)];
    let rows = database.query(include_str!("subject.sql"), &parameters, until).await?;
    let subjects = render(&rows);
    for event in events.iter_mut().filter(|event| lacking(event)) {
        event.subject = subjects.get(&event.recipient_id).cloned();
    }
    Ok(())
}

/// The rows are ordered by campaign, so the templates of each campaign are compiled once.
fn render(rows: &[Row]) -> HashMap<Uuid, String> {
    let mut subjects = HashMap::new();
    let campaign = |row: &Row| row.get::<_, Uuid>("campaign_id");
    for rows in rows.chunk_by(|a, b| campaign(a) == campaign(b)) {
        let Ok(templates) = Templates::compile(source(&rows[0])) else { continue };
        for row in rows {
            if let Some(subject) = render_one(&templates, row) {
                subjects.insert(row.get("id"), subject);
            }
        }
    }
    subjects
}

fn source(row: &Row) -> Source {
    Source {
        campaign_name: row.get("campaign_name"),
        subject: row.get("subject"),
        html: row.get("html"),
        text: row.get("text"),
        variables: row.get("campaign_variables"),
        transactional: true,
        link_parameters: None,
    }
}

fn render_one(templates: &Templates, row: &Row) -> Option<String> {
    // One recipient's data must not make the events of all others fail.
    catch_unwind(AssertUnwindSafe(|| templates.subject(&person(row)).ok())).ok().flatten()
}
