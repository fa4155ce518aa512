//! Asks SES what it accepted, by Message Insights of Virtual Deliverability Manager.
//!
//! An export finds the messages to the uncertain recipients' addresses, and each message's tags tell whose email it is.

mod evidence;
mod insights;
mod uncertain;

use std::io::{self, IsTerminal as _};

use uuid::Uuid;

use super::super::failure::Failure;
use super::super::{format, terminal};
use super::{Case, replay};
use campaign_sender::domain::outcome::{Entry, Outcome};
use evidence::{Finding, Message, judge};
use insights::Insights;
use uncertain::Uncertain;

/// Finds out which of the uncertain recipients got the email according to SES, and records it if a person agrees.
pub async fn run(case: &Case, recipients: &[Uuid], yes: bool) -> Result<(), Failure> {
    let people = uncertain::load(case, recipients).await?;
    if people.is_empty() {
        println!("Nobody of \"{}\" is uncertain: there is nothing to settle.", case.name());
        return Ok(());
    }
    println!("\"{}\": {}", case.name(), format::counted(people.len(), "uncertain recipient"));
    let findings = find(case, &people).await?;
    describe(&findings);
    let accepted: Vec<Entry> = findings.iter().filter_map(entry).collect();
    if accepted.is_empty() {
        println!("Nothing was changed.");
        return Ok(());
    }
    if !yes {
        if !io::stdin().is_terminal() {
            println!("Nothing was changed: give --yes to record this.");
            return Ok(());
        }
        let question = format!("Record that {} got the email?", format::counted(accepted.len(), "recipient"));
        terminal::confirm(&question, "nothing was changed")?;
    }
    let counts = replay::all(case, accepted).await?;
    tracing::info!(campaign_id = %case.campaign.id, replayed = counts.replayed, known = counts.known, "resolved from SES");
    println!("{} now sent, with an activity for each.", format::counted(counts.replayed, "recipient"));
    if counts.known > 0 {
        println!(
            "Not changed, because they were settled in the meantime: {}.",
            format::counted(counts.known, "recipient")
        );
    }
    Ok(())
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

/// The number of recipients with each finding, and one of them.
fn describe(findings: &[(&Uncertain, Finding)]) {
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
