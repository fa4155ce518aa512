use serde::Serialize;

/// What the inbox page shows above the messages when they are a campaign's preview.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The campaign's name.
    pub title: String,
    /// The number of recipients for which it was rendered, if it was rendered for all.
    pub checked: Option<u64>,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// One finding of the checks.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// What kind of finding it is.
    pub kind: &'static str,
    /// For a person.
    pub text: String,
    /// The number of recipients with this finding.
    pub count: u64,
    /// One of them.
    pub example: Option<String>,
}
