//! The command line `campaign`.

use std::process::ExitCode;

fn main() -> ExitCode {
    campaign_sender::cli::main()
}
