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
            // It is boxed, because the types in this future are nested as deeply as the compiler allows.
            let work = async { Box::pin(handler.handle(&payload.json()?, context.deadline)).await };
            lambda::invocation(&context.request_id, work).await
        }))
        .await?;
        Ok::<(), Error>(())
    })
}
