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
}
