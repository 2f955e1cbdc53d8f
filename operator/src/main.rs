//! The operator's program: `shop-operator run | crd | check`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use shop_operator::error::chain;
use shop_operator::settings::{Cli, Command};
use shop_operator::{app, check, crd, telemetry};
use tracing::error;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.clone().unwrap_or_default() {
        Command::Crd => {
            print!("{}", crd::yaml());
            ExitCode::SUCCESS
        }
        Command::Check { address, patience } => check(&address, Duration::from_secs(patience)),
        Command::Run => run(cli),
    }
}

#[tokio::main]
async fn run(Cli { settings, .. }: Cli) -> ExitCode {
    let _telemetry = match telemetry::start(&settings.log_level, settings.otlp_endpoint.as_deref())
    {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("{}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    match app::run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = chain(&error), "stopping");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn check(address: &str, patience: Duration) -> ExitCode {
    match check::leader(address, patience).await {
        Ok(replica) => {
            println!("{replica} leads");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
