//! `campaign report`: the results of a campaign on one page to read, print and pass on.

mod axis;
mod chart;
mod gather;
mod page;

use std::path::PathBuf;

use uuid::Uuid;

use super::connect;
use super::failure::{Exit, Failure};
use campaign_sender::store::settings::DatabaseAccess;

/// Write the results of a campaign as one self-contained HTML page with plots
///
/// The page shows sends over time; delivery, bounces and complaints by domain; opens and clicks over time,
/// from SES's events. It shows no addresses, loads nothing, runs no script, and can be printed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  campaign report 5f0c2c1e-… --html spring.html")]
pub struct Report {
    /// The campaign's id
    campaign: Uuid,
    /// The file to write
    #[arg(long, value_name = "FILE.html")]
    html: PathBuf,
}

impl Report {
    pub async fn run(self) -> Result<(), Failure> {
        let database = connect(DatabaseAccess::from_env()?).await?;
        let id = self.campaign;
        let figures = gather::figures(&database, id)
            .await?
            .ok_or_else(|| Failure::new(Exit::Data, format!("there is no campaign {id} in this database")))?;
        std::fs::write(&self.html, page::render(&figures)).map_err(|error| {
            Failure::new(Exit::CannotCreate, format!("--html {}: {error}", self.html.display()))
        })?;
        println!("The report on \"{}\" is in {}", figures.detail.overview.name, self.html.display());
        Ok(())
    }
}
