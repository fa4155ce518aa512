//! The error types of the functions, as Lambda and Step Functions see them.

use std::fmt;

/// The type of an invocation's failure. Nothing was claimed, or nothing was sent of what was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The event is of a form that the function does not know.
    InvalidEvent,
    /// The event names a campaign that the database does not have.
    UnknownCampaign,
    /// The campaign is a draft, or scheduled without a time.
    CampaignNotReady,
    /// The schema of the database is older or newer than this release can work with.
    SchemaMismatch,
    /// The activities table takes no activity as this package writes it.
    UnusableActivitiesTable,
    /// PostgreSQL could not be reached, or did not answer in time.
    DatabaseUnavailable,
    /// PostgreSQL refused a statement, or the connection is not one that may be used.
    DatabaseRefused,
    /// The secret of the links to unsubscribe could not be read.
    UnsubscribeSecretUnavailable,
    /// The function panicked, which is a defect of this package; the log says where.
    Panic,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::InvalidEvent,
        ErrorKind::UnknownCampaign,
        ErrorKind::CampaignNotReady,
        ErrorKind::SchemaMismatch,
        ErrorKind::UnusableActivitiesTable,
        ErrorKind::DatabaseUnavailable,
        ErrorKind::DatabaseRefused,
        ErrorKind::UnsubscribeSecretUnavailable,
        ErrorKind::Panic,
    ];

    /// The `errorType`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::InvalidEvent => "InvalidEvent",
            ErrorKind::UnknownCampaign => "UnknownCampaign",
            ErrorKind::CampaignNotReady => "CampaignNotReady",
            ErrorKind::SchemaMismatch => "SchemaMismatch",
            ErrorKind::UnusableActivitiesTable => "UnusableActivitiesTable",
            ErrorKind::DatabaseUnavailable => "DatabaseUnavailable",
            ErrorKind::DatabaseRefused => "DatabaseRefused",
            ErrorKind::UnsubscribeSecretUnavailable => "UnsubscribeSecretUnavailable",
            ErrorKind::Panic => "Panic",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_operators_lists_each_error_type_and_no_other() {
        let page = include_str!("../../docs/operate.md");
        let section = page.split("## Errors of an invocation").nth(1).expect("it has the section");
        let section = section.split("\n## ").next().unwrap_or_default();
        let mut listed: Vec<&str> =
            section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let mut all: Vec<&str> = ErrorKind::ALL.into_iter().map(ErrorKind::as_str).collect();
        listed.sort_unstable();
        all.sort_unstable();
        assert_eq!(listed, all);
    }
}
