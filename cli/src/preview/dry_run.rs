//! Renders the campaign for all recipients, page by page, without sending.

use tokio_postgres::types::{ToSql, Type};

use super::super::failure::Failure;
use super::super::{soon, terminal};
use super::Case;
use super::sample::{Sample, recipient};
use campaign_sender::domain::batch::MAX_VARIABLES_BYTES;
use campaign_sender::message::preflight::Findings;
use campaign_sender::message::render::Templates;

/// Recipients by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rendered, with a message to send.
    pub sendable: u64,
    /// Their address or data is wrong.
    pub failing: u64,
    /// They get nothing.
    pub suppressed: u64,
}

impl Checked {
    /// All of them.
    pub fn total(self) -> u64 {
        self.sendable + self.failing + self.suppressed
    }
}

/// Renders the campaign for each pending recipient, and adds the findings. One page of recipients is in
/// memory at a time. Recipients that are added meanwhile before the current page are left out.
pub async fn run(case: &Case, templates: &Templates, findings: &mut Findings) -> Result<Checked, Failure> {
    let mut checked = Checked::default();
    let total = u64::try_from(case.campaign.progress.total).unwrap_or(0);
    let bar = terminal::bar(Some(total), "{human_pos} recipients checked, {per_sec}");
    let mut position = -1_i64;
    loop {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&case.campaign.id, Type::UUID), (&position, Type::INT8), (&MAX_VARIABLES_BYTES, Type::INT4)];
        let rows = case.database.query(include_str!("page.sql"), &parameters, soon()).await?;
        let Some(last) = rows.last() else { break };
        position = last.get("position");
        for row in &rows {
            let sample = Sample::of(templates, &case.sender, recipient(row), &case.campaign);
            // A suppressed recipient gets nothing, so it has no error.
            if sample.suppressed {
                checked.suppressed += 1;
                continue;
            }
            match &sample.message {
                Ok(_) => checked.sendable += 1,
                Err(_) => checked.failing += 1,
            }
            for finding in sample.findings() {
                findings.add(finding, Some(&sample.recipient.email));
            }
        }
        bar.inc(rows.len() as u64);
    }
    bar.finish_and_clear();
    Ok(checked)
}
