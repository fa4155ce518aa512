//! `campaign send`: the life of a campaign, and running one from here.

mod change;
mod create;
mod run;
mod time;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::{id, preview};

/// Create, schedule, start, pause, resume or cancel a campaign, run it from here, or send a test of it
#[derive(Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE, arg_required_else_help = true, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Send {
    #[command(subcommand)]
    order: Option<Order>,
    #[command(flatten)]
    test: Option<Test>,
}

/// A test: recipients and activities stay as they are.
#[derive(Args)]
struct Test {
    /// The campaign's id, for a test of it
    #[arg(requires = "test", value_parser = id)]
    campaign: Option<Uuid>,
    /// Send what a recipient would get to these addresses instead, marked as a test
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    test: Vec<String>,
    /// What this recipient would get, by id or address [default: the first]
    #[arg(long, requires = "test")]
    recipient: Option<String>,
}

impl Test {
    /// The campaign and the addresses. After `--test ADDRESS…` the campaign's id stands among the addresses: it is the
    /// one that is a UUID, which no address is.
    fn sorted(self) -> Result<(Uuid, Vec<String>), Failure> {
        let (ids, addresses): (Vec<String>, Vec<String>) =
            self.test.into_iter().partition(|word| Uuid::try_parse(word.trim()).is_ok());
        let ids = ids.iter().filter_map(|word| Uuid::try_parse(word.trim()).ok());
        let campaigns: Vec<Uuid> = self.campaign.into_iter().chain(ids).collect();
        match (campaigns.as_slice(), addresses.is_empty()) {
            ([campaign], false) => Ok((*campaign, addresses)),
            ([], _) => Err(Failure::new(Exit::Usage, "the campaign's id is missing: expected CAMPAIGN --test ADDRESS")),
            ([_, _, ..], _) => Err(Failure::new(Exit::Usage, "there are several campaigns' ids: expected one, as in CAMPAIGN --test ADDRESS")),
            (_, true) => Err(Failure::new(Exit::Usage, "the address of the test is missing: expected CAMPAIGN --test ADDRESS")),
        }
    }
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
                let (campaign, addresses) = test.sorted()?;
                preview::send_tests(campaign, recipient.as_deref(), &addresses).await
            }
            (None, _) => Err(Failure::new(
                Exit::Usage,
                "expected one of create, schedule, start, pause, resume, cancel, run, or CAMPAIGN --test ADDRESS",
            )),
        }
    }

    /// Whether it shows a bar of its own in a terminal.
    pub fn shows_progress(&self) -> bool {
        matches!(self.order, Some(Order::Run(_)))
    }
}
