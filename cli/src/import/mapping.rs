//! The mapping of columns to fields and variables.

use std::collections::HashSet;

use super::super::output::shown;

/// The target of a column's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Email,
    Name,
    CustomerId,
    ContactId,
    /// The CRM's own key of a customer, if it is not a UUID.
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
    /// Pairs of a field or variable and the column from which it is taken.
    pub from: Vec<(String, String)>,
    pub ignored: Vec<String>,
}

/// Reads `FIELD=COLUMN`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(field, column)| (field.trim(), column.trim())) {
        Some((field, column)) if !field.is_empty() && !column.is_empty() => {
            Ok((field.to_owned(), column.to_owned()))
        }
        _ => Err("expected FIELD=COLUMN, for example email=E-Mail".to_owned()),
    }
}

impl Mapping {
    /// The target of a column with this name and without a number, for a member of a JSON object.
    pub fn target(&self, column: &str) -> Target {
        if self.ignored.iter().any(|ignored| ignored == column) {
            return Target::Ignored;
        }
        let from = self.from.iter().find(|(_, from)| from == column);
        self.target_of(column, from)
    }

    /// A column that is not mapped goes to the field or variable of its own name; for fields, letter case
    /// does not matter. If a field or variable is mapped from another column, the column of its name is not
    /// used.
    fn target_of(&self, column: &str, from: Option<&(String, String)>) -> Target {
        let named = |name: &str| field_named(name).unwrap_or_else(|| Target::Variable(name.to_owned()));
        match from {
            Some((field, _)) => named(field),
            None if column.is_empty() => Target::Ignored,
            None if self.from.iter().any(|(field, _)| named(field) == named(column)) => Target::Ignored,
            None => named(column),
        }
    }

    /// The target of the column at this place in a header. A number given for it takes precedence over its
    /// name.
    fn target_at(&self, at: usize, columns: &[String]) -> Target {
        let means = |given: &String| columns_named(given, columns).contains(&at);
        if self.ignored.iter().any(means) {
            return Target::Ignored;
        }
        let by_name = |(_, from): &&(String, String)| *from == columns[at];
        let from = self.from.iter().filter(|(_, from)| means(from));
        let numbered = from.clone().find(|pair| !by_name(pair));
        self.target_of(&columns[at], numbered.or_else(|| self.from.iter().find(by_name)))
    }

    /// Returns true if an option maps the column or leaves it out.
    pub fn mentions(&self, at: usize, columns: &[String]) -> bool {
        let given = self.from.iter().map(|(_, column)| column).chain(&self.ignored);
        given.into_iter().any(|given| columns_named(given, columns).contains(&at))
    }

    /// The targets of a header.
    ///
    /// # Errors
    /// Says what is wrong with it, and what to do.
    pub fn targets(&self, columns: &[String]) -> Result<Vec<Target>, String> {
        check_named(&self.from, &self.ignored, columns)?;
        let mut seen = HashSet::new();
        if let Some((field, _)) = self.from.iter().find(|(field, _)| !seen.insert(field.to_lowercase())) {
            return Err(format!("--map takes {field} from two columns: give one of them"));
        }
        let mut seen = HashSet::new();
        if let Some((_, column)) = self.from.iter().find(|(_, column)| !seen.insert(column)) {
            return Err(format!("--map takes the column \"{column}\" twice: give it once"));
        }
        let targets: Vec<Target> = (0..columns.len()).map(|at| self.target_at(at, columns)).collect();
        for (at, target) in targets.iter().enumerate() {
            let first = targets[..at].iter().position(|before| before == target);
            if let Some(first) = first.filter(|_| *target != Target::Ignored) {
                return Err(twice(first, at, columns));
            }
        }
        if !targets.contains(&Target::Email) {
            return Err(no_address(columns));
        }
        Ok(targets)
    }
}

/// The columns that an option names: those with this name, or the one with this number (`#3`).
pub fn columns_named(given: &str, columns: &[String]) -> Vec<usize> {
    let named: Vec<usize> = (0..columns.len()).filter(|at| columns[*at] == given.trim()).collect();
    if !named.is_empty() {
        return named;
    }
    let number: Option<usize> = given.trim().strip_prefix('#').and_then(|number| number.parse().ok());
    number.and_then(|number| number.checked_sub(1)).filter(|at| *at < columns.len()).into_iter().collect()
}

/// Checks that the header has each column that `--map` and `--ignore` name.
pub fn check_named(from: &[(String, String)], ignored: &[String], columns: &[String]) -> Result<(), String> {
    if columns.iter().all(String::is_empty) {
        return Err(
            "there is no header: expected a first line with the names of the columns, for example email,name"
                .into(),
        );
    }
    let wanted = from.iter().map(|(_, column)| ("--map", column));
    let unwanted = ignored.iter().map(|column| ("--ignore", column));
    match wanted.chain(unwanted).find(|(_, column)| columns_named(column, columns).is_empty()) {
        Some((option, missing)) => Err(format!(
            "{option}: there is no column \"{}\"; the columns are {}",
            shown(missing),
            listed(columns)
        )),
        None => Ok(()),
    }
}

/// The error for two columns with the same target.
pub fn twice(first: usize, second: usize, columns: &[String]) -> String {
    let (name, number) = (shown(&columns[second]), second + 1);
    format!(
        "the columns {} and {number} are both \"{name}\": leave one out with --ignore '#{number}', or take it under another name with --map NAME='#{number}'",
        first + 1
    )
}

/// The error for a header without a column of addresses.
pub fn no_address(columns: &[String]) -> String {
    let is_address = |name: &String| campaign_sender::domain::address::sendable(name).is_ok();
    if columns.iter().any(is_address) {
        return "the first line holds an address: expected the names of the columns, for example email,name; put such a line first"
            .to_owned();
    }
    format!(
        "there is no column \"email\"; the columns are {}: name it with --map email=COLUMN",
        listed(columns)
    )
}

fn listed(columns: &[String]) -> String {
    let names = columns.iter().map(|column| match column.as_str() {
        "" => "(no name)".to_owned(),
        name => format!("\"{}\"", shown(name)),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// A word, quoted for a shell.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn field_named(name: &str) -> Option<Target> {
    FIELDS.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, target)| target.clone())
}

/// Returns true if a template can name the variable: `{{ first_name }}`, but not `{{ First name }}`.
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
        insta::assert_snapshot!(error(&[], &["email", "city", "city"]), @r#"the columns 2 and 3 are both "city": leave one out with --ignore '#3', or take it under another name with --map NAME='#3'"#);
        assert!(parse_pair("email").is_err() && parse_pair("=x").is_err());
    }

    /// Follows the advice of an error: the options in it, with a name in place of `NAME`.
    fn followed(mut given: Mapping, advice: &str) -> Mapping {
        let words: Vec<&str> = advice.split_whitespace().collect();
        let at = words.iter().position(|word| word.starts_with("--")).unwrap();
        let value = words[at + 1].trim_end_matches([',', ';']).replace('\'', "").replace("NAME", "other");
        match words[at] {
            "--ignore" => given.ignored.push(value),
            "--map" => given.from.push(parse_pair(&value).unwrap()),
            option => panic!("{option}"),
        }
        given
    }

    #[test]
    fn the_advice_of_an_error_is_taken_when_it_is_followed() {
        for names in [&["email", "city", "city"][..], &["email", "Email"], &["email", "", "x", "x", ""]] {
            let plain = mapping(&[], &[]);
            let error = plain.targets(&columns(names)).unwrap_err();
            assert!(followed(plain.clone(), &error).targets(&columns(names)).is_ok(), "{error}");
            let other_half = error.split(", or ").nth(1).unwrap();
            let targets = followed(plain, other_half).targets(&columns(names)).unwrap();
            assert!(targets.contains(&Target::Variable("other".to_owned())), "{error}");
        }
        assert!(mapping(&[], &["city"]).targets(&columns(&["email", "city", "city"])).is_ok());
        let number = mapping(&["town=#3", "email=#1"], &["#2"]).targets(&columns(&["", "x", ""])).unwrap();
        assert_eq!(number, [Target::Email, Target::Ignored, Target::Variable("town".to_owned())]);
        let named = mapping(&["email=#3"], &[]).targets(&columns(&["#3", "y", "z"])).unwrap();
        assert_eq!(named[0], Target::Email);
        assert!(mapping(&["email=x", "email=y"], &[]).targets(&columns(&["x", "y"])).is_err());
        assert!(mapping(&["email=x", "login=x"], &[]).targets(&columns(&["x", "y"])).is_err());
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_template_can_name_identifiers_only() {
        assert!(can_be_named("first_name") && can_be_named("größe") && !can_be_named("First name"));
        assert!(!can_be_named("2nd") && !can_be_named(""));
    }
}
