//! Serves the local SES endpoint on a port until it is interrupted.

use std::{env, io, path::PathBuf, process::ExitCode};

use local_ses::ses::{Options, SesEndpoint};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
Serves an endpoint that stands for Amazon SES v2, until it is interrupted.

Usage: local-ses [--port PORT] [--eml DIR] [--access-key-id ID] [--secret-access-key KEY]

  --port PORT              port on 127.0.0.1; 0 takes any free one [default: 8025]
  --eml DIR                at the end, write each accepted message into DIR as an .eml file
  --access-key-id ID       credentials with which requests must be signed [default: AKIDLOCAL]
  --secret-access-key KEY  [default: local-secret]

Point an AWS SDK at it with AWS_ENDPOINT_URL_SESV2; the inbox is the page at the same address.";

struct Arguments {
    options: Options,
    eml: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match parse(env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("local-ses: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-ses: {error}");
            ExitCode::FAILURE
        }
    }
}

/// None when help was asked for.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let mut parsed = Arguments { options: Options { port: 8025, ..Options::default() }, eml: None };
    while let Some(name) = arguments.next() {
        if matches!(name.as_str(), "-h" | "--help") {
            return Ok(None);
        }
        let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--port" => {
                let port = value()?;
                let number = port.parse();
                parsed.options.port =
                    number.map_err(|_| format!("--port is {port:?}, expected a number from 0 to 65535"))?;
            }
            "--eml" => parsed.eml = Some(value()?.into()),
            "--access-key-id" => parsed.options.access_key_id = value()?,
            "--secret-access-key" => parsed.options.secret_access_key = value()?,
            _ => return Err(format!("unknown argument {name:?}")),
        }
    }
    Ok(Some(parsed))
}

fn serve(Arguments { options, eml }: Arguments) -> io::Result<()> {
    let endpoint = SesEndpoint::start(options)?;
    println!("{}", endpoint.url());
    wait_for_interrupt()?;
    if let Some(dir) = eml {
        let written = endpoint.write_eml(&dir)?;
        eprintln!("local-ses: wrote {written} messages to {}", dir.display());
    }
    Ok(())
}

fn wait_for_interrupt() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}
