//! Records from the log what SES accepted and what was neither recorded nor handed to a next invocation.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{format, output};
use super::Case;
use super::accepted::{self, Accepted, Line};
use super::replay::{self, Replayed};
use campaign_sender::domain::outcome::{Entry, Outcome};

/// The log's messages of a campaign.
#[derive(Default)]
struct Log {
    accepted: HashMap<Uuid, Accepted>,
    of_other_campaigns: usize,
    /// The numbers of incomplete lines.
    broken: Vec<usize>,
}

/// Records the log's messages once: a `sent` recipient is not changed.
pub async fn run(case: &Case, file: &Path, json: bool) -> Result<(), Failure> {
    let log = open(file)
        .and_then(|lines| Log::read(lines, case.campaign.id))
        .map_err(|error| Failure::new(Exit::NoInput, format!("--from-log {}: {error}", file.display())))?;
    let found = log.accepted.len();
    let entries: Vec<Entry> = log
        .accepted
        .into_values()
        .map(|Accepted { recipient_id, message_id, at, .. }| Entry {
            recipient_id,
            outcome: Outcome::Sent { message_id, at },
        })
        .collect();
    let Replayed { replayed, known } = replay::all(case, entries).await?;
    tracing::info!(campaign_id = %case.campaign.id, found, replayed, known, "replayed from the log");

    let strangers = found.saturating_sub(replayed + known);
    if json {
        output::write_json(&serde_json::json!({
            "campaignId": case.campaign.id,
            "messages": found,
            "replayed": replayed,
            "known": known,
            "unknownRecipients": strangers,
            "ofOtherCampaigns": log.of_other_campaigns,
            "brokenLines": log.broken,
        }));
        return Ok(());
    }
    println!("\"{}\": {} in the log", case.name(), format::counted(found, "accepted message"));
    let line = |n: usize, what: &str| println!("  {:>6}  {what}", format::count(n as u64));
    line(replayed, "replayed: now sent, with their activities");
    line(known, "were known already");
    if strangers > 0 {
        line(strangers, "of recipients that this campaign does not have (any more)");
    }
    if log.of_other_campaigns > 0 {
        line(log.of_other_campaigns, "of other campaigns, skipped");
    }
    if let Some(first) = log.broken.first() {
        line(log.broken.len(), &format!("incomplete, skipped; the first is line {first}"));
    }
    Ok(())
}

fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    Ok(if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file)?))
    })
}

impl Log {
    fn read(mut lines: impl BufRead, campaign_id: Uuid) -> io::Result<Log> {
        let mut log = Log::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            match accepted::parse(&String::from_utf8_lossy(&line)) {
                Line::Accepted(messages) => {
                    for accepted in messages {
                        if accepted.campaign_id == campaign_id {
                            log.accepted.entry(accepted.recipient_id).or_insert(accepted);
                        } else {
                            log.of_other_campaigns += 1;
                        }
                    }
                }
                Line::Broken => log.broken.push(number),
                Line::Other => {}
            }
        }
        Ok(log)
    }
}
