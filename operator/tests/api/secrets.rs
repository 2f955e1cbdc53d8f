//! Secrets that somebody deletes while what they open lives on.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, Secret};
use kube::api::DeleteParams;
use kube::runtime::wait::await_condition;
use operator_core::crd::Shop;
use operator_core::object::Stage;
use operator_core::validate::{Observed, validate};
use operator_core::{build, names};
use serde_json::json;
use shop_operator::app;
use shop_operator::settings::Cli;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::timeout;

use crate::world::{PATIENCE, World};

/// The database's URL in a Secret.
fn url(secret: Option<&Secret>) -> Option<String> {
    let url = secret?.data.as_ref()?.get("url")?;
    Some(String::from_utf8(url.0.clone()).unwrap())
}

async fn secrets_hash(world: &World, deployment: &str) -> Option<String> {
    let deployment = world.api::<Deployment>().get(deployment).await.unwrap();
    deployment.spec?.template.metadata?.annotations?.get(names::SECRETS_HASH).cloned()
}

#[tokio::test]
async fn a_lost_database_secret_comes_back_with_a_password_that_opens() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    world.until_ready().await;
    let (secrets, name) = (world.api::<Secret>(), "demo-order-database");
    let lost = url(secrets.get_opt(name).await.unwrap().as_ref()).unwrap();
    let started = secrets_hash(&world, "demo-order").await;

    secrets.delete(name, &DeleteParams::default()).await.unwrap();
    let another = |secret: Option<&Secret>| url(secret).is_some_and(|url| url != lost);
    let made = timeout(PATIENCE, await_condition(secrets, name, another)).await;
    let made = url(made.expect("it is made anew in time").unwrap().as_ref()).unwrap();
    world.until_ready().await;
    operator.settle(&world).await;
    PgConnection::connect(&made).await.unwrap().close().await.unwrap();
    assert!(PgConnection::connect(&lost).await.is_err(), "the lost password opens no more");
    assert_ne!(secrets_hash(&world, "demo-order").await, started, "its pods know the new one");
}

/// What runs before the bundled Postgres.
fn before_postgres() -> Container {
    let shop: Shop = serde_json::from_value(json!({
        "apiVersion": "shop-operator.io/v1alpha1", "kind": "Shop", "spec": {},
        "metadata": { "name": "demo", "namespace": "shops", "uid": "0" },
    }))
    .unwrap();
    let settings = <Cli as clap::Parser>::parse_from(["shop-operator"]).settings;
    let shop = validate(&shop, &Observed::default(), &app::configuration(&settings)).unwrap();
    let desired = build::desired(&shop, &build::SecretHashes::default());
    let objects = desired.stage(Stage::Engines).iter();
    let postgres = objects.filter_map(|object| object.body.clone().try_parse().ok());
    let mut postgres =
        postgres.filter(|set: &StatefulSet| set.metadata.name.as_deref() == Some("demo-postgres"));
    let pod = postgres.next().unwrap().spec.unwrap().template.spec.unwrap();
    pod.init_containers.unwrap().remove(0)
}

/// A Postgres of its own, which is stopped and thrown away at the end.
struct Server(PathBuf);

impl Server {
    /// Data with this password of the superuser, and no server yet.
    fn new(password: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("shop-test-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        let server = Self(folder);
        if is_root() {
            assert!(
                Command::new("chown").arg("postgres:").arg(&server.0).status().unwrap().success()
            );
        }
        server.write_password(password);
        let data = server.data();
        let options = ["-U", "postgres", "--auth=scram-sha-256", "--no-sync", "--no-instructions"];
        let password = format!("--pwfile={}", server.password_file().display());
        run(server.command("initdb").arg("-D").arg(data).args(options).arg(password));
        server
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn password_file(&self) -> PathBuf {
        self.0.join("password")
    }

    fn write_password(&self, password: &str) {
        std::fs::write(self.password_file(), password).unwrap();
    }

    /// A program with the surroundings of the engine's container. Postgres refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", program]);
            command
        } else {
            Command::new(program)
        };
        // Where Debian has the Postgres that `cluster/engines` installs.
        command
            .current_dir("/")
            .env("PATH", "/usr/lib/postgresql/15/bin:/usr/bin:/bin")
            .env("PGDATA", self.data())
            .env("POSTGRES_PASSWORD_FILE", self.password_file());
        command
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = self.command("pg_ctl");
        let options =
            format!("-c listen_addresses= -c unix_socket_directories={}", self.0.display());
        command.arg(action).arg("-w").args(["-m", "immediate"]);
        command.arg("-l").arg(self.0.join("log")).args(["-o", &options]);
        command
    }

    async fn opens(&self, password: &str) -> bool {
        let options = PgConnectOptions::new_without_pgpass().socket(&self.0).port(5432);
        let options = options.username("postgres").database("postgres").password(password);
        options.connect().await.is_ok()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.pg_ctl("stop").output();
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

#[tokio::test]
async fn the_bundled_postgres_takes_the_password_that_its_secret_has_now() {
    let container = before_postgres();
    let command = container.command.unwrap();
    let server = Server::new("first");
    let take = || run(server.command(&command[0]).args(&command[1..]));
    server.write_password("it's the second");
    take();
    run(&mut server.pg_ctl("start"));
    assert!(server.opens("it's the second").await);
    assert!(!server.opens("first").await);

    // Stopped at once, it has a log to replay.
    run(&mut server.pg_ctl("stop"));
    server.write_password("third\n");
    take();
    run(&mut server.pg_ctl("start"));
    assert!(server.opens("third").await);
}

#[test]
fn nothing_runs_before_the_first_start_of_the_bundled_postgres() {
    let server = Server::new("first");
    std::fs::remove_dir_all(server.data()).unwrap();
    let command = before_postgres().command.unwrap();
    run(server.command(&command[0]).args(&command[1..]));
    assert!(!server.data().exists());
}
