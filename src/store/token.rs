//! IAM authentication: a presigned request in place of a password.
//!
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html>

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_sesv2::config::{Credentials, ProvideCredentials as _};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign as sign_request,
};
use aws_sigv4::sign::v4::SigningParams;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::login_error::CredentialsError;

/// The longest validity that RDS allows.
const VALIDITY: Duration = Duration::from_secs(15 * 60);
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A password with which `config`'s user may connect to its host for 15 minutes.
pub async fn sign(sdk: &SdkConfig, config: &Config) -> Result<String, CredentialsError> {
    let none = |what: &str| CredentialsError::NoCredentials(format!("DATABASE_IAM_AUTH needs {what}"));
    let region = sdk.region().ok_or_else(|| none("a region (AWS_REGION)"))?;
    let provider = sdk.credentials_provider().ok_or_else(|| none("AWS credentials"))?;
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|error| CredentialsError::Unreachable(format!("AWS credentials: {error}")))?;
    let Some(Host::Tcp(host)) = config.get_hosts().first() else {
        return Err(none("a host in DATABASE_URL"));
    };
    let user = config.get_user().ok_or_else(|| none("a user in DATABASE_URL"))?;
    let port = config.get_ports().first().copied().unwrap_or(5432);
    presign(host, port, user, region.as_ref(), credentials, SystemTime::now())
        .map_err(|error| CredentialsError::NoCredentials(format!("the token cannot be signed: {error}")))
}

fn presign(
    host: &str,
    port: u16,
    user: &str,
    region: &str,
    credentials: Credentials,
    now: SystemTime,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(VALIDITY);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = credentials.into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(now)
        .settings(settings)
        .build()?;
    let user = utf8_percent_encode(user, ENCODED);
    let mut url = format!("https://{host}:{port}/?Action=connect&DBUser={user}");
    let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign_request(request, &parameters.into())?.into_parts();
    for (name, value) in instructions.params() {
        url.extend(["&", name, "="]);
        url.extend(utf8_percent_encode(value, ENCODED));
    }
    Ok(url.trim_start_matches("https://").to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The result of boto3's `generate_db_auth_token` for the same input.
    const TOKEN: &str = "crm.abc.us-east-1.rds.amazonaws.com:5432/?Action=connect&DBUser=send%20er\
        &X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIDEXAMPLE%2F20261124%2Fus-east-1%2Frds-db%2Faws4_request\
        &X-Amz-Date=20261124T222421Z&X-Amz-SignedHeaders=host&X-Amz-Expires=900\
        &X-Amz-Security-Token=a%2Btoken%2Fwith%3D\
        &X-Amz-Signature=f42addc565a9ad2e107968999edb83e450c44836272ea13c64d758ad37128954";

    #[test]
    fn a_token_is_the_one_that_the_other_sdks_sign() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials =
            Credentials::new("AKIDEXAMPLE", secret, Some("a+token/with=".to_owned()), None, "test");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_559_061);
        let host = "crm.abc.us-east-1.rds.amazonaws.com";
        let token = presign(host, 5432, "send er", "us-east-1", credentials, now).unwrap();
        assert_eq!(token.split('&').collect::<BTreeSet<_>>(), TOKEN.split('&').collect());
    }
}
