//! The transaction in which rows become recipients, all or none.

use std::fs::File;
use std::io::{Cursor, Seek as _};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, CopyInSink};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::formula;
use campaign_sender::domain::campaign::CampaignStatus;
use campaign_sender::store::Database;

/// The campaign that gets recipients.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub name: String,
}

/// An open transaction; its changes are rolled back unless it is committed.
pub struct Import<'a> {
    client: &'a Client,
    campaign: &'a Campaign,
}

/// The refused rows of one reason.
#[derive(Clone, Debug)]
pub struct Refused {
    pub reason: String,
    pub count: i64,
    pub first_line: i64,
    pub detail: String,
}

impl<'a> Import<'a> {
    pub async fn begin(
        database: &Database,
        client: &'a Client,
        campaign: &'a Campaign,
    ) -> Result<Import<'a>, Failure> {
        database.begin(client).await?;
        client.batch_execute(include_str!("table.sql")).await?;
        Ok(Import { client, campaign })
    }

    /// The stream into the temporary table.
    pub async fn rows(&self) -> Result<Rows, Failure> {
        let copy = "COPY pg_temp.imported (line, id, email, name, customer_id, contact_id, customer_ref,
                                              variables, reason, detail)
                    FROM STDIN";
        Ok(Rows(Box::pin(self.client.copy_in(copy).await?)))
    }

    /// Marks the rows that are refused because of the tables' content. `line` or `row` is the word for a
    /// row's number in a file or a query. Returns how many rows are good so far, and how many are refused.
    pub async fn judge(&self, line: &str) -> Result<(u64, u64), Failure> {
        let Campaign { id, organization_id, .. } = self.campaign;
        let judge = include_str!("judge.sql")
            .replace("{line}", line)
            .replace("{campaign}", &format!("'{id}'"))
            .replace("{organization}", &format!("'{organization_id}'::uuid"));
        self.client.batch_execute(&judge).await?;
        let sql = "SELECT count(*) FILTER (WHERE reason IS NULL), count(reason) FROM pg_temp.imported";
        let row = self.client.query_one(sql, &[]).await?;
        Ok((row.get::<_, i64>(0).unsigned_abs(), row.get::<_, i64>(1).unsigned_abs()))
    }

    /// Makes recipients of the good rows, and marks those that the campaign has. Returns how many were made.
    pub async fn insert_good(&self, good: u64) -> Result<u64, Failure> {
        let inserted = self.insert().await?;
        if inserted < good {
            self.mark_known().await?;
        }
        Ok(inserted)
    }

    /// Marks the rows that the campaign already has, and returns their number. Rows that are not imported in
    /// the end are not written first, because a rollback of a million rows would leave their dead versions in
    /// the table.
    pub async fn mark_known(&self) -> Result<u64, Failure> {
        Ok(self.client.execute(include_str!("known.sql"), &[&self.campaign.id]).await?)
    }

    /// Recipients that the campaign already has are not changed, also if another transaction adds them
    /// meanwhile. This check makes each row a third more expensive, so it runs only if there is something to
    /// find.
    async fn insert(&self) -> Result<u64, Failure> {
        let Campaign { id, organization_id, .. } = self.campaign;
        let insert = include_str!("insert.sql");
        let sql = "SELECT EXISTS (SELECT FROM campaign_recipients WHERE campaign_id = $1)";
        let has_some: bool = self.client.query_one(sql, &[id]).await?.get(0);
        if !has_some {
            self.client.batch_execute("SAVEPOINT plain").await?;
            match self.client.execute(insert, &[id, organization_id]).await {
                Ok(inserted) => return Ok(inserted),
                Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                    self.client.batch_execute("ROLLBACK TO SAVEPOINT plain").await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let insert = format!(
            "{insert} ON CONFLICT (campaign_id, canonical_address(email)) WHERE duplicate_of IS NULL DO NOTHING"
        );
        Ok(self.client.execute(&insert, &[id, organization_id]).await?)
    }

    pub async fn refused(&self) -> Result<Vec<Refused>, Failure> {
        let rows = self.client.query(include_str!("reasons.sql"), &[]).await?;
        Ok(rows
            .iter()
            .map(|row| Refused {
                reason: row.get("reason"),
                count: row.get("count"),
                first_line: row.get("line"),
                detail: row.get::<_, Option<String>>("detail").unwrap_or_default(),
            })
            .collect())
    }

    /// Writes the refused rows as CSV, in the order of their lines, in place of what the file holds.
    pub async fn report(&self, mut file: &File) -> Result<std::io::Result<()>, Failure> {
        // A pipe holds nothing that could be replaced.
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let emptied = if is_file { file.rewind().and_then(|()| file.set_len(0)) } else { Ok(()) };
        let sql =
            "SELECT line, reason, detail, email FROM pg_temp.imported WHERE reason IS NOT NULL ORDER BY line";
        let mut rows = std::pin::pin!(self.client.query_raw(sql, std::iter::empty::<&str>()).await?);
        let mut file = csv::Writer::from_writer(file);
        let header = file.write_record(["line", "reason", "detail", "email"]);
        let mut written = emptied.map_err(Into::into).and(header);
        while let Some(row) = rows.next().await.transpose()? {
            let (line, reason): (i64, String) = (row.get("line"), row.get("reason"));
            let text = |name| formula::in_file(&row.get::<_, Option<String>>(name).unwrap_or_default());
            written = written.and_then(|()| {
                file.write_record([&line.to_string(), &reason, &text("detail"), &text("email")])
            });
        }
        Ok(written.map_err(std::io::Error::from).and_then(|()| file.flush()))
    }

    /// Brings the campaign's total up to date. Returns how many recipients it has, and its status.
    pub async fn count(&self) -> Result<(i64, CampaignStatus), Failure> {
        let id = [(&self.campaign.id as _, Type::UUID)];
        self.client.query_typed(super::COUNT, &id).await?;
        // It is counted here, because the campaign's own total is brought up to date for at most a second at
        // a time.
        let sql =
            "SELECT (SELECT count(*) FROM campaign_recipients AS r WHERE r.campaign_id = c.id), c.status
                     FROM campaigns AS c WHERE c.id = $1";
        let row = self.client.query_one(sql, &[&self.campaign.id]).await?;
        Ok((row.get(0), CampaignStatus::of(row.get(1))))
    }

    /// Keeps what was imported.
    pub async fn commit(self) -> Result<(), Failure> {
        Ok(self.client.batch_execute("COMMIT").await?)
    }
}

/// Receives rows in the format of `COPY`.
pub struct Rows(std::pin::Pin<Box<CopyInSink<Cursor<Vec<u8>>>>>);

impl Rows {
    pub async fn send(&mut self, copy: Vec<u8>) -> Result<(), Failure> {
        Ok(self.0.as_mut().send(Cursor::new(copy)).await?)
    }

    pub async fn finish(mut self) -> Result<(), Failure> {
        self.0.as_mut().finish().await?;
        Ok(())
    }
}
