//! Advice on what to do about a campaign. Pure.

use std::time::Duration;

use super::super::format;
use super::Detail;
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::domain::halt::HaltReason;
use campaign_sender::domain::recipient::Status;

/// After this time, missing events of SES are not just late.
const EVENTS_ARE_LATE: f64 = 900.0;

/// The most important advice comes first.
pub fn of(detail: &Detail) -> Vec<String> {
    let id = detail.overview.campaign_id;
    let mut advice = Vec::new();
    match detail.overview.status {
        CampaignStatus::Draft if detail.overview.progress.total == 0 => {
            advice.push(format!("Add recipients: campaign import {id} FILE"));
        }
        CampaignStatus::Draft => advice.push(format!("Start it: campaign send start {id}")),
        CampaignStatus::Scheduled if detail.overview.scheduled_at.is_none() => {
            advice.push(format!("Give it a time: campaign send schedule {id} --at TIME"));
        }
        CampaignStatus::Scheduled if detail.overview.overdue_seconds.is_some() => {
            advice.push(format!("If it is too late to send it, end it: campaign send cancel {id}"));
        }
        CampaignStatus::Paused => {
            let reason = detail.overview.status_reason.as_deref().and_then(HaltReason::of);
            advice.extend(reason.map(|reason| reason.advice().to_owned()));
            advice.push(format!("Go on with it: campaign send resume {id}"));
        }
        CampaignStatus::Sent if detail.overview.rejected > 0 => {
            advice.push(HaltReason::Rejections.advice().to_owned());
        }
        CampaignStatus::Scheduled
        | CampaignStatus::Sending
        | CampaignStatus::Sent
        | CampaignStatus::Cancelled
        | CampaignStatus::Failed => {}
    }
    advice.extend(of_now(detail));
    advice.extend(of_uncertain(detail));
    advice.extend(of_failed(detail));
    advice
}

/// What to do if nothing is being sent.
fn of_now(detail: &Detail) -> Option<String> {
    let advice = detail.now.as_ref()?.cause.advice()?;
    Some(advice.replace("{id}", &detail.overview.campaign_id.to_string()))
}

fn of_uncertain(detail: &Detail) -> Option<String> {
    let id = detail.overview.campaign_id;
    let uncertain = detail.outcomes.iter().filter(|outcome| outcome.status == Status::Uncertain);
    let oldest = uncertain.filter_map(|outcome| outcome.oldest_seconds).reduce(f64::max)?;
    let since = format::duration(Duration::from_secs_f64(oldest.max(0.0)));
    Some(if oldest < EVENTS_ARE_LATE {
        format!("Wait for SES's events, which settle most of what is uncertain (for {since} so far).")
    } else {
        format!(
            "SES's events have settled nothing of what is uncertain for {since}: look at ses-events and its queues, then campaign resolve {id}"
        )
    })
}

fn of_failed(detail: &Detail) -> Option<String> {
    let id = detail.overview.campaign_id;
    let retried =
        |code: &&str| !matches!(*code, "invalid_address" | "rejected" | "rendering_failure" | "resolved");
    let failed = detail.outcomes.iter().filter(|outcome| outcome.status == Status::Failed);
    let code = failed.filter_map(|outcome| outcome.code.as_deref()).find(retried)?;
    Some(format!(
        "When you have corrected the cause of {code}, send to these recipients again: campaign retry-failed {id} --code {code}"
    ))
}
