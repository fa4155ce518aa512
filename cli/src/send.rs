//! `campaign send`: the life cycle of a campaign, and running one from this machine.

pub mod change;
mod create;
mod run;
mod settle;
mod time;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::{campaign_and_words, id, preview};

/// Create, schedule, start, pause, resume or cancel a campaign, run it from here, or send a test of it
#[derive(Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE, arg_required_else_help = true, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Send {
    #[command(subcommand)]
    order: Option<Order>,
    #[command(flatten)]
    test: Option<Test>,
}

/// A test does not change recipients and activities.
#[derive(Args)]
struct Test {
    /// The campaign's id, for a test of it
    #[arg(requires = "test", value_parser = id)]
    campaign: Option<Uuid>,
    /// Send what a recipient would get to these addresses instead, marked as a test
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    test: Vec<String>,
    /// The recipient whose email is sent as the test, by id or address [default: the first]
    #[arg(long, requires = "test")]
    recipient: Option<String>,
    /// Print the result as one JSON object on one line
    #[arg(long, requires = "test")]
    json: bool,
}

const USAGE: &str = "campaign send COMMAND\n       campaign send [OPTIONS] CAMPAIGN --test ADDRESS...\n       campaign send [OPTIONS] --test ADDRESS... CAMPAIGN";

const EXAMPLES: &str = "\
Examples:
  id=$(campaign send create --organization 0a77… --name Spring --from 'News <news@example.com>' \\
         --subject 'Hello {{ name or \"you\" }}' --html spring.html)
  campaign import $id people.csv
  campaign send $id --test me@example.com you@example.com
  campaign send --test me@example.com $id
  campaign send start $id
  campaign send run $id           # without Step Functions, from here";

#[derive(Subcommand)]
enum Order {
    Create(Box<create::Create>),
    Schedule(change::Schedule),
    Start(change::Start),
    Pause(change::Pause),
    Resume(change::Resume),
    Cancel(change::Cancel),
    Run(run::Run),
}

impl Send {
    pub async fn run(self) -> Result<(), Failure> {
        match (self.order, self.test) {
            (Some(Order::Create(order)), _) => order.run().await,
            (Some(Order::Schedule(order)), _) => order.run().await,
            (Some(Order::Start(order)), _) => order.run().await,
            (Some(Order::Pause(order)), _) => order.run().await,
            (Some(Order::Resume(order)), _) => order.run().await,
            (Some(Order::Cancel(order)), _) => order.run().await,
            (Some(Order::Run(order)), _) => order.run().await,
            (None, Some(test)) if !test.test.is_empty() => {
                let recipient = test.recipient.clone();
                let (campaign, addresses) = campaign_and_words(test.campaign, test.test, "--test ADDRESS")?;
                preview::send_tests(campaign, recipient.as_deref(), &addresses, test.json).await
            }
            (None, _) => Err(Failure::new(
                Exit::Usage,
                "expected one of create, schedule, start, pause, resume, cancel, run, or CAMPAIGN --test ADDRESS",
            )),
        }
    }

    /// Returns true if the command shows its own progress bar in a terminal.
    pub fn shows_progress(&self) -> bool {
        matches!(self.order, Some(Order::Run(_)))
    }
}
