//! The program: `backup install FOLDER | create | restore`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backup::config::Config;
use backup::report::{self, Report};
use backup::{create, restore};
use clap::{Parser, Subcommand};
use kit::StartError;
use kit::config::Env;
use kit::telemetry::{self, Telemetry, chain};

/// Where images have the certificates of the authorities that they trust.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[derive(Parser)]
#[command(version, about = "Backups of a shop's databases. Configured by environment variables.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Copies this program into a folder, for a container that has Postgres' programs.
    Install {
        /// The folder.
        folder: PathBuf,
    },
    /// Dumps every database into the object store.
    Create,
    /// Fills empty databases from the backup that `BACKUP_NAME` names.
    Restore,
}

#[tokio::main]
async fn main() -> ExitCode {
    match program(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let why = chain(&*error);
            report::leave(&why);
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Puts this program, and the authorities that it believes, into a folder: the image beside which it is to run
/// need not have any.
fn install(folder: &Path) -> std::io::Result<()> {
    std::fs::copy(std::env::current_exe()?, folder.join("backup"))?;
    if Path::new(AUTHORITIES).exists() {
        std::fs::copy(AUTHORITIES, folder.join("authorities.pem"))?;
    }
    Ok(())
}

async fn program(command: Command) -> Result<(), StartError> {
    if let Command::Install { folder } = &command {
        return Ok(install(folder)?);
    }
    let config: Config = Env::of_process().parse()?;
    let telemetry = Telemetry::start(&telemetry::Settings {
        service: "backup",
        version: env!("CARGO_PKG_VERSION"),
        shop: Some(config.shop.clone()),
        output: telemetry::Output::Stdout,
        log_level: config.log_level.clone(),
        otlp_endpoint: None,
    })?;
    let done = match command {
        Command::Restore => restore::restore(&config).await,
        Command::Create | Command::Install { .. } => create::create(&config).await,
    };
    telemetry.stop();
    let manifest = done?;
    let report = Report { bytes: manifest.bytes(), backup: manifest.name };
    report::leave(&serde_json::to_string(&report)?);
    Ok(())
}
