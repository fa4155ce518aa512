//! The timeline's table: this package's own, or the CRM's, whose columns may have other types.
//!
//! [`catalogue`] reads PostgreSQL's catalogue, [`plan`] lets PostgreSQL plan the insert before anything is
//! claimed, [`refusal`] classifies a refused insert. This module fills the statements.

pub mod catalogue;
pub mod plan;
pub mod refusal;

use self::catalogue::{COLUMNS, Catalogue};
use crate::store::DatabaseError;

/// The table and the casts with which it is written.
#[derive(Clone, Debug)]
pub struct ActivitiesTable {
    catalogue: Catalogue,
    /// Actions that the domain of the column `action` refuses.
    refused_actions: Vec<String>,
}

/// The table cannot take this package's activities. This is found before anything is claimed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("ACTIVITIES_TABLE {table}: {problem}")]
pub struct UnusableTable {
    table: String,
    problem: String,
}

/// Why the table's columns could not be read, or nothing could be recorded with it.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It cannot take activities.
    #[error(transparent)]
    Unusable(#[from] UnusableTable),
    /// PostgreSQL did not answer, or refused for another reason.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl ActivitiesTable {
    /// Checks what the catalogue shows: the columns and their types, their lengths and enums' labels (of `actions`
    /// too), that no other column must be given, and that the role may insert.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn new(name: &str, catalogue: Catalogue, actions: &[&str]) -> Result<ActivitiesTable, UnusableTable> {
        match catalogue.problem(actions) {
            Some(problem) => Err(UnusableTable { table: name.to_owned(), problem }),
            None => Ok(ActivitiesTable { catalogue, refused_actions: Vec::new() }),
        }
    }

    /// The table's name with its schema, as PostgreSQL quotes it.
    pub fn name(&self) -> &str {
        self.catalogue.table.as_deref().unwrap_or_default()
    }

    /// Returns true if the column `action` can hold this action, by its length, its enum's labels and its
    /// domain's checks.
    pub fn knows_action(&self, action: &str) -> bool {
        self.catalogue.columns["action"].knows(action)
            && !self.refused_actions.iter().any(|refused| refused == action)
    }

    /// Fills a statement's `{email_sent}` with the insert of those activities, `{activities}` with the table and its
    /// columns, each `{type of COLUMN}` with that column's type, `{description: EXPRESSION}` with the expression cut
    /// to the column's length, and `{activity_time: EXPRESSION}` and `{entity_ref: EXPRESSION}` with the expression
    /// if the table has a column for it.
    ///
    /// The casts have no length and no domain, so PostgreSQL refuses a value that is too long and never cuts
    /// it.
    pub fn fill(&self, statement: &str) -> String {
        let columns = &self.catalogue.columns;
        let email_sent = include_str!("activities/email_sent.sql").trim_end();
        let times: Vec<&str> =
            [("created_at", self.catalogue.own), ("occurred_at", self.takes("occurred_at"))]
                .into_iter()
                .filter_map(|(column, written)| written.then_some(column))
                .collect();
        let entity_ref = self.takes("entity_ref").then_some("entity_ref");
        let names: Vec<&str> = COLUMNS.into_iter().chain(times.iter().copied()).chain(entity_ref).collect();
        let mut filled = statement
            .replace("{email_sent}", email_sent)
            .replace("{activities}", &format!("{} ({})", self.name(), names.join(", ")));
        for column in COLUMNS {
            filled = filled.replace(&format!("{{type of {column}}}"), &columns[column].sql_type);
        }
        filled = expand(filled, "{description: ", |expression| self.cut(expression));
        filled =
            expand(filled, "{activity_time: ", |expression| format!(", {expression}").repeat(times.len()));
        expand(filled, "{entity_ref: ", |expression| match entity_ref {
            Some(column) => format!(", {expression}::{}", columns[column].sql_type),
            None => String::new(),
        })
    }

    fn takes(&self, column: &str) -> bool {
        self.catalogue.takes(column)
    }

    /// The description cut to the length of its column, with an ellipsis if it was cut.
    fn cut(&self, expression: &str) -> String {
        let Some(length) = self.catalogue.columns["description"].length else {
            return format!("({expression})");
        };
        let ellipsis = if self.catalogue.unicode { "…" } else { "..." };
        let ellipsis: String = ellipsis.chars().take(length).collect();
        let kept = length - ellipsis.chars().count();
        format!(
            "(CASE WHEN length({expression}) > {length} THEN left({expression}, {kept}) || '{ellipsis}' ELSE {expression} END)"
        )
    }
}

/// Replaces each `OPENING EXPRESSION}` by the result of `of`; the expression has no braces.
fn expand(mut statement: String, opening: &str, of: impl Fn(&str) -> String) -> String {
    while let Some((before, rest)) = statement.split_once(opening) {
        let (expression, after) = rest.split_once('}').unwrap_or((rest, ""));
        statement = format!("{before}{}{after}", of(expression));
    }
    statement
}

#[cfg(test)]
mod tests {
    use super::catalogue::Kind;
    use super::catalogue::samples::{catalogue, column};
    use super::*;

    fn fill(catalogue: Catalogue, statement: &str) -> String {
        ActivitiesTable::new("crm.timeline", catalogue, &["email_sent"]).unwrap().fill(statement)
    }

    #[test]
    fn an_activitys_time_is_written_where_the_table_has_a_column_for_it() {
        let statement = "INSERT INTO {activities} SELECT a::{type of action}{activity_time: s.at} FROM s";
        let filled = |own, occurred_at: bool| {
            let mut catalogue = Catalogue { own, ..catalogue() };
            if occurred_at {
                catalogue.columns.insert("occurred_at".to_owned(), column("timestamptz", Kind::Time));
            }
            fill(catalogue, statement).split_once("source_ref").unwrap().1.to_owned()
        };
        insta::assert_snapshot!(filled(false, false), @") SELECT a::text FROM s");
        insta::assert_snapshot!(filled(true, false), @", created_at) SELECT a::text, s.at FROM s");
        insta::assert_snapshot!(filled(false, true), @", occurred_at) SELECT a::text, s.at FROM s");
        insta::assert_snapshot!(filled(true, true), @", created_at, occurred_at) SELECT a::text, s.at, s.at FROM s");
    }

    #[test]
    fn a_customers_own_key_is_written_where_the_table_has_a_column_for_it() {
        let statement = "({activities}) SELECT 1{entity_ref: s.customer_ref}";
        let mut with = catalogue();
        with.columns.insert("entity_ref".to_owned(), column("varchar", Kind::Text));
        assert!(fill(with.clone(), statement).ends_with(", entity_ref)) SELECT 1, s.customer_ref::varchar"));
        assert!(fill(catalogue(), statement).ends_with(", source_ref)) SELECT 1"));
        // A column that the table fills itself is not written.
        with.columns.get_mut("entity_ref").unwrap().given = Some("is generated".to_owned());
        assert!(fill(with, statement).ends_with(", source_ref)) SELECT 1"));
    }

    #[test]
    fn a_description_is_cut_to_its_column_with_an_ellipsis() {
        let cut = |length, unicode| {
            let mut catalogue = Catalogue { unicode, ..catalogue() };
            catalogue.columns.get_mut("description").unwrap().length = length;
            fill(catalogue, "{description: d}")
        };
        insta::assert_snapshot!(cut(None, true), @"(d)");
        insta::assert_snapshot!(cut(Some(40), true), @"(CASE WHEN length(d) > 40 THEN left(d, 39) || '…' ELSE d END)");
        insta::assert_snapshot!(cut(Some(40), false), @"(CASE WHEN length(d) > 40 THEN left(d, 37) || '...' ELSE d END)");
        insta::assert_snapshot!(cut(Some(2), false), @"(CASE WHEN length(d) > 2 THEN left(d, 0) || '..' ELSE d END)");
    }

    #[test]
    fn an_action_that_is_longer_than_its_column_is_not_known() {
        let mut catalogue = catalogue();
        catalogue.columns.get_mut("action").unwrap().length = Some(12);
        let table = ActivitiesTable::new("t", catalogue, &["email_sent"]).unwrap();
        assert!(table.knows_action("email_opened") && !table.knows_action("email_delivered"));
    }
}
