//! The life cycle of a recipient: the statements that change it, run by themselves against a real PostgreSQL.

#[path = "../support/mod.rs"]
mod support;

mod claims;
mod histories;
mod late_statements;
mod pairs;
mod takeovers;
mod transitions;

use std::time::{Duration, SystemTime};

use campaign_sender::send_batch::checkpoint;
use campaign_sender::send_batch::claim::{self, Claim, Wish};
use campaign_sender::store::activities::plan;

use campaign_sender::domain::batch::{Batch, Checkpoint};
use campaign_sender::domain::deadline::Deadline;
use campaign_sender::domain::outcome::Outcome;
use campaign_sender::domain::outcome::{Entry, Line};
use campaign_sender::send_batch::record::{self, Closing, Record};
use campaign_sender::store::Database;
use campaign_sender::store::settings::database_url;
use std::time::Instant;
use support::World;
use support::database::TestDatabase;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// The package's own connection to a test's database.
struct Statements {
    runtime: Runtime,
    database: Database,
    record: String,
}

impl Statements {
    fn new(world: &TestDatabase) -> Statements {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = database_url(Some(world.url.clone())).unwrap();
        let database = {
            let _entered = runtime.enter();
            Database::new(&url.into()).unwrap()
        };
        Statements { runtime, database, record: String::new() }
    }

    /// The statement is filled for the activities table as the function does it.
    fn of(world: &mut World) -> Statements {
        let mut statements = Statements::new(&world.database);
        let learn = plan::learn(&statements.database, "activities", &["email_sent"], &[], soon());
        let table = statements.runtime.block_on(learn).unwrap();
        statements.record = table.fill(record::STATEMENT);
        statements
    }

    /// Commits the checkpoint of this number, whose mark is the batch's recipient at this index.
    fn checkpoint(&self, batch: &Batch, number: i32, index: usize, outcomes: Vec<Entry>) {
        let mark = batch.recipients[index].position;
        let checkpoint = Checkpoint { batch_id: batch.id, token: batch.token, number, mark, outcomes };
        self.runtime.block_on(checkpoint::commit(&self.database, &checkpoint, soon())).unwrap();
    }

    /// Claims up to `size` recipients, by default at a rate that is too high to limit anything.
    fn claim(&self, campaign_id: Uuid, token: Uuid, size: u32, per_second: f64) -> Claim {
        let deadline_ms =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(60);
        let deadline = Deadline::new(
            u64::try_from(deadline_ms.as_millis()).unwrap(),
            SystemTime::now(),
            Instant::now(),
            Duration::ZERO,
        );
        let per_second = Some(per_second);
        let wish = Wish {
            campaign_id,
            token,
            size,
            alone: false,
            region: "us-east-1",
            per_second,
            catch_up: 0.25,
            deadline,
            templates_hash: "",
            history: &claim::History::new(Duration::ZERO),
        };
        self.runtime.block_on(claim::claim(&self.database, &wish)).unwrap()
    }

    async fn record_async(&self, campaign_id: Uuid, closing: Option<Closing>, lines: &[Line]) {
        let record = Record { closing, lines, ..Record::nothing(campaign_id) };
        record::record(&self.database, &self.record, &record, soon()).await.unwrap().unwrap();
    }

    fn record(&self, campaign_id: Uuid, closing: Option<Closing>, lines: &[Line]) {
        self.runtime.block_on(self.record_async(campaign_id, closing, lines));
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn line(recipient_id: Uuid, outcome: Outcome) -> Line {
    Line { recipient_id, outcome, subject: Some("Hello".to_owned()) }
}
