//! A service as a program: `serve | migrate up|down|status | openapi | seed`, and what it brings
//! itself.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use contracts::{Currency, env};
use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;

use crate::app::{App, Listen};
use crate::config::{ConfigError, Env, FromEnv};
use crate::postgres;
use crate::telemetry::{self, Telemetry, chain};
use crate::{admin, auth, openapi};

/// Whatever keeps a service from starting.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// One of the shop's services.
pub trait Service: Send + Sync + 'static {
    /// Its name: that of its binary, its folder and its component.
    const NAME: &'static str;
    /// Its version.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// What it is configured by, beside [`Common`].
    type Config: FromEnv + Send;

    /// Its HTTP API, but for what every service answers: [`crate::openapi::of`] has all of it.
    fn openapi() -> utoipa::openapi::OpenApi;

    /// Its migrations, if it has a database.
    fn migrator() -> Option<&'static Migrator> {
        None
    }

    /// Puts it together: routes, background tasks, checks.
    fn build(
        config: Self::Config,
        app: App,
    ) -> impl Future<Output = Result<App, StartError>> + Send;

    /// Fills it with the demo's data; does nothing when they are there.
    fn seed(
        _config: Self::Config,
        _common: Common,
    ) -> impl Future<Output = Result<(), StartError>> + Send {
        async { Err(format!("{} has no demo data", Self::NAME).into()) }
    }

    /// Its own commands, beside those that every service has.
    fn commands() -> &'static [OwnCommand] {
        &[]
    }
}

/// A command that only one service has.
#[derive(Debug)]
pub struct OwnCommand {
    /// What is typed.
    pub name: &'static str,
    /// What it does, for `--help`.
    pub about: &'static str,
    /// Does it, configured by these variables; returns what to tell whoever has called it.
    pub run: fn(Env) -> BoxFuture<'static, Result<String, StartError>>,
}

/// What every service is configured by.
#[derive(Clone, Debug)]
pub struct Common {
    /// Name of the shop.
    pub shop: String,
    /// Currency of its prices.
    pub currency: Currency,
    /// Where to listen.
    pub listen: Listen,
    /// How tokens are verified.
    pub auth: auth::Settings,
    /// Log filter.
    pub log_level: String,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
}

impl FromEnv for Common {
    fn from_env(env: &mut Env) -> Option<Self> {
        let shop = env.required(env::SHOP_NAME);
        let currency = env.or(env::CURRENCY, Currency::EUR);
        let listen = Listen::from_env(env);
        let auth = auth::Settings::from_env(env);
        let log_level = env.or(env::LOG_LEVEL, "info".to_owned());
        let otlp_endpoint = env.optional(env::OTLP_ENDPOINT);
        Some(Self {
            shop: shop?,
            currency: currency?,
            listen: listen?,
            auth: auth?,
            log_level: log_level?,
            otlp_endpoint: otlp_endpoint?,
        })
    }
}

#[derive(Parser)]
#[command(version, about = "A service of a shop. Configured by environment variables.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until told to stop.
    Serve,
    /// Changes the schema of the database.
    Migrate {
        #[command(subcommand)]
        direction: Direction,
    },
    /// Prints the OpenAPI document.
    Openapi,
    /// Fills the service with the demo's data.
    Seed,
}

#[derive(Subcommand)]
enum Direction {
    /// To the newest schema.
    Up,
    /// Takes back the last migrations; what they made is lost.
    Down {
        /// How many.
        #[arg(default_value_t = 1)]
        steps: usize,
    },
    /// Lists migrations, applied and pending.
    Status,
}

struct Both<C>(Common, C);

impl<C: FromEnv> FromEnv for Both<C> {
    fn from_env(env: &mut Env) -> Option<Self> {
        let common = Common::from_env(env);
        let config = C::from_env(env);
        Some(Self(common?, config?))
    }
}

/// The whole of a service's `main`.
pub fn run<S: Service>() -> ExitCode {
    admin::begin();
    let matches = cli::<S>().get_matches();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        // More threads than this only cost memory in a pod with a fraction of a core.
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4)))
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(execute::<S>(&matches)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

/// The command line, with the service's own commands.
fn cli<S: Service>() -> clap::Command {
    S::commands().iter().fold(Cli::command(), |cli, own| {
        cli.subcommand(clap::Command::new(own.name).about(own.about))
    })
}

/// The last line of standard error says why, also where the log level hides everything.
#[expect(clippy::print_stderr, reason = "the log may not exist yet")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {}", chain(error));
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "this is what the commands are for")]
async fn execute<S: Service>(matches: &ArgMatches) -> Result<(), StartError> {
    // Two crates bring a TLS provider each; say which.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let typed = matches.subcommand_name();
    if let Some(own) = S::commands().iter().find(|own| typed == Some(own.name)) {
        println!("{}", (own.run)(Env::of_process()).await?);
        return Ok(());
    }
    match Cli::from_arg_matches(matches)?.command {
        Command::Serve => serve::<S>().await,
        Command::Migrate { direction } => migrate::<S>(direction).await,
        Command::Openapi => {
            println!("{}", openapi::of::<S>().to_pretty_json()?);
            Ok(())
        }
        Command::Seed => {
            let Both(common, config): Both<S::Config> = Env::of_process().parse()?;
            S::seed(config, common).await
        }
    }
}

async fn serve<S: Service>() -> Result<(), StartError> {
    let Both(common, config): Both<S::Config> = Env::of_process().parse()?;
    let telemetry = Telemetry::start(&telemetry::Settings {
        service: S::NAME,
        version: S::VERSION,
        shop: Some(common.shop.clone()),
        output: telemetry::Output::Stdout,
        log_level: common.log_level.clone(),
        otlp_endpoint: common.otlp_endpoint.clone(),
    })?;
    let app = App::new::<S>(common).await?;
    let result = match S::build(config, app).await {
        Ok(app) => app.run_until_signal().await,
        Err(error) => Err(error),
    };
    telemetry.stop();
    result
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
async fn migrate<S: Service>(direction: Direction) -> Result<(), StartError> {
    let migrator = S::migrator().ok_or_else(|| format!("{} has no database", S::NAME))?;
    let settings: Result<postgres::Settings, ConfigError> = Env::of_process().parse();
    let pool = settings?.patient_pool(S::NAME)?;
    match direction {
        Direction::Up => postgres::migrate_up(&pool, migrator).await?,
        Direction::Down { steps } => postgres::migrate_down(&pool, migrator, steps).await?,
        Direction::Status => {}
    }
    for line in postgres::migrate_status(&pool, migrator).await? {
        println!("{line}");
    }
    Ok(())
}

/// The verifier that extractors find.
pub(crate) fn verifier(common: &Common) -> Result<Arc<auth::Verifier>, auth::KeyError> {
    auth::Verifier::new(common.auth.clone()).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Greeter;

    impl FromEnv for Greeter {
        fn from_env(_env: &mut Env) -> Option<Self> {
            Some(Self)
        }
    }

    static GREET: [OwnCommand; 1] = [OwnCommand {
        name: "greet",
        about: "Says hello.",
        run: |_| Box::pin(async { Ok("hello".to_owned()) }),
    }];

    impl Service for Greeter {
        const NAME: &'static str = "greeter";
        type Config = Self;

        fn openapi() -> utoipa::openapi::OpenApi {
            crate::openapi::document("Greeter", "Greets.")
        }

        async fn build(_config: Self, app: App) -> Result<App, StartError> {
            Ok(app)
        }

        fn commands() -> &'static [OwnCommand] {
            &GREET
        }
    }

    #[tokio::test]
    async fn a_service_has_its_own_commands_beside_the_common_ones() {
        let typed = |words: &[&str]| cli::<Greeter>().try_get_matches_from(words);
        for words in [&["greeter", "greet"][..], &["greeter", "openapi"]] {
            execute::<Greeter>(&typed(words).unwrap()).await.unwrap();
        }
        for words in [&["greeter", "shout"][..], &["greeter", "greet", "louder"], &["greeter"]] {
            assert!(typed(words).is_err(), "{words:?}");
        }
        let help = cli::<Greeter>().render_help().to_string();
        assert!(help.contains("Says hello.") && help.contains("Serves until"), "{help}");
    }
}
