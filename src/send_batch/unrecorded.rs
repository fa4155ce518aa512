//! Step 2: records what earlier invocations sent and did not record.

use std::time::Instant;

use super::answer::Answer;
use super::exit::Exit;
use super::lines;
use super::record::{Closing, Record, Recorded};
use super::recorder::Recorder;
use super::refused;
use crate::domain::campaign::Campaign;
use crate::domain::outcome::{Entry, Unrecorded};
use crate::domain::recipient::Status;
use crate::message::render::Templates;
use crate::store::activities::TableError;

/// Records the outcomes that an earlier invocation handed on, if there are any. Recording them twice changes
/// nothing.
///
/// # Errors
/// [`Exit::Unrecorded`]: PostgreSQL did not record it.
pub async fn record(
    recorder: &Recorder,
    campaign: &Campaign,
    templates: Option<&Templates>,
    unrecorded: Option<&Unrecorded>,
    until: Instant,
) -> Result<(), Exit> {
    let Some(unrecorded) = unrecorded else { return Ok(()) };
    let closing = Closing {
        batch_id: unrecorded.batch_id,
        token: unrecorded.claim_token,
        whole: unrecorded.whole,
        reopen: unrecorded.outcomes.iter().any(|entry| entry.outcome.status() == Status::Pending),
        owner_lost: false,
    };
    match record_entries(recorder, campaign, templates, unrecorded.outcomes.clone(), closing, until).await {
        Ok(_) => {
            tracing::info!(outcomes = unrecorded.outcomes.len(), "recorded what was owed");
            Ok(())
        }
        Err(error) => {
            Err(Exit::Unrecorded(Box::new(Answer::still_unrecorded(unrecorded.clone(), error.into()))))
        }
    }
}

/// After a person has set the campaign to `sending` again, makes recipients `sent` whose emails SES accepted
/// and whose activities the table refused, each with its activity. A recipient whose activity is refused
/// again stays `uncertain` and halts nothing, because the cause may be its own data; a table that takes no
/// activity halts the next batch.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`.
pub async fn retry_refused(
    recorder: &Recorder,
    campaign: &Campaign,
    templates: Option<&Templates>,
    until: Instant,
) -> Result<(), Exit> {
    if !campaign.resumed_with_uncertain {
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

/// Records outcomes in their short form.
///
/// # Errors
/// Fails if PostgreSQL does not answer by `until`, or takes no activity.
pub async fn record_entries(
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
