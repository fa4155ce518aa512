//! `./dev model --traces FILE` reads what the storm has recorded of its smallest campaigns, and says whether the model
//! can do the same: whether there is a path of the model that agrees with every line.

mod observed;
mod paths;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use self::observed::{Campaign, read};
use self::paths::Paths;

/// Checks all campaigns of a file.
pub fn run(file: &str) -> ExitCode {
    let campaigns =
        match std::fs::read_to_string(file).map_err(|error| error.to_string()).and_then(|text| read(&text)) {
            Ok(campaigns) => campaigns,
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::from(2);
            }
        };
    let mut seen = 0;
    for campaign in &campaigns {
        if let Err(difference) = follow(campaign) {
            println!("{difference}");
            return ExitCode::FAILURE;
        }
        seen += campaign.events.len();
    }
    println!(
        "{} campaigns, {seen} transactions and accepted messages: the model can do all of it.",
        campaigns.len()
    );
    ExitCode::SUCCESS
}

/// Follows a campaign from its first transaction to its end.
///
/// # Errors
/// Why the model cannot do this: the events up to the first one that no path of the model has, and how they differ.
fn follow(campaign: &Campaign) -> Result<(), String> {
    let mut paths = Paths::new(campaign);
    for (number, event) in campaign.events.iter().enumerate() {
        paths.take(event).map_err(|difference| {
            let said: Vec<String> = campaign.events[..=number]
                .iter()
                .enumerate()
                .map(|(n, event)| format!("{:>4}  {event}", n + 1))
                .collect();
            format!(
                "Campaign {}: the model cannot do the last step.\n{}\n{difference}",
                campaign.id,
                said.join("\n")
            )
        })?;
    }
    paths.end().map_err(|difference| format!("Campaign {}: {difference}", campaign.id))
}
