//! The timelines of three real CRMs, in their own shape. What the pages in `docs/timelines/` say is run here: the SQL of
//! each page, a whole campaign by the built functions under the roles of `access/`, and what Amazon SES reports of it.

#[path = "../support/mod.rs"]
mod support;

mod espocrm;
mod odoo;
mod rights;
mod twenty;

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use campaign_sender::message::token::{Keys, RecipientIds};
use local_ses::lambda::Function;
use local_ses::ses::in_sqs_batch;
use serde_json::{Value, json};
use support::{TIMEOUT, UNSUBSCRIBE_SECRET, World, executable, root};
use uuid::Uuid;

/// The campaign of the pages' examples.
const CAMPAIGN: Uuid = Uuid::from_u128(0x5f0c_2b1e_7d34_4c8a_9b61_2f7e_0a4d_9c35);

/// A CRM's database with its page's adapter, and a campaign of its people.
struct Crm {
    world: World,
    /// `ACTIVITIES_TABLE`.
    table: &'static str,
    organization: Uuid,
}

impl Crm {
    /// Makes tables of the CRM's shape, runs `people`, and a campaign with these `variables` and the SQL of the page, the
    /// last of which inserts the recipients.
    fn new(name: &str, table: &'static str, organization: &str, people: &str, variables: &Value) -> Crm {
        let mut world = World::new();
        let organization: Uuid = organization.parse().unwrap();
        let shape = format!("{}/tests/timelines/{name}.sql", root().display());
        execute(&mut world, &std::fs::read_to_string(shape).unwrap());
        execute(&mut world, people);
        world.database.execute(
            "INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, html, created_by, variables)
             VALUES ($1, $2, 'Spring', 'sending', 'News <news@example.com>', 'Hello {{ name }}',
                     '<p>Good day</p>', '00000000-0000-0000-0000-00000000000c', $3)",
            &[&CAMPAIGN, &organization, variables],
        );
        let page = format!("{}/docs/timelines/{name}.md", root().display());
        let page = std::fs::read_to_string(page).unwrap();
        let blocks = page.split("```sql\n").skip(1).filter_map(|rest| rest.split_once("```"));
        for (block, _) in blocks {
            execute(&mut world, block);
        }
        grant(&world, table);
        Crm { world, table, organization }
    }

    /// One of the functions, in its role.
    fn function(&self, name: &str) -> Function {
        let role = format!("campaign_{}", name.replace('-', "_"));
        let url = format!("{}?options=-c%20role%3D{role}", self.world.database.url);
        let mut environment = self.world.environment();
        environment.push(("ACTIVITIES_TABLE", self.table.to_owned()));
        let mut environment: Vec<_> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        environment.push(("DATABASE_URL", &url));
        Function::start(&executable(name), &environment).expect("the function starts")
    }

    /// Sends the campaign to its end, and returns how many have each status.
    fn send(&mut self) -> String {
        let mut function = self.function("send-batch");
        let results = support::run(&mut function, support::event(CAMPAIGN, 10));
        assert_eq!(results.last().unwrap()["status"], "done", "{results:?}");
        let statuses = self.world.statuses(CAMPAIGN);
        statuses.iter().map(|(status, count)| format!("{count} {status}")).collect::<Vec<_>>().join(", ")
    }

    /// An event of the kind in a file of `events/ses/eventbridge/`, for the recipient whose address begins
    /// with this.
    fn event(&mut self, kind: &str, person: &str) -> Value {
        let file = format!("{}/events/ses/eventbridge/{kind}.json", root().display());
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut event: Value = serde_json::from_str(&text.replace("2026-03-02", "2030-03-02")).unwrap();
        let (id, email, message_id) = self.recipient(person);
        let mail = &mut event["detail"]["mail"];
        mail["messageId"] = json!(message_id);
        mail["destination"] = json!([email]);
        mail["tags"]["campaign_id"] = json!([CAMPAIGN]);
        mail["tags"]["recipient_id"] = json!([id]);
        mail["tags"]["organization_id"] = json!([self.organization]);
        event
    }

    fn recipient(&mut self, person: &str) -> (Uuid, String, String) {
        let sql = "SELECT id, email, message_id FROM campaign_recipients WHERE email LIKE $1 || '%'";
        let row = &self.world.database.query(sql, &[&person])[0];
        (row.get(0), row.get(1), row.get(2))
    }

    /// What Amazon SES and the people do with the campaign's emails, as events that arrive twice; returns the
    /// failed events. Finn has been deleted; the pages say what happens to his events.
    fn everything_happens(&mut self) -> Vec<String> {
        let told = [
            ("delivery", "ana"),
            ("delivery", "dora"),
            ("click", "ana"),
            ("open", "ana"),
            ("bounce-permanent", "ben"),
            ("open-by-machine", "cleo"),
            ("click-by-machine", "cleo"),
            ("bounce-transient", "cleo"),
            ("complaint", "emil"),
            ("delivery", "finn"),
        ];
        let events: Vec<Value> = told.iter().map(|(kind, person)| self.event(kind, person)).collect();
        let mut function = self.function("ses-events");
        let mut failed = Vec::new();
        for _ in 0..2 {
            let answer = function.invoke(&in_sqs_batch(&events), Duration::from_secs(60)).unwrap();
            failed = answer["batchItemFailures"]
                .as_array()
                .unwrap()
                .iter()
                .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
                .collect();
        }
        self.unsubscribe("dora");
        failed
    }

    /// A click on the link of this person's email, in the mail program.
    fn unsubscribe(&mut self, person: &str) {
        let recipient_id = self.recipient(person).0;
        let ids = RecipientIds { recipient_id, organization_id: self.organization };
        let token = Keys::parse(UNSUBSCRIBE_SECRET).unwrap().sign(ids);
        let file = format!("{}/events/unsubscribe/one-click.json", root().display());
        let request = std::fs::read_to_string(file).unwrap().replace("/TOKEN\"", &format!("/{token}\""));
        let request: Value = serde_json::from_str(&request).unwrap();
        let mut function = self.function("unsubscribe");
        let answer = function.invoke(&request, Duration::from_secs(20)).unwrap();
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }

    fn lines(&mut self, sql: &str) -> String {
        let rows = self.world.database.query(sql, &[]);
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    }
}

fn execute(world: &mut World, sql: &str) {
    world.database.client().batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// The rights of `access/`, and no others. (Roles belong to the server: two tests would make them at once.)
///
/// Returns what PostgreSQL says beside it.
fn grant(world: &World, table: &str) -> String {
    static ROLES: Mutex<()> = Mutex::new(());
    let _alone = ROLES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut said = String::new();
    for file in ["roles.sql", "row_level_security.sql"] {
        let done = Command::new("psql")
            .args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", &format!("--set=activities={table}")])
            .arg(format!("--file={}/access/{file}", root().display()))
            .arg(&world.database.url)
            .output()
            .expect("psql starts");
        said += &String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
    }
    said
}
