use serde::Serialize;

/// What the inbox page shows above the messages when they are a campaign's preview.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The campaign's name.
    pub title: String,
    /// How many recipients it was rendered for, if it was for all.
    pub checked: Option<u64>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// What a check of the campaign found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// What kind of finding it is.
    pub kind: &'static str,
    /// For a person.
    pub text: String,
    /// How many recipients it is about.
    pub count: u64,
    /// One of them.
    pub example: Option<String>,
}
