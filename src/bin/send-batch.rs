//! The Lambda function `send-batch`: one batch of one campaign per invocation.

use std::process::ExitCode;

use campaign_sender::config::Settings;
use campaign_sender::handler::Handler;
use campaign_sender::lambda;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

fn main() -> ExitCode {
    lambda::run(async || {
        let handler = Handler::new(Settings::from_env()?)?;
        let handler = &handler;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
            let work = handler.handle(&event.payload, event.context.deadline);
            lambda::invocation(&event.context.request_id, work).await
        }))
        .await?;
        Ok::<(), Error>(())
    })
}
