//! The meaning of an error's message, whatever its code. Pure.
//!
//! SES version 1, proxies and compatible endpoints use other codes with the same messages, and the entries of
//! a bulk call may have no code at all (`FAILED`).

/// What an error's message means for all recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// The daily quota is used up.
    QuotaUsedUp,
    /// The account, the configuration set or the tenant may not send.
    MayNotSend,
    /// SES throttles.
    TooFast,
}

/// Auxiliary words, which may be between the subject and the cause.
const LEFT_OUT: [&str; 8] = ["is", "was", "has", "been", "now", "currently", "temporarily", "email"];
/// What may not send ...
const SUBJECTS: [&str; 4] = ["sending", "to send", "account", "configuration set"];
/// ... and what was done to it.
const STOPPED: [&str; 3] = ["paused", "suspended", "disabled"];
/// What SES says if an email's identity or configuration set is not the tenant's, as senders have seen it
/// (<https://github.com/PostHog/posthog/pull/75863>).
const NOT_ASSOCIATED: &str = " tenant not associated ";
/// Words of a refusal that concerns one recipient: a mailbox or account that is suspended, or that is not
/// sent to.
const OF_ONE: [&str; 5] = ["recipient", "mailbox", "destination", "user", "suppress"];

/// The meaning of a message for all recipients, if it has one.
pub fn wording(text: &str, recipient: &str) -> Option<Wording> {
    let words = words(text);
    let says = |part: &str| words.contains(part);
    if says(" daily message quota") || says(" daily sending quota") {
        Some(Wording::QuotaUsedUp)
    } else if may_not_send(&words) && !OF_ONE.into_iter().any(says) && !names(text, recipient) {
        Some(Wording::MayNotSend)
    } else if says(" rate exceeded") && !says(" bounce rate") && !says(" complaint rate") {
        Some(Wording::TooFast)
    } else {
        None
    }
}

/// The words in lower case, with a space before and after each, without auxiliary words.
fn words(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty() && !LEFT_OUT.contains(word));
    words.fold(" ".to_owned(), |all, word| all + word + " ")
}

/// AWS documents no error of its own for a tenant: `SendEmail` has `SendingPausedException` for an account, and nothing for
/// what a tenant lacks (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>). A message that names
/// a tenant is about all recipients, whatever stands between the word and what was done to it.
fn may_not_send(words: &str) -> bool {
    let of_tenant = words.contains(" tenant ") && STOPPED.into_iter().any(|stopped| words.contains(stopped));
    of_tenant || words.contains(NOT_ASSOCIATED) || stopped(words)
}

fn stopped(words: &str) -> bool {
    SUBJECTS.into_iter().any(|subject| {
        STOPPED
            .into_iter()
            // Messages of mail servers about their mailboxes.
            .filter(|stopped| (subject, *stopped) != ("account", "disabled"))
            .any(|stopped| words.contains(&format!(" {subject} {stopped} ")))
    })
}

fn names(text: &str, recipient: &str) -> bool {
    !recipient.is_empty() && text.to_ascii_lowercase().contains(&recipient.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> Option<Wording> {
        let said = wording(text, "ada@example.com");
        assert_eq!(wording(&text.to_ascii_uppercase(), "ada@example.com"), said, "{text}");
        said
    }

    #[test]
    fn an_account_or_configuration_set_that_may_not_send_is_known_by_words() {
        for text in [
            "Sending paused for this account.",
            "Sending paused for this account. For more information, please check the inbox of the email address \
             associated with your AWS account.",
            "Sending suspended for this account. Contact AWS Support for details.",
            "Sending paused for this configuration set.",
            "Email sending is disabled for this account.",
            "Sending has been temporarily suspended",
            "MessageRejected: Account suspended",
            "Your account has been suspended because of its bounce rate exceeded 10 %.",
            "Your account's ability to send email is paused.",
            "Email sending for this configuration set was disabled.",
            "Sending is paused for configuration set news.",
            "Email sending is disabled for tenant acme.",
            "Sending is paused for tenant acme",
            "Tenant acme is paused.",
            "The sending status of the tenant acme is DISABLED",
            "Tenant not associated with resources [arn:aws:ses:us-east-1:123456789012:configuration-set/news]",
        ] {
            assert_eq!(says(text), Some(Wording::MayNotSend), "{text}");
        }
    }

    #[test]
    fn what_is_said_of_one_recipient_is_not_said_of_all() {
        for text in [
            "",
            "Address blacklisted.",
            "Email address is on the suppression list for your account.",
            "Sending is disabled to addresses on the suppression list.",
            "The recipient's account is suspended.",
            "Recipient account suspended",
            "The user account is suspended.",
            "Mailbox of a suspended account: account suspended",
            "550 5.2.1 This account is disabled.",
            "ada@example.com: account suspended",
            "Account suspended: Ada@Example.com",
            "The account was not paused while sending.",
            "Bounce rate exceeded.",
            "Message size exceeded.",
            "The recipient's tenant is disabled.",
            "Tenant acme does not exist.",
        ] {
            assert_eq!(says(text), None, "{text}");
        }
    }

    #[test]
    fn too_fast_and_no_more_today_are_known_by_words() {
        for text in ["Maximum sending rate exceeded.", "Rate exceeded", "Throttling: Rate exceeded"] {
            assert_eq!(says(text), Some(Wording::TooFast), "{text}");
        }
        for text in [
            "Daily message quota exceeded.",
            "You have reached your daily sending quota; sending is paused until tomorrow.",
        ] {
            assert_eq!(says(text), Some(Wording::QuotaUsedUp), "{text}");
        }
    }
}
