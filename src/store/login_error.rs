//! Why there is nothing to log in with.

/// There is nothing to log in with.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// What gives out credentials did not answer; it may later.
    #[error("{0}")]
    Unreachable(String),
    /// There are none, and trying again is of no use.
    #[error("{0}")]
    NoCredentials(String),
}
