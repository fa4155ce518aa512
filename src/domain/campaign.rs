//! A campaign as the functions work on it.

use std::fmt;

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
    pub status: CampaignStatus,
    /// Sending, scheduled for a time that has come, or sent and recipients were added since.
    pub sendable: bool,
    /// Scheduled, but without a time.
    pub unscheduled: bool,
    /// It was stopped, continues now, and has uncertain recipients.
    pub resumed_with_uncertain: bool,
    /// The column `status_reason`.
    pub status_reason: Option<String>,
    /// The sender, as the column has it.
    pub from_address: String,
    /// Reply-to addresses, as the column has them, without nulls.
    pub reply_to: Vec<String>,
    /// The configuration set that the campaign names.
    pub configuration_set: Option<String>,
    /// What SES tracks of its emails, if that is not left to the configuration set.
    pub tracking: Tracking,
    /// The SES tenant through which its organization sends.
    pub tenant: Option<String>,
    /// A hash of its attachments. `None`: it has none.
    pub attachments: Option<String>,
    /// Its templates.
    pub source: Source,
    /// A hash of its templates.
    pub templates_hash: String,
    /// The attempt to read its templates is noted.
    pub attempted: bool,
    /// Its counters.
    pub progress: Progress,
}

impl Campaign {
    /// Why an invocation that names the campaign fails, where it is not a matter of time.
    pub fn not_ready(&self) -> Option<&'static str> {
        match self.status {
            CampaignStatus::Draft => {
                Some("is a draft: set its status to 'sending', or to 'scheduled' with a time")
            }
            CampaignStatus::Scheduled if self.unscheduled => {
                Some("is scheduled without a time: set its scheduled_at")
            }
            _ => None,
        }
    }
}

/// The status of a campaign: the column `status` of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CampaignStatus {
    /// It is being written; nothing is sent.
    Draft,
    /// It is sent from `scheduled_at` on.
    Scheduled,
    /// It is being sent.
    Sending,
    /// A person or a function has stopped it; it may go on.
    Paused,
    /// Every recipient has an outcome.
    Sent,
    /// A person has ended it.
    Cancelled,
    /// It was given up. (No function sets this status.)
    Failed,
}

impl CampaignStatus {
    /// All of them.
    pub const ALL: [CampaignStatus; 7] = [
        CampaignStatus::Draft,
        CampaignStatus::Scheduled,
        CampaignStatus::Sending,
        CampaignStatus::Paused,
        CampaignStatus::Sent,
        CampaignStatus::Cancelled,
        CampaignStatus::Failed,
    ];

    /// Reads the column. Nothing is sent of a campaign whose status this release does not know: it counts as `failed`.
    pub fn of(text: &str) -> CampaignStatus {
        let known = CampaignStatus::ALL.into_iter().find(|status| status.as_str() == text);
        known.unwrap_or(CampaignStatus::Failed)
    }

    /// Returns true if nothing of it is sent any more, whatever is done to it.
    pub fn is_final(self) -> bool {
        match self {
            CampaignStatus::Cancelled | CampaignStatus::Failed => true,
            CampaignStatus::Draft
            | CampaignStatus::Scheduled
            | CampaignStatus::Sending
            | CampaignStatus::Paused
            | CampaignStatus::Sent => false,
        }
    }

    /// The text of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            CampaignStatus::Draft => "draft",
            CampaignStatus::Scheduled => "scheduled",
            CampaignStatus::Sending => "sending",
            CampaignStatus::Paused => "paused",
            CampaignStatus::Sent => "sent",
            CampaignStatus::Cancelled => "cancelled",
            CampaignStatus::Failed => "failed",
        }
    }
}

impl fmt::Display for CampaignStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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
    /// A JSON object of parameters that are added to every web link.
    pub link_parameters: Option<String>,
}

/// What SES tracks. `None`: as set in the configuration set or the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// Opens, by an image.
    pub opens: Option<bool>,
    /// Clicks, by links that lead through SES.
    pub clicks: Option<bool>,
}

impl Tracking {
    /// Reads the columns. A transactional campaign is tracked only if the columns say so.
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
