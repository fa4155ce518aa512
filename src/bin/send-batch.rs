//! The Lambda function `send-batch`: one batch of one campaign per invocation.

use std::process::ExitCode;

use campaign_sender::lambda::environment::Settings;
use campaign_sender::lambda::{self, Payload};
use campaign_sender::send_batch::Handler;
use lambda_runtime::{Error, LambdaEvent, service_fn};

fn main() -> ExitCode {
    lambda::run(async || {
        let handler = Handler::new(Settings::from_env()?)?;
        let handler = &handler;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<Payload>| {
            let LambdaEvent { payload, context } = event;
            // Boxed, for the types that are nested in this future are as deep as the compiler follows.
            let work = async { Box::pin(handler.handle(&payload.json()?, context.deadline)).await };
            lambda::invocation(&context.request_id, work).await
        }))
        .await?;
        Ok::<(), Error>(())
    })
}
