use serde::Serialize;

use crate::preflight::{Findings, Severity};

/// What the inbox page shows above the messages when they are a campaign's preview.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    title: String,
    checked: Option<u64>,
    findings: Vec<Found>,
}

#[derive(Clone, Debug, Serialize)]
struct Found {
    severity: &'static str,
    kind: &'static str,
    text: String,
    count: u64,
    example: Option<String>,
}

impl Preview {
    /// Of the campaign with this name; `checked`: how many recipients it was rendered for, if it was for all.
    pub fn new(title: impl Into<String>, checked: Option<u64>, findings: &Findings) -> Preview {
        let found = findings.iter().map(|(severity, kind, tally)| Found {
            severity: match severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            kind,
            text: tally.text.clone(),
            count: tally.count,
            example: tally.example.clone(),
        });
        Preview { title: title.into(), checked, findings: found.collect() }
    }
}
