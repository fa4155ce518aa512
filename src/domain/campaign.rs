//! A campaign as the functions work on it.

use uuid::Uuid;

use super::result::Progress;

/// A campaign as it was loaded.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Campaign {
    /// Its id.
    pub id: Uuid,
    /// Its organization.
    pub organization_id: Uuid,
    /// The column `status`.
    pub status: String,
    /// Sending, scheduled for a time that has come, or sent and recipients were added since.
    pub sendable: bool,
    /// Scheduled, but without a time.
    pub unscheduled: bool,
    /// It was stopped, goes on now, and has recipients in doubt.
    pub resumed_in_doubt: bool,
    /// The column `status_reason`.
    pub status_reason: Option<String>,
    /// The sender, as the column has it.
    pub from_address: String,
    /// Reply-to addresses, as the column has them, without nulls.
    pub reply_to: Vec<String>,
    /// The configuration set that the campaign names.
    pub configuration_set: Option<String>,
    /// What SES tracks of its emails, where that is not left to the configuration set.
    pub tracking: Tracking,
    /// The SES tenant through which its organization sends.
    pub tenant: Option<String>,
    /// What names its attachments: it changes with each of them. `None`: it has none.
    pub attachments: Option<String>,
    /// Its templates.
    pub source: Source,
    /// What names its templates: it changes with each of them.
    pub templates_hash: String,
    /// The attempt to read its templates is noted.
    pub attempted: bool,
    /// Its counters.
    pub progress: Progress,
}

/// The templates of a campaign, as its row has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The campaign's name, for `{{ campaign_name }}`.
    pub campaign_name: String,
    /// Template of the subject.
    pub subject: String,
    /// Template of the HTML part.
    pub html: Option<String>,
    /// Template of the text part.
    pub text: Option<String>,
    /// JSON object of variables for all recipients.
    pub variables: Option<String>,
    /// No footer with a link to unsubscribe is added.
    pub transactional: bool,
    /// JSON object of parameters that every web link gets.
    pub link_parameters: Option<String>,
}

/// Whether SES tracks opens and clicks. `None`: as the configuration set, or the account, has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// Opens, by an image.
    pub opens: Option<bool>,
    /// Clicks, by links that lead through SES.
    pub clicks: Option<bool>,
}

impl Tracking {
    /// As the columns have it. A transactional campaign is tracked only where that is asked for.
    pub fn of(transactional: bool, opens: Option<bool>, clicks: Option<bool>) -> Tracking {
        let default = transactional.then_some(false);
        Tracking { opens: opens.or(default), clicks: clicks.or(default) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transactional_campaign_is_tracked_only_where_that_is_asked_for() {
        let of = |transactional, opens| Tracking::of(transactional, opens, None);
        assert_eq!(of(false, None), Tracking::default());
        assert_eq!(of(false, Some(false)), Tracking { opens: Some(false), clicks: None });
        assert_eq!(of(true, None), Tracking { opens: Some(false), clicks: Some(false) });
        assert_eq!(of(true, Some(true)), Tracking { opens: Some(true), clicks: Some(false) });
    }
}
