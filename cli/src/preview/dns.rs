//! Looks up the DNS records of the sender's domain that mailbox providers look up before they accept an
//! email.

#[cfg(feature = "full")]
mod server;
#[cfg(not(feature = "full"))]
#[path = "dns/no_server.rs"]
mod server;

use campaign_sender::message::preflight::Finding;
use server::Server;

/// The way in which SES sends emails from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The domain of `From`.
    pub from: String,
    /// The domain that SES signs for by DKIM.
    pub dkim: Option<String>,
    /// The custom MAIL FROM domain, and true if SES has found its records.
    pub mail_from: Option<(String, bool)>,
    /// The region, which is part of the records of a custom MAIL FROM.
    pub region: String,
}

/// A DMARC record (RFC 7489, section 6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dmarc {
    /// The domain that has the record: that of `From`, or a parent of it.
    domain: String,
    strict_dkim: bool,
    strict_spf: bool,
}

/// Looks up the sender's records and compares them with the way in which SES sends.
///
/// Gmail, Yahoo and Outlook require of senders of 5,000 emails a day: SPF and DKIM, a DMARC record, and one
/// of the two aligned with `From`
/// (<https://docs.aws.amazon.com/ses/latest/dg/send-email-authentication-dmarc.html>).
pub async fn examine(sending: &Sending) -> Vec<Finding> {
    let server = match Server::configured() {
        Ok(Some(server)) => server,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![unknown(&why)],
    };
    match dmarc(&server, &sending.from).await {
        Ok(dmarc) => judge(sending, dmarc),
        Err(why) => vec![unknown(&why)],
    }
}

/// The DMARC record for a domain: its own, or that of the nearest parent that has one. Several records of a
/// domain count as none.
async fn dmarc(server: &Server, from: &str) -> Result<Result<Dmarc, Finding>, String> {
    for domain in super::identity::parents(from) {
        let name = format!("_dmarc.{domain}.");
        let records: Vec<String> =
            server.texts(&name).await?.into_iter().filter(|text| is_dmarc(text)).collect();
        match records.as_slice() {
            [] => {}
            [record] => return Ok(parse(domain, record)),
            several => {
                let text = format!(
                    "there are {} DMARC records at _dmarc.{domain}, and receivers take none of them: leave one",
                    several.len()
                );
                return Ok(Err(Finding::warning("dmarc_invalid", text)));
            }
        }
    }
    let text = format!(
        "there is no DMARC record for {from}, which Gmail, Yahoo and Outlook demand of bulk senders: publish TXT at \
         _dmarc.{from}: \"v=DMARC1; p=none; rua=mailto:dmarc@{from}\""
    );
    Ok(Err(Finding::warning("dmarc_missing", text)))
}

fn is_dmarc(text: &str) -> bool {
    text.split(';').next().is_some_and(|tag| tag.split_whitespace().collect::<String>() == "v=DMARC1")
}

fn parse(domain: &str, record: &str) -> Result<Dmarc, Finding> {
    let tag = |wanted: &str| {
        let mut tags = record.split(';').filter_map(|tag| tag.split_once('='));
        tags.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim().to_ascii_lowercase())
    };
    let policy = tag("p");
    if !matches!(policy.as_deref(), Some("none" | "quarantine" | "reject")) {
        let text = format!(
            "the DMARC record at _dmarc.{domain} has {}: expected p=none, p=quarantine or p=reject",
            policy.map_or_else(|| "no p".to_owned(), |policy| format!("p={policy}"))
        );
        return Err(Finding::warning("dmarc_invalid", text));
    }
    let is_strict = |name| tag(name).as_deref() == Some("s");
    Ok(Dmarc { domain: domain.to_owned(), strict_dkim: is_strict("adkim"), strict_spf: is_strict("aspf") })
}

/// Returns what is wrong with the alignment of DKIM and SPF with `From`, by the rules of the record. Pure.
fn judge(sending: &Sending, dmarc: Result<Dmarc, Finding>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (strict_dkim, strict_spf, organization) = match dmarc {
        Ok(dmarc) => (dmarc.strict_dkim, dmarc.strict_spf, dmarc.domain),
        Err(finding) => {
            findings.push(finding);
            (false, false, sending.from.clone())
        }
    };
    let from = &sending.from;
    // Relaxed alignment: both domains belong to one organization, whose domain is one of them or a parent of
    // both.
    let aligned = |domain: &str, strict: bool| {
        domain == from
            || !strict
                && (is_under(domain, &organization) || is_under(from, domain) || is_under(domain, from))
    };
    let dkim = sending.dkim.as_deref().is_some_and(|domain| aligned(domain, strict_dkim));
    if let Some(domain) = sending.dkim.as_deref().filter(|_| !dkim) {
        let text = format!(
            "emails are signed by DKIM for {domain}, which does not align with {from}: the DMARC record says adkim=s. \
             Verify {from} itself in SES, or publish adkim=r"
        );
        findings.push(Finding::warning("dkim_unaligned", text));
    }
    let rests =
        if dkim { "so DMARC rests on DKIM alone" } else { "and DKIM does not align either: DMARC fails" };
    let region = &sending.region;
    match &sending.mail_from {
        None => findings.push(Finding::warning(
            "spf_unaligned",
            format!(
                "SPF does not align with {from}, because emails leave with SES's own MAIL FROM domain, amazonses.com, {rests}: \
                 set a custom MAIL FROM domain in SES, for example bounce.{from}, and publish MX at bounce.{from}: \
                 \"10 feedback-smtp.{region}.amazonses.com\" and TXT: \"v=spf1 include:amazonses.com ~all\""
            ),
        )),
        Some((domain, false)) => findings.push(Finding::warning(
            "mail_from_unverified",
            format!(
                "SES does not use the custom MAIL FROM domain {domain} yet: publish MX at {domain}: \
                 \"10 feedback-smtp.{region}.amazonses.com\" and TXT: \"v=spf1 include:amazonses.com ~all\""
            ),
        )),
        Some((domain, true)) if !aligned(domain, strict_spf) => findings.push(Finding::warning(
            "spf_unaligned",
            format!("SPF of the MAIL FROM domain {domain} does not align with {from}, {rests}: the DMARC record says aspf=s, or they are domains of two organizations"),
        )),
        Some(_) => {}
    }
    findings
}

fn is_under(domain: &str, parent: &str) -> bool {
    domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

fn unknown(why: &str) -> Finding {
    Finding::warning("dns_unknown", format!("DNS could not be asked for the sender's DMARC record: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(dkim: &str, mail_from: Option<(&str, bool)>) -> Sending {
        Sending {
            from: "news.example.com".to_owned(),
            dkim: Some(dkim.to_owned()),
            mail_from: mail_from.map(|(domain, found)| (domain.to_owned(), found)),
            region: "eu-central-1".to_owned(),
        }
    }

    fn kinds(sending: &Sending, record: &str) -> Vec<&'static str> {
        judge(sending, parse("example.com", record)).into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn what_aligns_depends_on_the_record() {
        let own = Some(("bounce.news.example.com", true));
        let none = Vec::<&str>::new();
        let relaxed = "v=DMARC1; p=none";
        assert_eq!(kinds(&sending("news.example.com", own), relaxed), none);
        assert_eq!(kinds(&sending("example.com", own), relaxed), none);
        assert_eq!(kinds(&sending("example.com", Some(("mail.example.com", true))), relaxed), none);
        assert_eq!(kinds(&sending("example.com", None), relaxed), ["spf_unaligned"]);
        assert_eq!(kinds(&sending("example.com", Some(("b.example.org", true))), relaxed), ["spf_unaligned"]);
        assert_eq!(
            kinds(&sending("example.com", Some(("b.example.com", false))), relaxed),
            ["mail_from_unverified"]
        );
        let strict = "v=DMARC1;p=reject; adkim=s ;aspf = s";
        assert_eq!(kinds(&sending("news.example.com", own), strict), ["spf_unaligned"]);
        assert_eq!(kinds(&sending("example.com", own), strict), ["dkim_unaligned", "spf_unaligned"]);
        assert_eq!(
            kinds(&sending("example.com", own), "v=DMARC1; rua=mailto:x@example.com"),
            ["dmarc_invalid"]
        );
        assert_eq!(kinds(&sending("example.com", own), "v=DMARC1; p=maybe"), ["dmarc_invalid"]);
        assert!(is_under("a.example.com", "example.com") && !is_under("badexample.com", "example.com"));
    }

    #[test]
    fn a_dmarc_record_is_known_by_its_first_tag() {
        assert!(is_dmarc("v=DMARC1; p=none") && is_dmarc(" v = DMARC1 ;p=none"));
        assert!(!is_dmarc("v=spf1 -all") && !is_dmarc("p=none; v=DMARC1") && !is_dmarc("v=DMARC12"));
    }
}
