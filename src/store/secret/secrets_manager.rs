//! Reads a secret.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::error::{DisplayErrorContext, SdkError};

use crate::store::login_error::CredentialsError;

/// The text of a secret; empty for a binary one.
pub async fn text(sdk: &SdkConfig, arn: &str) -> Result<String, CredentialsError> {
    let client = aws_sdk_secretsmanager::Client::new(sdk);
    let answer = client.get_secret_value().secret_id(arn).send().await.map_err(|error| {
        let reason = format!("Secrets Manager: {}", DisplayErrorContext(&error));
        match error {
            // The SDK has already retried where that can help.
            SdkError::ServiceError(error) if error.raw().status().is_server_error() => {
                CredentialsError::Unreachable(reason)
            }
            SdkError::ServiceError(_) | SdkError::ConstructionFailure(_) => {
                CredentialsError::NoCredentials(reason)
            }
            _ => CredentialsError::Unreachable(reason),
        }
    })?;
    Ok(answer.secret_string().unwrap_or_default().to_owned())
}
