//! `campaign send`: the life of a campaign, and running one from here.

mod change;
mod create;
mod run;

use clap::{Args, Subcommand};

use super::failure::Failure;

/// Create, schedule, start, pause, resume or cancel a campaign, or run it from here
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Send {
    #[command(subcommand)]
    order: Order,
}

const EXAMPLES: &str = "\
Examples:
  id=$(campaign send create --organization 0a77… --name Spring --from 'News <news@example.com>' \\
         --subject 'Hello {{ name or \"you\" }}' --html spring.html)
  campaign import $id people.csv
  campaign send start $id
  campaign send run $id           # without Step Functions, from here";

#[derive(Subcommand)]
enum Order {
    Create(create::Create),
    Schedule(change::Schedule),
    Start(change::Start),
    Pause(change::Pause),
    Resume(change::Resume),
    Cancel(change::Cancel),
    Run(run::Run),
}

impl Send {
    pub async fn run(self) -> Result<(), Failure> {
        match self.order {
            Order::Create(order) => order.run().await,
            Order::Schedule(order) => order.run().await,
            Order::Start(order) => order.run().await,
            Order::Pause(order) => order.run().await,
            Order::Resume(order) => order.run().await,
            Order::Cancel(order) => order.run().await,
            Order::Run(order) => order.run().await,
        }
    }

    /// Whether it shows a bar of its own in a terminal.
    pub fn shows_progress(&self) -> bool {
        matches!(self.order, Order::Run(_))
    }
}
