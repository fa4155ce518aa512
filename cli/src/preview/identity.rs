//! Checks the sender's identity: whether SES has verified it, and whether its domain signs with DKIM.

use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityError;
use std::env;
use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityOutput;
use aws_sdk_sesv2::types::{DkimStatus, MailFromDomainStatus};

use super::dns::{self, Sending};
use campaign_sender::domain::mailbox::Mailbox;
use campaign_sender::message::preflight::Finding;
use campaign_sender::ses::{self};

/// The time limit for SES's answers.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks SES about the sender's domain or address. If SES cannot be asked, that is a warning, and the other
/// checks still run.
pub async fn examine(from_address: &str) -> Vec<Finding> {
    // SES cannot be asked if no region is set, and looking for a region in the instance's metadata would take
    // seconds.
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if !set("AWS_REGION") && !set("AWS_DEFAULT_REGION") && !set("AWS_PROFILE") {
        return vec![unknown("AWS_REGION is not set")];
    }
    // A sender that is not a mailbox is a separate finding.
    let Ok(mailbox) = Mailbox::parse(from_address) else { return Vec::new() };
    let client = ses::reading_client().await;
    match tokio::time::timeout(TIMEOUT, ask(&client, mailbox.address())).await {
        Ok(findings) => findings,
        Err(_) => vec![unknown("it did not answer")],
    }
}

/// The identities that allow this address, the most specific first: a verified domain also allows its
/// subdomains.
fn identities(address: &str) -> Vec<&str> {
    let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
    parents(domain).chain([address]).collect()
}

/// A domain and its parents, without the top-level domain.
pub fn parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |domain| {
        domain.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'))
    })
}

async fn ask(client: &Client, address: &str) -> Vec<Finding> {
    for identity in identities(address) {
        let answer = client.get_email_identity().email_identity(identity).send().await;
        match answer {
            Ok(answer) => {
                let mut findings = judge(identity, &answer);
                if answer.verified_for_sending_status() {
                    findings.extend(dns::examine(&sending(client, identity, address, &answer)).await);
                }
                return findings;
            }
            Err(error)
                if error.as_service_error().is_some_and(GetEmailIdentityError::is_not_found_exception) => {}
            Err(error) => {
                return vec![unknown(&aws_sdk_sesv2::error::DisplayErrorContext(&error).to_string())];
            }
        }
    }
    let text = format!("SES has no identity for {address} in this region: verify its domain");
    vec![Finding::error("identity_unverified", text)]
}

/// The way in which SES sends emails from the address.
fn sending(client: &Client, identity: &str, address: &str, answer: &GetEmailIdentityOutput) -> Sending {
    let mail_from =
        answer.mail_from_attributes().filter(|mail_from| !mail_from.mail_from_domain().is_empty());
    Sending {
        from: address.rsplit_once('@').map_or(address, |(_, domain)| domain).to_owned(),
        dkim: (signs(answer) && !identity.contains('@')).then(|| identity.to_owned()),
        mail_from: mail_from.map(|mail_from| {
            let found = *mail_from.mail_from_domain_status() == MailFromDomainStatus::Success;
            (mail_from.mail_from_domain().to_ascii_lowercase(), found)
        }),
        region: client.config().region().map_or_else(|| "REGION".to_owned(), ToString::to_string),
    }
}

fn signs(answer: &GetEmailIdentityOutput) -> bool {
    answer
        .dkim_attributes()
        .is_some_and(|dkim| dkim.signing_enabled() && dkim.status() == Some(&DkimStatus::Success))
}

fn judge(identity: &str, answer: &GetEmailIdentityOutput) -> Vec<Finding> {
    if !answer.verified_for_sending_status() {
        let text = format!("{identity} is not verified: SES refuses to send from it");
        return vec![Finding::error("identity_unverified", text)];
    }
    let signs = signs(answer);
    if identity.contains('@') && !signs {
        let text = format!(
            "only the address {identity} is verified, not its domain: emails are not signed by the domain in From, \
             which Gmail, Yahoo and Outlook demand of bulk senders (DMARC alignment)"
        );
        return vec![Finding::warning("identity_unaligned", text)];
    }
    if !signs {
        let text =
            format!("SES does not sign with DKIM for {identity}: receivers demand that of bulk senders");
        return vec![Finding::warning("dkim_missing", text)];
    }
    Vec::new()
}

fn unknown(why: &str) -> Finding {
    Finding::warning(
        "identity_unknown",
        format!("SES could not be asked whether the sender is verified: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_sesv2::types::DkimAttributes;

    use super::*;

    #[test]
    fn a_verified_domain_stands_for_its_subdomains() {
        assert_eq!(
            identities("news@mail.shop.example.com"),
            ["mail.shop.example.com", "shop.example.com", "example.com", "news@mail.shop.example.com"]
        );
    }

    #[test]
    fn a_sender_is_verified_and_signed_for_by_its_domain() {
        let answer = |verified, status| {
            let dkim = DkimAttributes::builder().signing_enabled(true).status(status).build();
            GetEmailIdentityOutput::builder()
                .verified_for_sending_status(verified)
                .dkim_attributes(dkim)
                .build()
        };
        let kinds = |identity, answer: &GetEmailIdentityOutput| {
            judge(identity, answer).into_iter().map(|finding| finding.kind).collect::<Vec<_>>()
        };
        assert!(kinds("example.com", &answer(true, DkimStatus::Success)).is_empty());
        assert_eq!(kinds("example.com", &answer(true, DkimStatus::Pending)), ["dkim_missing"]);
        assert_eq!(kinds("example.com", &answer(false, DkimStatus::Success)), ["identity_unverified"]);
        assert_eq!(kinds("a@example.com", &answer(true, DkimStatus::NotStarted)), ["identity_unaligned"]);
    }
}
