//! The headers that identify a campaign to mailbox providers and let a recipient unsubscribe. Pure.
//!
//! | header | of | what for |
//! | --- | --- | --- |
//! | `List-Unsubscribe` | RFC 2369, RFC 8058 | the recipient's link, and a mailbox where one is configured |
//! | `List-Unsubscribe-Post` | RFC 8058 | one click is enough at that link |
//! | `List-Id` | RFC 2919 | the list: what an organization sends from a domain |
//! | `Feedback-ID` | Gmail | complaint rates by campaign and organization |
//!
//! A transactional campaign has only the last one. SES signs all of them by DKIM, as RFC 8058 requires for
//! the first two.

use crate::domain::campaign::Campaign;
use crate::domain::mailbox::Mailbox;

/// RFC 2919, 3: the longest list identifier.
const MAX_LIST_ID: usize = 255;
/// Gmail requires the same 5 to 15 characters in all messages of one sender.
const FEEDBACK_SENDER: &str = "campaign-sender";

/// The headers that all messages of a campaign share, prepared once.
#[derive(Clone, Debug)]
pub struct Headers {
    shared: Vec<(&'static str, String)>,
    transactional: bool,
}

impl Headers {
    /// The headers of a campaign.
    pub fn new(campaign: &Campaign) -> Headers {
        let transactional = campaign.source.transactional;
        let kind = if transactional { "transactional" } else { "campaign" };
        let feedback_id = format!("{}:{}:{kind}:{FEEDBACK_SENDER}", campaign.id, campaign.organization_id);
        let mut shared = Vec::with_capacity(2);
        if !transactional && let Some(list_id) = list_id(campaign) {
            shared.push(("List-Id", list_id));
        }
        shared.push(("Feedback-ID", feedback_id));
        Headers { shared, transactional }
    }

    /// The headers of one message, names and values; `list_unsubscribe` is the value of that header.
    pub fn of<'a>(&'a self, list_unsubscribe: Option<&'a str>) -> impl Iterator<Item = (&'a str, &'a str)> {
        let own = list_unsubscribe.filter(|_| !self.transactional).map(|value| {
            [("List-Unsubscribe", value), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")]
        });
        let shared = self.shared.iter().map(|(name, value)| (*name, value.as_str()));
        own.into_iter().flatten().chain(shared)
    }
}

/// All campaigns of an organization from one domain are one list, so that its id stays the same and people's
/// filters keep working.
fn list_id(campaign: &Campaign) -> Option<String> {
    let mailbox = Mailbox::parse(&campaign.from_address).ok()?;
    let (_, domain) = mailbox.address().rsplit_once('@')?;
    let id = format!("{}.{domain}", campaign.organization_id.simple());
    (id.len() <= MAX_LIST_ID).then(|| format!("<{id}>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::campaign::{CampaignStatus, Source};
    use crate::domain::result::Progress;
    use crate::message::link::Links;
    use crate::message::link_settings::UnsubscribeSettings;
    use crate::message::token::RecipientIds;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn campaign(from_address: &str, transactional: bool) -> Campaign {
        Campaign {
            id: Uuid::from_u128(0xca),
            organization_id: Uuid::from_u128(0x0a),
            status: CampaignStatus::Sending,
            sendable: true,
            unscheduled: false,
            resumed_with_uncertain: false,
            status_reason: None,
            from_address: from_address.to_owned(),
            reply_to: Vec::new(),
            configuration_set: None,
            tracking: crate::domain::campaign::Tracking::default(),
            tenant: None,
            attachments: None,
            source: Source {
                campaign_name: "Spring".to_owned(),
                subject: "x".to_owned(),
                html: None,
                text: Some("x".to_owned()),
                variables: None,
                transactional,
                link_parameters: None,
            },
            templates_hash: String::new(),
            attempted: false,
            progress: Progress::default(),
        }
    }

    fn link(url: &str, mailto: Option<&str>) -> String {
        let settings = UnsubscribeSettings::read(&|name| match name {
            "UNSUBSCRIBE_URL" => Some(url.to_owned()),
            "UNSUBSCRIBE_SECRET" => Some("a-key-of-thirty-two-characters-or-more".to_owned()),
            "UNSUBSCRIBE_MAILTO" => mailto.map(str::to_owned),
            _ => None,
        })
        .unwrap();
        let ids = RecipientIds { recipient_id: Uuid::from_u128(1), organization_id: Uuid::from_u128(2) };
        Links::new(&settings).unwrap().of(ids).header()
    }

    fn headers(campaign: &Campaign, link: &str) -> Vec<(String, String)> {
        let headers = Headers::new(campaign);
        headers.of(Some(link)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_campaigns_message_has_all_four_and_a_transactional_one_the_feedback_id_only() {
        let told = |transactional| {
            let url = link("https://example.com/u", Some("off@example.com"));
            let headers = headers(&campaign("News <news@Mail.Example.com>", transactional), &url);
            headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(told(false), @r"
        List-Unsubscribe: <https://example.com/u/AQAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAACK4wPLzySr_kJaglrbCBAfzU4WdVLkhit8bgOniEd1Bg>, <mailto:off@example.com?subject=unsubscribe%20AQAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAACK4wPLzySr_kJaglrbCBAfzU4WdVLkhit8bgOniEd1Bg>
        List-Unsubscribe-Post: List-Unsubscribe=One-Click
        List-Id: <0000000000000000000000000000000a.mail.example.com>
        Feedback-ID: 00000000-0000-0000-0000-0000000000ca:00000000-0000-0000-0000-00000000000a:campaign:campaign-sender
        ");
        insta::assert_snapshot!(told(true), @"Feedback-ID: 00000000-0000-0000-0000-0000000000ca:00000000-0000-0000-0000-00000000000a:transactional:campaign-sender");
    }

    #[test]
    fn a_list_id_has_the_domain_in_ascii_or_is_not_there() {
        let value = |from: &str| {
            let headers = headers(&campaign(from, false), "<https://example.com/u>");
            headers.into_iter().find(|(name, _)| name == "List-Id").map(|(_, value)| value)
        };
        let organization = Uuid::from_u128(0x0a).simple();
        for (from, domain) in [
            ("news@example.com", Some("example.com")),
            ("Zoë <news@bücher.example>", Some("xn--bcher-kva.example")),
            (&format!("a@{}.example", ["d"; 120].join(".")), None),
            ("nobody", None),
            ("", None),
        ] {
            assert_eq!(value(from), domain.map(|domain| format!("<{organization}.{domain}>")), "{from}");
        }
    }

    /// The value of `List-Unsubscribe`, parsed like a mail program (RFC 2369, 2): URLs in angle brackets,
    /// separated by commas, with white space that is ignored.
    fn urls(value: &str) -> Vec<url::Url> {
        let bracketed = |part: &str| {
            let url = part.trim().strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).expect(part);
            assert!(!url.contains([' ', '<', '>', ',']), "{url}");
            url::Url::parse(url).expect(url)
        };
        value.split(',').map(bracketed).collect()
    }

    /// RFC 8058, 3.1: one HTTPS URL; there may be other URLs too.
    #[test]
    fn list_unsubscribe_is_a_list_of_urls_in_brackets_of_which_one_is_https() {
        for mailto in [None, Some("off@example.com"), Some("off&on%@example.com")] {
            let value = link("https://example.com/u", mailto);
            let urls = urls(&value);
            assert_eq!(urls[0].scheme(), "https", "the first is the most wanted (RFC 2369, 2)");
            assert!(urls[0].query().is_none() && urls[0].path().starts_with("/u/"));
            assert!(urls[1..].iter().all(|url| url.scheme() == "mailto"), "{value}");
            assert!(!value.contains("One-Click"), "that is in List-Unsubscribe-Post alone");
        }
        let both = urls(&link("https://example.com/u", Some("off&on%@example.com")));
        let (_, subject) = both[1].query_pairs().next().unwrap();
        assert_eq!(both[1].path(), "off%26on%25@example.com");
        assert_eq!(both[0].path(), format!("/u/{}", subject.strip_prefix("unsubscribe ").unwrap()));
    }

    /// RFC 8058, 4: a DKIM signature must cover both headers. It can, if each occurs once (RFC 6376, 5.4.2)
    /// and is not a header that changes in transit (RFC 6376, 5.4); it is recommended to sign the other
    /// headers here too (5.4.1).
    #[test]
    fn what_dkim_has_to_cover_it_can() {
        const MUST_BE_SIGNED: [&str; 2] = ["List-Unsubscribe", "List-Unsubscribe-Post"];
        const CHANGE_ON_THE_WAY: [&str; 5] =
            ["Return-Path", "Received", "Comments", "Keywords", "DKIM-Signature"];
        let headers = headers(&campaign("news@example.com", false), "<https://example.com/u>");
        for name in MUST_BE_SIGNED {
            let found = headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            assert_eq!(found.count(), 1, "{name}");
        }
        assert!(headers.iter().all(|(name, _)| !CHANGE_ON_THE_WAY.contains(&name.as_str())));
        // RFC 8058, 3.2: neither without the other.
        let without = Headers::new(&campaign("news@example.com", false));
        assert!(without.of(None).all(|(name, _)| !MUST_BE_SIGNED.contains(&name)));
    }

    /// SES: at most 15 headers, a name of 126 and a value of 995 printable ASCII characters, 996 together; RFC 5322,
    /// 2.1.1: a line of 998, of which the name, colon and space are a part.
    fn within_bounds(headers: &[(String, String)]) -> bool {
        headers.len() <= 15
            && headers.iter().all(|(name, value)| {
                name.len() <= 126
                    && !value.is_empty()
                    && name.len() + 2 + value.len() <= 996
                    && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            })
    }

    #[test]
    fn the_longest_settings_stay_within_what_ses_takes() {
        let url = format!("https://example.com/{}", "x".repeat(280));
        let mailto = format!("{}@{}.example.com", "%".repeat(64), ["d"; 60].join("."));
        assert_eq!((url.len(), mailto.len()), (300, 196));
        let headers = headers(&campaign("news@example.com", false), &link(&url, Some(&mailto)));
        assert!(within_bounds(&headers), "{headers:?}");
    }

    proptest! {
        #[test]
        fn whatever_the_sender_is_called_no_header_breaks_its_line(from in ".{0,80}(@[a-zé.]{1,20})?>?") {
            let headers = headers(&campaign(&from, false), "<https://example.com/u>");
            prop_assert!(within_bounds(&headers), "{:?}", headers);
            let names: std::collections::BTreeSet<_> = headers.iter().map(|(name, _)| name).collect();
            prop_assert_eq!(names.len(), headers.len(), "each once");
        }
    }
}
