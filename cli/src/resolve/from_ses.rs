//! Asks SES what it accepted, by Message Insights of Virtual Deliverability Manager.
//!
//! An export finds the messages to the uncertain recipients' addresses, and each message's tags tell whose email it is.

mod evidence;
mod insights;
mod uncertain;

use std::io::{self, IsTerminal as _};

use uuid::Uuid;

use super::super::failure::Failure;
use super::super::{format, output, terminal};
use super::Case;
use super::replay::{self, Replayed};
use campaign_sender::domain::outcome::{Entry, Outcome};
use evidence::{Finding, Message, judge};
use insights::Insights;
use uncertain::Uncertain;

/// The choices of the person who runs the command.
pub struct Order<'a> {
    /// Only these recipients; all if it is empty.
    pub recipients: &'a [Uuid],
    /// Do not ask.
    pub yes: bool,
    /// Print the result for a machine.
    pub json: bool,
}

impl Order<'_> {
    /// Finds out which of the uncertain recipients got the email according to SES, and records it if a person agrees.
    pub async fn run(self, case: &Case) -> Result<(), Failure> {
        let people = uncertain::load(case, self.recipients).await?;
        let findings = find(case, &people).await?;
        if !self.json {
            describe(case, &findings);
        }
        let accepted: Vec<Entry> = findings.iter().filter_map(entry).collect();
        let agreed = self.agreed(accepted.len())?;
        let recorded = if agreed { Some(replay::all(case, accepted).await?) } else { None };
        if let Some(Replayed { replayed, known }) = recorded {
            tracing::info!(campaign_id = %case.campaign.id, replayed, known, "resolved from SES");
        }
        if self.json {
            output::write_json(&as_json(case, &findings, recorded.unwrap_or_default()));
        } else {
            summarize(&findings, recorded);
        }
        Ok(())
    }

    /// Returns true if `accepted` emails are to be recorded. Without a terminal and without `--yes` none are.
    fn agreed(&self, accepted: usize) -> Result<bool, Failure> {
        if accepted == 0 || self.yes {
            return Ok(accepted > 0);
        }
        if !io::stdin().is_terminal() {
            return Ok(false);
        }
        let question = format!("Record that {} got the email?", format::counted(accepted, "recipient"));
        terminal::confirm(&question, "nothing was changed").map(|()| true)
    }
}

/// Each recipient with the finding about it.
async fn find<'a>(case: &Case, people: &'a [Uncertain]) -> Result<Vec<(&'a Uncertain, Finding)>, Failure> {
    let mut insights = Insights::new().await;
    let mut findings = Vec::with_capacity(people.len());
    // If the function had SES's answer, SES is not asked again.
    let (known, asked): (Vec<&Uncertain>, Vec<&Uncertain>) =
        people.iter().partition(|person| person.message_id.is_some());
    for some in asked.chunks(insights::MAX_ADDRESSES) {
        let messages: Vec<Message> = insights.messages(some).await?;
        let of = &case.campaign;
        findings
            .extend(some.iter().map(|person| (*person, judge(person, of.id, of.organization_id, &messages))));
    }
    findings.extend(known.into_iter().map(|person| (person, Finding::KnownAlready)));
    Ok(findings)
}

fn entry((person, finding): &(&Uncertain, Finding)) -> Option<Entry> {
    let Finding::Accepted { message_id, at } = finding else { return None };
    let outcome = Outcome::Sent { message_id: message_id.clone(), at: at.unwrap_or(person.until) };
    Some(Entry { recipient_id: person.id, outcome })
}

/// The result for a machine.
fn as_json(case: &Case, findings: &[(&Uncertain, Finding)], recorded: Replayed) -> serde_json::Value {
    let recipient = |(person, finding): &(&Uncertain, Finding)| {
        let message_id = match finding {
            Finding::Accepted { message_id, .. } => Some(message_id),
            Finding::KnownAlready => person.message_id.as_ref(),
            Finding::Rejected | Finding::OthersOnly | Finding::Nothing => None,
        };
        serde_json::json!({"recipientId": person.id, "finding": finding.as_str(), "messageId": message_id})
    };
    serde_json::json!({
        "campaignId": case.campaign.id,
        "recipients": findings.iter().map(recipient).collect::<Vec<_>>(),
        "replayed": recorded.replayed,
        "known": recorded.known,
    })
}

/// The number of recipients with each finding, and one of them.
fn describe(case: &Case, findings: &[(&Uncertain, Finding)]) {
    if findings.is_empty() {
        println!("Nobody of \"{}\" is uncertain: there is nothing to settle.", case.name());
        return;
    }
    println!("\"{}\": {}", case.name(), format::counted(findings.len(), "uncertain recipient"));
    let line = |is: fn(&Finding) -> bool, what: &str| {
        let of: Vec<&Uncertain> =
            findings.iter().filter(|(_, finding)| is(finding)).map(|(person, _)| *person).collect();
        if let Some(first) = of.first() {
            println!("  {:>6}  {what}, for example {}", format::count(of.len() as u64), first.id);
        }
    };
    line(
        |f| matches!(f, Finding::Accepted { .. }),
        "accepted by SES: they become sent, with their activities",
    );
    line(
        |f| matches!(f, Finding::Rejected),
        "accepted and then rejected by SES: they stay uncertain; --as failed settles them",
    );
    line(
        |f| matches!(f, Finding::OthersOnly),
        "with other emails only (another campaign, a test, another sender): they stay uncertain",
    );
    line(
        |f| matches!(f, Finding::Nothing),
        "without an email at SES: they stay uncertain, because that proves nothing",
    );
    line(
        |f| matches!(f, Finding::KnownAlready),
        "known to be accepted, with an activity that the timeline refused: --as sent settles them",
    );
}

/// Prints what was recorded.
fn summarize(findings: &[(&Uncertain, Finding)], recorded: Option<Replayed>) {
    let Some(Replayed { replayed, known }) = recorded else {
        if findings.iter().any(|(_, finding)| matches!(finding, Finding::Accepted { .. })) {
            println!("Nothing was changed: give --yes to record this.");
        } else if !findings.is_empty() {
            println!("Nothing was changed.");
        }
        return;
    };
    println!("{} now sent, with an activity for each.", format::counted(replayed, "recipient"));
    if known > 0 {
        println!(
            "Not changed, because they were settled in the meantime: {}.",
            format::counted(known, "recipient")
        );
    }
}
