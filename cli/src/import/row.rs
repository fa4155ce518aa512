//! One row of the input, checked and in the format of `COPY`.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::json::{Field, Members};
use super::mapping::Target;
use campaign_sender::domain::address;
use campaign_sender::domain::batch::MAX_VARIABLES_BYTES;

/// The values of a row while they are read.
#[derive(Debug, Default)]
pub struct Row {
    email: String,
    name: Option<String>,
    customer_id: Option<Uuid>,
    contact_id: Option<Uuid>,
    customer_ref: Option<String>,
    /// Variables by name, as JSON.
    variables: BTreeMap<String, String>,
    refusal: Option<Refusal>,
}

/// Why a row is not imported: a stable code, and a text for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: &'static str,
    pub detail: String,
}

impl Row {
    /// A row that could not even be read.
    pub fn unreadable(detail: impl Into<String>) -> Row {
        let mut row = Row::default();
        row.refuse("unreadable", detail);
        row
    }

    /// Takes a value. The first error in a row is the one that is reported.
    pub fn take(&mut self, target: &Target, column: &str, value: Field<'_>) {
        if let Some(problem) = Field::Text(column).problem().or_else(|| value.problem()) {
            return self.refuse("unreadable", format!("{column} {problem}"));
        }
        match target {
            Target::Ignored => {}
            Target::Email => value.text().trim().clone_into(&mut self.email),
            Target::Name => self.name = Some(value.text()).filter(|name| !name.trim().is_empty()),
            Target::CustomerId => self.customer_id = self.id(column, value),
            Target::ContactId => self.contact_id = self.id(column, value),
            Target::CustomerRef => {
                self.customer_ref = Some(value.text().trim().to_owned()).filter(|key| !key.is_empty());
            }
            Target::Variable(name) => {
                self.variables.insert(name.clone(), value.json());
            }
            Target::Variables => self.take_object(column, value),
        }
    }

    /// An object, or a text that is one.
    fn take_object(&mut self, column: &str, value: Field<'_>) {
        let json = value.json();
        let json = serde_json::from_str(&json).unwrap_or(json);
        if json.trim().is_empty() || json.trim() == "null" {
            return;
        }
        let Ok(members) = serde_json::from_str::<Members>(&json) else {
            return self.refuse("unreadable", format!("{column} is not a JSON object"));
        };
        for (name, value) in members {
            let problem = Field::Text(&name).problem().or_else(|| Field::Json(&value).problem());
            if let Some(problem) = problem {
                return self.refuse("unreadable", format!("{column} {problem}"));
            }
            self.variables.insert(name, value.get().to_owned());
        }
    }

    fn id(&mut self, column: &str, value: Field<'_>) -> Option<Uuid> {
        let value = value.text();
        let value = value.trim();
        if value.is_empty() {
            return None;
        }
        let id = Uuid::try_parse(value).ok();
        if id.is_none() {
            let shown: String = value.chars().take(60).collect();
            self.refuse("malformed_id", format!("{column} is \"{shown}\", not a UUID"));
        }
        id
    }

    fn refuse(&mut self, reason: &'static str, detail: impl Into<String>) {
        self.refusal.get_or_insert(Refusal { reason, detail: detail.into() });
    }

    /// Checks what needs the whole row, and appends it as a line of `COPY`'s text format with the columns of the
    /// temporary table: line, id, email, name, customer_id, contact_id, customer_ref,
    /// variables, reason, detail.
    pub fn write(mut self, line: u64, copy: &mut Vec<u8>) {
        if self.refusal.is_none()
            && let Err(error) = address::sendable(&self.email)
        {
            self.refuse(
                "bad_address",
                if self.email.is_empty() { "there is none".into() } else { error.to_string() },
            );
        }
        let variables = (!self.variables.is_empty()).then(|| object(&self.variables));
        if let Some(bytes) = variables.as_ref().map(String::len)
            && bytes > MAX_VARIABLES_BYTES as usize
        {
            let detail = format!("its variables have {bytes} bytes: at most {MAX_VARIABLES_BYTES}");
            self.refusal.get_or_insert(Refusal { reason: "unreadable", detail });
        }
        let (reason, detail, variables) = match self.refusal {
            Some(Refusal { reason, detail }) => (Some(reason), Some(detail), None),
            None => (None, None, variables),
        };
        let id = |id: Option<Uuid>| id.map(|id| id.to_string());
        field(copy, Some(&line.to_string()), b'\t');
        // Ids that are ordered by time keep the primary key's pages together.
        field(copy, Some(&Uuid::now_v7().to_string()), b'\t');
        field(copy, Some(&without_nul(&self.email)), b'\t');
        field(copy, self.name.as_deref(), b'\t');
        field(copy, id(self.customer_id).as_deref(), b'\t');
        field(copy, id(self.contact_id).as_deref(), b'\t');
        field(copy, self.customer_ref.as_deref(), b'\t');
        field(copy, variables.as_deref(), b'\t');
        field(copy, reason, b'\t');
        field(copy, detail.as_deref().map(without_nul).as_deref(), b'\n');
    }
}

/// A field of `COPY`'s text format, and its delimiter.
pub fn field(copy: &mut Vec<u8>, value: Option<&str>, end: u8) {
    match value {
        None => copy.extend_from_slice(b"\\N"),
        Some(value) => {
            for byte in value.bytes() {
                match byte {
                    b'\\' => copy.extend_from_slice(b"\\\\"),
                    b'\n' => copy.extend_from_slice(b"\\n"),
                    b'\r' => copy.extend_from_slice(b"\\r"),
                    b'\t' => copy.extend_from_slice(b"\\t"),
                    byte => copy.push(byte),
                }
            }
        }
    }
    copy.push(end);
}

/// A JSON object of members that are JSON already.
fn object(members: &BTreeMap<String, String>) -> String {
    let members = members.iter().map(|(name, value)| format!("{}:{value}", Field::Text(name).json()));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use serde_json::value::{RawValue, to_raw_value};
    use serde_json::{Value, json};

    use super::*;

    fn written(values: &[(Target, Value)]) -> String {
        let mut row = Row::default();
        for (target, value) in values {
            row.take(target, "column", Field::Json(&to_raw_value(value).unwrap()));
        }
        let mut copy = Vec::new();
        row.write(7, &mut copy);
        let line = String::from_utf8(copy).unwrap();
        let mut fields: Vec<&str> = line.split('\t').collect();
        assert!(Uuid::try_parse(fields.remove(1)).is_ok());
        fields.join("|")
    }

    fn variable(name: &str) -> Target {
        Target::Variable(name.to_owned())
    }

    #[test]
    fn a_row_is_written_as_copy_takes_it() {
        let row = written(&[
            (Target::Email, json!(" Ada@example.com ")),
            (Target::Name, json!("Ada\tLovelace \\ Co\n")),
            (Target::CustomerId, json!("5F0C2B1E-7d34-4c8a-9b61-2f7e0a4d9c35")),
            (Target::ContactId, json!("")),
            (Target::CustomerRef, json!(4711)),
            (variable("city"), json!("Oslo")),
            (Target::Variables, json!("{\"n\": 1}")),
        ]);
        assert_eq!(
            row,
            "7|Ada@example.com|Ada\\tLovelace \\\\ Co\\n|5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35|\\N|4711|{\"city\":\"Oslo\",\"n\":1}|\\N|\\N\n"
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        let json = |text: &'static str| serde_json::from_str::<&RawValue>(text).unwrap();
        let mut row = Row::default();
        row.take(&Target::Email, "email", Field::Text("ada@example.com"));
        row.take(&variable("price"), "price", Field::Json(json("20.00")));
        row.take(
            &Target::Variables,
            "more",
            Field::Json(json(r#"{"big": 12345678901234567891234, "x": [1e400, -0.0]}"#)),
        );
        row.take(&Target::Variables, "text", Field::Text(r#"{"small": 0.10}"#));
        let mut copy = Vec::new();
        row.write(1, &mut copy);
        let line = String::from_utf8(copy).unwrap();
        let variables = r#"{"big":12345678901234567891234,"price":20.00,"small":0.10,"x":[1e400, -0.0]}"#;
        assert!(line.contains(&format!("\t{variables}\t")), "{line}");
    }

    #[test]
    fn a_row_that_cannot_be_sent_to_carries_the_reason() {
        let reason =
            |values: &[(Target, Value)]| written(values).splitn(8, '|').nth(7).unwrap().trim().to_owned();
        let ada = (Target::Email, json!("ada@example.com"));
        insta::assert_snapshot!(reason(&[]), @"bad_address|there is none");
        insta::assert_snapshot!(reason(&[(Target::Email, json!("ada"))]), @"bad_address|it is not of the form local@domain");
        insta::assert_snapshot!(reason(&[ada.clone(), (Target::CustomerId, json!(12))]), @r#"malformed_id|column is "12", not a UUID"#);
        insta::assert_snapshot!(reason(&[ada.clone(), (Target::Variables, json!([1]))]), @"unreadable|column is not a JSON object");
        insta::assert_snapshot!(reason(&[ada.clone(), (variable("x"), json!({"a": ["\0"]}))]), @"unreadable|column holds a NUL character");
        insta::assert_snapshot!(reason(&[ada, (variable("x"), json!("x".repeat(300_000)))]), @"unreadable|its variables have 300008 bytes: at most 262144");
    }
}
