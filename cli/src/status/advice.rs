//! What a person may do about what a campaign shows. Pure.

use std::time::Duration;

use super::super::format;
use super::Detail;

/// Reasons of a halt by what they begin with or contain, and what to do: as `docs/operate.md` has them.
const REASONS: [(&str, &str); 45] = [
    (
        "what it had committed",
        "Follow docs/restore.md first: bring SES's events or the log, and the suppressions; else people get the email twice.",
    ),
    (
        "something other than SES answers",
        "Look at AWS_ENDPOINT_URL_SESV2, and at the proxy or firewall on the way to SES. Nobody has failed for it.",
    ),
    (
        "no clear answer from SES",
        "Look at the health of SES and at a proxy on the way to it. The recipients that it cost are in doubt.",
    ),
    ("the template does not compile", "Correct the template at that line."),
    ("the template cannot be rendered", "Correct the template at that line: it fails for every recipient."),
    ("from_address is no mailbox", "Correct the campaign's from_address."),
    ("reply_to is no mailbox", "Correct the campaign's reply_to."),
    ("the link \"", "Correct that link in the html: campaign preview shows all that is wrong."),
    ("the campaign has neither html nor text", "Fill one of the columns html and text."),
    (
        "UNSUBSCRIBE_",
        "Set the variable for send-batch; or the campaign's transactional, if that is what it is.",
    ),
    ("send_before is over", "Give it a later send_before, with --before; or cancel it, if it is too late."),
    ("the campaign's link_parameters are", "Correct the column link_parameters of the campaign."),
    ("the attachment", "Correct the rows of campaign_attachments."),
    ("names no attachment", "Correct the link, or the content_id in campaign_attachments."),
    ("the link \"cid:", "Correct the link, or the content_id in campaign_attachments."),
    ("the campaign's variables are", "Correct the column variables of the campaign."),
    ("AccountSuspendedException", "The account may not send: the SES console says why."),
    ("ConfigurationSetSendingPaused", CONFIGURATION_SET_PAUSED),
    ("CONFIGURATION_SET_SENDING_PAUSED", CONFIGURATION_SET_PAUSED),
    ("for this configuration set", CONFIGURATION_SET_PAUSED),
    ("SendingPausedException", "The account may not send: the SES console says why."),
    ("for this account", "The account may not send: the SES console says why."),
    ("MailFromDomainNotVerifiedException", "Verify the MAIL FROM domain in SES."),
    (
        "not verified",
        "Verify the identity that it names, in that region; in SES's sandbox recipients need it too.",
    ),
    ("Tenant ", "Correct ses_tenant in organization_settings, or create the tenant: docs/ses-tenants.md."),
    (
        "disabled for tenant",
        "SES has paused the organization's tenant: its reputation in the SES console says why.",
    ),
    ("NotFoundException", NO_CONFIGURATION_SET),
    ("ConfigurationSetDoesNotExist", NO_CONFIGURATION_SET),
    ("CONFIGURATION_SET_", NO_CONFIGURATION_SET),
    ("AccessDenied", "Let the function's role send from this identity and with this configuration set."),
    ("UnrecognizedClientException", CREDENTIALS),
    ("InvalidClientTokenId", CREDENTIALS),
    ("InvalidSignatureException", CREDENTIALS),
    ("SignatureDoesNotMatch", CREDENTIALS),
    ("OptInRequired", CREDENTIALS),
    ("ExpiredToken", CREDENTIALS),
    ("MissingAuthenticationToken", CREDENTIALS),
    ("IncompleteSignature", CREDENTIALS),
    ("emails bounced (", GUARD),
    ("recipients complained (", GUARD),
    ("emails were rejected by Amazon SES", REJECTED),
    ("was refused: ", "Look at the refusal: many in a row met it, so most likely it is not the recipients'."),
    ("UnknownOperation", NO_SEND_EMAIL),
    ("NotImplemented", NO_SEND_EMAIL),
    ("http_", NO_SEND_EMAIL),
];
const GUARD: &str = "The reputation guard stopped it: look where the list comes from, and clean it. Whoever goes on accepts these figures.";
const REJECTED: &str = "Look at what the emails hold: SES found malware, or could not render them. Whoever goes on accepts these figures.";
const CONFIGURATION_SET_PAUSED: &str =
    "The configuration set may not send: turn its sending on again in the SES console.";
const NO_CONFIGURATION_SET: &str =
    "Correct SES_CONFIGURATION_SET, or the campaign's configuration_set: SES has none of that name.";
const NO_SEND_EMAIL: &str = "Correct AWS_ENDPOINT_URL_SESV2: what answers there does not serve SendEmail.";
const CREDENTIALS: &str = "Correct the AWS credentials in use.";

/// After that much time SES's events are not late any more.
const EVENTS_ARE_LATE: f64 = 900.0;

/// In the order of what comes first.
pub fn of(detail: &Detail) -> Vec<String> {
    let id = detail.overview.campaign_id;
    let mut advice = Vec::new();
    match detail.overview.status.as_str() {
        "draft" if detail.overview.progress.total == 0 => {
            advice.push(format!("Add recipients: campaign import {id} FILE"));
        }
        "draft" => advice.push(format!("Start it: campaign send start {id}")),
        "scheduled" if detail.overview.scheduled_at.is_none() => {
            advice.push(format!("Give it a time: campaign send schedule {id} --at TIME"));
        }
        "scheduled" if detail.overview.overdue_seconds.is_some() => {
            advice.push(format!("Turn on the schedule, or run it from here: campaign send run {id}"));
            advice.push(format!("Or end it, if it is too late for it: campaign send cancel {id}"));
        }
        "paused" => {
            advice.extend(detail.overview.status_reason.as_deref().and_then(of_reason).map(str::to_owned));
            advice.push(format!("Go on with it: campaign send resume {id}"));
        }
        "sending" => {
            advice.extend(of_history(detail));
            advice.extend(of_sending(detail));
        }
        "sent" if detail.overview.rejected > 0 => advice.push(REJECTED.to_owned()),
        _ => {}
    }
    advice.extend(of_doubt(detail));
    advice.extend(of_failed(detail));
    advice
}

fn of_reason(reason: &str) -> Option<&'static str> {
    REASONS.iter().find(|(part, _)| reason.contains(part)).map(|(_, advice)| *advice)
}

/// Nothing is claimed for a while: the database may have lost what it had committed.
fn of_history(detail: &Detail) -> Option<String> {
    let hold = detail.history_hold.as_ref()?;
    let left = format::duration(Duration::from_secs_f64(hold.seconds.max(0.0)));
    Some(format!("Nothing is sent for {left}: {}. See docs/restore.md", hold.reason))
}

fn of_sending(detail: &Detail) -> Option<String> {
    let id = detail.overview.campaign_id;
    let state = |state: &str| detail.lanes.iter().any(|lane| lane.state == state);
    if state("working") || detail.overview.progress.remaining == 0 {
        return None;
    }
    Some(if state("lost") {
        format!("The next invocation takes over what was lost; none is at work now: campaign send run {id}")
    } else {
        format!("Nobody is at work on it: turn on the schedule, or run it from here: campaign send run {id}")
    })
}

fn of_doubt(detail: &Detail) -> Option<String> {
    let id = detail.overview.campaign_id;
    let uncertain = detail.outcomes.iter().filter(|outcome| outcome.status == "uncertain");
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
    let failed = detail.outcomes.iter().filter(|outcome| outcome.status == "failed");
    let code = failed.filter_map(|outcome| outcome.code.as_deref()).find(retried)?;
    Some(format!(
        "When the cause of {code} is mended, send to those who failed by it: campaign retry-failed {id} --code {code}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_a_halt_that_is_documented_has_its_advice() {
        let documented = include_str!("../../../docs/operate.md");
        let table =
            documented.split("### Reasons of `halted`").nth(1).unwrap().split("\n## ").next().unwrap();
        let reasons: Vec<&str> = table
            .lines()
            .filter(|line| line.starts_with("| `"))
            .flat_map(|line| line.split(" | ").next().unwrap().split('`').skip(1).step_by(2))
            .collect();
        assert!(reasons.len() > 12, "{reasons:?}");
        for reason in reasons.iter().filter(|reason| !reason.starts_with('…')) {
            assert!(of_reason(reason).is_some(), "{reason}");
        }
    }
}
