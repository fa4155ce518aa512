//! The timeline's table: this package's own, or the CRM's, whose columns may have other types.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The columns that are written, by name, and nothing else is.
const COLUMNS: [&str; 9] = [
    "organization_id",
    "user_id",
    "entity_type",
    "entity_id",
    "action",
    "description",
    "metadata",
    "source",
    "source_ref",
];

/// One column as PostgreSQL's catalogue has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Column {
    /// `format_type`: how a cast to it is written.
    #[serde(rename = "type")]
    pub sql_type: String,
    /// The labels, if it is an enum.
    pub labels: Option<Vec<String>>,
    /// NOT NULL, and nothing fills it in: no default, not an identity, not generated.
    pub required: bool,
}

/// What the catalogue says about the table; `activities.sql` makes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Catalogue {
    /// The table's name as PostgreSQL quotes it; null if there is no such table.
    pub table: Option<String>,
    /// Made by this package's migration: an activity's own time may be written as `created_at`.
    pub own: bool,
    /// Whether the role in use may insert into the nine columns.
    pub insertable: bool,
    /// All columns by name.
    pub columns: BTreeMap<String, Column>,
}

/// The table and the casts with which it is written.
#[derive(Clone, Debug)]
pub struct ActivitiesTable {
    catalogue: Catalogue,
}

/// The table cannot take this package's activities. Found before anything is claimed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("ACTIVITIES_TABLE {table}: {problem}")]
pub struct UnusableTable {
    table: String,
    problem: String,
}

impl ActivitiesTable {
    /// As [`ActivitiesTable::new`], from what `activities.sql` answered.
    ///
    /// # Errors
    /// Likewise.
    pub fn read(name: &str, catalogue: &str, actions: &[&str]) -> Result<ActivitiesTable, UnusableTable> {
        let catalogue = serde_json::from_str(catalogue)
            .map_err(|error| UnusableTable { table: name.to_owned(), problem: error.to_string() })?;
        ActivitiesTable::new(name, catalogue, actions)
    }

    /// Checks that the table has the nine columns, that its enums know `actions` and the entity types, that no
    /// other column must be given, and that the role may insert.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub fn new(name: &str, catalogue: Catalogue, actions: &[&str]) -> Result<ActivitiesTable, UnusableTable> {
        let unusable = |problem: String| UnusableTable { table: name.to_owned(), problem };
        if catalogue.table.is_none() {
            return Err(unusable(
                "there is no such table (run the migrations, or name the CRM's own)".to_owned(),
            ));
        }
        for column in COLUMNS {
            let Some(found) = catalogue.columns.get(column) else {
                return Err(unusable(format!("it has no column {column}")));
            };
            let values: &[&str] = match column {
                "entity_type" => &["customer", "email"],
                "action" => actions,
                "source" => &["email"],
                _ => continue,
            };
            if let Some(labels) = &found.labels
                && let Some(missing) = values.iter().find(|value| !labels.iter().any(|label| label == *value))
            {
                return Err(unusable(format!(
                    "column {column} has the enum type {}, which lacks the label '{missing}'",
                    found.sql_type
                )));
            }
        }
        if let Some((column, _)) = catalogue
            .columns
            .iter()
            .find(|(name, column)| column.required && !COLUMNS.contains(&name.as_str()))
        {
            return Err(unusable(format!(
                "column {column} is NOT NULL and has no default; only nine columns are written"
            )));
        }
        if !catalogue.insertable {
            return Err(unusable("the role in use may not INSERT into it".to_owned()));
        }
        Ok(ActivitiesTable { catalogue })
    }

    /// Whether the column `action` takes this action: it is no enum, or one that has the label.
    pub fn knows_action(&self, action: &str) -> bool {
        let labels = self.catalogue.columns["action"].labels.as_ref();
        labels.is_none_or(|labels| labels.iter().any(|label| label == action))
    }

    /// Fills a statement's `{email_sent}` with the insert of those activities, `{activities}` with the table and its
    /// columns, `{activity_time: EXPRESSION}` with the expression if the table takes an activity's time, and each `{type of COLUMN}` with that column's type.
    pub fn fill(&self, statement: &str) -> String {
        let table = self.catalogue.table.as_deref().unwrap_or_default();
        let time = if self.catalogue.own { ", created_at" } else { "" };
        let statement =
            statement.replace("{email_sent}", include_str!("activities/email_sent.sql").trim_end());
        let mut filled =
            statement.replace("{activities}", &format!("{table} ({}{time})", COLUMNS.join(", ")));
        for column in COLUMNS {
            let sql_type = &self.catalogue.columns[column].sql_type;
            filled = filled.replace(&format!("{{type of {column}}}"), sql_type);
        }
        while let Some((before, rest)) = filled.split_once("{activity_time: ") {
            let (expression, after) = rest.split_once('}').unwrap_or((rest, ""));
            let time = if self.catalogue.own { format!(", {expression}") } else { String::new() };
            filled = format!("{before}{time}{after}");
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let column = Column { sql_type: "text".to_owned(), labels: None, required: false };
        Catalogue {
            table: Some("crm.timeline".to_owned()),
            own: false,
            insertable: true,
            columns: COLUMNS.iter().map(|name| ((*name).to_owned(), column.clone())).collect(),
        }
    }

    fn problem(catalogue: Catalogue) -> String {
        ActivitiesTable::new("crm.timeline", catalogue, &["email_sent"]).unwrap_err().to_string()
    }

    #[test]
    fn a_table_that_cannot_take_activities_is_told_apart_before_anything_is_sent() {
        let mut lacks_column = catalogue();
        lacks_column.columns.remove("source_ref");
        insta::assert_snapshot!(problem(lacks_column), @"ACTIVITIES_TABLE crm.timeline: it has no column source_ref");

        let mut lacks_label = catalogue();
        lacks_label.columns.get_mut("action").unwrap().sql_type = "activity_action".to_owned();
        lacks_label.columns.get_mut("action").unwrap().labels = Some(vec!["call_made".to_owned()]);
        insta::assert_snapshot!(problem(lacks_label), @"ACTIVITIES_TABLE crm.timeline: column action has the enum type activity_action, which lacks the label 'email_sent'");

        let mut wants_more = catalogue();
        wants_more.columns.insert(
            "channel".to_owned(),
            Column { sql_type: "text".to_owned(), labels: None, required: true },
        );
        insta::assert_snapshot!(problem(wants_more), @"ACTIVITIES_TABLE crm.timeline: column channel is NOT NULL and has no default; only nine columns are written");

        insta::assert_snapshot!(problem(Catalogue { insertable: false, ..catalogue() }), @"ACTIVITIES_TABLE crm.timeline: the role in use may not INSERT into it");
        insta::assert_snapshot!(problem(Catalogue { table: None, ..catalogue() }), @"ACTIVITIES_TABLE crm.timeline: there is no such table (run the migrations, or name the CRM's own)");
    }

    #[test]
    fn only_a_table_of_this_package_is_given_an_activitys_time() {
        let statement = "INSERT INTO {activities} SELECT a::{type of action}{activity_time: s.at} FROM s";
        let fill =
            |own| ActivitiesTable::new("t", Catalogue { own, ..catalogue() }, &[]).unwrap().fill(statement);
        assert!(fill(true).contains(", created_at)") && fill(true).ends_with("SELECT a::text, s.at FROM s"));
        assert!(!fill(false).contains("created_at") && fill(false).ends_with("SELECT a::text FROM s"));
    }
}
