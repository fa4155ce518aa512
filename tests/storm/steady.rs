//! Connections of the storm itself, and what may go wrong with them while PostgreSQL crashes.

use postgres::{Client, Error, NoTls};

/// A connection that does not follow the database's defaults.
pub fn connect(url: &str) -> Result<Client, Error> {
    let mut client = Client::connect(url, NoTls)?;
    client.batch_execute(
        "SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;
         SET synchronous_commit = on; SET search_path = public; SET TimeZone = 'UTC'",
    )?;
    Ok(client)
}

/// PostgreSQL was taken down, or is starting.
pub fn is_away(error: &Error) -> bool {
    error.code().is_none_or(|state| state.code().starts_with("57P0") || state.code().starts_with("08"))
}
