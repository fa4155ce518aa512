//! The statements that can meet, each run in the way of its function, command or CRM.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use campaign_sender::domain::batch::Checkpoint;
use campaign_sender::domain::guard::Stop;
use campaign_sender::domain::outcome::{Entry, Outcome};
use campaign_sender::message::token::RecipientIds;
use campaign_sender::send_batch::claim::Claim;
use campaign_sender::send_batch::record::Closing;
use campaign_sender::send_batch::{checkpoint, complete};
use campaign_sender::ses_events::event::{Event, Said, parse};
use campaign_sender::ses_events::record::Recorder;
use campaign_sender::ses_events::{guard, kind};
use campaign_sender::store::activities::plan;
use campaign_sender::unsubscribe::record::Statements as Wishes;
use campaign_sender::unsubscribe::request::Wish;
use postgres::{Client, NoTls};
use serde_json::{Value, json};
use uuid::Uuid;

use super::case::Case;
use crate::support::{ORGANIZATION, executable, root};
use crate::{Statements, line, soon};

/// A statement that changes a campaign's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statement {
    Claim,
    TakeOver,
    Checkpoint,
    Record,
    Complete,
    Events,
    Unsubscribe,
    Guard,
    Retry,
    Resolve,
    Import,
    Insert,
    Update,
    Delete,
    Pause,
}

/// The result of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Done,
    /// Recipients with the addresses that are now sent to.
    Claimed(Vec<(Uuid, String)>),
    /// A change of the CRM was refused: the recipient is under way, or its isolation level is too strict.
    Refused,
}

/// How often a CRM repeats a transaction that PostgreSQL rolled back for a conflict.
const REPETITIONS: usize = 50;

impl Statement {
    pub const ALL: [Statement; 15] = [
        Statement::Claim,
        Statement::TakeOver,
        Statement::Checkpoint,
        Statement::Record,
        Statement::Complete,
        Statement::Events,
        Statement::Unsubscribe,
        Statement::Guard,
        Statement::Retry,
        Statement::Resolve,
        Statement::Import,
        Statement::Insert,
        Statement::Update,
        Statement::Delete,
        Statement::Pause,
    ];

    /// Its name and description.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Statement::Claim => ("claim", "`claim_next_batch`, by another invocation"),
            Statement::TakeOver => (
                "take over",
                "`claim_next_batch` when the lease of the open batch is over, and the record of what it takes over; every statement of the batch's own invocation is then a late one",
            ),
            Statement::Checkpoint => ("checkpoint", "a checkpoint of the batch that is open"),
            Statement::Record => ("record", "the record of the batch that is open, with two that are sent"),
            Statement::Complete => ("complete", "`complete_campaign`"),
            Statement::Events => (
                "events",
                "`ses-events`: Send of the uncertain recipient and of one under way, Bounce of the one that is sent",
            ),
            Statement::Unsubscribe => ("unsubscribe", "`unsubscribe`: the recipient that is sent"),
            Statement::Guard => ("guard", "the reputation guard pauses the campaign"),
            Statement::Retry => ("retry", "`campaign retry-failed`"),
            Statement::Resolve => ("resolve", "`campaign resolve --as failed`"),
            Statement::Import => ("import", "`campaign import` of one more recipient"),
            Statement::Insert => ("insert", "the CRM adds a recipient"),
            Statement::Update => ("update", "the CRM changes the address of a recipient that is pending"),
            Statement::Delete => ("delete", "the CRM deletes a recipient that is pending"),
            Statement::Pause => ("pause", "the CRM sets the campaign's status to `paused`"),
        }
    }

    /// Returns true if it begins its transaction at the database's default level.
    pub fn is_of_the_crm(self) -> bool {
        matches!(self, Statement::Insert | Statement::Update | Statement::Delete | Statement::Pause)
    }

    pub fn run(self, case: &Case, statements: &Statements) -> Told {
        let url = case.url.as_str();
        let database = &statements.database;
        let block_on =
            |work: std::pin::Pin<Box<dyn Future<Output = ()> + '_>>| statements.runtime.block_on(work);
        match self {
            Statement::Claim => {
                if let Claim::Batch(batch) = statements.claim(case.campaign, Uuid::new_v4(), 2, 1e6) {
                    return Told::Claimed(batch.recipients.into_iter().map(|r| (r.id, r.email)).collect());
                }
            }
            Statement::TakeOver => {
                let token = Uuid::new_v4();
                if let Claim::Takeover { batch_id, .. } = statements.claim(case.campaign, token, 2, 1e6) {
                    let closing = Closing { batch_id, token, whole: true, reopen: true, owner_lost: true };
                    statements.record(case.campaign, Some(closing), &[]);
                }
            }
            Statement::Checkpoint => block_on(Box::pin(async {
                let entry = Entry { recipient_id: case.under_way[0], outcome: sent(case.under_way[0]) };
                let checkpoint = Checkpoint {
                    batch_id: case.batch,
                    token: case.token,
                    number: 1,
                    mark: case.mark,
                    outcomes: vec![entry],
                };
                checkpoint::commit(database, &checkpoint, soon()).await.unwrap();
            })),
            Statement::Record => {
                let (batch_id, token) = (case.batch, case.token);
                let closing = Closing { batch_id, token, whole: true, reopen: false, owner_lost: false };
                let lines: Vec<_> = case.under_way.iter().map(|id| line(*id, sent(*id))).collect();
                statements.record(case.campaign, Some(closing), &lines);
            }
            Statement::Complete => block_on(Box::pin(async {
                complete::complete(database, case.campaign, soon()).await.unwrap();
            })),
            Statement::Events => block_on(Box::pin(async {
                let events = [
                    event("send", case, case.uncertain),
                    event("send", case, case.under_way[0]),
                    event("bounce-permanent", case, case.sent),
                ];
                let table =
                    plan::learn(database, "activities", &["email_sent"], &kind::ACTIONS, soon()).await;
                let recorder = Recorder::new(table.unwrap(), Vec::new());
                let told = recorder.record(database, &events.each_ref(), soon()).await.unwrap();
                assert_eq!(told.known, 3);
            })),
            Statement::Unsubscribe => block_on(Box::pin(async {
                let ids = RecipientIds { recipient_id: case.sent, organization_id: ORGANIZATION };
                let standing = Wishes::new(None).apply(database, Wish::Unsubscribe, ids, soon()).await;
                assert!(standing.unwrap().is_some());
            })),
            Statement::Guard => block_on(Box::pin(async {
                let stop = Stop {
                    campaign_id: case.campaign,
                    judged: vec![case.campaign],
                    reason: "too many bounces".to_owned(),
                };
                guard::pause(database, &[stop], soon()).await.unwrap();
            })),
            Statement::Retry => {
                campaign(case, url, &["retry-failed", "CAMPAIGN", "--code", "MessageRejected"], "");
            }
            Statement::Resolve => {
                let order =
                    ["resolve", "CAMPAIGN", "--as", "failed", "--by", "ada", "--why", "asked", "--yes"];
                campaign(case, url, &order, "");
            }
            Statement::Import => {
                let email = format!("email\nimported@{}.example.com\n", Uuid::new_v4().simple());
                campaign(case, url, &["import", "CAMPAIGN", "-"], &email);
            }
            Statement::Insert => {
                let sql = "INSERT INTO campaign_recipients (campaign_id, organization_id, email)
                           SELECT id, organization_id, 'inserted@' || gen_random_uuid() || '.example.com' FROM campaigns WHERE id = $1";
                return by_crm(url, sql, case.campaign);
            }
            Statement::Update => {
                let sql =
                    "UPDATE campaign_recipients SET email = 'changed@' || id || '.example.com' WHERE id = $1";
                return by_crm(url, sql, case.pending);
            }
            Statement::Delete => {
                return by_crm(url, "DELETE FROM campaign_recipients WHERE id = $1", case.pending);
            }
            Statement::Pause => {
                return by_crm(url, "UPDATE campaigns SET status = 'paused' WHERE id = $1", case.campaign);
            }
        }
        Told::Done
    }
}

fn sent(recipient: Uuid) -> Outcome {
    Outcome::Sent { message_id: format!("message-{recipient}"), at: SystemTime::now() }
}

fn event(kind: &str, case: &Case, recipient: Uuid) -> Event {
    let file = root().join(format!("events/ses/eventbridge/{kind}.json"));
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mail = &mut event["detail"]["mail"];
    mail["messageId"] = json!(format!("message-{recipient}"));
    mail["tags"]["campaign_id"] = json!([case.campaign]);
    mail["tags"]["recipient_id"] = json!([recipient]);
    mail["tags"]["organization_id"] = json!([ORGANIZATION]);
    mail["destination"] = Value::Null;
    match parse(event["detail"].take()) {
        Ok(Said::Event(event)) => *event,
        _ => panic!("{kind} is no event"),
    }
}

/// Runs the command line, which has to succeed.
fn campaign(case: &Case, url: &str, arguments: &[&str], input: &str) {
    let id = case.campaign.to_string();
    let arguments = arguments.iter().map(|argument| if *argument == "CAMPAIGN" { &id } else { *argument });
    let mut process = Command::new(executable("campaign"))
        .args(arguments)
        .env("DATABASE_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("campaign starts");
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a statement of the CRM, and repeats it after a conflict.
fn by_crm(url: &str, sql: &str, id: Uuid) -> Told {
    let mut client = Client::connect(url, NoTls).unwrap();
    for _ in 0..REPETITIONS {
        match client.execute(sql, &[&id]) {
            Ok(_) => return Told::Done,
            Err(error) => match error.code().map(postgres::error::SqlState::code) {
                Some("40001" | "40P01") => {}
                // The two refusals of the triggers.
                Some("55006" | "55000") => return Told::Refused,
                _ => panic!("{sql}: {error:?}"),
            },
        }
    }
    panic!("{sql}: always in conflict")
}
