//! Serves the unsubscribe links in the demo's emails with the page of the function `unsubscribe`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::failure::{Exit, Failure};
use campaign_sender::lambda::environment::Settings;
use campaign_sender::store::settings::DatabaseUrl;
use campaign_sender::unsubscribe::Unsubscribe;
use local_ses::function_url::FunctionUrl;

/// The key of the links.
pub const SECRET: &str = "a-key-for-the-demo-which-keeps-no-secret";
/// The longest time of an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the page on its own port until this value is dropped.
pub struct Links(FunctionUrl);

impl Links {
    /// Starts serving.
    pub fn serve(database: &DatabaseUrl) -> Result<Links, Failure> {
        let failed =
            |problem: String| Failure::new(Exit::Software, format!("the unsubscribe page: {problem}"));
        let settings = Settings::read(&|name| match name {
            "DATABASE_URL" => Some(database.as_str().to_owned()),
            "UNSUBSCRIBE_SECRET" => Some(SECRET.to_owned()),
            _ => None,
        });
        let settings = settings.map_err(|error| failed(error.to_string()))?;
        let function = Arc::new(Unsubscribe::new(settings).map_err(failed)?);
        let answer = move |event| {
            let function = Arc::clone(&function);
            async move {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let deadline = u64::try_from((now + TIMEOUT).as_millis()).unwrap_or(u64::MAX);
                let response = function.handle(&event, deadline).await.ok()?;
                serde_json::to_value(response).ok()
            }
        };
        FunctionUrl::start(answer).map(Links).map_err(|error| failed(error.to_string()))
    }

    /// The part of a link before its token.
    pub fn url(&self) -> &str {
        self.0.url()
    }
}
