//! `campaign suppressions pull-ses`: reads the account's suppression list of SES.

use aws_sdk_sesv2::error::DisplayErrorContext;
use aws_sdk_sesv2::types::{SuppressedDestinationSummary, SuppressionListReason};
use std::time::SystemTime;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::output::{self, shown};
use super::super::{format, soon};
use super::{Chunk, Reason, Whose, Written, organization_name};
use campaign_sender::ses;
use campaign_sender::store::Database;

/// Addresses per answer of SES; it gives no more.
const PAGE: i32 = 1000;

/// Import the suppression list that SES keeps for the account, or for an organization's tenant
///
/// SES accepts emails to these addresses and does not send them, so each costs a send and becomes a bounce.
/// The list is the account's, so its addresses are suppressed for all organizations, unless one is named. For an
/// organization with an SES tenant, it is the tenant's list. Running it again adds new addresses; addresses that SES
/// has removed stay.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  AWS_REGION=eu-central-1 campaign suppressions pull-ses")]
pub(super) struct PullSes {
    #[command(flatten)]
    whose: Whose,
    /// Print the result as one JSON object on one line
    #[arg(long)]
    json: bool,
}

impl PullSes {
    pub(super) async fn run(self, database: &Database) -> Result<(), Failure> {
        let organization = self.whose.organization_id().unwrap_or_else(Uuid::nil);
        let tenant = tenant(database, organization).await?;
        let mut pages = ses::reading_client()
            .await
            .list_suppressed_destinations()
            .set_tenant_name(tenant.clone())
            .into_paginator()
            .page_size(PAGE)
            .send();
        let (mut written, mut read) = (Written::default(), 0);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| refused(&DisplayErrorContext(&error)))?;
            let mut chunk = Chunk::default();
            for destination in page.suppressed_destination_summaries() {
                let (reason, at) = read_destination(destination);
                chunk.push(organization, destination.email_address().to_owned(), reason, at);
            }
            read += chunk.len();
            written += chunk.write(database).await?;
        }
        if self.json {
            let mut result =
                serde_json::json!({"organizationId": organization, "tenant": tenant, "addresses": read});
            written.add_to(&mut result);
            output::write_json(&result);
            return Ok(());
        }
        println!(
            "{} on {}, for {}",
            format::counted(read, "address"),
            tenant.map_or_else(
                || "SES's list".to_owned(),
                |name| format!("the list of SES's tenant {}", shown(&name))
            ),
            organization_name(organization)
        );
        println!("{written}");
        Ok(())
    }
}

/// Returns the SES tenant of an organization, if it has one.
async fn tenant(database: &Database, organization: Uuid) -> Result<Option<String>, Failure> {
    let sql = "SELECT ses_tenant FROM organization_settings WHERE organization_id = $1";
    let rows = database.query(sql, &[(&organization, Type::UUID)], soon()).await?;
    let name = rows.first().and_then(|row| row.get::<_, Option<String>>(0));
    Ok(name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()))
}

fn read_destination(destination: &SuppressedDestinationSummary) -> (Reason, Option<SystemTime>) {
    let reason = match destination.reason() {
        SuppressionListReason::Complaint => Reason::Complaint,
        _ => Reason::Bounce,
    };
    (reason, SystemTime::try_from(*destination.last_update_time()).ok())
}

fn refused(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format!(
            "SES did not list the suppressed addresses: {error}; check AWS_REGION, the credentials and the right ses:ListSuppressedDestinations"
        ),
    )
}
