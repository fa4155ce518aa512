//! Step 2: what earlier invocations sent and did not record.

use std::time::Instant;

use super::answer::Answer;
use super::exit::Exit;
use super::lines;
use super::record::{Closing, Record, Recorded};
use super::recorder::Recorder;
use super::refused;
use crate::domain::campaign::Campaign;
use crate::domain::outcome::{Debt, Entry};
use crate::domain::recipient::Status;
use crate::message::render::Templates;
use crate::store::activities::TableError;

/// Records what the last invocation handed on, if it did. Recording it twice changes nothing.
///
/// # Errors
/// [`Exit::Owed`]: PostgreSQL did not take it.
pub async fn pay(
    recorder: &Recorder,
    campaign: &Campaign,
    templates: Option<&Templates>,
    debt: Option<&Debt>,
    until: Instant,
) -> Result<(), Exit> {
    let Some(debt) = debt else { return Ok(()) };
    let closing = Closing {
        batch_id: debt.batch_id,
        token: debt.claim_token,
        whole: debt.whole,
        reopen: debt.outcomes.iter().any(|entry| entry.outcome.status() == Status::Pending),
        doubt: false,
    };
    match settle(recorder, campaign, templates, debt.outcomes.clone(), closing, until).await {
        Ok(_) => {
            tracing::info!(outcomes = debt.outcomes.len(), "recorded what was owed");
            Ok(())
        }
        Err(error) => Err(Exit::Owed(Box::new(Answer::owing(debt.clone(), error.into())))),
    }
}

/// Makes emails `sent` that SES accepted and whose activities the table refused, each with its activity, when a person
/// has set the campaign to `sending` again. What is refused again stays `uncertain` and halts nothing, for it may be
/// refused for its own sake; a table that takes no activity halts the next batch.
///
/// # Errors
/// When PostgreSQL does not answer by `until`.
pub async fn retry_refused(
    recorder: &Recorder,
    campaign: &Campaign,
    templates: Option<&Templates>,
    until: Instant,
) -> Result<(), Exit> {
    if !campaign.resumed_in_doubt {
        return Ok(());
    }
    let database = recorder.database();
    let entries = refused::entries(database, campaign.id, until).await?;
    if entries.is_empty() {
        return Ok(());
    }
    let subject = &campaign.source.subject;
    let lines = lines::lines(database, campaign.id, templates, subject, entries, until).await?;
    let written = recorder.record_what_is_taken(campaign.id, &lines, until).await?;
    tracing::info!(written, of = lines.len(), "recorded emails whose activities had been refused");
    Ok(())
}

/// Records outcomes that are known only in their short form.
///
/// # Errors
/// When PostgreSQL does not answer by `until`, or takes no activity.
pub async fn settle(
    recorder: &Recorder,
    campaign: &Campaign,
    templates: Option<&Templates>,
    entries: Vec<Entry>,
    closing: Closing,
    until: Instant,
) -> Result<Option<Recorded>, TableError> {
    let (database, subject) = (recorder.database(), &campaign.source.subject);
    let lines = lines::lines(database, campaign.id, templates, subject, entries, until).await?;
    let record = Record { closing: Some(closing), lines: &lines, ..Record::nothing(campaign.id) };
    recorder.record(&record, until).await
}
