//! `campaign suppressions export`: addresses into a CSV file, page by page.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::{format, formula, output, soon};
use super::Whose;
use campaign_sender::store::Database;

/// Write the addresses into a CSV file that `import` reads
///
/// An address that a spreadsheet would take for a formula has a ' before it; `import` takes that away again.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  campaign suppressions export --organization 6c1e… suppressions.csv")]
pub(super) struct Export {
    #[command(flatten)]
    whose: Whose,
    /// The file, or - for standard output
    #[arg(default_value = "-")]
    file: PathBuf,
}

impl Export {
    pub(super) async fn run(self, database: &Database) -> Result<(), Failure> {
        let mut writer = csv::Writer::from_writer(self.open().map_err(|error| self.unwritable(error))?);
        writer
            .write_record(["organization_id", "email", "reason", "created_at"])
            .map_err(|error| self.unwritable(error))?;
        let whose = self.whose.organization_id();
        // The last address of the page before; addresses are ordered.
        let (mut organization, mut email, mut count) = (None::<Uuid>, String::new(), 0_usize);
        loop {
            let parameters: [(&(dyn ToSql + Sync), Type); 3] =
                [(&whose, Type::UUID), (&organization, Type::UUID), (&email, Type::TEXT)];
            let rows = database.query(include_str!("page.sql"), &parameters, soon()).await?;
            let Some(last) = rows.last().filter(|_| !self.is_unread()) else { break };
            for row in &rows {
                let id: Uuid = row.get("organization_id");
                let (email, reason): (String, String) = (row.get("email"), row.get("reason"));
                let created_at: String = row.get("created_at");
                let fields = [&id.to_string(), &*formula::escaped(&email), &reason, &created_at];
                writer.write_record(fields).map_err(|error| self.unwritable(error))?;
            }
            count += rows.len();
            (organization, email) = (Some(last.get("organization_id")), last.get("email"));
        }
        writer.flush().map_err(|error| self.unwritable(error))?;
        if self.file != Path::new("-") {
            println!("{} in {}", format::counted(count, "address"), self.file.display());
        }
        Ok(())
    }

    fn open(&self) -> io::Result<Box<dyn Write>> {
        Ok(match self.file.as_path() {
            file if file == Path::new("-") => Box::new(output::FileOutput::new()),
            file => Box::new(File::create(file)?),
        })
    }

    /// Nobody reads standard output any more.
    fn is_unread(&self) -> bool {
        self.file == Path::new("-") && output::is_closed()
    }

    fn unwritable(&self, error: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::CannotCreate, format!("{}: {error}", self.file.display()))
    }
}
