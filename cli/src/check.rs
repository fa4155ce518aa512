//! `campaign check`: what only SES itself can tell of a campaign, before it is sent.

use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::{id, preview};

/// Have SES render a campaign's bulk calls, without sending, and compare them with single calls
///
/// A bulk call carries what all recipients share as a template that SES fills in. This stores that template in the
/// account under a name that begins with campaign-check-, has SES render it for the first five recipients, compares
/// each part with what SendEmail would carry, and deletes the template. It needs the rights ses:CreateEmailTemplate,
/// ses:TestRenderEmailTemplate and ses:DeleteEmailTemplate. Where an email differs, the exit status is 65.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Uuid,
    /// Ask the SES of the environment (AWS_*)
    #[arg(long)]
    ses: bool,
    /// For this recipient, by id or address; may be given several times [default: the first five]
    #[arg(long = "recipient", value_name = "ID-OR-ADDRESS")]
    recipients: Vec<String>,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campaign check --ses 5f0c2c1e-…
  campaign check --ses 5f0c2c1e-… --recipient ada@example.com";

impl Check {
    pub async fn run(self) -> Result<(), Failure> {
        if !self.ses {
            let message = "check: expected --ses; what needs no SES is campaign preview --check";
            return Err(Failure::new(Exit::Usage, message));
        }
        preview::rehearse(self.campaign, &self.recipients, self.json).await
    }
}
