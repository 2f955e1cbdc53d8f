//! The operator's program: `shop-operator run | crd | crds apply | check`.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use kube::{Client, ResourceExt as _};
use operator_core::crd;
use shop_operator::settings::{Cli, Command, CrdsCommand};
use shop_operator::{app, check, crds};
use telemetry::{Telemetry, chain};

fn main() -> ExitCode {
    match app::run_to_end(program(Cli::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn program(Cli { command, settings }: Cli) -> Result<(), Box<dyn Error>> {
    match command.unwrap_or_default() {
        Command::Crd => print!("{}", crd::yaml()),
        Command::Crds(CrdsCommand::Apply) => {
            let crd = crd::definition();
            let outcome = crds::apply(&Client::try_default().await?, &crd).await?;
            println!("{} {outcome}", crd.name_any());
        }
        Command::Check { address, patience } => {
            let replica = check::leader(&address, Duration::from_secs(patience)).await?;
            println!("{replica} leads");
        }
        Command::Run => {
            let telemetry = Telemetry::start(&settings.telemetry())?;
            // After an error there is no time for spans: another replica may lead.
            app::run(settings).await?;
            telemetry.stop();
        }
    }
    Ok(())
}
