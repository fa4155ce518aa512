//! The results of a campaign from the views, for machines.

use serde_json::{Map, Value};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{formula, patiently, soon};
use campaign_sender::store::Database;

/// The columns of `campaign_results` that count emails, in the order in which they are shown. The columns of
/// domains have the same names.
pub const COUNTS: [&str; 13] = [
    "sent",
    "delivered",
    "bounced",
    "bounced_softly",
    "withheld",
    "complained",
    "rejected",
    "opened_by_people",
    "opened_by_machines",
    "opened_by_apple",
    "clicked_by_people",
    "clicked_by_machines",
    "unsubscribed",
];

/// A campaign's row and the rows of its links, by the names of the columns.
pub struct Results {
    pub campaign: Map<String, Value>,
    pub links: Vec<Map<String, Value>>,
}

impl Results {
    /// A count of the campaign's row.
    pub fn count(&self, column: &str) -> i64 {
        self.campaign.get(column).and_then(Value::as_i64).unwrap_or_default()
    }
}

/// One campaign's results; `None` if there is no such campaign.
pub async fn of_campaign(database: &Database, id: Uuid) -> Result<Option<Results>, Failure> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&id, Type::UUID)];
    let rows = database.query(include_str!("campaign.sql"), &parameters, soon()).await?;
    rows.first()
        .map(|row| Ok(Results { campaign: read(row.get("row"))?, links: read(row.get("links"))? }))
        .transpose()
}

/// The results by domain; this reads all recipients.
pub async fn by_domain(database: &Database, id: Uuid) -> Result<Vec<Map<String, Value>>, Failure> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&id, Type::UUID)];
    let rows = database.query(include_str!("by_domain.sql"), &parameters, patiently()).await?;
    read(rows.first().map_or("[]", |row| row.get("rows")))
}

fn read<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json)
        .map_err(|error| Failure::new(Exit::Software, format!("what PostgreSQL answered: {error}")))
}

/// One object on one line, with names in camel case.
pub fn json(results: &Results, domains: &[Map<String, Value>]) -> String {
    let rows = |rows: &[Map<String, Value>]| Value::Array(rows.iter().map(camel_case).collect());
    let mut object = camel_case(&results.campaign);
    object["links"] = rows(&results.links);
    object["domains"] = rows(domains);
    format!("{object}\n")
}

fn camel_case(row: &Map<String, Value>) -> Value {
    row.iter().map(|(name, value)| (in_camel_case(name), value.clone())).collect::<Map<_, _>>().into()
}

fn in_camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut joined = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        joined.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        joined.push_str(letters.as_str());
    }
    joined
}

/// A line for the campaign, and one for each domain and link: `scope`, `name` and the counts. Links have only
/// the counts of clicks.
pub fn csv(results: &Results, domains: &[Map<String, Value>]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["scope", "name"].into_iter().chain(COUNTS))?;
    let mut line = |scope: &str, name: &str, row: &Map<String, Value>| {
        let name = formula::escaped(row.get(name).and_then(Value::as_str).unwrap_or_default()).into_owned();
        let counts = COUNTS.map(|column| row.get(column).map(Value::to_string).unwrap_or_default());
        writer.write_record([scope.to_owned(), name].into_iter().chain(counts))
    };
    line("campaign", "name", &results.campaign)?;
    for domain in domains {
        line("domain", "domain", domain)?;
    }
    for link in &results.links {
        line("link", "link", link)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn machines_get_camel_case_and_spreadsheets_no_formulas() {
        let results = Results {
            campaign: row(
                &json!({"name": "=1+1, \"Spring\"", "sent": 3, "opened_by_people": 1, "started_at": null}),
            ),
            links: vec![row(
                &json!({"link": "https://a.example/?x=1,2", "clicked_by_people": 2, "clicked_by_machines": 0}),
            )],
        };
        let domains = [row(&json!({"domain": "example.com", "sent": 3}))];
        insta::assert_snapshot!(json(&results, &domains), @r#"{"domains":[{"domain":"example.com","sent":3}],"links":[{"clickedByMachines":0,"clickedByPeople":2,"link":"https://a.example/?x=1,2"}],"name":"=1+1, \"Spring\"","openedByPeople":1,"sent":3,"startedAt":null}"#);
        insta::assert_snapshot!(String::from_utf8(csv(&results, &domains).unwrap()).unwrap(), @r#"
        scope,name,sent,delivered,bounced,bounced_softly,withheld,complained,rejected,opened_by_people,opened_by_machines,opened_by_apple,clicked_by_people,clicked_by_machines,unsubscribed
        campaign,"'=1+1, ""Spring""",3,,,,,,,1,,,,,
        domain,example.com,3,,,,,,,,,,,,
        link,"https://a.example/?x=1,2",,,,,,,,,,,2,0,
        "#);
    }
}
