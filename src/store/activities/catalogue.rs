//! The activities table in PostgreSQL's catalogue, and which of its columns fit. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The table in the catalogue, as `activities.sql` returns it.
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of the catalogue")]
pub struct Catalogue {
    /// The table's name with its schema, as PostgreSQL quotes it; null if there is no such table.
    pub table: Option<String>,
    /// True if the role in use has USAGE on the table's schema.
    pub usage: bool,
    /// True if this package's migration created the table: then an activity's own time is written as
    /// `created_at`.
    pub own: bool,
    /// A table without rules, neither partitioned nor foreign, and no view.
    pub plain: bool,
    /// Row level security lets the role in use insert rows, or is off for it.
    pub policy: bool,
    /// A trigger runs before each row is inserted, and may fill in columns that have no default.
    pub filled: bool,
    /// A column that the view's table requires and the view lacks.
    pub hidden: Option<String>,
    /// The database's encoding is UTF-8.
    pub unicode: bool,
    /// All columns by name.
    pub columns: BTreeMap<String, Column>,
}

/// One column as PostgreSQL's catalogue has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Column {
    /// The type as its table declares it.
    pub declared: String,
    /// The base type without a length, as it is written in a cast.
    #[serde(rename = "type")]
    pub sql_type: String,
    /// The domain, if the type is one, as it is written in a cast.
    pub domain: Option<String>,
    /// What the base type can hold.
    pub kind: Kind,
    /// The most characters that it holds, if it has a limit.
    pub length: Option<usize>,
    /// The labels, if it is an enum.
    pub labels: Option<Vec<String>>,
    /// NOT NULL, and nothing fills it in: no default, not an identity, not generated.
    pub required: bool,
    /// Why no value can be given for it: it is generated, or an identity column.
    pub given: Option<String>,
    /// True if the role in use has INSERT on it.
    pub insertable: bool,
}

/// What a type can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the meaning")]
pub enum Kind {
    Text,
    Enum,
    Uuid,
    Json,
    /// `timestamptz`.
    Time,
    Other,
}

/// The columns that are written in every table.
pub const COLUMNS: [&str; 9] = [
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
/// The characters of a UUID.
const UUID_LENGTH: usize = 36;
/// What to do about a column whose type cannot be changed.
const ADVICE: &str = "change its type, or name a view that converts it (docs/your-activities-table.md)";

impl Catalogue {
    /// Returns true if the column exists and a value can be written into it.
    pub fn takes(&self, column: &str) -> bool {
        self.columns.get(column).is_some_and(|column| column.given.is_none())
    }

    /// The first reason why the table cannot take activities with these `actions`, as far as the catalogue shows it.
    pub fn problem(&self, actions: &[&str]) -> Option<String> {
        if self.table.is_none() {
            return Some("there is no such table (run the migrations, or name the CRM's own)".to_owned());
        }
        if !self.usage {
            return Some(
                "the role in use lacks USAGE on its schema: GRANT USAGE ON SCHEMA … TO it".to_owned(),
            );
        }
        let fits = |name: &str| match self.columns.get(name) {
            Some(column) => column.problem(name, actions),
            None => Some(format!("it has no column {name}")),
        };
        COLUMNS
            .into_iter()
            .find_map(fits)
            .or_else(|| {
                // These columns are written too if the table has them, unless it fills them itself.
                let optional = ["occurred_at", "entity_ref"].into_iter();
                optional.filter(|name| self.takes(name)).find_map(fits)
            })
            .or_else(|| self.unfilled())
            .or_else(|| self.forbidden())
    }

    fn written(&self, name: &str) -> bool {
        COLUMNS.contains(&name)
            || matches!(name, "occurred_at" | "entity_ref") && self.takes(name)
            || self.own && name == "created_at"
    }

    fn unfilled(&self) -> Option<String> {
        if let Some(hidden) = &self.hidden {
            return Some(format!(
                "column {hidden} is NOT NULL, has no default and is not in the view: give it a default, or the view an INSTEAD OF trigger that fills it"
            ));
        }
        let unfilled = |(name, column): &(&String, &Column)| column.required && !self.written(name);
        let (name, _) = self.columns.iter().find(unfilled).filter(|_| !self.filled)?;
        Some(format!(
            "column {name} is NOT NULL, has no default and is not written: give it a default, or name a view with an INSTEAD OF trigger that fills it"
        ))
    }

    fn forbidden(&self) -> Option<String> {
        let table = self.table.as_deref().unwrap_or_default();
        let denied = |(name, column): &(&String, &Column)| self.written(name) && !column.insertable;
        if let Some((name, _)) = self.columns.iter().find(denied) {
            return Some(format!(
                "the role in use may not INSERT into column {name}: GRANT INSERT ON {table} TO it"
            ));
        }
        (!self.policy).then(|| {
            "row level security refuses every row of the role in use: CREATE POLICY … FOR INSERT TO it (access/row_level_security.sql)".to_owned()
        })
    }
}

impl Column {
    /// Why the column cannot take the values that are written into it.
    fn problem(&self, name: &str, actions: &[&str]) -> Option<String> {
        let declared = &self.declared;
        if let Some(given) = &self.given {
            return Some(format!("column {name} {given}, and cannot be written: name a view without it"));
        }
        let (kinds, expected, values): (&[Kind], &str, &[&str]) = match name {
            "organization_id" | "user_id" | "entity_id" | "source_ref" => {
                (&[Kind::Uuid, Kind::Text], "uuid or text", &[])
            }
            "entity_type" => (&[Kind::Text, Kind::Enum], "text or an enum", &["customer", "email"]),
            "action" => (&[Kind::Text, Kind::Enum], "text or an enum", actions),
            "source" => (&[Kind::Text, Kind::Enum], "text or an enum", &["email"]),
            "metadata" => (&[Kind::Json, Kind::Text], "jsonb, json or text", &[]),
            "occurred_at" => (&[Kind::Time], "timestamptz", &[]),
            _ => (&[Kind::Text], "text", &[]),
        };
        if !kinds.contains(&self.kind) {
            return Some(format!("column {name} has the type {declared}, but must be {expected}: {ADVICE}"));
        }
        let too_short = |what: &str| {
            Some(format!("column {name} has the type {declared}, which is too short for {what}: {ADVICE}"))
        };
        match (name, self.length) {
            ("metadata", Some(_)) => return too_short("metadata of any length"),
            ("organization_id" | "user_id" | "entity_id" | "source_ref", Some(length))
                if length < UUID_LENGTH =>
            {
                return too_short("a UUID of 36 characters");
            }
            _ => {}
        }
        if let Some(value) = values.iter().find(|value| !self.is_long_enough(value)) {
            return too_short(&format!("'{value}'"));
        }
        let missing = values.iter().find(|value| !self.has_label(value))?;
        Some(format!("column {name} has the enum type {declared}, which lacks the label '{missing}'"))
    }

    /// Returns true if the column can hold this word: its length allows it, and an enum has it as a label.
    pub fn knows(&self, word: &str) -> bool {
        self.has_label(word) && self.is_long_enough(word)
    }

    fn has_label(&self, word: &str) -> bool {
        self.labels.as_ref().is_none_or(|labels| labels.iter().any(|label| label == word))
    }

    fn is_long_enough(&self, word: &str) -> bool {
        self.length.is_none_or(|length| word.chars().count() <= length)
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub fn column(sql_type: &str, kind: Kind) -> Column {
        Column {
            declared: sql_type.to_owned(),
            sql_type: sql_type.to_owned(),
            domain: None,
            kind,
            length: None,
            labels: None,
            required: false,
            given: None,
            insertable: true,
        }
    }

    /// A table with the nine columns, as a CRM may have it.
    pub fn catalogue() -> Catalogue {
        let kind = |name| match name {
            "entity_id" => column("uuid", Kind::Uuid),
            "metadata" => column("jsonb", Kind::Json),
            _ => column("text", Kind::Text),
        };
        Catalogue {
            table: Some("crm.timeline".to_owned()),
            usage: true,
            own: false,
            plain: true,
            policy: true,
            filled: false,
            hidden: None,
            unicode: true,
            columns: COLUMNS.iter().map(|name| ((*name).to_owned(), kind(name))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{catalogue, column};
    use super::*;

    /// The problem of a catalogue after this change.
    fn problem(change: impl FnOnce(&mut Catalogue)) -> String {
        let mut catalogue = catalogue();
        change(&mut catalogue);
        catalogue.problem(&["email_sent"]).unwrap_or_else(|| "none".to_owned())
    }

    /// The same, with one column of this type.
    fn with(name: &str, column: Column) -> String {
        problem(|catalogue| drop(catalogue.columns.insert(name.to_owned(), column)))
    }

    fn varchar(length: usize) -> Column {
        Column { length: Some(length), ..column(&format!("character varying({length})"), Kind::Text) }
    }

    #[test]
    fn a_table_that_cannot_take_activities_is_told_apart_before_anything_is_sent() {
        insta::assert_snapshot!(problem(|_| ()), @"none");
        insta::assert_snapshot!(problem(|c| c.table = None), @"there is no such table (run the migrations, or name the CRM's own)");
        insta::assert_snapshot!(problem(|c| c.usage = false), @"the role in use lacks USAGE on its schema: GRANT USAGE ON SCHEMA … TO it");
        insta::assert_snapshot!(problem(|c| drop(c.columns.remove("source_ref"))), @"it has no column source_ref");
        insta::assert_snapshot!(problem(|c| c.columns.get_mut("action").unwrap().insertable = false), @"the role in use may not INSERT into column action: GRANT INSERT ON crm.timeline TO it");
        insta::assert_snapshot!(problem(|c| c.policy = false), @"row level security refuses every row of the role in use: CREATE POLICY … FOR INSERT TO it (access/row_level_security.sql)");
    }

    #[test]
    fn a_column_whose_type_does_not_fit_is_named_with_what_to_do() {
        let bigint = || column("bigint", Kind::Other);
        insta::assert_snapshot!(with("entity_id", bigint()), @"column entity_id has the type bigint, but must be uuid or text: change its type, or name a view that converts it (docs/your-activities-table.md)");
        insta::assert_snapshot!(with("occurred_at", column("timestamp without time zone", Kind::Other)), @"column occurred_at has the type timestamp without time zone, but must be timestamptz: change its type, or name a view that converts it (docs/your-activities-table.md)");
        insta::assert_snapshot!(with("entity_id", varchar(17)), @"column entity_id has the type character varying(17), which is too short for a UUID of 36 characters: change its type, or name a view that converts it (docs/your-activities-table.md)");
        insta::assert_snapshot!(with("action", varchar(8)), @"column action has the type character varying(8), which is too short for 'email_sent': change its type, or name a view that converts it (docs/your-activities-table.md)");
        insta::assert_snapshot!(with("metadata", varchar(500)), @"column metadata has the type character varying(500), which is too short for metadata of any length: change its type, or name a view that converts it (docs/your-activities-table.md)");
        let labels = Some(vec!["call_made".to_owned()]);
        insta::assert_snapshot!(with("action", Column { labels, ..column("activity_action", Kind::Enum) }), @"column action has the enum type activity_action, which lacks the label 'email_sent'");
        let given = Some("is generated".to_owned());
        insta::assert_snapshot!(with("source", Column { given, ..column("text", Kind::Text) }), @"column source is generated, and cannot be written: name a view without it");
        for name in COLUMNS {
            assert_ne!(with(name, bigint()), "none", "{name}");
        }
    }

    #[test]
    fn what_is_wide_enough_fits() {
        for name in
            ["organization_id", "user_id", "entity_id", "source_ref", "entity_type", "action", "source"]
        {
            assert_eq!(with(name, varchar(36)), "none", "{name}");
        }
        for name in ["organization_id", "user_id", "entity_id", "source_ref"] {
            assert_eq!(with(name, column("uuid", Kind::Uuid)), "none", "{name}");
        }
        assert_eq!(with("description", varchar(1)), "none");
        assert_eq!(with("metadata", column("text", Kind::Text)), "none");
        assert_eq!(with("entity_ref", varchar(17)), "none");
    }

    #[test]
    fn a_further_column_that_must_be_given_needs_something_that_fills_it() {
        let required = || Column { required: true, ..column("text", Kind::Text) };
        insta::assert_snapshot!(with("channel", required()), @"column channel is NOT NULL, has no default and is not written: give it a default, or name a view with an INSTEAD OF trigger that fills it");
        assert_eq!(with("channel", Column { required: false, ..required() }), "none");
        let filled = problem(|catalogue| {
            catalogue.filled = true;
            drop(catalogue.columns.insert("channel".to_owned(), required()));
        });
        assert_eq!(filled, "none");
    }
}
