//! How the activities table is examined: PostgreSQL's catalogue is read, and PostgreSQL plans the insert.

use std::time::Instant;
use tokio_postgres::error::DbError;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::catalogue::{COLUMNS, Catalogue, Column};
use super::{ActivitiesTable, TableError, UnusableTable};
use crate::store::{Database, DatabaseError};

/// The query of the catalogue; $3 is the table's name.
const CATALOGUE: &str = include_str!("../activities.sql");

/// Finds out how the table `name` is written, for activities with `actions`. Those actions of `optional` that
/// the table cannot hold are left out, with one warning in the log.
///
/// # Errors
/// [`TableError::Unusable`]: it cannot take activities. [`TableError::Database`]: PostgreSQL did not answer by `until`.
pub async fn learn(
    database: &Database,
    name: &str,
    actions: &[&str],
    optional: &[&str],
    until: Instant,
) -> Result<ActivitiesTable, TableError> {
    let sql = CATALOGUE.replace("$3", "$1");
    let rows = database.query(&sql, &[(&name, Type::TEXT)], until).await?;
    let catalogue: serde_json::Value = rows.first().map(|row| row.get(0)).unwrap_or_default();
    learn_from(database, name, &catalogue.to_string(), actions, optional, until).await
}

/// The same, from a result of the catalogue's query.
///
/// # Errors
/// The same.
pub async fn learn_from(
    database: &Database,
    name: &str,
    catalogue: &str,
    actions: &[&str],
    optional: &[&str],
    until: Instant,
) -> Result<ActivitiesTable, TableError> {
    let unusable = |problem: String| UnusableTable { table: name.to_owned(), problem };
    let catalogue: Catalogue =
        serde_json::from_str(catalogue).map_err(|error| unusable(error.to_string()))?;
    let mut table = ActivitiesTable::new(name, catalogue, actions)?;
    // For a table that the migrations created, the catalogue shows everything.
    let shown = table.catalogue.own && table.catalogue.plain;
    let known = actions.iter().chain(optional).find(|action| table.knows_action(action)).filter(|_| !shown);
    if let Some(action) = known {
        // An enum that lacks one of the labels may have the other.
        let plan = table.fill(include_str!("plan.sql")).replace("'email_sent'", &format!("'{action}'"));
        match database.query(&plan, &[(&Uuid::nil(), Type::UUID)], until).await {
            Err(DatabaseError::Refused(error)) => {
                // PostgreSQL's hint says what to do about a view.
                let hint = error.as_db_error().and_then(DbError::hint);
                let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                let error = DatabaseError::Refused(error);
                return Err(unusable(format!("an activity cannot be inserted: {error}{hint}")).into());
            }
            planned => drop(planned?),
        }
    }
    for entity_type in ["customer", "email"] {
        for action in actions {
            if let Some(refusal) = table.refusal(database, entity_type, action, until).await? {
                return Err(unusable(format!("it refuses an activity: {refusal}")).into());
            }
        }
    }
    if table.catalogue.columns["action"].domain.is_some() {
        for action in optional.iter().filter(|action| !actions.contains(action)) {
            if table.knows_action(action) && table.refusal(database, "email", action, until).await?.is_some()
            {
                table.refused_actions.push((*action).to_owned());
            }
        }
    }
    table.say(optional);
    Ok(table)
}

impl ActivitiesTable {
    /// Logs once what the table cannot hold.
    fn say(&self, actions: &[&str]) {
        let table = self.name();
        let missing: Vec<&&str> = actions.iter().filter(|action| !self.knows_action(action)).collect();
        if !missing.is_empty() {
            tracing::warn!(table, ?missing, "the activities table's enum lacks actions; they are left out");
        }
        if let Some(length) = self.catalogue.columns["description"].length {
            tracing::info!(
                table,
                length,
                "descriptions that are longer than their column are cut, with an ellipsis"
            );
        }
    }

    /// Casts a sample activity to the columns' domains and returns PostgreSQL's error, if there is one.
    /// Without domains it runs no statement.
    async fn refusal(
        &self,
        database: &Database,
        entity_type: &str,
        action: &str,
        until: Instant,
    ) -> Result<Option<String>, DatabaseError> {
        let columns = &self.catalogue.columns;
        let names = COLUMNS.into_iter().chain(["entity_ref"].into_iter().filter(|name| self.takes(name)));
        let casts: Vec<String> = names
            .filter_map(|name| {
                let Column { sql_type, domain, .. } = &columns[name];
                let sample = self.sample(name, entity_type, action);
                domain.as_ref().map(|domain| format!("{sample}::{sql_type}::{domain}"))
            })
            .collect();
        if casts.is_empty() {
            return Ok(None);
        }
        let sql = format!("SELECT ROW({})::text", casts.join(", "));
        match database.query(&sql, &[], until).await {
            Ok(_) => Ok(None),
            Err(error @ DatabaseError::Refused(_)) => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// An expression for a sample of the values that are written into the column.
    fn sample(&self, column: &str, entity_type: &str, action: &str) -> String {
        match column {
            "entity_type" => format!("'{entity_type}'"),
            "action" => format!("'{action}'"),
            "source" => "'email'".to_owned(),
            "description" => self.cut("'Email sent to Ana Silva: Spring offers'::text"),
            "metadata" => {
                "email_sent_metadata(gen_random_uuid(), 'ana@example.com', 'Ana Silva', 'Spring offers', gen_random_uuid(), 'Spring', 'message-id')".to_owned()
            }
            // A recipient may have no value: a NOT NULL of the domain then counts as NOT NULL of the column.
            "entity_ref" => "NULL".to_owned(),
            _ => "gen_random_uuid()".to_owned(),
        }
    }
}
