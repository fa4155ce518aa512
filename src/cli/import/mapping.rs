//! What becomes of each column.

use std::collections::HashSet;

/// Where a column's values go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Email,
    Name,
    CustomerId,
    ContactId,
    /// The CRM's own key of a customer, where it is no UUID.
    CustomerRef,
    /// A JSON object whose members are variables.
    Variables,
    /// A variable of this name.
    Variable(String),
    Ignored,
}

/// The columns that have a field of their own.
const FIELDS: [(&str, Target); 6] = [
    ("email", Target::Email),
    ("name", Target::Name),
    ("customer_id", Target::CustomerId),
    ("contact_id", Target::ContactId),
    ("customer_ref", Target::CustomerRef),
    ("variables", Target::Variables),
];

/// `--map` and `--ignore`.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// Each a field or variable, and the column that it is taken from.
    pub from: Vec<(String, String)>,
    pub ignored: Vec<String>,
}

/// Reads `FIELD=COLUMN`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(field, column)| (field.trim(), column.trim())) {
        Some((field, column)) if !field.is_empty() && !column.is_empty() => {
            Ok((field.to_owned(), column.to_owned()))
        }
        _ => Err("expected FIELD=COLUMN, such as email=E-Mail".to_owned()),
    }
}

impl Mapping {
    /// A column that nobody maps goes by its own name, whatever its case for the fields; a field that is mapped from
    /// elsewhere leaves the column of its name unused.
    pub fn target(&self, column: &str) -> Target {
        if self.ignored.iter().any(|ignored| ignored == column) {
            return Target::Ignored;
        }
        if let Some((field, _)) = self.from.iter().find(|(_, from)| from == column) {
            return field_named(field).unwrap_or_else(|| Target::Variable(field.clone()));
        }
        match field_named(column) {
            Some(target) if self.from.iter().any(|(field, _)| field_named(field) == Some(target.clone())) => {
                Target::Ignored
            }
            Some(target) => target,
            None => Target::Variable(column.to_owned()),
        }
    }

    /// The targets of a header.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn targets(&self, columns: &[String]) -> Result<Vec<Target>, String> {
        let listed = || columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
        let mut seen = HashSet::new();
        if let Some(twice) = columns.iter().find(|column| !seen.insert(*column)) {
            return Err(format!("there are two columns \"{twice}\": rename one"));
        }
        let wanted = self.from.iter().map(|(_, column)| ("--map", column));
        let unwanted = self.ignored.iter().map(|column| ("--ignore", column));
        if let Some((option, missing)) = wanted.chain(unwanted).find(|(_, column)| !columns.contains(column))
        {
            return Err(format!("{option}: there is no column \"{missing}\"; the columns are {}", listed()));
        }
        let targets: Vec<Target> = columns.iter().map(|column| self.target(column)).collect();
        if !targets.contains(&Target::Email) {
            return Err(format!(
                "there is no column \"email\"; the columns are {}: name it with --map email=COLUMN",
                listed()
            ));
        }
        Ok(targets)
    }
}

fn field_named(name: &str) -> Option<Target> {
    FIELDS.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, target)| target.clone())
}

/// Whether a template can name the variable: `{{ first_name }}`, and not `{{ First name }}`.
pub fn can_be_named(variable: &str) -> bool {
    let mut characters = variable.chars();
    characters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && characters.all(|character| character.is_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(from: &[&str], ignored: &[&str]) -> Mapping {
        Mapping {
            from: from.iter().map(|pair| parse_pair(pair).unwrap()).collect(),
            ignored: ignored.iter().map(ToString::to_string).collect(),
        }
    }

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn columns_go_by_their_names_unless_they_are_mapped() {
        let plain = mapping(&[], &["note"]);
        let variable = |name: &str| Target::Variable(name.to_owned());
        assert_eq!(
            plain.targets(&columns(&["Email", "NAME", "customer_id", "city", "note"])).unwrap(),
            [Target::Email, Target::Name, Target::CustomerId, variable("city"), Target::Ignored]
        );
        let mapped = mapping(&["email=E-Mail", "first_name=First name"], &[]);
        assert_eq!(
            mapped.targets(&columns(&["E-Mail", "First name", "email"])).unwrap(),
            [Target::Email, variable("first_name"), Target::Ignored]
        );
    }

    #[test]
    fn a_header_that_does_not_fit_is_told_what_is_missing() {
        let error = |from: &[&str], names: &[&str]| mapping(from, &[]).targets(&columns(names)).unwrap_err();
        insta::assert_snapshot!(error(&[], &["E-Mail", "Name"]), @r#"there is no column "email"; the columns are "E-Mail", "Name": name it with --map email=COLUMN"#);
        insta::assert_snapshot!(error(&["email=Mail"], &["E-Mail"]), @r#"--map: there is no column "Mail"; the columns are "E-Mail""#);
        insta::assert_snapshot!(error(&[], &["email", "city", "city"]), @r#"there are two columns "city": rename one"#);
        assert!(parse_pair("email").is_err() && parse_pair("=x").is_err());
    }

    #[test]
    fn a_template_can_name_identifiers_only() {
        assert!(can_be_named("first_name") && can_be_named("größe") && !can_be_named("First name"));
        assert!(!can_be_named("2nd") && !can_be_named(""));
    }
}
