//! Why there are no credentials.

/// There are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The provider of credentials did not answer; a later attempt may succeed.
    #[error("{0}")]
    Unreachable(String),
    /// There are none, and another attempt cannot help.
    #[error("{0}")]
    NoCredentials(String),
}
