//! What the integration tests share: a database for each test, the local SES endpoint, and the built
//! function.
#![allow(dead_code, reason = "each test executable uses a part of it")]

pub mod database;
pub mod dice;

/// The root of the repository, whichever package the test belongs to.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .ancestors()
        .find(|folder| folder.join("migrations").is_dir())
        .expect("the tests are in the repository")
}

/// An executable of the workspace, beside the folder of this test: `./dev test` has built them all.
pub fn executable(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let path = test.ancestors().nth(2).expect("target/debug/deps").join(name);
    assert!(
        path.exists(),
        "{} is not built: cargo build --workspace --features campaign-sender/failpoints",
        path.display()
    );
    path
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use database::TestDatabase;
use local_ses::lambda::{Function, InvocationError};
use local_ses::ses::{Message, Options, SesEndpoint};
use serde_json::{Value, json};
use uuid::Uuid;

/// The invocation's time, if it does not matter for a test.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// The organization of every campaign made by [`World::campaign`].
pub const ORGANIZATION: Uuid = Uuid::from_u128(0x0a);
/// The person who created it.
pub const CREATOR: Uuid = Uuid::from_u128(0x0c);

/// The URL of the function `unsubscribe`, and the key of its tokens.
pub const UNSUBSCRIBE_URL: &str = "https://unsubscribe.example.com/u";
pub const UNSUBSCRIBE_SECRET: &str = "a-secret-of-the-tests-0123456789abcdef";

/// A database and a mailbox of one test.
pub struct World {
    pub database: TestDatabase,
    pub ses: SesEndpoint,
    /// `SEND_API`.
    pub api: &'static str,
}

impl World {
    pub fn new() -> World {
        World::sending_by("auto")
    }

    /// A world whose functions make one call for each message.
    pub fn single() -> World {
        World::sending_by("single")
    }

    pub fn sending_by(api: &'static str) -> World {
        World {
            api,
            database: TestDatabase::create(),
            ses: SesEndpoint::start(Options::default()).expect("the local SES endpoint starts"),
        }
    }

    /// The variables of the functions in this world.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let options = Options::default();
        vec![
            ("DATABASE_URL", self.database.url.clone()),
            ("SEND_API", self.api.to_owned()),
            ("AWS_ENDPOINT_URL_SESV2", self.ses.url()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", options.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", options.secret_access_key),
            ("UNSUBSCRIBE_URL", UNSUBSCRIBE_URL.to_owned()),
            ("UNSUBSCRIBE_SECRET", UNSUBSCRIBE_SECRET.to_owned()),
        ]
    }

    /// The built `send-batch`, started with this world's variables and `more`.
    pub fn function_with(&self, more: &[(&str, &str)]) -> Function {
        let environment = self.environment();
        let mut environment: Vec<_> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        environment.extend_from_slice(more);
        Function::start(&executable("send-batch"), &environment).expect("send-batch starts")
    }

    pub fn function(&self) -> Function {
        self.function_with(&[])
    }

    /// A campaign that is `sending`, without recipients.
    pub fn campaign(&mut self) -> Uuid {
        let id = Uuid::new_v4();
        self.database.execute(
            "INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, html, created_by)
             VALUES ($1, $2, 'Spring', 'sending', 'News <news@example.com>', 'Hello {{ name or \"you\" }}',
                     '<p>Dear {{ name or \"friend\" }}</p>', $3)",
            &[&id, &ORGANIZATION, &CREATOR],
        );
        id
    }

    /// Adds the recipients r1@example.com … rN@example.com, the odd ones with a name.
    pub fn add_recipients(&mut self, campaign: Uuid, count: i32) {
        let from = self.count(campaign, "true");
        self.database.execute(
            "INSERT INTO campaign_recipients (campaign_id, organization_id, email, name)
             SELECT $1, $2, 'r' || n || '@example.com', CASE WHEN n % 2 = 1 THEN 'Recipient ' || n END
               FROM generate_series($3 + 1, $3 + $4) AS n",
            &[&campaign, &ORGANIZATION, &i32::try_from(from).unwrap(), &count],
        );
    }

    pub fn add_recipient(&mut self, campaign: Uuid, email: &str) -> Uuid {
        let id = Uuid::new_v4();
        self.database.execute(
            "INSERT INTO campaign_recipients (id, campaign_id, organization_id, email) VALUES ($1, $2, $3, $4)",
            &[&id, &campaign, &ORGANIZATION, &email],
        );
        id
    }

    /// A campaign with this many recipients.
    pub fn campaign_of(&mut self, count: i32) -> Uuid {
        let campaign = self.campaign();
        self.add_recipients(campaign, count);
        campaign
    }

    /// The recipients of a campaign for which an SQL condition holds.
    pub fn count(&mut self, campaign: Uuid, condition: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM campaign_recipients WHERE campaign_id = $1 AND {condition}");
        self.database.query(&sql, &[&campaign])[0].get(0)
    }

    /// How many recipients have each status.
    pub fn statuses(&mut self, campaign: Uuid) -> BTreeMap<String, i64> {
        let sql = "SELECT status, count(*) FROM campaign_recipients WHERE campaign_id = $1 GROUP BY status";
        self.database.query(sql, &[&campaign]).iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// The status and error code of the recipient with this address.
    pub fn outcome(&mut self, email: &str) -> (String, Option<String>) {
        let sql = "SELECT status, error_code FROM campaign_recipients WHERE email = $1";
        let row = &self.database.query(sql, &[&email])[0];
        (row.get(0), row.get(1))
    }

    pub fn campaign_status(&mut self, campaign: Uuid) -> (String, Option<String>) {
        let row = &self
            .database
            .query("SELECT status, status_reason FROM campaigns WHERE id = $1", &[&campaign])[0];
        (row.get(0), row.get(1))
    }

    pub fn set_status(&mut self, campaign: Uuid, status: &str) {
        self.database.execute("UPDATE campaigns SET status = $2 WHERE id = $1", &[&campaign, &status]);
    }

    /// Waits until a query returns true, at most 20 s.
    pub fn wait_until(&mut self, what: &str, sql: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.database.query(sql, &[])[0].get::<_, bool>(0) {
            assert!(Instant::now() < end, "never came: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends all leases.
    pub fn expire_leases(&mut self) {
        self.database.execute("UPDATE campaign_batches SET lease_ends_at = now() - interval '1 second'", &[]);
    }

    /// As [`World::assert_consistent`], if a CRM has deleted recipients that were not sent to yet.
    pub fn assert_consistent_after_deletes(&mut self, campaign: Uuid) {
        let sql = "UPDATE campaigns SET total_count = (SELECT count(*) FROM campaign_recipients WHERE campaign_id = $1)
                    WHERE id = $1";
        self.database.execute(sql, &[&campaign]);
        self.assert_consistent(campaign);
    }

    /// Checks what must hold for a campaign whenever no invocation works on it: the counters equal the
    /// recipients, no address got two emails, every sent recipient has the message that its row names and
    /// exactly one activity, and no other recipient has an activity.
    pub fn assert_consistent(&mut self, campaign: Uuid) {
        let twice = self.ses.addresses_received_more_than_once();
        assert!(twice.is_empty(), "received more than once: {twice:?}");
        let row = &self.database.query(
            "SELECT c.total_count, c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count,
                    count(r.*)::int, count(*) FILTER (WHERE r.status = 'sent')::int,
                    count(*) FILTER (WHERE r.status = 'failed')::int,
                    count(*) FILTER (WHERE r.status = 'suppressed')::int,
                    count(*) FILTER (WHERE r.status = 'uncertain')::int
               FROM campaigns AS c LEFT JOIN campaign_recipients AS r ON r.campaign_id = c.id
              WHERE c.id = $1 GROUP BY c.id",
            &[&campaign],
        )[0];
        let counters: Vec<i32> = (0..5).map(|i| row.get(i)).collect();
        let counted: Vec<i32> = (5..10).map(|i| row.get(i)).collect();
        assert_eq!(counters, counted, "total, sent, failed, suppressed, uncertain: counters and recipients");

        let by_recipient: BTreeMap<Uuid, Message> = self
            .ses
            .messages()
            .into_iter()
            .map(|message| (message.tag("recipient_id").unwrap().parse().unwrap(), message))
            .collect();
        let rows = self.database.query(
            "SELECT r.id, r.status, r.message_id, r.email, coalesce(a.count, 0)
               FROM campaign_recipients AS r
               LEFT JOIN (SELECT source_ref, count(*) FROM activities WHERE action = 'email_sent'
                           GROUP BY source_ref) AS a ON a.source_ref = r.id::text
              WHERE r.campaign_id = $1",
            &[&campaign],
        );
        for row in rows {
            let (id, status): (Uuid, String) = (row.get(0), row.get(1));
            let (message_id, email): (Option<String>, String) = (row.get(2), row.get(3));
            let received = by_recipient.get(&id);
            let activities: i64 = row.get(4);
            match status.as_str() {
                "sent" => {
                    let received = received.unwrap_or_else(|| panic!("{email} is sent and was not received"));
                    assert_eq!(message_id.as_deref(), Some(received.id.as_str()), "{email}");
                    assert_eq!(activities, 1, "{email} is sent");
                }
                "uncertain" => assert_eq!(activities, 0, "{email} is uncertain"),
                _ => {
                    assert!(received.is_none(), "{email} is {status} and was received");
                    assert_eq!(activities, 0, "{email} is {status}");
                }
            }
        }
    }
}

/// Sends a campaign to its end with this number of lanes at the same time.
pub fn all_at_once(world: &mut World, campaign: Uuid, lanes: usize, batch_size: u32) {
    let mut functions: Vec<_> = (0..lanes).map(|_| world.function()).collect();
    std::thread::scope(|scope| {
        for function in &mut functions {
            scope.spawn(|| {
                let results = run(function, event(campaign, batch_size));
                assert_eq!(results.last().unwrap()["status"], "done");
            });
        }
    });
    assert_eq!(world.campaign_status(campaign).0, "sent");
}

/// The event for a batch of this size.
pub fn event(campaign: Uuid, batch_size: u32) -> Value {
    json!({"campaignId": campaign, "batchSize": batch_size})
}

/// Invokes the function and checks what holds for every result.
pub fn invoke(function: &mut Function, event: &Value) -> Value {
    let result = function.invoke(event, TIMEOUT).unwrap_or_else(|error| {
        panic!("{error:?}\n{}", function.logs().join("\n"));
    });
    assert_identity(&result);
    result
}

/// The error type and message of an invocation that fails.
pub fn failure(function: &mut Function, event: &Value) -> String {
    match function.invoke(event, TIMEOUT) {
        Err(InvocationError::Failed { error_type, message }) => format!("{error_type}: {message}"),
        other => panic!("{other:?}"),
    }
}

/// Checks that `claimed` is the sum of the outcomes, and that there is a `next` exactly if there is more to
/// do.
pub fn assert_identity(result: &Value) {
    let batch = |name: &str| result["batch"][name].as_u64().unwrap();
    let sum: u64 = ["sent", "failed", "suppressed", "uncertain", "deferred"].into_iter().map(batch).sum();
    assert_eq!(batch("claimed"), sum, "{result}");
    let goes_on = matches!(result["status"].as_str(), Some("continue" | "wait"));
    assert_eq!(result["next"].is_object(), goes_on, "{result}");
    assert_eq!(result["status"] == "wait", result["waitSeconds"].as_u64().unwrap() > 0, "{result}");
}

/// Follows `next` until there is none, waiting as long as the results say, for at most 200 invocations.
pub fn run(function: &mut Function, first: Value) -> Vec<Value> {
    let mut results: Vec<Value> = Vec::new();
    let mut event = first;
    while results.len() < 200 {
        let result = invoke(function, &event);
        event = result["next"].clone();
        std::thread::sleep(Duration::from_secs(result["waitSeconds"].as_u64().unwrap()));
        results.push(result);
        if event.is_null() {
            return results;
        }
    }
    panic!("no end after {} invocations: {}", results.len(), results.last().unwrap());
}
