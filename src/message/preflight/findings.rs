//! Findings, counted by their text.

use std::collections::BTreeMap;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It stops the campaign.
    Error,
    /// A person judges it.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// Its kind: a short name for machines, for example `link_broken`.
    pub kind: &'static str,
    /// Its text, for a person.
    pub text: String,
}

impl Finding {
    /// An error.
    pub fn error(kind: &'static str, text: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, kind, text: text.into() }
    }

    /// A warning.
    pub fn warning(kind: &'static str, text: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, kind, text: text.into() }
    }
}

/// How often a finding occurred, and its first recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The number of recipients with this finding.
    pub count: u64,
    /// The text for the first of them.
    pub text: String,
    /// The first of them; `None`: the finding is on the campaign itself.
    pub example: Option<String>,
}

/// The most different texts of one kind; further ones are counted with the last of them.
const MAX_TEXTS: usize = 20;

/// All findings. Their size does not depend on the number of recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(BTreeMap<(Severity, &'static str), Vec<Tally>>);

impl Findings {
    /// Adds a finding of the recipient `example`, or of the campaign itself.
    pub fn add(&mut self, finding: Finding, example: Option<&str>) {
        let tallies = self.0.entry((finding.severity, finding.kind)).or_default();
        let known = tallies.iter().position(|tally| tally.text == finding.text);
        match known.or((tallies.len() >= MAX_TEXTS).then_some(MAX_TEXTS - 1)) {
            Some(at) => tallies[at].count += 1,
            None => {
                tallies.push(Tally { count: 1, text: finding.text, example: example.map(str::to_owned) });
            }
        }
    }

    /// All of them, errors first.
    pub fn iter(&self) -> impl Iterator<Item = (Severity, &'static str, &Tally)> {
        self.0.iter().flat_map(|((severity, kind), tallies)| {
            tallies.iter().map(move |tally| (*severity, *kind, tally))
        })
    }

    /// Returns true if there is an error, so that the campaign must not be sent.
    pub fn has_errors(&self) -> bool {
        self.0.keys().any(|(severity, _)| *severity == Severity::Error)
    }

    /// Returns true if there are no findings.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_with_an_example_and_errors_come_first() {
        let mut findings = Findings::default();
        findings.add(Finding::warning("subject_long", "long"), None);
        for n in 0..100 {
            findings.add(Finding::error("render", format!("{n} is not defined")), Some(&n.to_string()));
        }
        assert!(findings.has_errors());
        let all: Vec<_> = findings.iter().collect();
        assert_eq!(all.len(), MAX_TEXTS + 1);
        assert_eq!((all[0].0, all[0].2.count, all[0].2.example.as_deref()), (Severity::Error, 1, Some("0")));
        assert_eq!(all[MAX_TEXTS - 1].2.count, 81);
        assert_eq!(all[MAX_TEXTS].1, "subject_long");
    }
}
