//! `campaign completions` and `campaign man`: completions for shells, and manual pages.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::failure::{Exit, Failure};
use super::output;

/// Print completions of this command for a shell
#[derive(Args)]
#[command(
    after_help = "Examples:\n  campaign completions bash > ~/.local/share/bash-completion/completions/campaign\n  campaign completions fish > ~/.config/fish/completions/campaign.fish"
)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(&self, mut command: Command) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "campaign", &mut script);
        output::write(&script);
    }
}

/// Write the manual pages into a directory
#[derive(Args)]
#[command(after_help = "Example:\n  campaign man ~/.local/share/man/man1 && man campaign-import")]
pub struct Man {
    /// The directory; it is created if it does not exist
    directory: PathBuf,
}

impl Man {
    pub fn run(&self, command: Command) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.directory)
            .and_then(|()| clap_mangen::generate_to(command.disable_help_subcommand(true), &self.directory))
            .map_err(|error| {
                Failure::new(Exit::CannotCreate, format!("{}: {error}", self.directory.display()))
            })?;
        println!("The manual pages are in {}", self.directory.display());
        Ok(())
    }
}
