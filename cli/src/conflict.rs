//! Repeats a part of a transaction after a conflict with another transaction.

use tokio_postgres::Client;

use super::failure::Failure;

/// The most attempts.
const ATTEMPTS: u32 = 5;

/// Does `part` within the open transaction of `client`. After a deadlock or a serialization failure, what it has
/// done is rolled back, and it is done again; what the transaction did before it stays. It is therefore done once, or
/// not at all. Deferred constraints are checked in it, so that a COMMIT does not meet a conflict.
///
/// # Errors
/// The failure of the last attempt, or one that is no conflict. The transaction is then to be rolled back.
pub async fn repeated<T>(
    client: &Client,
    mut part: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    client.batch_execute("SAVEPOINT before_conflict").await?;
    let mut attempts = 1;
    loop {
        match checked(client, &mut part).await {
            Err(failure) if failure.is_conflict() && attempts < ATTEMPTS => {
                attempts += 1;
                client.batch_execute("ROLLBACK TO SAVEPOINT before_conflict").await?;
            }
            outcome => return outcome,
        }
    }
}

async fn checked<T>(
    client: &Client,
    part: &mut impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let done = part().await?;
    client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    Ok(done)
}
