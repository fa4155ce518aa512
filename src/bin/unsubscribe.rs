//! The Lambda function `unsubscribe`, behind a function URL: unsubscribes people.

use std::process::ExitCode;

use campaign_sender::lambda::environment::Settings;
use campaign_sender::lambda::{self, Payload};
use campaign_sender::unsubscribe::Unsubscribe;
use lambda_runtime::{Error, LambdaEvent, service_fn};

fn main() -> ExitCode {
    lambda::run(async || {
        let function = Unsubscribe::new(Settings::from_env()?)?;
        let function = &function;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<Payload>| {
            let LambdaEvent { payload, context } = event;
            let work = async { function.handle(&payload.json()?, context.deadline).await };
            lambda::invocation(&context.request_id, work).await
        }))
        .await?;
        Ok::<(), Error>(())
    })
}
