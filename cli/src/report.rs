//! `campaign report`: the results of a campaign, as one page to read, print and pass on, or as data.

mod axis;
mod chart;
mod gather;
mod page;
mod results;

use std::io::Write as _;
use std::path::PathBuf;

use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::{connect, id, output};
use campaign_sender::store::settings::DatabaseAccess;

/// Write the results of a campaign as one self-contained HTML page with plots, or as data
///
/// The page shows sends over time; delivery, bounces and complaints by domain; opens and clicks over time,
/// from SES's events. It shows no addresses, loads nothing, runs no script, and can be printed. The data are
/// those of the views campaign_results and campaign_link_results and of the function campaign_domain_results.
#[derive(clap::Args)]
#[command(
    group = clap::ArgGroup::new("form").required(true).args(["html", "json", "csv"]),
    after_help = "Examples:
  campaign report 5f0c2c1e-… --html spring.html
  campaign report 5f0c2c1e-… --json
  campaign report 5f0c2c1e-… --csv > spring.csv"
)]
pub struct Report {
    /// The campaign's id
    #[arg(value_parser = id)]
    campaign: Uuid,
    /// The file to write
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
    /// Print the figures as one JSON object on one line
    #[arg(long)]
    json: bool,
    /// Print the figures as CSV: a line for the campaign, and one for each domain and each link
    #[arg(long)]
    csv: bool,
}

impl Report {
    pub async fn run(self) -> Result<(), Failure> {
        let database = connect(DatabaseAccess::from_env()?).await?;
        let id = self.campaign;
        let unknown = || Failure::new(Exit::Data, format!("there is no campaign {id} in this database"));
        let Some(file) = self.html else {
            let results = results::of_campaign(&database, id).await?.ok_or_else(unknown)?;
            let domains = results::by_domain(&database, id).await?;
            if self.json {
                output::write(results::json(&results, &domains).as_bytes());
            } else {
                let csv = results::csv(&results, &domains)
                    .map_err(|error| Failure::new(Exit::Software, error.to_string()))?;
                let _ = output::FileOutput::new().write_all(&csv);
            }
            return Ok(());
        };
        let figures = gather::figures(&database, id).await?.ok_or_else(unknown)?;
        std::fs::write(&file, page::render(&figures)).map_err(|error| {
            Failure::new(Exit::CannotCreate, format!("--html {}: {error}", file.display()))
        })?;
        println!("The report on \"{}\" is in {}", figures.detail.overview.name, file.display());
        Ok(())
    }
}
