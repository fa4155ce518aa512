//! In place of Secrets Manager's client, in a build without the feature `full` (`./dev demo`).

use aws_config::SdkConfig;

use crate::store::login_error::CredentialsError;

/// Fails always.
#[allow(clippy::unused_async, reason = "its counterpart waits for an answer")]
pub async fn text(_sdk: &SdkConfig, arn: &str) -> Result<String, CredentialsError> {
    let reason =
        format!("the secret {arn} cannot be read: this executable was built without the feature full");
    Err(CredentialsError::NoCredentials(reason))
}
