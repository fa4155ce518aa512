//! Why campaigns are paused by the functions: each reason with its code, its words and its advice.
//!
//! `campaigns.status_reason` holds the words. What writes them in Rust takes them from here; SQL functions write those of
//! [`HaltReason::DatabaseBehind`] and [`HaltReason::TooLate`] themselves, and SES's own words follow its error code. [`HaltReason::of`] reads all of
//! them.

/// A reason why a campaign is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the advice of each says what it means")]
pub enum HaltReason {
    InvalidTemplate,
    FailingTemplate,
    NoBody,
    InvalidVariables,
    InvalidFromAddress,
    InvalidReplyTo,
    InvalidLinkParameters,
    InvalidAttachment,
    BrokenLink,
    TooLate,
    NoUnsubscribeLink,
    AccountMayNotSend,
    ConfigurationSetPaused,
    NoTenant,
    TenantPaused,
    TenantNotAssociated,
    NoConfigurationSet,
    MailFromNotVerified,
    IdentityNotVerified,
    AccessDenied,
    InvalidCredentials,
    NoSendEmail,
    NotSes,
    NoClearAnswer,
    SameRefusal,
    NoActivity,
    OutcomesDiscarded,
    RecipientsDeleted,
    Bounces,
    Complaints,
    Rejections,
    DatabaseBehind,
    PausedWithAll,
}

/// How the text of a reason is recognized.
enum Words {
    /// They begin so.
    Begin(&'static str),
    /// They have this somewhere; figures or names stand before it.
    Hold(&'static str),
}
use Words::{Begin, Hold};

const NOT_SES: &str = "every answer came from something other than SES: ";
const NO_CLEAR_ANSWER: &str = "SES repeatedly gave no clear answer: ";
const NO_ACTIVITY: &str = " takes no activity: ";
const DISCARDED: &str = "PostgreSQL did not keep the outcomes of ";
const DELETED: &str = " no recipient any more: ";
const BOUNCED: &str = " emails bounced (";
const COMPLAINED: &str = " recipients complained (";
const REJECTED: &str = " emails were rejected by Amazon SES after it had accepted them (";

impl HaltReason {
    /// All of them.
    pub const ALL: [HaltReason; 33] = [
        HaltReason::InvalidTemplate,
        HaltReason::FailingTemplate,
        HaltReason::NoBody,
        HaltReason::InvalidVariables,
        HaltReason::InvalidFromAddress,
        HaltReason::InvalidReplyTo,
        HaltReason::InvalidLinkParameters,
        HaltReason::InvalidAttachment,
        HaltReason::BrokenLink,
        HaltReason::TooLate,
        HaltReason::NoUnsubscribeLink,
        HaltReason::AccountMayNotSend,
        HaltReason::ConfigurationSetPaused,
        HaltReason::NoTenant,
        HaltReason::TenantPaused,
        HaltReason::TenantNotAssociated,
        HaltReason::NoConfigurationSet,
        HaltReason::MailFromNotVerified,
        HaltReason::IdentityNotVerified,
        HaltReason::AccessDenied,
        HaltReason::InvalidCredentials,
        HaltReason::NoSendEmail,
        HaltReason::NotSes,
        HaltReason::NoClearAnswer,
        HaltReason::SameRefusal,
        HaltReason::NoActivity,
        HaltReason::OutcomesDiscarded,
        HaltReason::RecipientsDeleted,
        HaltReason::Bounces,
        HaltReason::Complaints,
        HaltReason::Rejections,
        HaltReason::DatabaseBehind,
        HaltReason::PausedWithAll,
    ];

    /// Reads a `status_reason`; `None`: a person's own words, or SES's under a code that has no advice of its own.
    pub fn of(text: &str) -> Option<HaltReason> {
        let is_it = |reason: &HaltReason| {
            reason.words().iter().any(|words| match words {
                Begin(words) => text.starts_with(words),
                Hold(words) => text.contains(words),
            })
        };
        HaltReason::ALL.into_iter().find(is_it).or_else(|| HaltReason::of_ses(text))
    }

    /// The texts of reasons that are not SES's. Where there are two, the second one is the previous release's, which a
    /// campaign may have had since then.
    fn words(self) -> &'static [Words] {
        match self {
            HaltReason::InvalidTemplate => &[Begin("the template does not compile")],
            HaltReason::FailingTemplate => &[Begin("the template cannot be rendered")],
            HaltReason::NoBody => &[Begin("the campaign has neither html nor text")],
            HaltReason::InvalidVariables => &[Begin("the campaign's variables are")],
            HaltReason::InvalidFromAddress => &[Begin("from_address is no mailbox")],
            HaltReason::InvalidReplyTo => &[Begin("reply_to is no mailbox")],
            HaltReason::InvalidLinkParameters => &[Begin("the campaign's link_parameters are")],
            HaltReason::InvalidAttachment => &[Begin("the attachment"), Begin("the link \"cid:")],
            HaltReason::BrokenLink => &[Begin("the link \"")],
            HaltReason::TooLate => &[Begin("send_before is over")],
            HaltReason::NoUnsubscribeLink => &[Begin("UNSUBSCRIBE_")],
            HaltReason::NotSes => &[Begin(NOT_SES), Begin("something other than SES answers each time: ")],
            HaltReason::NoClearAnswer => {
                &[Begin(NO_CLEAR_ANSWER), Begin("no clear answer from SES, time after time: ")]
            }
            HaltReason::SameRefusal => &[Begin("each of the first "), Begin("each of ")],
            HaltReason::NoActivity => &[Hold(NO_ACTIVITY)],
            HaltReason::OutcomesDiscarded => &[Begin(DISCARDED)],
            HaltReason::RecipientsDeleted => &[Hold(DELETED)],
            HaltReason::Bounces => &[Hold(BOUNCED)],
            HaltReason::Complaints => &[Hold(COMPLAINED)],
            HaltReason::Rejections => &[Hold(REJECTED)],
            HaltReason::DatabaseBehind => &[
                Begin("the database may lack what it had committed"),
                Begin("the database has lost what it had committed"),
            ],
            HaltReason::PausedWithAll => &[Begin("paused with all others")],
            HaltReason::AccountMayNotSend
            | HaltReason::ConfigurationSetPaused
            | HaltReason::NoTenant
            | HaltReason::TenantPaused
            | HaltReason::TenantNotAssociated
            | HaltReason::NoConfigurationSet
            | HaltReason::MailFromNotVerified
            | HaltReason::IdentityNotVerified
            | HaltReason::AccessDenied
            | HaltReason::InvalidCredentials
            | HaltReason::NoSendEmail => &[],
        }
    }

    /// SES's error code (`http_404` and the like where there is none), and its words after a colon.
    fn of_ses(text: &str) -> Option<HaltReason> {
        let (code, words) = text.split_once(": ").unwrap_or((text, ""));
        let words = words.to_ascii_lowercase();
        let stopped = ["paused", "suspended", "disabled"].iter().any(|stopped| words.contains(stopped));
        Some(match code {
            // AWS documents no error code for these, so SES's words decide.
            _ if words.contains("tenant not associated") => HaltReason::TenantNotAssociated,
            _ if words.contains("tenant") && (stopped || code == "SendingPausedException") => {
                HaltReason::TenantPaused
            }
            "NotFoundException" if words.contains("tenant") => HaltReason::NoTenant,
            _ if words.contains("configuration set") && stopped => HaltReason::ConfigurationSetPaused,
            "AccountSuspendedException" | "SendingPausedException" | "AccountSendingPausedException" => {
                HaltReason::AccountMayNotSend
            }
            "ConfigurationSetSendingPausedException" | "CONFIGURATION_SET_SENDING_PAUSED" => {
                HaltReason::ConfigurationSetPaused
            }
            _ if words.contains("for this account") => HaltReason::AccountMayNotSend,
            "MailFromDomainNotVerifiedException" => HaltReason::MailFromNotVerified,
            "NotFoundException"
            | "ConfigurationSetDoesNotExist"
            | "ConfigurationSetDoesNotExistException"
            | "CONFIGURATION_SET_NOT_FOUND"
            | "CONFIGURATION_SET_DOES_NOT_EXIST" => HaltReason::NoConfigurationSet,
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => HaltReason::AccessDenied,
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "OptInRequired"
            | "ExpiredTokenException"
            | "ExpiredToken"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException" => HaltReason::InvalidCredentials,
            "UnknownOperationException" | "NotImplemented" => HaltReason::NoSendEmail,
            _ if code.starts_with("http_") => HaltReason::NoSendEmail,
            _ if words.contains("not verified") => HaltReason::IdentityNotVerified,
            _ => return None,
        })
    }

    /// A stable name, for machines.
    pub fn code(self) -> &'static str {
        match self {
            HaltReason::InvalidTemplate => "invalid_template",
            HaltReason::FailingTemplate => "failing_template",
            HaltReason::NoBody => "no_body",
            HaltReason::InvalidVariables => "invalid_variables",
            HaltReason::InvalidFromAddress => "invalid_from_address",
            HaltReason::InvalidReplyTo => "invalid_reply_to",
            HaltReason::InvalidLinkParameters => "invalid_link_parameters",
            HaltReason::InvalidAttachment => "invalid_attachment",
            HaltReason::BrokenLink => "broken_link",
            HaltReason::TooLate => "too_late",
            HaltReason::NoUnsubscribeLink => "no_unsubscribe_link",
            HaltReason::AccountMayNotSend => "account_may_not_send",
            HaltReason::ConfigurationSetPaused => "configuration_set_paused",
            HaltReason::NoTenant => "no_tenant",
            HaltReason::TenantPaused => "tenant_paused",
            HaltReason::TenantNotAssociated => "tenant_not_associated",
            HaltReason::NoConfigurationSet => "no_configuration_set",
            HaltReason::MailFromNotVerified => "mail_from_not_verified",
            HaltReason::IdentityNotVerified => "identity_not_verified",
            HaltReason::AccessDenied => "access_denied",
            HaltReason::InvalidCredentials => "invalid_credentials",
            HaltReason::NoSendEmail => "no_send_email",
            HaltReason::NotSes => "not_ses",
            HaltReason::NoClearAnswer => "no_clear_answer",
            HaltReason::SameRefusal => "same_refusal",
            HaltReason::NoActivity => "no_activity",
            HaltReason::OutcomesDiscarded => "outcomes_discarded",
            HaltReason::RecipientsDeleted => "recipients_deleted",
            HaltReason::Bounces => "bounces",
            HaltReason::Complaints => "complaints",
            HaltReason::Rejections => "rejections",
            HaltReason::DatabaseBehind => "database_behind",
            HaltReason::PausedWithAll => "paused_with_all",
        }
    }

    /// What a person does about it.
    pub fn advice(self) -> &'static str {
        match self {
            HaltReason::InvalidTemplate => "Correct the template at that line.",
            HaltReason::FailingTemplate => "Correct the template at that line: it fails for every recipient.",
            HaltReason::NoBody => "Fill one of the columns html and text.",
            HaltReason::InvalidVariables => "Correct the column variables of the campaign.",
            HaltReason::InvalidFromAddress => "Correct the campaign's from_address.",
            HaltReason::InvalidReplyTo => "Correct the campaign's reply_to.",
            HaltReason::InvalidLinkParameters => "Correct the column link_parameters of the campaign.",
            HaltReason::InvalidAttachment => {
                "Correct the rows of campaign_attachments, or the link that names one by its content_id."
            }
            HaltReason::BrokenLink => {
                "Correct that link in the html: campaign preview shows all that is wrong."
            }
            HaltReason::TooLate => {
                "Give it a later send_before with --before; or cancel it, if it is too late."
            }
            HaltReason::NoUnsubscribeLink => {
                "Set the variable for send-batch; or the campaign's transactional, if that is what it is."
            }
            HaltReason::AccountMayNotSend => "The account may not send: the SES console says why.",
            HaltReason::ConfigurationSetPaused => {
                "The configuration set may not send: turn its sending on again in the SES console."
            }
            HaltReason::NoTenant => {
                "Correct ses_tenant in organization_settings, or create the tenant: docs/ses-tenants.md."
            }
            HaltReason::TenantPaused => {
                "SES has paused the organization's tenant: its reputation in the SES console says why."
            }
            HaltReason::TenantNotAssociated => {
                "Associate what it names with the organization's tenant (create-tenant-resource-association): docs/ses-tenants.md."
            }
            HaltReason::NoConfigurationSet => {
                "Correct SES_CONFIGURATION_SET, or the campaign's configuration_set: SES has none of that name."
            }
            HaltReason::MailFromNotVerified => "Verify the MAIL FROM domain in SES.",
            HaltReason::IdentityNotVerified => {
                "Verify the identity that it names, in that region; in SES's sandbox recipients need it too."
            }
            HaltReason::AccessDenied => {
                "Let the function's role send from this identity and with this configuration set."
            }
            HaltReason::InvalidCredentials => "Correct the AWS credentials in use.",
            HaltReason::NoSendEmail => {
                "Correct AWS_ENDPOINT_URL_SESV2: what answers there does not serve SendEmail."
            }
            HaltReason::NotSes => {
                "Look at AWS_ENDPOINT_URL_SESV2, and at the proxy or firewall on the way to SES. No recipient has failed because of it."
            }
            HaltReason::NoClearAnswer => {
                "Look at the health of SES and at a proxy on the way to it. Recipients without a clear answer are uncertain."
            }
            HaltReason::SameRefusal => {
                "Look at the refusal: many recipients in a row met it, so the cause is probably not theirs."
            }
            HaltReason::NoActivity => {
                "Correct the activities table: its constraints or triggers refuse every activity. The emails that SES accepted are uncertain, and get their activities when the campaign continues."
            }
            HaltReason::OutcomesDiscarded => {
                "Remove the trigger on campaign_recipients that discards updates. Nobody in that batch is sent to again."
            }
            HaltReason::RecipientsDeleted => {
                "Do not delete recipients while they are sent. These emails were accepted by SES, and have no activity."
            }
            HaltReason::Bounces | HaltReason::Complaints => {
                "The reputation guard stopped it: look where the list comes from, and clean it. Resuming accepts these figures."
            }
            HaltReason::Rejections => {
                "Look at the content of the emails: SES found malware, or could not render them. Resuming accepts these figures."
            }
            HaltReason::DatabaseBehind => {
                "Follow docs/restore.md first: bring SES's events or the log, and the suppressions; otherwise people get the email twice."
            }
            HaltReason::PausedWithAll => "Resume all of them at once with campaign send resume --all.",
        }
    }
}

/// The words of [`HaltReason::NotSes`].
pub fn not_ses(answer: &str) -> String {
    format!("{NOT_SES}{answer}")
}

/// The words of [`HaltReason::NoClearAnswer`].
pub fn no_clear_answer(answer: &str) -> String {
    format!("{NO_CLEAR_ANSWER}{answer}")
}

/// The words of [`HaltReason::SameRefusal`]: so many recipients met it, the campaign's first ones or others.
pub fn same_refusal(count: i32, first: bool, refusal: &str) -> String {
    if first {
        format!("each of the first {count} recipients was refused: {refusal}")
    } else {
        format!("each of {count} recipients in a row was refused: {refusal}")
    }
}

/// The words of [`HaltReason::NoActivity`].
pub fn no_activity(table: &str, refusal: &str) -> String {
    format!("{table}{NO_ACTIVITY}{refusal}")
}

/// The words of [`HaltReason::OutcomesDiscarded`].
pub fn outcomes_discarded(recipients: u64) -> String {
    let noun = if recipients == 1 { "recipient" } else { "recipients" };
    format!(
        "{DISCARDED}{recipients} {noun}, without an error: a trigger on campaign_recipients discards updates. \
         Nobody in this batch is sent to again; remove the trigger, then set the status to 'sending'"
    )
}

/// The words of [`HaltReason::RecipientsDeleted`].
pub fn recipients_deleted(emails: u64) -> String {
    let has = if emails == 1 { "email has" } else { "emails have" };
    format!(
        "{emails} {has}{DELETED}rows were deleted while they were sent, so there is no activity of these emails in \
         the timeline"
    )
}

/// The words of [`HaltReason::Bounces`], with the rate and its limit in percent.
pub fn bounces(bounced: u64, of: u64, rate: &str, limit: &str) -> String {
    format!("{bounced} of {of}{BOUNCED}{rate}), more than {limit}")
}

/// The words of [`HaltReason::Complaints`], with the rate and its limit in percent. `without`: emails to providers that
/// report no complaints, which the rate leaves out.
pub fn complaints(complained: u64, of: u64, without: u64, rate: &str, limit: &str) -> String {
    let base = match without {
        0 => String::new(),
        without => format!(", without the {without} emails to providers that report no complaints"),
    };
    format!("{complained} of {of}{COMPLAINED}{rate}), more than {limit}{base}")
}

/// The words of [`HaltReason::Rejections`], with the rate in percent.
pub fn rejections(rejected: u64, of: u64, rate: &str) -> String {
    format!("{rejected} of {of}{REJECTED}{rate})")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (text, reason) in [
            (not_ses("http_403: <html>"), HaltReason::NotSes),
            (no_clear_answer("http_502: emails bounced ("), HaltReason::NoClearAnswer),
            (same_refusal(20, true, "MessageRejected: not verified"), HaltReason::SameRefusal),
            (same_refusal(40, false, "render: x"), HaltReason::SameRefusal),
            (no_activity("crm.activities", "violates a check"), HaltReason::NoActivity),
            (outcomes_discarded(1), HaltReason::OutcomesDiscarded),
            (outcomes_discarded(3), HaltReason::OutcomesDiscarded),
            (recipients_deleted(1), HaltReason::RecipientsDeleted),
            (recipients_deleted(2), HaltReason::RecipientsDeleted),
            ("something other than SES answers each time: http_403: x".to_owned(), HaltReason::NotSes),
            ("no clear answer from SES, time after time: http_502: x".to_owned(), HaltReason::NoClearAnswer),
            (bounces(82, 1000, "8.2 %", "5 %"), HaltReason::Bounces),
            (complaints(3, 1000, 500, "0.3 %", "0.1 %"), HaltReason::Complaints),
            (rejections(38, 40, "95 %"), HaltReason::Rejections),
        ] {
            assert_eq!(HaltReason::of(&text), Some(reason), "{text}");
        }
        assert_eq!(HaltReason::of("the coupon is wrong"), None);
        for (text, reason) in [
            (
                "SendingPausedException: Sending is paused for configuration set news.",
                HaltReason::ConfigurationSetPaused,
            ),
            (
                "SendingPausedException: Email sending is disabled for this account.",
                HaltReason::AccountMayNotSend,
            ),
            ("SendingPausedException: Email sending is disabled for tenant acme.", HaltReason::TenantPaused),
            ("MessageRejected: Tenant acme is paused.", HaltReason::TenantPaused),
            (
                "BadRequestException: Tenant not associated with resources [arn:x:configuration-set/news]",
                HaltReason::TenantNotAssociated,
            ),
            ("NotFoundException: Tenant acme does not exist.", HaltReason::NoTenant),
            ("NotFoundException: Configuration set <news> does not exist.", HaltReason::NoConfigurationSet),
        ] {
            assert_eq!(HaltReason::of(text), Some(reason), "{text}");
        }
        assert_eq!(
            HaltReason::of("MessageRejected: Sending suspended for this account."),
            Some(HaltReason::AccountMayNotSend)
        );
    }

    #[test]
    fn the_page_for_operators_has_each_reason_and_no_other() {
        let page = include_str!("../../docs/operate.md");
        let section = page.split("### Reasons of `halted`").nth(1).expect("it has the section");
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| `") || line.starts_with("| `…"));
        let texts: Vec<&str> = rows
            .flat_map(|row| row.split(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2))
            .collect();
        let mut found = BTreeSet::new();
        for text in texts.iter().filter(|text| **text != "… are not JSON: …") {
            let reason = HaltReason::of(&text.replace("… Sending", "X: Sending"));
            found.insert(reason.unwrap_or_else(|| panic!("{text:?} is no reason")).code());
        }
        let all: BTreeSet<&str> = HaltReason::ALL.into_iter().map(HaltReason::code).collect();
        assert_eq!(found, all);
    }
}
