//! Reads Message Insights: an export finds messages by their addresses, and each message is then read with its tags.
//!
//! The limits are those of the API reference: five addresses per filter, 10,000 results per export, and one call per
//! second of `CreateExportJob` and of `GetMessageInsights`.
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_CreateExportJob.html>
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetMessageInsights.html>

use std::time::{Duration, SystemTime};

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::http::HttpRequest;
use aws_sdk_sesv2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::get_export_job::GetExportJobOutput;
use aws_sdk_sesv2::operation::get_message_insights::{GetMessageInsightsError, GetMessageInsightsOutput};
use aws_sdk_sesv2::primitives::DateTime;
use aws_sdk_sesv2::types::{
    DataFormat, EmailInsights, EventType, ExportDataSource, ExportDestination, JobStatus,
    MessageInsightsDataSource, MessageInsightsFilters,
};
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use http_body_util::{BodyExt as _, Limited};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::super::super::failure::{Exit, Failure};
use super::evidence::{Message, message_ids};
use super::uncertain::Uncertain;
use campaign_sender::{aws, ses};

/// The most addresses of one export.
pub const MAX_ADDRESSES: usize = 5;
/// The most results of one export.
const MAX_RESULTS: i32 = 10_000;
/// The most messages to five addresses that are read one by one; each takes a second.
const MAX_MESSAGES: usize = 200;
/// The time between two calls of one operation.
const PACE: Duration = Duration::from_secs(1);
/// The time limit of an export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(600);
/// The time limit of a download, and its maximum size in bytes.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_FILE: usize = 64 << 20;

/// Message Insights of the account.
pub struct Insights {
    client: Client,
    connector: Connector,
    exports: Interval,
    messages: Interval,
}

impl Insights {
    pub async fn new() -> Insights {
        let pace = || {
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        };
        Insights {
            client: ses::reading_client().await,
            connector: aws::connector(),
            exports: pace(),
            messages: pace(),
        }
    }

    /// The messages to the addresses of these recipients, [`MAX_ADDRESSES`] at most, that SES accepted while they can
    /// have been sent to.
    pub async fn messages(&mut self, people: &[&Uncertain]) -> Result<Vec<Message>, Failure> {
        let file = self.export(people).await?;
        let ids = message_ids(&file);
        if ids.len() > MAX_MESSAGES {
            return Err(Failure::new(
                Exit::Data,
                format!(
                    "SES has {} messages to {} addresses in that time, and {MAX_MESSAGES} at most are looked at: name fewer with --recipient",
                    ids.len(),
                    people.len()
                ),
            ));
        }
        let mut messages = Vec::with_capacity(ids.len());
        for id in ids {
            messages.extend(self.message(id).await?);
        }
        Ok(messages)
    }

    /// The export's file, as SES wrote it.
    async fn export(&mut self, people: &[&Uncertain]) -> Result<String, Failure> {
        self.exports.tick().await;
        let created = self
            .client
            .create_export_job()
            .export_data_source(
                ExportDataSource::builder().message_insights_data_source(source(people)).build(),
            )
            .export_destination(destination())
            .send()
            .await
            .map_err(|error| refused("CreateExportJob", &error))?;
        let id = created.job_id().unwrap_or_default();
        let end = Instant::now() + EXPORT_TIMEOUT;
        let mut polls = interval(PACE);
        loop {
            polls.tick().await;
            let job = self.client.get_export_job().job_id(id).send().await;
            let job = job.map_err(|error| refused("GetExportJob", &error))?;
            match job.job_status() {
                Some(JobStatus::Completed) => return self.download(&job).await,
                Some(JobStatus::Created | JobStatus::Processing) if Instant::now() < end => {}
                status => return Err(not_completed(id, status, &job)),
            }
        }
    }

    async fn download(&self, job: &GetExportJobOutput) -> Result<String, Failure> {
        let url = job.export_destination().and_then(ExportDestination::s3_url).unwrap_or_default();
        // The URL is a secret: whoever has it can read the file for five minutes.
        let failed = |problem: &str| {
            Failure::new(Exit::Unavailable, format!("SES's export could not be downloaded: {problem}"))
        };
        let request = HttpRequest::get(url).map_err(|_| failed("its address cannot be read"))?;
        let file = async {
            let answer = self.connector.call(request).await.map_err(|error| failed(&error.to_string()))?;
            if answer.status().as_u16() != 200 {
                return Err(failed(&format!("the answer was {}", answer.status().as_u16())));
            }
            let body = Limited::new(answer.into_body(), MAX_FILE).collect().await;
            Ok(body.map_err(|error| failed(&error.to_string()))?.to_bytes())
        };
        let file = timeout(DOWNLOAD_TIMEOUT, file).await.map_err(|_| failed("it took too long"))??;
        Ok(String::from_utf8_lossy(&file).into_owned())
    }

    /// The message of this id; `None`: SES does not know it.
    async fn message(&mut self, id: String) -> Result<Option<Message>, Failure> {
        self.messages.tick().await;
        match self.client.get_message_insights().message_id(&id).send().await {
            Ok(found) => Ok(Some(read(id, &found))),
            Err(error)
                if error.as_service_error().is_some_and(GetMessageInsightsError::is_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(refused("GetMessageInsights", &error)),
        }
    }
}

fn source(people: &[&Uncertain]) -> MessageInsightsDataSource {
    let addresses = people.iter().map(|person| literal(&person.address)).collect();
    let start = people.iter().map(|person| person.from).min().unwrap_or(SystemTime::UNIX_EPOCH);
    let end = people.iter().map(|person| person.until).max().unwrap_or(SystemTime::UNIX_EPOCH);
    MessageInsightsDataSource::builder()
        .start_date(DateTime::from(start))
        .end_date(DateTime::from(end))
        .include(MessageInsightsFilters::builder().set_destination(Some(addresses)).build())
        .max_results(MAX_RESULTS)
        .build()
        .expect("both dates are set")
}

/// An address as a filter that stands for itself alone: `*` and `\` have a meaning there.
fn literal(address: &str) -> String {
    address.replace('\\', "\\\\").replace('*', "\\*")
}

fn destination() -> ExportDestination {
    ExportDestination::builder().data_format(DataFormat::Json).build().expect("the format is set")
}

fn read(id: String, found: &GetMessageInsightsOutput) -> Message {
    let events = || found.insights().iter().flat_map(EmailInsights::events);
    let has =
        |kinds: &[EventType]| events().any(|event| event.r#type().is_some_and(|kind| kinds.contains(kind)));
    let at = |kinds: &[EventType]| {
        let of = events().filter(|event| event.r#type().is_some_and(|kind| kinds.contains(kind)));
        of.filter_map(|event| SystemTime::try_from(*event.timestamp()?).ok()).min()
    };
    Message {
        id,
        tags: found.email_tags().iter().map(|tag| (tag.name().to_owned(), tag.value().to_owned())).collect(),
        destinations: found.insights().iter().filter_map(|of| of.destination()).map(str::to_owned).collect(),
        accepted_at: at(&[EventType::Send]),
        rejected: has(&[EventType::Reject, EventType::RenderingFailure]),
    }
}

fn not_completed(id: &str, status: Option<&JobStatus>, job: &GetExportJobOutput) -> Failure {
    let reason = job.failure_info().and_then(|info| info.error_message()).unwrap_or("SES does not say why");
    let message = match status {
        Some(JobStatus::Created | JobStatus::Processing) => {
            format!(
                "SES's export {id} takes longer than {} minutes: try again later",
                EXPORT_TIMEOUT.as_secs() / 60
            )
        }
        Some(status) => format!("SES's export {id} is {}: {reason}", status.as_str()),
        None => format!("SES's export {id} has no status"),
    };
    Failure::new(Exit::Unavailable, message)
}

fn refused<E>(operation: &str, error: &SdkError<E>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let said = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => DisplayErrorContext(error).to_string(),
    };
    Failure::new(
        Exit::Unavailable,
        format!(
            "SES did not answer {operation}: {said}; check that Virtual Deliverability Manager is on in this region, AWS_REGION, the credentials and the right ses:{operation}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn an_address_as_a_filter_matches_itself_alone() {
        assert_eq!(literal("ada*b@example.com"), "ada\\*b@example.com");
        assert_eq!(literal("a\\b@example.com"), "a\\\\b@example.com");
    }
}
